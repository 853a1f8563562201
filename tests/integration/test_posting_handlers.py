from __future__ import annotations

import asyncio
from datetime import date
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from contracts.posting import EntryPosted, EntryReversed, JournalEntryRecorded
from contracts.values import PaidBy
from services.posting.domain import TotalsDiffer
from services.posting.handlers import post_claims
from services.posting.jobs import decide_again
from tests.support import TRACEPARENT, given, said, violations
from tests.support.posting_values import (
    COMPANY,
    a_claim,
    a_company,
    a_line,
    a_mapping,
    a_period,
    cny,
    mappings,
    organised,
    posted,
    reserved,
    sides,
    stages,
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


async def counts(database: Database) -> tuple[int, int]:
    async with database.reader() as reader:
        return (
            await reader.fetchval("SELECT count(*) FROM entries"),
            await reader.fetchval("SELECT coalesce(max(last), 0) FROM number_series"),
        )


async def wait_as_if(database: Database, interval: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(f"UPDATE cases SET since = since - interval '{interval}'")


async def test_a_reserved_claim_is_posted_and_said_to_all_and_to_finance(books: Database) -> None:
    claim = a_claim(a_line(1, 10000, 600), a_line(2, 5000, 300, category="meals"))
    await tell(books, claim)
    assert await said(books) == []
    await tell(books, reserved(claim))
    entry, record = await said(books)
    assert isinstance(entry, EntryPosted)
    assert isinstance(record, JournalEntryRecorded)
    assert entry.entry_number == entry.reference == record.entry_number == "HUAXIN-2026-0000001"
    assert (entry.total, entry.ledger, entry.payee) == (cny(15900), "embedded", "E-1")
    assert (record.company, record.fiscal_year, record.period) == (COMPANY, 2026, "2026-10")
    assert sides(record.lines) == [
        ("debit", "660201", 10000),
        ("debit", "22210101", 600),
        ("debit", "660202", 5300),
        ("credit", "224101", 15900),
    ]
    assert record.lines[0].account_name == "Travel"
    assert await stages(books) == {claim.claim_id: "posted"}
    assert await violations("posting", books) == []


async def test_a_reservation_that_comes_first_waits_for_its_claim(books: Database) -> None:
    claim = a_claim()
    await tell(books, reserved(claim))
    assert await said(books) == []
    await tell(books, claim)
    assert [fact.kind for fact in await said(books)] == [
        "posting.entry-posted.v1",
        "posting.journal-entry-recorded.v1",
    ]


async def test_what_is_said_follows_from_the_reservation_whichever_came_last(
    books: Database,
) -> None:
    for claim_last in (False, True):
        claim = a_claim()
        reservation = given(reserved(claim))
        if not claim_last:
            await tell(books, claim)
        async with books.transaction() as tx:
            await post_claims([reservation], tx)
        if claim_last:
            await tell(books, claim)
        for fact in await said(books):
            assert fact.meta.causation_id == reservation.meta.id
            assert fact.meta.correlation_id == str(claim.claim_id)
            assert fact.meta.traceparent.split("-")[1] == TRACEPARENT.split("-")[1]


async def test_the_same_facts_again_have_no_second_effect(books: Database) -> None:
    claim = a_claim()
    await posted(books, claim)
    await tell(books, claim, reserved(claim), reserved(claim), claim)
    await tell_batch(books, [reserved(claim)] * 3)
    assert await said(books) == []
    assert await counts(books) == (1, 1)


async def test_a_batch_may_hold_the_same_fact_twice(books: Database) -> None:
    claim = a_claim()
    await tell_batch(books, [claim, claim])
    await tell_batch(books, [reserved(claim), reserved(claim)])
    assert len(await said(books)) == 2
    assert await counts(books) == (1, 1)


async def test_a_batch_is_numbered_in_its_order_without_a_gap(books: Database) -> None:
    claims = [a_claim(a_line(1, 219 - i)) for i in range(120)][::-1]
    await tell_batch(books, claims)
    await tell_batch(books, [reserved(claim) for claim in claims])
    entries = [fact for fact in await said(books) if isinstance(fact, EntryPosted)]
    assert [entry.total.minor for entry in entries] == [100 + i for i in range(120)]
    assert [entry.entry_number for entry in entries] == [
        f"HUAXIN-2026-{number:07}" for number in range(1, 121)
    ]
    assert await violations("posting", books) == []


async def test_a_batch_that_is_rolled_back_gives_its_numbers_back(books: Database) -> None:
    claims = [a_claim(), a_claim()]
    await tell_batch(books, claims)
    with pytest.raises(TotalsDiffer):
        await tell_batch(books, [reserved(claims[0]), reserved(claims[1], total=cny(1))])

    async def rolled_back() -> None:
        async with books.transaction() as tx:
            await post_claims([given(reserved(claims[0]))], tx)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await rolled_back()
    assert await counts(books) == (0, 0)
    await tell_batch(books, [reserved(claim) for claim in claims])
    assert await counts(books) == (2, 2)
    assert await violations("posting", books) == []


async def test_each_company_and_year_counts_for_itself(books: Database) -> None:
    await tell(books, a_company("OTHER"), a_period("2027-01"), a_period(company="OTHER"))
    await tell_batch(books, mappings(company="OTHER"))
    claims = [
        a_claim(),
        a_claim(company="OTHER"),
        a_claim(a_line(date=date(2027, 1, 5))),
        a_claim(),
    ]
    await tell_batch(books, claims)
    await tell_batch(books, [reserved(claim) for claim in claims])
    numbers = [fact.entry_number for fact in await said(books) if isinstance(fact, EntryPosted)]
    assert numbers == [
        "HUAXIN-2026-0000001",
        "OTHER-2026-0000001",
        "HUAXIN-2027-0000001",
        "HUAXIN-2026-0000002",
    ]


async def test_a_refund_is_posted_with_its_sides_turned(books: Database) -> None:
    record = await posted(books, a_claim(a_line(1, -1000, -60), paid_by=PaidBy.COMPANY_CARD))
    assert record.total == cny(-1060)
    assert sides(record.lines) == [
        ("credit", "660201", 1000),
        ("credit", "22210101", 60),
        ("debit", "224102", 1060),
    ]


async def test_a_closed_period_moves_the_posting_to_the_next_open_one(books: Database) -> None:
    await tell(books, a_period("2026-10", "closed"), a_period("2026-11"))
    record = await posted(books, a_claim())
    assert (record.posting_date, record.document_date) == (date(2026, 11, 1), date(2026, 10, 12))
    async with books.reader() as reader:
        rule = await reader.fetchval("SELECT date_rule FROM entries")
    assert rule == "next_open_period"


async def test_a_withdrawn_claim_leaves_nothing_in_the_books_in_any_order(
    books: Database,
) -> None:
    for order in permutations(["claim", "reserved", "withdrawn"]):
        claim = a_claim()
        facts = {"claim": claim, "reserved": reserved(claim), "withdrawn": withdrawn(claim)}
        await tell(books, *(facts[name] for name in order))
        heard = [fact.kind.split(".")[1] for fact in await said(books)]
        stage = (await stages(books))[claim.claim_id]
        if order[-1] == "withdrawn":
            record = "journal-entry-recorded"
            assert heard == ["entry-posted", record, "entry-reversed", record]
            assert stage == "reversed"
        else:
            assert (heard, stage) == ([], "withdrawn"), order
    async with books.reader() as reader:
        left = await reader.fetch(
            "SELECT account FROM journal_lines GROUP BY account HAVING sum(amount_minor) <> 0"
        )
    assert left == []
    assert await violations("posting", books) == []


async def test_a_withdrawal_after_posting_reverses_once_under_its_own_number(
    books: Database,
) -> None:
    claim = a_claim(a_line(1, 10000, 600))
    first = await posted(books, claim)
    await tell(books, withdrawn(claim), withdrawn(claim), reserved(claim))
    fact, record = await said(books)
    assert isinstance(fact, EntryReversed)
    assert isinstance(record, JournalEntryRecorded)
    assert (fact.reverses, fact.total, fact.because) == (
        first.entry_id,
        first.total,
        "CLAIM_WITHDRAWN",
    )
    assert (record.reverses, record.entry_number) == (first.entry_id, "HUAXIN-2026-0000002")
    assert sides(record.lines) == [
        ("credit", "660201", 10000),
        ("credit", "22210101", 600),
        ("debit", "224101", 10600),
    ]
    assert await violations("posting", books) == []


async def test_a_reversal_waits_until_a_period_is_open(books: Database) -> None:
    claim = a_claim()
    await posted(books, claim)
    await tell(books, a_period("2026-10", "closed"), withdrawn(claim))
    await decide_again(books)
    assert await said(books) == []
    assert await stages(books) == {claim.claim_id: "reversing"}
    await wait_as_if(books, "1 hour")
    assert [v["invariant"] for v in await violations("posting", books)] == [
        "reservations-are-answered"
    ]
    await tell(books, a_period("2026-12"))
    await decide_again(books)
    fact, _ = await said(books)
    assert isinstance(fact, EntryReversed)
    assert fact.posting_date == date(2026, 12, 1)
    assert await violations("posting", books) == []


async def test_a_new_revision_is_posted_beside_the_reversed_one(books: Database) -> None:
    claim = a_claim()
    await posted(books, claim)
    await tell(books, withdrawn(claim))
    await said(books)
    again = a_claim(a_line(1, 7000), claim_id=claim.claim_id, revision=2)
    record = await posted(books, again)
    assert (record.revision, record.total) == (2, cny(7000))
    assert await violations("posting", books) == []


async def test_master_data_that_comes_after_the_reservation_is_in_time(
    database_of: Making,
) -> None:
    books = await database_of("posting")
    claim = a_claim(a_line(1, 100, 6))
    reservation = given(reserved(claim))
    await tell(books, claim)
    async with books.transaction() as tx:
        await post_claims([reservation], tx)
    await decide_again(books)
    assert await said(books) == []
    await organised(books)
    await decide_again(books)
    fact, _ = await said(books)
    assert isinstance(fact, EntryPosted)
    assert fact.meta.causation_id == reservation.meta.id


async def test_a_blocked_claim_that_is_withdrawn_says_nothing(database_of: Making) -> None:
    books = await database_of("posting")
    claim = a_claim()
    await tell(books, claim, reserved(claim), withdrawn(claim))
    await wait_as_if(books, "1 minute")
    await decide_again(books)
    assert await said(books) == []
    assert await stages(books) == {claim.claim_id: "withdrawn"}


async def test_hundreds_of_blocked_claims_are_all_decided_again(database_of: Making) -> None:
    books = await database_of("posting")
    claims = [a_claim() for _ in range(1100)]
    await tell_batch(books, claims)
    await tell_batch(books, [reserved(claim) for claim in claims])
    await organised(books)
    await decide_again(books)
    assert await counts(books) == (1100, 1100)
    assert await violations("posting", books) == []


async def test_the_newest_master_data_holds_even_within_one_batch(books: Database) -> None:
    await tell_batch(
        books,
        [
            a_mapping("expense:travel", "1", valid_from=date(2026, 10, 1)),
            a_mapping("expense:travel", "2", valid_from=date(2026, 10, 1)),
            a_mapping("expense:travel", "3", valid_from=date(2026, 10, 13)),
        ],
    )
    await tell_batch(books, [a_period("2026-10", "closed"), a_period("2026-10", "open")])
    record = await posted(books, a_claim())
    assert record.lines[0].account == "2"


async def test_replicas_working_at_once_leave_no_gap_and_post_nothing_twice(
    books: Database,
) -> None:
    claims = [a_claim() for _ in range(240)]
    batches: list[list[Any]] = [claims[i : i + 30] for i in range(0, 240, 30)]
    batches += [[reserved(claim) for claim in batch] for batch in batches]

    async def deliver(batch: list[Any]) -> None:
        await tell_batch(books, batch)

    await asyncio.gather(*(deliver(batch) for batch in [*batches, *batches]))
    entries = [fact for fact in await said(books) if isinstance(fact, EntryPosted)]
    assert len({entry.claim_id for entry in entries}) == len(entries) == 240
    assert await counts(books) == (240, 240)
    assert await violations("posting", books) == []


async def test_a_claim_of_five_hundred_lines_is_one_entry(books: Database) -> None:
    record = await posted(books, a_claim(*(a_line(i, 100, 6) for i in range(1, 501))))
    assert len(record.lines) == 1001
    assert record.lines[-1].amount == cny(53000)


async def test_a_claim_and_a_reservation_of_different_amounts_are_a_defect(
    books: Database,
) -> None:
    claim = a_claim()
    await tell(books, claim)
    with pytest.raises(TotalsDiffer) as caught:
        await tell(books, reserved(claim, total=cny(1)))
    assert caught.value.code == "TOTAL_MISMATCH"
    assert await counts(books) == (0, 0)
