from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg
import pytest

from chassis.invariants import Invariants
from tests.support import client_of, violations
from tests.support.posting_values import (
    COMPANY,
    a_claim,
    a_line,
    organised,
    posted,
    reserved,
    tell,
    tell_batch,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database

    Making = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def books(database_of: Making) -> Database:
    return await organised(await database_of("posting"))


class Undo(Exception):  # noqa: N818
    """Raised to roll a transaction back."""


async def run(database: Database, sql: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(sql)


async def test_the_books_cannot_be_changed(books: Database) -> None:
    await posted(books, a_claim())
    for sql in (
        "UPDATE entries SET payee = 'E-2'",
        "DELETE FROM entries",
        "TRUNCATE entries",
        "UPDATE journal_lines SET account = '1001'",
        "DELETE FROM journal_lines",
        "TRUNCATE journal_lines",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await run(books, sql)


async def test_the_table_refuses_lines_out_of_balance(books: Database) -> None:
    record = await posted(books, a_claim())
    with pytest.raises(asyncpg.CheckViolationError, match="out of balance by 5 minor units"):
        await run(
            books,
            "INSERT INTO journal_lines (entry_id, line, account, amount_minor, text) VALUES "
            f"('{record.entry_id}', 8, '1', 10, ''), ('{record.entry_id}', 9, '2', -5, '')",
        )


async def test_the_table_refuses_a_second_posting_of_a_claim_revision(books: Database) -> None:
    await posted(books, a_claim())
    columns = (
        "claim_id, recorded_at, total_minor, revision, fiscal_year, posting_date, document_date, "
        "currency, kind, date_rule, company, ledger, number, reference, employee, paid_by, payee, "
        "text"
    )
    with pytest.raises(asyncpg.UniqueViolationError, match="entries_once"):
        await run(
            books,
            f"INSERT INTO entries (id, sequence, {columns}) "
            f"SELECT gen_random_uuid(), 2, {columns} FROM entries",
        )


async def found_after(database: Database, sql: str) -> set[str]:
    """The invariants violated once the tables no longer refuse a change; it is rolled back."""
    found: set[str] = set()
    with suppress(Undo):
        async with database.transaction() as tx:
            for table in ("entries", "journal_lines"):
                await tx.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            await tx.execute(sql)
            answer = await Invariants("services.posting").ask(tx)
            found = {violation["invariant"] for violation in answer["violations"]}
            raise Undo
    return found


async def test_an_invariant_finds_what_the_tables_were_kept_from_refusing(books: Database) -> None:
    claims = [a_claim(), a_claim()]
    await tell_batch(books, claims)
    await tell_batch(books, [reserved(claim) for claim in claims])
    await tell(books, withdrawn(claims[1]))
    assert await found_after(books, "SELECT 1") == set()
    relabel = (
        "UPDATE journal_lines l SET account = account || e.kind "
        "FROM entries e WHERE e.id = l.entry_id"
    )
    for sql, invariant in (
        ("UPDATE number_series SET last = last + 1", "no-number-is-missing"),
        ("DELETE FROM entries WHERE sequence = 1", "no-number-is-missing"),
        ("DELETE FROM journal_lines WHERE line = 1", "entries-balance"),
        ("UPDATE journal_lines SET amount_minor = amount_minor + 1", "the-books-balance"),
        ("DELETE FROM entries WHERE sequence = 1", "the-books-balance"),
        ("UPDATE entries SET revision = 2 WHERE kind = 'reverse'", "one-active-posting"),
        (relabel, "reversals-cancel"),
        ("UPDATE cases SET stage = 'failed'", "cases-agree-with-the-books"),
        ("UPDATE entries SET total_minor = total_minor + 1", "totals-agree"),
    ):
        assert invariant in await found_after(books, sql), sql


async def test_a_reservation_without_its_claim_is_found_after_a_quarter_of_an_hour(
    books: Database,
) -> None:
    await tell(books, reserved(a_claim()))
    assert await violations("posting", books) == []
    await run(books, "UPDATE cases SET since = since - interval '16 minutes'")
    (found,) = await violations("posting", books)
    assert found["invariant"] == "reservations-are-answered"
    assert "the claim itself has not arrived" in found["detail"]


async def test_the_trial_balance_adds_up_per_account_and_in_total(books: Database) -> None:
    claims = [
        a_claim(a_line(1, 10000, 600)),
        a_claim(a_line(1, -2000)),
        a_claim(a_line(1, 999, category="meals")),
    ]
    for claim in claims:
        await tell(books, claim, reserved(claim))
    await tell(books, withdrawn(claims[2]))
    query = {"company": COMPANY, "from": "2026-10-01", "to": "2026-10-31"}
    async with client_of("posting", books) as http:
        answer = (await http.get("/v1/trial-balance", params=query)).json()
        empty = (await http.get("/v1/trial-balance", params=query | {"from": "2026-10-13"})).json()
        faulty = await http.get("/v1/trial-balance", params=query | {"to": "soon"})
    rows = {
        row["account"]: (
            row["name"],
            row["debit"]["amount"],
            row["credit"]["amount"],
            row["balance"]["amount"],
        )
        for row in answer["accounts"]
    }
    assert rows == {
        "22210101": ("Input VAT", "6.00", "0.00", "6.00"),
        "224101": ("Payable to employees", "29.99", "115.99", "-86.00"),
        "660201": ("Travel", "100.00", "20.00", "80.00"),
        "660202": ("Entertainment", "9.99", "9.99", "0.00"),
    }
    (total,) = answer["totals"]
    assert total["debit"] == total["credit"] == {"amount": "145.98", "currency": "CNY"}
    assert total["balance"]["amount"] == "0.00"
    assert (empty["accounts"], empty["totals"]) == ([], [])
    assert (faulty.status_code, faulty.json()["code"]) == (422, "SCHEMA_INVALID")


async def test_entries_are_read_page_by_page_with_their_lines(books: Database) -> None:
    claims = [a_claim(a_line(1, 100 + i)) for i in range(5)]
    await tell_batch(books, claims)
    await tell_batch(books, [reserved(claim) for claim in claims])
    query: dict[str, str] = {"company": COMPANY, "limit": "2"}
    seen = []
    async with client_of("posting", books) as http:
        while True:
            page = (await http.get("/v1/entries", params=query)).json()
            seen += page["items"]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        outside = await http.get("/v1/entries", params={"company": COMPANY, "from": "2026-11-01"})
        foreign = await http.get("/v1/entries", params={"company": "OTHER"})
        broken = await http.get("/v1/entries", params={"company": COMPANY, "cursor": "WyJ4Il0="})
        nothing = await http.get("/v1/entries")
    assert [entry["total"]["amount"] for entry in seen] == ["1.00", "1.01", "1.02", "1.03", "1.04"]
    assert [line["side"] for line in seen[0]["lines"]] == ["debit", "credit"]
    assert seen[0]["date_rule"] == "document_date"
    assert outside.json()["items"] == foreign.json()["items"] == []
    assert (broken.status_code, broken.json()["code"]) == (422, "CURSOR_INVALID")
    assert (nothing.status_code, nothing.json()["code"]) == (422, "SCHEMA_INVALID")


async def test_a_claims_entries_and_one_entry_are_found_by_their_ids(books: Database) -> None:
    claim = a_claim()
    record = await posted(books, claim)
    await posted(books, a_claim())
    await tell(books, withdrawn(claim))
    async with client_of("posting", books) as http:
        found = (await http.get("/v1/entries", params={"claim_id": str(claim.claim_id)})).json()
        one = await http.get(f"/v1/entries/{record.entry_id}")
        none = await http.get(f"/v1/entries/{claim.claim_id}")
    assert [entry["kind"] for entry in found["items"]] == ["post", "reverse"]
    assert found["items"][1]["reverses"] == str(record.entry_id)
    assert one.json() == found["items"][0]
    assert one.json()["lines"][0]["account_name"] == "Travel"
    assert (none.status_code, none.json()["code"]) == (404, "ENTRY_NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (
            "/v1/trial-balance",
            {"company": "\x00", "from": "2026-10-01", "to": "2026-10-31"},
            "SCHEMA_INVALID",
        ),
        ("/v1/entries", {"company": "a\x00"}, "SCHEMA_INVALID"),
        ("/v1/intents", {"cursor": "W10="}, "CURSOR_INVALID"),
        ("/v1/intents", {"cursor": "WyJcdTAwMDAiXQ=="}, "CURSOR_INVALID"),
    ],
)
async def test_what_no_database_takes_is_refused(
    database_of: Callable[[str], Awaitable[Database]], path: str, query: dict[str, str], code: str
) -> None:
    async with client_of("posting", await database_of("posting")) as http:
        answer = await http.get(path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
