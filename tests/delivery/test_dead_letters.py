"""Dead letters under people's hands: over HTTP, on real PostgreSQL, with the handlers of a toy."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from aiokafka import TopicPartition
from rich.console import Console

from chassis.consume import Consumer
from chassis.http import build, router
from chassis.invariants import Invariants
from ledgerbus import dlq_show
from ledgerbus.addresses import Addresses
from ledgerbus.calls import Services
from ledgerbus.deadletters import left_undone
from ledgerbus.dlq_calls import Run, act, correct, find, holders, listed, waiting
from ledgerbus.dlq_values import changed
from ledgerbus.errors import CommandError
from tests.support import given, new_id
from tests.support.toy import (
    POISONED,
    TOY_SQL,
    a_release,
    raw_record,
    record_of,
    toy_handlers,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database

PARTITION = TopicPartition("budget.events", 0)
KIND = "budget.funds-released.v1"
WHO = {"by": "ops", "reason": "the mapping is there now"}


class Desk:
    """A consumer, and the HTTP face of the same service."""

    def __init__(self, database: Database, http: httpx.AsyncClient, consumer: Consumer) -> None:
        self.database, self.http, self.consumer = database, http, consumer
        self._offset = 0

    async def take(self, *events: Any) -> None:
        """Let records come from the topic, one poll."""
        records = []
        for event in events:
            made = event(self._offset) if callable(event) else record_of(event, offset=self._offset)
            records.append(made)
            self._offset += 1
        await self.consumer.consume(records)

    async def release(self) -> None:
        """Let what waits go on."""
        while await self.consumer.release_parked():
            pass

    async def get(self, path: str, **params: Any) -> Any:
        """The answer to a question."""
        answer = await self.http.get(f"/v1{path}", params=params)
        assert answer.is_success, answer.text
        return answer.json()

    async def ask(self, path: str, **body: Any) -> httpx.Response:
        """The answer to a wish."""
        return await self.http.post(
            f"/v1/dead-letters/{path}", json=body, headers={"Idempotency-Key": str(new_id())}
        )

    async def run(self, action: str, **body: Any) -> Any:
        """What a run has done."""
        answer = await self.ask(action, **WHO | body)
        assert answer.is_success, answer.text
        return answer.json()

    async def ids(self, **params: Any) -> list[str]:
        """The letters there are."""
        found = await self.get("/dead-letters", **params)
        return [item["id"] for item in found["items"]]

    async def notes(self) -> list[str]:
        """What the toy was told, in order."""
        async with self.database.reader() as reader:
            rows = await reader.fetch("SELECT note FROM toy_notes ORDER BY at")
        return [row["note"] for row in rows]


class Parted:
    """Stands where aiokafka's consumer stands: has one partition."""

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    async def beginning_offsets(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        pass

    async def commit(self, ends: dict[TopicPartition, int]) -> None:
        pass


@asynccontextmanager
async def a_desk(database: Database, *, repaired: bool) -> AsyncIterator[Desk]:
    consumer, client = Consumer(database, toy_handlers()), Parted()
    consumer.find_client = lambda: client
    await consumer.on_partitions_assigned([PARTITION])

    async def checks() -> dict[str, str]:
        return {}

    app = build(
        "toy",
        router(),
        database=database,
        invariants=Invariants("services.budget"),
        checks=checks,
        handlers=toy_handlers(repaired=repaired),
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://toy", timeout=60) as http:
        yield Desk(database, http, consumer)


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    database = await database_of("budget")
    async with database.transaction() as tx:
        await tx.execute(TOY_SQL)
    return database


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """The handlers over HTTP are as broken as those that failed."""
    async with a_desk(database, repaired=False) as made:
        yield made


@pytest.fixture
async def fixed(database: Database) -> AsyncIterator[Desk]:
    """The handlers over HTTP have been repaired since."""
    async with a_desk(database, repaired=True) as made:
        yield made


def poison(key: str) -> Any:
    return a_release(key, because=POISONED)


def broken_json(key: str) -> Callable[[int], Any]:
    headers = [
        ("ce_type", KIND.encode()),
        ("odd", b"\xff"),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]
    name = a_release(key).key.encode()
    return lambda offset: raw_record(b"{", headers, key=name, offset=offset)


async def test_a_replay_after_the_repair_is_told_once_and_its_followers_come_after_it(
    fixed: Desk,
) -> None:
    await fixed.take(poison("k"), a_release("k", because="SECOND"))
    await fixed.take(a_release("k", because="THIRD"))
    (letter,) = await fixed.ids()
    await fixed.release()
    assert await fixed.notes() == []
    run = await fixed.run("replay", ids=[letter])
    assert run["counts"] == {"replayed": 1}
    assert run["results"][0]["emits"] == ["budget.funds-spent.v1"]
    await fixed.take(a_release("k", because="FOURTH"))
    await fixed.release()
    assert await fixed.notes() == [POISONED, "SECOND", "THIRD", "FOURTH"]
    again = await fixed.run("replay", ids=[letter])
    assert again["counts"] == {}
    assert len(await fixed.notes()) == 4


async def test_a_discard_lets_the_followers_go_on(desk: Desk) -> None:
    await desk.take(poison("k"), a_release("k", because="SECOND"))
    (letter,) = await desk.ids()
    assert (await desk.run("discard", ids=[letter]))["counts"] == {"discarded": 1}
    await desk.release()
    assert await desk.notes() == ["SECOND"]
    assert await desk.ids(state="discarded") == [letter]
    assert await desk.ids(state="open") == []


async def test_a_replay_that_fails_again_stays_open_and_counts(desk: Desk) -> None:
    await desk.take(poison("k"))
    (letter,) = await desk.ids()
    for _ in range(2):
        run = await desk.run("replay", ids=[letter])
        assert run["counts"] == {"failed": 1}
        assert run["results"][0]["code"] == "TOY_POISON"
    shown = await desk.get(f"/dead-letters/{letter}")
    assert (shown["state"], shown["attempts"]) == ("open", 3)
    assert [act["outcome"] for act in shown["actions"]] == ["failed", "failed"]
    assert shown["actions"][0]["reason"] == WHO["reason"]


async def test_a_dry_run_tells_what_would_happen_and_changes_nothing(
    desk: Desk, fixed: Desk
) -> None:
    await desk.take(poison("k"))
    (letter,) = await desk.ids()
    bad = await desk.run("replay", ids=[letter], dry_run=True)
    good = await fixed.run("replay", ids=[letter], dry_run=True)
    assert bad["results"][0]["outcome"] == "would-fail"
    assert bad["results"][0]["code"] == "TOY_POISON"
    assert good["results"][0]["outcome"] == "would-pass"
    assert good["results"][0]["emits"] == ["budget.funds-spent.v1"]
    shown = await desk.get(f"/dead-letters/{letter}")
    assert (shown["state"], shown["attempts"], shown["actions"]) == ("open", 1, [])
    assert await desk.notes() == []


async def test_a_thousand_replayed_twice_have_one_effect_each(fixed: Desk) -> None:
    for start in range(0, 1000, 500):
        await fixed.take(*(poison(f"k{start + i}") for i in range(500)))
    (group,) = (await fixed.get("/dead-letters/groups"))["items"]
    assert (group["count"], group["open"], group["code"]) == (1000, 1000, "TOY_POISON")
    wanted = {"fingerprint": group["fingerprint"], "limit": 5000, "approved_by": "lead"}
    done, run = 0, str(new_id())
    for _ in range(2):
        left = 1
        while left:
            told = await fixed.run("replay", run=run, **wanted)
            done, left = done + told["counts"].get("replayed", 0), told["left"]
        run = str(new_id())
    assert done == 1000
    assert len(await fixed.notes()) == 1000


async def test_more_than_a_hundred_need_a_second_person(fixed: Desk) -> None:
    await fixed.take(*(poison(f"k{i}") for i in range(101)))
    wanted = WHO | {"kind": KIND, "limit": 200}
    for second in ({}, {"approved_by": WHO["by"]}):
        answer = await fixed.ask("discard", **wanted | second)
        assert (answer.status_code, answer.json()["code"]) == (422, "SECOND_PERSON_NEEDED")
    assert len(await fixed.ids(state="open", limit=1000)) == 101
    run = await fixed.run("discard", **wanted, approved_by="lead")
    assert run["counts"] == {"discarded": 101}


async def test_a_run_without_reason_person_or_selection_is_refused(desk: Desk) -> None:
    for wrong in (
        {"ids": [str(new_id())], "by": "ops"},
        {"ids": [str(new_id())], "reason": "why", "by": " "},
        {"ids": [], **WHO},
    ):
        assert (await desk.ask("replay", **wrong)).json()["code"] == "SCHEMA_INVALID"
    assert (await desk.ask("replay", **WHO)).json()["code"] == "SELECTION_MISSING"


async def test_a_rate_holds_a_run_back(fixed: Desk) -> None:
    await fixed.take(*(poison(f"k{i}") for i in range(3)))
    loop = asyncio.get_running_loop()
    started = loop.time()
    run = await fixed.run("replay", kind=KIND, rate=2)
    assert run["counts"] == {"replayed": 3}
    assert loop.time() - started >= 1


async def test_an_edit_repairs_the_event_keeps_its_id_and_writes_down_a_patch(desk: Desk) -> None:
    event = given(poison("k"))
    await desk.take(event, a_release("k", because="SECOND"))
    (letter,) = await desk.ids()
    before = await desk.get(f"/dead-letters/{letter}")
    value = before["value"] | {"because": "REPAIRED"}
    edited = await desk.ask(f"{letter}/edit", value=value, **WHO)
    assert edited.is_success, edited.text
    assert (edited.json()["state"], edited.json()["edited_by"]) == ("open", "ops")
    (act,) = edited.json()["actions"]
    assert act["patch"] == [{"op": "replace", "path": "/because", "value": "REPAIRED"}]
    assert edited.json()["original_base64"] == before["value_base64"]
    assert (await desk.run("replay", ids=[letter]))["counts"] == {"replayed": 1}
    await desk.release()
    assert await desk.notes() == ["REPAIRED", "SECOND"]
    await desk.take(event)  # The publisher's duplicate, with the bytes that were replaced.
    assert await desk.notes() == ["REPAIRED", "SECOND"]
    assert await desk.ids(state="open") == []


async def test_only_an_edit_changes_the_bytes_of_a_known_id(desk: Desk) -> None:
    event = given(a_release("k"))
    other = a_release("k", because="OTHER").with_meta(event.meta)
    await desk.take(event, other)
    (letter,) = await desk.ids(code="ID_COLLISION")
    assert (await desk.run("replay", ids=[letter]))["results"][0]["code"] == "ID_COLLISION"
    value = (await desk.get(f"/dead-letters/{letter}"))["value"] | {"because": "CORRECTED"}
    assert (await desk.ask(f"{letter}/edit", value=value, **WHO)).is_success
    assert (await desk.run("replay", ids=[letter]))["counts"] == {"replayed": 1}
    assert await desk.notes() == ["TEST", "CORRECTED"]


async def test_an_edit_that_makes_no_event_or_changes_nothing_is_refused(desk: Desk) -> None:
    await desk.take(poison("k"))
    (letter,) = await desk.ids()
    value = (await desk.get(f"/dead-letters/{letter}"))["value"]
    for wrong in ({"value": value | {"revision": "x"}}, {"key": "elsewhere"}, {}):
        answer = await desk.ask(f"{letter}/edit", **WHO | wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "EDIT_INVALID")
    missing = await desk.ask(f"{new_id()}/edit", value=value, **WHO)
    assert (missing.status_code, missing.json()["code"]) == (404, "DEAD_LETTER_NOT_FOUND")
    await desk.run("discard", ids=[letter])
    late = await desk.ask(f"{letter}/edit", value=value | {"because": "X"}, **WHO)
    assert (late.status_code, late.json()["code"]) == (409, "DEAD_LETTER_SETTLED")


async def test_an_event_under_a_wrong_key_is_edited_to_its_own(desk: Desk) -> None:
    event = given(a_release("k"))
    wrong = record_of(event)

    def elsewhere(offset: int) -> Any:
        return raw_record(wrong.value, list(wrong.headers), key=None, offset=offset)

    await desk.take(elsewhere)
    (letter,) = await desk.ids(code="KEY_MISMATCH")
    assert (await desk.ask(f"{letter}/edit", key=event.key, **WHO)).is_success
    assert (await desk.run("replay", ids=[letter]))["counts"] == {"replayed": 1}
    assert await desk.notes() == ["TEST"]


async def test_a_letter_may_not_overtake_an_earlier_one_of_its_key(fixed: Desk) -> None:
    event = given(a_release("k"))
    wrong = record_of(event)
    await fixed.take(
        poison("k"), lambda o: raw_record(wrong.value, list(wrong.headers), key=None, offset=o)
    )
    first, second = await fixed.ids()
    assert (await fixed.ask(f"{second}/edit", key=event.key, **WHO)).is_success
    run = await fixed.run("replay", ids=[second])
    assert run["results"][0]["code"] == "KEY_BLOCKED"
    assert (await fixed.run("replay", ids=[first, second]))["counts"] == {"replayed": 2}


async def test_a_letter_shows_its_bytes_its_trace_and_the_verdict_of_today(desk: Desk) -> None:
    await desk.take(broken_json("k"), a_release("k"), poison("other"))
    (letter,) = await desk.ids(code="ENVELOPE")
    shown = await desk.get(f"/dead-letters/{letter}")
    assert shown["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert (shown["value"], shown["value_text"], shown["waiting"]) == (None, "{", 1)
    assert {"name": "odd", "text": None, "base64": "/w=="} in shown["headers"]
    assert shown["validation"]["readable"] is False
    assert await desk.ids(key=a_release("other").key) != [letter]
    missing = await desk.http.get(f"/v1/dead-letters/{new_id()}")
    assert missing.json()["code"] == "DEAD_LETTER_NOT_FOUND"


async def test_parked_keys_say_how_many_wait_and_behind_what(desk: Desk) -> None:
    await desk.take(poison("a"), poison("b"), *(a_release("a") for _ in range(3)), a_release("b"))
    pages: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await desk.get("/parked", limit=1, **cursor)
        pages += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert {item["key"]: item["count"] for item in pages} == {
        a_release("a").key: 3,
        a_release("b").key: 1,
    }
    assert {item["behind"] for item in pages} == set(await desk.ids())


async def test_pages_of_letters_follow_each_other(desk: Desk) -> None:
    await desk.take(*(poison(f"k{i}") for i in range(5)))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await desk.get("/dead-letters", limit=2, state="open", **cursor)
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == await desk.ids()
    assert len(set(seen)) == 5


async def test_what_was_done_can_never_be_changed(desk: Desk) -> None:
    await desk.take(poison("k"))
    await desk.run("discard", kind=KIND)
    for sql in (
        "UPDATE dead_letter_actions SET reason = 'another'",
        "DELETE FROM dead_letter_actions",
        "TRUNCATE dead_letter_actions",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            async with desk.database.transaction() as tx:
                await tx.execute(sql)


async def test_the_same_idempotency_key_runs_once(desk: Desk) -> None:
    await desk.take(poison("k"))
    (letter,) = await desk.ids()
    key = {"Idempotency-Key": "once"}
    body = WHO | {"ids": [letter]}
    first = await desk.http.post("/v1/dead-letters/replay", json=body, headers=key)
    again = await desk.http.post("/v1/dead-letters/replay", json=body, headers=key)
    assert first.json() == again.json()
    assert str(UUID(first.json()["run"])) == first.json()["run"]
    assert (await desk.get(f"/dead-letters/{letter}"))["attempts"] == 2


def services_of(desk: Desk) -> Services:
    """The command line's view of the desk."""
    where = Addresses(Path(), "", {"budget": "http://toy"}, Path())
    return Services(desk.http, where)


async def test_the_command_line_runs_until_nothing_is_left(fixed: Desk) -> None:
    await fixed.take(*(poison(f"k{i}") for i in range(30)))
    running = services_of(fixed)
    items = (await listed(running, "", {"state": "open"}))["items"]
    assert len(items) == 30
    dlq_show.groups(Console(file=StringIO()), items)
    run = Run("replay", "fixed", "ops", limit=50)
    chosen = await holders(running, [], items[0]["fingerprint"], "")
    told = await act(running, "budget", run, chosen["budget"])
    assert (told["counts"], told["left"]) == ({"replayed": 30}, 0)
    with pytest.raises(CommandError, match="no group"):
        await holders(running, [], items[0]["fingerprint"], "")


async def test_the_command_line_shows_edits_and_replays_one(desk: Desk) -> None:
    await desk.take(poison("k"), a_release("k"))
    running = services_of(desk)
    (letter,) = await desk.ids()
    screen = Console(file=StringIO(), width=200)
    found = await find(running, letter, "")
    dlq_show.letter(screen, found)
    dlq_show.parked(screen, (await waiting(running, "", {}))["items"])
    value = changed(found["value"], ["/because=REPAIRED"])
    edited = await correct(running, found, {"value": value, **WHO})
    edited["replay"] = await act(running, "budget", Run("replay", "why", "ops"), {"ids": [letter]})
    dlq_show.edited(screen, edited)
    text = screen.file.getvalue()  # type: ignore[attr-defined] # It is the StringIO above.
    assert "1 later events of its key" in text
    assert f"dlq replay {letter}" in text
    assert '"path":"/because"' in text
    assert "1 replayed" in text
    with pytest.raises(CommandError, match="no dead letter"):
        await find(running, str(new_id()), "")


async def test_a_proof_names_a_letter_until_it_is_settled(desk: Desk) -> None:
    event = given(a_release("k"))
    await desk.take(event, a_release("k", because="OTHER").with_meta(event.meta))
    running = services_of(desk)
    (undone,) = await left_undone(running, "budget")
    assert (undone.code, undone.position) == ("ID_COLLISION", "budget.events/0@1")
    await desk.run("discard", ids=await desk.ids())
    assert await left_undone(running, "budget") == []
