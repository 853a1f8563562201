"""Statements over HTTP: counted once, quarantined when they do not close, matched in seconds."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts.reconcile import ExceptionOpened, PaymentMatched, PaymentReturned
from services.reconcile.handlers import expect_payment, learn_accounts
from tests.support import client_of, given, new_id, said, violations
from tests.support.reconcile_values import (
    ACCOUNT,
    DAY,
    a_company,
    a_file,
    a_statement_file,
    an_entry,
    an_xml_entry,
    an_xml_statement,
    reference_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

    from chassis.db import Database

XML = {"Content-Type": "application/xml"}
REF = reference_of(1)


@pytest.fixture
async def database(
    database_of: Callable[[str], Awaitable[Database]],
) -> AsyncIterator[Database]:
    """Two open items of one company; the invariants hold when the test ends."""
    database = await database_of("reconcile")
    async with database.transaction() as tx:
        await learn_accounts([given(a_company())], tx)
        await expect_payment([given(an_entry(1)), given(an_entry(2, minor=5_000))], tx)
    yield database
    assert await violations("reconcile", database) == []


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of("reconcile", database) as client:
        yield client


async def send(http: httpx.AsyncClient, content: bytes) -> list[dict[str, Any]]:
    answer = await http.post("/v1/statements", content=content, headers=XML)
    assert answer.status_code == 201, answer.text
    found: list[dict[str, Any]] = answer.json()["statements"]
    return found


def paying(*, name: str = "S1", times: int = 1) -> bytes:
    return a_statement_file([(-10_000, an_xml_entry(-10_000, REF))] * times, name=name)


async def test_the_same_statement_counts_once(database: Database, http: httpx.AsyncClient) -> None:
    (first,) = await send(http, paying())
    (again,) = await send(http, paying() + b"\n")
    assert (first["outcome"], first["matched"]) == ("accepted", 1)
    assert (again["outcome"], again["statement_id"]) == ("duplicate", first["statement_id"])
    assert len(await said(database)) == 1


async def test_a_repeated_request_gets_the_first_answer(http: httpx.AsyncClient) -> None:
    headers = XML | {"Idempotency-Key": str(new_id())}
    answers = [
        await http.post("/v1/statements", content=paying(), headers=headers) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"


async def test_overlapping_statements_share_their_lines(
    database: Database, http: httpx.AsyncClient
) -> None:
    twins = [(-700, an_xml_entry(-700, text="COFFEE"))] * 2
    other = (-5_000, an_xml_entry(-5_000, reference_of(2)))
    await send(http, a_statement_file([*twins, (-10_000, an_xml_entry(-10_000, REF))], name="S1"))
    (second,) = await send(http, a_statement_file([*twins, other], name="S2"))
    assert (second["lines"], second["known"], second["matched"]) == (3, 2, 1)
    async with database.reader() as reader:
        assert await reader.fetchval("SELECT count(*) FROM lines") == 4
    facts = [fact for fact in await said(database) if isinstance(fact, PaymentMatched)]
    assert len(facts) == 2


async def test_imports_at_the_same_time_count_and_pay_once(
    database: Database, http: httpx.AsyncClient
) -> None:
    line = (-10_000, an_xml_entry(-10_000, REF, bank_id="BANK-0001"))
    files = [
        a_statement_file([line, (-at, an_xml_entry(-at, text="FEES"))], name=f"S{at}")
        for at in (1, 2, 3, 3)
    ]
    answers = await asyncio.gather(*(send(http, content) for content in files))
    outcomes = Counter(one["outcome"] for (one,) in answers)
    assert outcomes == {"accepted": 3, "duplicate": 1}
    assert sum(one["matched"] for (one,) in answers) == 1
    facts = [fact for fact in await said(database) if isinstance(fact, PaymentMatched)]
    assert len(facts) == 1


async def test_a_statement_that_does_not_close_is_kept_and_used_for_nothing(
    database: Database, http: httpx.AsyncClient
) -> None:
    entry = an_xml_entry(-10_000, REF)
    content = a_file(an_xml_statement(entry, total=-10_000, closing=990_001))
    for _ in range(2):
        answer = await http.post("/v1/statements", content=content, headers=XML)
        assert answer.status_code == 422
        assert answer.json()["code"] == "STATEMENT_UNBALANCED"
        assert answer.json()["figures"]["difference"] == "-0.01 EUR"
    (fact,) = await said(database)
    assert isinstance(fact, ExceptionOpened)
    assert (fact.reason.code, fact.company, fact.bank_line) == (
        "STATEMENT_UNBALANCED",
        "ACME",
        None,
    )
    async with database.reader() as reader:
        assert await reader.fetchval("SELECT count(*) FROM lines") == 0
        assert await reader.fetchval("SELECT size_bytes FROM files") == len(content)
    (exception,) = (await http.get("/v1/exceptions")).json()["items"]
    assert exception["statement_id"] == answer.json()["figures"]["statement_id"]
    (mended,) = await send(http, paying(name="2026-03"))
    assert mended["matched"] == 1
    assert (await http.get("/v1/exceptions")).json()["items"] == []


async def test_refused_files_that_come_together_are_all_kept_and_answered(
    database: Database, http: httpx.AsyncClient
) -> None:
    entry = an_xml_entry(-10_000, REF)
    bad = [
        a_file(an_xml_statement(entry, total=-10_000, closing=1, name=f"S{at}")) for at in range(16)
    ]
    answers = await asyncio.gather(
        *(http.post("/v1/statements", content=content, headers=XML) for content in bad)
    )
    assert {one.status_code for one in answers} == {422}
    assert len(await said(database)) == len(bad)
    async with database.reader() as reader:
        assert await reader.fetchval("SELECT count(*) FROM files") == len(bad)


async def test_a_refused_request_repeated_gets_the_first_answer(
    database: Database, http: httpx.AsyncClient
) -> None:
    content = a_file(an_xml_statement(an_xml_entry(-10_000, REF), total=-10_000, closing=1))
    headers = XML | {"Idempotency-Key": str(new_id())}
    first, again = [
        await http.post("/v1/statements", content=content, headers=headers) for _ in range(2)
    ]
    assert first.json() == again.json()
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (422, "true")
    assert again.headers["Content-Type"] == "application/problem+json"
    assert len(await said(database)) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/statements?account=%00", "SCHEMA_INVALID"),
        ("/v1/exceptions?company=%00", "SCHEMA_INVALID"),
        ("/v1/exceptions?cursor=W10=", "CURSOR_INVALID"),
        ("/v1/statements?cursor=WyJ4Il0=", "CURSOR_INVALID"),
    ],
)
async def test_what_no_database_takes_is_refused(
    http: httpx.AsyncClient, path: str, code: str
) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_an_unknown_account_is_quarantined_until_somebody_owns_it(
    database: Database, http: httpx.AsyncClient
) -> None:
    content = a_statement_file([(-10_000, an_xml_entry(-10_000, REF))], account="DE00NOBODY")
    answer = await http.post("/v1/statements", content=content, headers=XML)
    assert (answer.status_code, answer.json()["code"]) == (422, "ACCOUNT_UNKNOWN")
    (fact,) = await said(database)
    assert isinstance(fact, ExceptionOpened)
    assert (fact.company, fact.account) == ("", "DE00NOBODY")
    async with database.transaction() as tx:
        await learn_accounts([given(a_company("DE00 NOBODY"))], tx)
    (accepted,) = await send(http, content)
    assert (accepted["outcome"], accepted["matched"]) == ("accepted", 1)
    (closed,) = (await http.get("/v1/exceptions?state=closed")).json()["items"]
    assert closed["state"] == "superseded"


async def test_a_statement_that_changed_is_not_taken_for_the_old_one(
    http: httpx.AsyncClient,
) -> None:
    await send(http, paying())
    answer = await http.post("/v1/statements", content=paying(times=2), headers=XML)
    assert (answer.status_code, answer.json()["code"]) == (422, "STATEMENT_CHANGED")


async def test_good_statements_of_a_file_are_used_beside_a_bad_one(
    http: httpx.AsyncClient,
) -> None:
    good = an_xml_statement(an_xml_entry(-10_000, REF), total=-10_000, name="GOOD")
    bad = an_xml_statement(an_xml_entry(-1, REF), total=0, name="BAD")
    found = await send(http, a_file(good, bad))
    assert [(one["outcome"], one["code"]) for one in found] == [
        ("accepted", None),
        ("quarantined", "STATEMENT_UNBALANCED"),
    ]


async def test_a_statement_without_balances_is_taken_unproven(http: httpx.AsyncClient) -> None:
    header = "account,date,amount,currency,reference,text\n"
    answer = await http.post(
        "/v1/statements?layout=plain",
        content=f"{header}{ACCOUNT},2026-03-11,-100.00,EUR,{REF},EXPENSES\n",
        headers={"Content-Type": "text/csv; charset=utf-8"},
    )
    (one,) = answer.json()["statements"]
    assert (one["proven"], one["matched"]) == (False, 1)


@pytest.mark.parametrize(
    ("content", "kind", "query", "status", "code"),
    [
        (b"<!DOCTYPE a><a/>", "application/xml", "", 422, "XML_FORBIDDEN"),
        (b"<a/>", "text/xml", "", 422, "STATEMENT_MISSING"),
        (b"a,b\n", "text/csv", "", 422, "HEADER_MISSING"),
        (b"a,b\n", "text/csv", "?layout=none", 422, "LAYOUT_UNKNOWN"),
        (b"{}", "application/json", "", 415, "CONTENT_TYPE"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_the_place(
    http: httpx.AsyncClient, content: bytes, kind: str, query: str, status: int, code: str
) -> None:
    answer = await http.post(
        f"/v1/statements{query}", content=content, headers={"Content-Type": kind}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_payment_returned_and_paid_again_across_statements(
    database: Database, http: httpx.AsyncClient
) -> None:
    back = an_xml_entry(10_000, REF, returned=True, on=DAY + timedelta(days=3))
    again = an_xml_entry(-10_000, REF, on=DAY + timedelta(days=5))
    await send(http, a_statement_file([(10_000, back)], name="S2"))
    await send(http, a_statement_file([(-10_000, again)], name="S3"))
    await send(http, paying(name="S1"))
    facts = [fact for fact in await said(database) if not isinstance(fact, ExceptionOpened)]
    assert [fact.kind.partition(".")[2] for fact in facts] == [
        "payment-matched.v1",
        "payment-returned.v1",
        "payment-matched.v1",
    ]
    assert isinstance(facts[1], PaymentReturned)
    assert facts[1].open == an_entry(1).total
    (item,) = (await http.get(f"/v1/items?claim_id={an_entry(1).claim_id}")).json()["items"]
    assert item["state"] == "paid"
    assert len(item["payments"]) == 3
    assert (await http.get("/v1/exceptions")).json()["items"] == []


async def test_a_chain_of_statements_shows_where_one_is_missing(http: httpx.AsyncClient) -> None:
    for name, opening in (("S1", 0), ("S3", 2_000), ("S2", 1_000), ("S5", 4_000)):
        entry = (1_000, an_xml_entry(1_000, text=name))
        await send(http, a_statement_file([entry], name=name, opening=opening))
    listed = (await http.get("/v1/statements")).json()["items"]
    assert {one["reference"]: one["continues"] for one in listed} == {
        "S1": False,
        "S2": True,
        "S3": True,
        "S5": False,
    }


async def test_a_statement_shows_what_became_of_each_line(http: httpx.AsyncClient) -> None:
    (one,) = await send(
        http,
        a_statement_file(
            [
                (-10_300, an_xml_entry(-10_300, REF, charges=300)),
                (-42, an_xml_entry(-42, text="FEES")),
            ]
        ),
    )
    (listed,) = (await http.get(f"/v1/statements?account={ACCOUNT}")).json()["items"]
    assert listed["state"] == "proven"
    path = f"/v1/statements/{one['statement_id']}"
    first = (await http.get(f"{path}?limit=1")).json()["lines"]
    (line,) = first["items"]
    assert line["match"]["differences"] == [
        {"kind": "fee", "amount": {"amount": "3.00", "currency": "EUR"}}
    ]
    assert line["match"]["claims"][0]["claim_id"] == str(an_entry(1).claim_id)
    assert line["match"]["evidence"]
    (waiting,) = (await http.get(f"{path}?cursor={first['next']}")).json()["lines"]["items"]
    assert (waiting["state"], waiting["code"]) == ("exception", "NO_CANDIDATE")
    assert (await http.get(f"/v1/statements/{new_id()}")).status_code == 404
    assert (await http.get("/v1/statements?cursor=WyJ4Il0=")).json()["code"] == "CURSOR_INVALID"


async def test_twenty_thousand_lines_are_imported_and_matched_in_seconds(
    database: Database, http: httpx.AsyncClient
) -> None:
    count = 20_000
    async with database.transaction() as tx:
        entries = [an_entry(number, minor=number) for number in range(10, count + 10)]
        for start in range(0, count, 500):
            await expect_payment([given(one) for one in entries[start : start + 500]], tx)
    pairs = [
        (-one.total.minor, an_xml_entry(-one.total.minor, one.reference, bank_id=f"B{at:09}"))
        for at, one in enumerate(entries)
    ]
    content = a_statement_file(pairs)
    started = time.monotonic()
    (answer,) = await send(http, content)
    elapsed = time.monotonic() - started
    assert (answer["matched"], answer["exceptions"]) == (count, 0)
    assert elapsed < 60, f"{elapsed:.1f} s"
