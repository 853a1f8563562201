"""Held claims: what they lack is said once, and exactly they go on when it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from contracts.posting import EntryFailed, EntryHeld, EntryPosted
from services.posting.jobs import decide_again
from tests.support import client_of, said, violations
from tests.support.posting_values import (
    COMPANY,
    a_category,
    a_claim,
    a_company,
    a_line,
    a_mapping,
    a_period,
    mappings,
    reserved,
    stages,
    tell,
    tell_batch,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from chassis.db import Database
    from contracts.claims import ClaimSubmitted
    from contracts.envelope import Event

    Making = Callable[[str], Awaitable[Database]]

OTHER = "JINYUAN"


@pytest.fixture
async def books(database_of: Making) -> Database:
    """A company whose travel has an account; gifts have none, nor has any other expense."""
    database = await database_of("posting")
    accounts = [mapped for mapped in mappings() if mapped.purpose != "expense:*"]
    await tell(database, a_company(), a_category("travel"), *accounts, a_period())
    return database


async def pass_time(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE cases SET since = since - interval '1 minute'")


async def hold(database: Database, *claims: ClaimSubmitted) -> list[Event]:
    """Let claims be reserved and their grace end; what is said about them."""
    await tell_batch(database, list(claims))
    await tell_batch(database, [reserved(claim) for claim in claims])
    await pass_time(database)
    await decide_again(database)
    return await said(database)


async def settle(database: Database) -> None:
    """Let so much time pass that only a cause that comes can wake a held claim."""
    async with database.transaction() as tx:
        await tx.execute("UPDATE cases SET since = since - interval '1 hour' WHERE stage = 'held'")


async def held_ids(database: Database) -> set[UUID]:
    return {claim for claim, stage in (await stages(database)).items() if stage == "held"}


def a_gift() -> ClaimSubmitted:
    return a_claim(a_line(1, 100, category="gift"))


async def test_a_missing_mapping_holds_its_claim_and_says_so_once(books: Database) -> None:
    claim = a_gift()
    (fact,) = await hold(books, claim)
    assert isinstance(fact, EntryHeld)
    (reason,) = fact.reasons
    assert (reason.code, reason.who) == ("ACCOUNT_MAPPING_MISSING", "masterdata")
    assert reason.figures == {"company": COMPANY, "purpose": "expense:gift", "date": "2026-10-12"}
    assert fact.total == claim.total
    await pass_time(books)
    await decide_again(books)
    await tell(books, claim, reserved(claim))
    assert await said(books) == []
    assert await held_ids(books) == {claim.claim_id}
    await settle(books)
    assert await violations("posting", books) == []


async def test_what_comes_wakes_exactly_the_claims_it_held(books: Database) -> None:
    await tell(books, a_company(OTHER), a_period(company=OTHER))
    gift, taxed = a_gift(), a_claim(a_line(1, 100, 6, category="donation"))
    foreign, late = a_claim(company=OTHER), a_gift()
    assert len(await hold(books, gift, taxed, foreign)) == 3
    await settle(books)
    everyone = {gift.claim_id, taxed.claim_id, foreign.claim_id}

    await tell(books, a_mapping("expense:gift", "6711", company=OTHER), a_category("else"))
    await decide_again(books)
    assert await held_ids(books) == everyone

    await tell(books, a_mapping("expense:gift", "6711"))
    assert {claim for claim, stage in (await stages(books)).items() if stage == "blocked"} == {
        gift.claim_id
    }
    await decide_again(books)
    assert [f.claim_id for f in await said(books) if isinstance(f, EntryPosted)] == [gift.claim_id]
    assert await held_ids(books) == everyone - {gift.claim_id}
    await tell(books, late, reserved(late))
    assert len(await said(books)) == 2
    assert await violations("posting", books) == []


async def test_a_claim_that_lacks_two_things_waits_for_both_and_says_what_is_left(
    books: Database,
) -> None:
    claim = a_claim(a_line(1, 100, 6, category="donation"))
    (fact,) = await hold(books, claim)
    assert isinstance(fact, EntryHeld)
    assert {r.code for r in fact.reasons} == {"CATEGORY_UNKNOWN", "ACCOUNT_MAPPING_MISSING"}
    await settle(books)
    await tell(books, a_category("donation"))
    await pass_time(books)
    await decide_again(books)
    (left,) = await said(books)
    assert isinstance(left, EntryHeld)
    assert [reason.code for reason in left.reasons] == ["ACCOUNT_MAPPING_MISSING"]
    await settle(books)
    await tell(books, a_mapping("expense:*", "6799"))
    await decide_again(books)
    assert isinstance((await said(books))[0], EntryPosted)
    assert await violations("posting", books) == []


async def test_a_period_that_opens_wakes_its_company_and_one_that_closes_nobody(
    books: Database,
) -> None:
    await tell(books, a_period("2026-10", "closed"))
    claim = a_claim()
    (fact,) = await hold(books, claim)
    assert isinstance(fact, EntryHeld)
    assert [reason.code for reason in fact.reasons] == ["PERIOD_CLOSED"]
    assert fact.reasons[0].figures["document_date"] == "2026-10-12"
    await settle(books)
    await tell(books, a_period("2026-08", "closed"))
    assert await held_ids(books) == {claim.claim_id}
    await tell(books, a_period("2026-11"))
    await decide_again(books)
    posted = (await said(books))[0]
    assert isinstance(posted, EntryPosted)
    assert str(posted.posting_date) == "2026-11-01"


async def test_what_is_committed_while_a_case_is_being_held_wakes_it_all_the_same(
    books: Database,
) -> None:
    claim = a_gift()
    await tell_batch(books, [claim])
    await tell_batch(books, [reserved(claim)])
    await pass_time(books)
    async with books.transaction() as tx:
        await tx.execute("SELECT FROM cases FOR UPDATE")
        waking = asyncio.create_task(tell(books, a_mapping("expense:gift", "6711")))
        await waking  # Nothing is held yet, so the mapping finds nothing to wake.
        await tx.execute("UPDATE cases SET stage = 'held', since = now()")
        await tx.execute(
            "INSERT INTO holds SELECT claim_id, revision, '[]', ARRAY['x'], now() FROM cases"
        )
    await decide_again(books)
    assert isinstance((await said(books))[0], EntryPosted)


async def test_a_held_claim_that_is_withdrawn_is_dropped_without_a_word(books: Database) -> None:
    claim = a_gift()
    await hold(books, claim)
    await tell(books, withdrawn(claim), a_mapping("expense:gift", "6711"))
    await decide_again(books)
    assert await said(books) == []
    assert await stages(books) == {claim.claim_id: "withdrawn"}
    assert await violations("posting", books) == []


async def test_finance_sees_what_holds_how_much_and_can_stop_waiting(books: Database) -> None:
    claims = [a_gift() for _ in range(3)]
    await hold(books, *claims)
    async with client_of("posting", books) as http:
        causes = (await http.get("/v1/holds/causes", params={"company": COMPANY})).json()["items"]
        page = (await http.get("/v1/holds", params={"limit": 2})).json()
        rest = (await http.get("/v1/holds", params={"limit": 2, "cursor": page["next"]})).json()
        forged = await http.get("/v1/holds", params={"cursor": "x"})
        body = {"claim_id": str(claims[0].claim_id), "by": "E-7", "because": "paid in cash"}
        ended = await http.post("/v1/holds/give-up", json=body)
        again = await http.post("/v1/holds/give-up", json=body)
    (cause,) = causes
    assert (cause["code"], cause["missing"], cause["claims"], cause["total"]["amount"]) == (
        "ACCOUNT_MAPPING_MISSING",
        "expense:gift",
        3,
        "3.00",
    )
    assert {held["claim_id"] for held in page["items"] + rest["items"]} == {
        str(claim.claim_id) for claim in claims
    }
    assert forged.status_code == 422
    assert ended.status_code == 200, ended.text
    assert (again.status_code, again.json()["code"]) == (409, "CLAIM_NOT_HELD")
    (fact,) = await said(books)
    assert isinstance(fact, EntryFailed)
    assert [reason.code for reason in fact.reasons] == [
        "POSTING_GIVEN_UP",
        "ACCOUNT_MAPPING_MISSING",
    ]
    assert len(await held_ids(books)) == 2
    assert await violations("posting", books) == []
