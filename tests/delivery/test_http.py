"""The HTTP face of any service: once per key, problem documents, pages, health."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import Request, Response  # noqa: TC002 - FastAPI reads annotations
from pydantic import BaseModel, ConfigDict

from chassis.http import PageArgs, Paged, Problem, Reading, Writing, build, router
from chassis.invariants import Invariants
from chassis.problems import answer
from tests.support import said
from tests.support.toy import TOY_SQL, a_release

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database

routes = router()


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str


class Kept(BaseModel):
    at: int
    text: str


@routes.post("/notes", status_code=201)
async def keep(note: Note, tx: Writing) -> Kept:
    at = await tx.fetchval(
        "INSERT INTO toy_notes (key, note) VALUES ('http', $1) RETURNING at", note.text
    )
    tx.emit(a_release(note.text), because=None)
    if note.text == "refuse":
        raise Problem(409, "NOTE_REFUSED", "not this one", figures={"text": note.text})
    if note.text == "slow":
        await tx.fetchval("SELECT pg_sleep(3)")
    if note.text == "defect":
        raise RuntimeError(note.text)
    return Kept(at=at, text=note.text)


@routes.post("/refusals")
async def refuse(note: Note, request: Request, tx: Writing) -> Response:
    tx.emit(a_release(note.text), because=None)
    return answer(request, Problem(422, "NOTE_REFUSED", "a fact as well"))


@routes.get("/notes")
async def list_notes(reader: Reading, page: PageArgs) -> Paged[Kept]:
    rows = await reader.fetch(
        "SELECT at, note FROM toy_notes WHERE at > $1 ORDER BY at LIMIT $2",
        int(page.after[0]) if page.after else 0,
        page.limit + 1,
    )
    items = [Kept(at=row["at"], text=row["note"]) for row in rows]
    return Paged.of(items, page, key=lambda item: [item.at])


@asynccontextmanager
async def a_client(
    database: Database, checks: dict[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    async def found() -> dict[str, str]:
        return checks or {}

    invariants = Invariants("services.budget")
    app = build("toy", routes, database=database, invariants=invariants, checks=found)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
        yield client


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    database = await database_of("budget")
    async with database.transaction() as tx:
        await tx.execute(TOY_SQL)
    return database


async def count(database: Database) -> int:
    async with database.reader() as reader:
        return int(await reader.fetchval("SELECT count(*) FROM toy_notes"))


async def test_the_same_key_and_body_get_the_first_answer_again(database: Database) -> None:
    async with a_client(database) as http:
        first = await http.post("/v1/notes", json={"text": "a"}, headers={"Idempotency-Key": "1"})
        again = await http.post("/v1/notes", json={"text": "a"}, headers={"Idempotency-Key": "1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await count(database) == 1
    assert len(await said(database)) == 1


async def test_the_same_key_with_another_body_is_refused(database: Database) -> None:
    async with a_client(database) as http:
        await http.post("/v1/notes", json={"text": "a"}, headers={"Idempotency-Key": "1"})
        other = await http.post("/v1/notes", json={"text": "b"}, headers={"Idempotency-Key": "1"})
    assert other.status_code == 422
    assert other.json()["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_post_without_a_key_is_refused(database: Database) -> None:
    async with a_client(database) as http:
        answer = await http.post("/v1/notes", json={"text": "a"})
    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_ten_twins_at_once_have_one_effect(database: Database) -> None:
    async with a_client(database) as http:
        answers = await asyncio.gather(
            *(
                http.post("/v1/notes", json={"text": "a"}, headers={"Idempotency-Key": "1"})
                for _ in range(10)
            )
        )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert await count(database) == 1


async def test_a_twin_of_a_slow_request_is_told_to_wait(database: Database) -> None:
    async with a_client(database) as http:
        headers = {"Idempotency-Key": "1"}
        slow, twin = await asyncio.gather(
            http.post("/v1/notes", json={"text": "slow"}, headers=headers),
            http.post("/v1/notes", json={"text": "slow"}, headers=headers),
        )
    assert sorted([slow.status_code, twin.status_code]) == [201, 409]


async def test_a_refusal_leaves_nothing_behind_and_frees_the_key(database: Database) -> None:
    async with a_client(database) as http:
        headers = {"Idempotency-Key": "1"}
        refused = await http.post("/v1/notes", json={"text": "refuse"}, headers=headers)
        later = await http.post("/v1/notes", json={"text": "b"}, headers=headers)
    assert refused.status_code == 409
    assert refused.json()["figures"] == {"text": "refuse"}
    assert later.status_code == 201
    assert [fact.key for fact in await said(database)] == [a_release("b").key]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "SCHEMA_INVALID"),
        (b"{", 400, "JSON_MALFORMED"),
        (b'{"text": 1}', 422, "SCHEMA_INVALID"),
        (b'{"text": "a", "role": "admin"}', 422, "SCHEMA_INVALID"),
        (b"[]", 422, "SCHEMA_INVALID"),
    ],
)
async def test_a_body_that_does_not_fit_is_a_problem_with_pointers(
    database: Database, body: bytes, status: int, code: str
) -> None:
    headers = {"Idempotency-Key": "1", "Content-Type": "application/json"}
    async with a_client(database) as http:
        answer = await http.post("/v1/notes", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_defect_is_a_problem_without_secrets(database: Database) -> None:
    async with a_client(database) as http:
        headers = {"Idempotency-Key": "1"}
        answer = await http.post("/v1/notes", json={"text": "defect"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
    assert "RuntimeError" not in answer.text
    assert await count(database) == 0


async def test_pages_follow_each_other_without_gap_or_repeat(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO toy_notes (key, note) SELECT 'k', n::text FROM generate_series(1, 25) n"
        )
    seen: list[str] = []
    cursor: str | None = None
    async with a_client(database) as http:
        while True:
            params = {"limit": "10"} | ({"cursor": cursor} if cursor else {})
            page = (await http.get("/v1/notes", params=params)).json()
            seen += [item["text"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        forged = await http.get("/v1/notes", params={"cursor": "e30="})
        greedy = await http.get("/v1/notes", params={"limit": "1000000000"})
    assert seen == [str(n) for n in range(1, 26)]
    assert (forged.status_code, forged.json()["code"]) == (422, "CURSOR_INVALID")
    assert greedy.status_code == 422


async def test_ready_names_what_is_not(database: Database) -> None:
    async with a_client(database, {"consumers": "joining the group"}) as http:
        answer = await http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"consumers": "joining the group"}


async def test_unknown_paths_and_methods_are_problems_too(database: Database) -> None:
    async with a_client(database) as http:
        assert (await http.get("/v1/nowhere")).json()["code"] == "NOT_FOUND"
        assert (await http.request("TRACE", "/v1/notes")).json()["code"] == "METHOD_NOT_ALLOWED"


async def test_a_refusal_that_is_returned_commits_what_was_said(database: Database) -> None:
    async with a_client(database) as http:
        headers = {"Idempotency-Key": "1"}
        first = await http.post("/v1/refusals", json={"text": "no"}, headers=headers)
        again = await http.post("/v1/refusals", json={"text": "no"}, headers=headers)
    assert first.status_code == again.status_code == 422
    assert first.json()["code"] == again.json()["code"] == "NOTE_REFUSED"
    assert again.headers["content-type"] == "application/problem+json"
    assert len(await said(database)) == 1


async def test_the_same_key_for_another_query_is_refused_not_replayed(database: Database) -> None:
    async with a_client(database) as http:
        headers = {"Idempotency-Key": "1"}
        await http.post("/v1/notes?layout=a", json={"text": "a"}, headers=headers)
        other = await http.post("/v1/notes?layout=b", json={"text": "a"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await count(database) == 1


async def test_a_body_of_unknown_length_is_not_read(database: Database) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"text": "a"}'

    async with a_client(database) as http:
        headers = {"Idempotency-Key": "1", "Content-Type": "application/json"}
        answer = await http.post("/v1/notes", content=chunks(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (411, "LENGTH_REQUIRED")
    assert await count(database) == 0
