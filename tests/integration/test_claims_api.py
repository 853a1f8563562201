"""Claims over HTTP: as strict as the intake topic, with the same verdicts and the same facts."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from contracts.claims import ClaimRefused, ClaimSubmitted, ClaimWithdrawn
from contracts.values import claim_id
from services.claims.handlers import handlers, take_claims
from tests.support import client_of, given, said
from tests.support.claims_values import (
    DAY,
    a_claim,
    approved,
    checked,
    define_all,
    matched,
    posted,
    rejected,
    reserved,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

    from chassis.db import Database
    from contracts.envelope import Event

K1 = str(claim_id("tests", "K1"))


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    database = await database_of("claims")
    await define_all(database)
    return database


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of("claims", database) as client:
        yield client


def body(key: str = "K1", **fields: Any) -> dict[str, Any]:
    return dict(json.loads(a_claim(key, **fields).model_dump_json()))


async def post(http: httpx.AsyncClient, content: str | bytes, **headers: str) -> httpx.Response:
    return await http.post(
        "/v1/claims", content=content, headers={"Content-Type": "application/json"} | headers
    )


async def tell(database: Database, *facts: Event) -> None:
    async with database.transaction() as tx:
        for fact in facts:
            await handlers.by_kind[fact.kind]([given(fact)], tx)


async def test_a_claim_is_taken_and_answered_alike_when_it_comes_again(
    http: httpx.AsyncClient, database: Database
) -> None:
    first = await http.post("/v1/claims", json=body())
    again = await http.post("/v1/claims", json=body())
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["outcome"], again.json()["outcome"]) == ("accepted", "duplicate")
    assert first.json() | {"outcome": ""} == again.json() | {"outcome": ""}
    assert first.json()["claim_id"] == K1
    assert [type(fact) for fact in await said(database)] == [ClaimSubmitted]


async def test_the_same_idempotency_key_replays_the_answer(http: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await http.post("/v1/claims", json=body(), headers=headers)
    again = await http.post("/v1/claims", json=body(), headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_refusal_names_every_fault_and_is_said_on_the_bus(
    http: httpx.AsyncClient, database: Database
) -> None:
    answer = await http.post(
        "/v1/claims", json=body(employee="E9", total={"amount": "1.00", "currency": "CNY"})
    )
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "EMPLOYEE_UNKNOWN"
    assert [(e["code"], e["pointer"]) for e in answer.json()["errors"]] == [
        ("EMPLOYEE_UNKNOWN", "/employee"),
        ("SUM_MISMATCH", "/total"),
    ]
    [fact] = await said(database)
    assert isinstance(fact, ClaimRefused)
    assert [reason.code for reason in fact.reasons] == ["EMPLOYEE_UNKNOWN", "SUM_MISMATCH"]
    assert (await http.get(f"/v1/claims/{K1}")).status_code == 404
    journey = (await http.get(f"/v1/claims/{K1}/journey")).json()
    assert [step["kind"] for step in journey["steps"]] == ["claims.claim-refused.v1"]


async def test_a_refused_claim_is_judged_afresh_under_a_new_idempotency_key(
    http: httpx.AsyncClient,
) -> None:
    assert (await http.post("/v1/claims", json=body(employee="GONE"))).status_code == 422
    assert (await http.post("/v1/claims", json=body())).status_code == 201


async def test_other_content_under_a_taken_key_is_a_conflict(http: httpx.AsyncClient) -> None:
    await http.post("/v1/claims", json=body())
    answer = await http.post("/v1/claims", json=body(purpose="another"))
    assert (answer.status_code, answer.json()["code"]) == (409, "KEY_REUSED")


async def test_one_claim_sent_many_times_at_once_is_taken_once(
    http: httpx.AsyncClient, database: Database
) -> None:
    answers = await asyncio.gather(*(http.post("/v1/claims", json=body()) for _ in range(5)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes.count(201) == 1
    assert set(codes) <= {200, 201, 409}
    assert len(await said(database)) == 1


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ("", 400, "BODY_EMPTY"),
        ('{"source": ', 400, "JSON_MALFORMED"),
        ('{"revision": NaN}', 400, "JSON_MALFORMED"),
        ('{"source": "a", "source": "b"}', 400, "DUPLICATE_KEY"),
        ('{"source": "\\ud800"}', 400, "ENCODING"),
        (b"\xff\xfe{\x00}\x00", 400, "ENCODING"),
        ("[" * 100_000, 400, "DEPTH"),
        ("[]", 422, "SCHEMA_INVALID"),
        ("null", 422, "SCHEMA_INVALID"),
        ("{}", 422, "SCHEMA_INVALID"),
        ('{"claims": []}', 422, "SCHEMA_INVALID"),
        ('{"claims": {}}', 422, "SCHEMA_INVALID"),
        ('{"claims": [{}], "more": 1}', 422, "SCHEMA_INVALID"),
    ],
)
async def test_what_is_no_claim_is_refused_by_its_kind(
    http: httpx.AsyncClient, content: str | bytes, status: int, code: str
) -> None:
    answer = await post(http, content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"status": "approved"}, "SCHEMA_INVALID", "/status"),
        ({"revision": "1"}, "SCHEMA_INVALID", "/revision"),
        ({"lines": []}, "SCHEMA_INVALID", "/lines"),
        ({"total": {"amount": "106.0", "currency": "CNY"}}, "SCALE", "/total"),
        ({"total": {"amount": "NaN", "currency": "CNY"}}, "AMOUNT_FORMAT", "/total"),
        ({"total": {"amount": "106.00", "currency": "cny"}}, "CURRENCY_UNKNOWN", "/total"),
        ({"total": {"amount": 106, "currency": "CNY"}}, "SCHEMA_INVALID", "/total/amount"),
        ({"source_key": "a\x07"}, "SCHEMA_INVALID", "/source_key"),
    ],
)
async def test_a_field_at_fault_is_named(
    http: httpx.AsyncClient, fields: dict[str, Any], code: str, pointer: str
) -> None:
    answer = await http.post("/v1/claims", json=body() | fields)
    assert answer.status_code == 422
    assert (code, pointer) in [(e["code"], e["pointer"]) for e in answer.json()["errors"]]


async def test_other_content_types_are_not_read(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/claims", content="source=a", headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["code"]) == (415, "CONTENT_TYPE")


async def test_a_batch_is_answered_claim_by_claim(
    http: httpx.AsyncClient, database: Database
) -> None:
    await http.post("/v1/claims", json=body("K1"))
    claims = [body("K1"), body("K2"), body("K3", employee="GONE"), body("K4") | {"extra": 1}, 7]
    answer = await http.post("/v1/claims", json={"claims": claims})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["outcome"] for result in results] == [
        "duplicate",
        "accepted",
        "refused",
        "refused",
        "refused",
    ]
    assert [r["code"] for result in results for r in result["reasons"]] == [
        "EMPLOYEE_INACTIVE",
        "SCHEMA_INVALID",
        "SCHEMA_INVALID",
    ]
    assert [w["line"] for w in results[1]["warnings"]] == [1]
    facts = await said(database)
    assert [type(f).__name__ for f in facts] == ["ClaimSubmitted"] * 2 + ["ClaimRefused"] * 3


async def test_a_batch_has_a_bound(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/claims", json={"claims": [{}] * 501})
    assert (answer.status_code, answer.json()["code"]) == (422, "SCHEMA_INVALID")


async def test_a_claim_ahead_of_its_master_data_is_refused_at_once(
    http: httpx.AsyncClient, database: Database
) -> None:
    assert (await http.post("/v1/claims", json=body(company="C9"))).status_code == 422
    assert len(await said(database)) == 1


async def test_an_owner_takes_a_claim_back(http: httpx.AsyncClient, database: Database) -> None:
    command = given(a_claim(), correlation_id="trip-7")
    async with database.transaction() as tx:
        await take_claims([command], tx)
    [submitted] = await said(database)
    answers = [
        await http.post(f"/v1/claims/{K1}/withdraw", json={"by": "E1", "reason": "a mistake"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["outcome"] for answer in answers] == ["withdrawn", "duplicate"]
    [fact] = await said(database)
    assert isinstance(fact, ClaimWithdrawn)
    assert (fact.meta.causation_id, fact.meta.correlation_id) == (submitted.meta.id, "trip-7")


@pytest.mark.parametrize(
    ("facts", "by", "status", "code"),
    [
        ([], "E2", 403, "NOT_THE_OWNER"),
        ([posted()], "E1", 409, "ALREADY_POSTED"),
        ([rejected()], "E1", 409, "ALREADY_ENDED"),
    ],
)
async def test_a_withdrawal_that_cannot_be_says_why(
    http: httpx.AsyncClient,
    database: Database,
    facts: list[Event],
    by: str,
    status: int,
    code: str,
) -> None:
    await http.post("/v1/claims", json=body())
    await tell(database, *facts)
    answer = await http.post(f"/v1/claims/{K1}/withdraw", json={"by": by})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("content", "status"),
    [({"by": "E1", "more": 1}, 422), ({}, 422), ({"by": 1}, 422), ([], 422)],
)
async def test_a_withdrawal_is_read_strictly(
    http: httpx.AsyncClient, content: Any, status: int
) -> None:
    answer = await http.post(f"/v1/claims/{K1}/withdraw", json=content)
    assert answer.status_code == status


async def test_what_nobody_claimed_is_not_found(http: httpx.AsyncClient) -> None:
    withdrawal = await http.post(f"/v1/claims/{K1}/withdraw", json={"by": "E1"})
    found = [await http.get(f"/v1/claims/{K1}"), await http.get(f"/v1/claims/{K1}/journey")]
    assert [answer.status_code for answer in (withdrawal, *found)] == [404, 404, 404]
    assert withdrawal.json()["code"] == "CLAIM_NOT_FOUND"


async def test_a_claim_is_shown_whole(http: httpx.AsyncClient, database: Database) -> None:
    await http.post("/v1/claims", json=body(purpose="a customer"))
    await tell(database, posted(), matched(paid=600, rest=10000))
    view = (await http.get(f"/v1/claims/{K1}")).json()
    assert (view["state"], view["open"]) == ("posted", {"amount": "100.00", "currency": "CNY"})
    assert (view["payee"], view["purpose"], view["settled_on"]) == ("E1", "a customer", None)
    assert view["lines"][0]["date"] == str(DAY)
    await tell(database, matched(2, paid=10000))
    assert (await http.get(f"/v1/claims/{K1}")).json()["settled_on"] == "2024-03-20"


async def test_a_revised_claim_shows_each_revision_and_why_it_ended(
    http: httpx.AsyncClient, database: Database
) -> None:
    await http.post("/v1/claims", json=body())
    await tell(database, rejected())
    await http.post("/v1/claims", json=body(revision=2))
    newest = (await http.get(f"/v1/claims/{K1}")).json()
    first = (await http.get(f"/v1/claims/{K1}", params={"revision": 1})).json()
    assert (newest["revision"], newest["state"], newest["reasons"]) == (2, "submitted", [])
    assert (first["state"], [r["code"] for r in first["reasons"]]) == ("rejected", ["NOT_BUSINESS"])
    assert [r["state"] for r in newest["revisions"]] == ["rejected", "submitted"]
    assert (await http.get(f"/v1/claims/{K1}", params={"revision": 3})).status_code == 404


async def test_a_journey_says_what_when_who_and_in_which_trace(
    http: httpx.AsyncClient, database: Database
) -> None:
    await http.post("/v1/claims", json=body())
    await tell(database, checked(), approved(), reserved())
    steps = (await http.get(f"/v1/claims/{K1}/journey")).json()["steps"]
    assert [(step["kind"].split(".")[1], step["actor"]) for step in steps] == [
        ("claim-submitted", "E1"),
        ("funds-checked", "budget"),
        ("claim-approved", "M1"),
        ("funds-reserved", "budget"),
    ]
    assert steps[1]["figures"]["budgets"][0]["available"] == {
        "amount": "1000.00",
        "currency": "CNY",
    }
    assert steps[2]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert all(step["event_id"] and step["at"] for step in steps)


async def found(http: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await http.get("/v1/claims", params=params)
    assert answer.status_code == 200, answer.text
    return [item["source_key"] for item in answer.json()["items"]]


async def test_claims_are_found_by_what_people_know(
    http: httpx.AsyncClient, database: Database
) -> None:
    await http.post("/v1/claims", json=body("K1"))
    await http.post("/v1/claims", json=body("K2", employee="E2"))
    await http.post("/v1/claims", json=body("K3", source="other"))
    await tell(database, approved())
    assert await found(http) == ["K3", "K2", "K1"]
    assert await found(http, company="C1", employee="E1") == ["K3", "K1"]
    assert await found(http, employee="E2") == ["K2"]
    assert await found(http, state="approved") == ["K1"]
    assert await found(http, source="other") == ["K3"]
    assert await found(http, source="tests", source_key="K2") == ["K2"]
    assert await found(http, source="tests", source_key="K2", state="approved") == []
    assert await found(http, company="C2") == []


async def test_pages_follow_each_other_without_gap_or_repetition(http: httpx.AsyncClient) -> None:
    claims = [body(f"K{n}") for n in range(7)]
    await http.post("/v1/claims", json={"claims": claims})
    seen: list[str] = []
    cursor = ""
    while True:
        params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await http.get("/v1/claims", params=params)).json()
        seen += [item["source_key"] for item in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert sorted(seen) == [f"K{n}" for n in range(7)]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"source_key": "K1"}, "QUERY_INCOMPLETE"),
        ({"state": "lost"}, "SCHEMA_INVALID"),
        ({"company": "a\x00"}, "SCHEMA_INVALID"),
        ({"limit": "1000000000"}, "SCHEMA_INVALID"),
        ({"cursor": "WyJ4Il0="}, "CURSOR_INVALID"),
        ({"cursor": "WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5Il0="}, "CURSOR_INVALID"),
        ({"cursor": "forged"}, "CURSOR_INVALID"),
    ],
)
async def test_questions_that_make_no_sense_are_refused(
    http: httpx.AsyncClient, params: dict[str, str], code: str
) -> None:
    answer = await http.get("/v1/claims", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_the_description_of_the_api_shows_the_body(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()["paths"]["/v1/claims"]["post"]
    one, many = described["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert one["properties"]["lines"]["items"]["properties"]["gross"]["required"] == [
        "amount",
        "currency",
    ]
    assert many["properties"]["claims"]["maxItems"] == 500
