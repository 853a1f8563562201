"""What the chain tells of a claim, on real PostgreSQL: told once, in any order, to the end."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from contracts.claims import ClaimSettled
from contracts.values import claim_id
from services.claims.domain import IllegalTransition, TotalMismatch
from services.claims.handlers import handlers, take_claims, take_claims_back
from services.claims.store import shown
from tests.support import given, said, violations
from tests.support.claims_values import (
    a_claim,
    a_withdrawal,
    approved,
    asked,
    checked,
    cny,
    define_all,
    failed,
    funds_refused,
    matched,
    posted,
    rejected,
    released,
    reserved,
    returned,
    spent,
    turned_back,
    unmatched,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database
    from contracts.envelope import Event
    from services.claims.domain import Step

K1 = claim_id("tests", "K1")


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    database = await database_of("claims")
    await define_all(database)
    async with database.transaction() as tx:
        await take_claims([given(a_claim("K1")), given(a_claim("K2"))], tx)
    await said(database)
    return database


async def tell(database: Database, *facts: Event) -> list[Event]:
    """Each fact in a batch and a transaction of its own."""
    for fact in facts:
        await tell_together(database, fact)
    return await said(database)


async def tell_together(database: Database, *facts: Event) -> None:
    async with database.transaction() as tx:
        await handlers.by_kind[facts[0].kind]([given(fact) for fact in facts], tx)


async def state(database: Database, key: str = "K1") -> str:
    async with database.reader() as reader:
        [standing] = await shown.revisions(reader, claim_id("tests", key))
    return str(standing.claim.state)


async def story(database: Database, key: str = "K1") -> list[Step]:
    async with database.reader() as reader:
        return await shown.story(reader, claim_id("tests", key))


async def test_a_claim_is_followed_from_the_door_to_the_bank(database: Database) -> None:
    facts = [checked(), asked(), approved(), reserved(), posted(), spent(), matched()]
    [settled] = await tell(database, *facts)
    assert isinstance(settled, ClaimSettled)
    assert (settled.paid, str(settled.settled_on)) == (cny("106.00"), "2024-03-20")
    assert await state(database) == "settled"
    assert [step.kind for step in await story(database)] == [
        "claims.claim-submitted.v1",
        *(fact.kind for fact in facts),
        "claims.claim-settled.v1",
    ]
    assert await violations("claims", database) == []


async def test_every_order_of_facts_ends_in_the_same_place(database: Database) -> None:
    facts = [approved, reserved, posted, matched]
    async with database.transaction() as tx:
        await take_claims([given(a_claim(f"O{n}")) for n in range(24)], tx)
    await said(database)
    for number, order in enumerate(permutations(facts)):
        key = f"O{number}"
        [settled] = await tell(database, *(fact(key=key) for fact in order))
        assert isinstance(settled, ClaimSettled)
        assert await state(database, key) == "settled"
    assert await violations("claims", database) == []


async def test_a_fact_under_a_new_event_id_is_told_once(database: Database) -> None:
    assert len(await tell(database, posted(), matched())) == 1
    assert await tell(database, posted(), matched(), approved(), approved()) == []
    kinds = [step.kind for step in await story(database)]
    assert len(kinds) == len(set(kinds))


async def test_an_old_payment_told_again_does_not_settle_what_was_returned(
    database: Database,
) -> None:
    await tell(database, posted(), matched(1), returned(1))
    assert await tell(database, matched(1)) == []
    assert await state(database) == "posted"


async def test_facts_of_one_claim_in_one_batch_are_taken_one_by_one(database: Database) -> None:
    await tell(database, posted())
    parts = [matched(1, paid=600, rest=10000), matched(2, paid=10000, rest=0)]
    await tell_together(database, *parts, parts[1])
    assert [fact.kind for fact in await said(database)] == ["claims.claim-settled.v1"]
    assert await state(database) == "settled"


async def test_a_replayed_batch_changes_nothing(database: Database) -> None:
    batch = [approved(key="K1"), approved(key="K2")]
    await tell_together(database, *batch)
    before = [await story(database, key) for key in ("K1", "K2")]
    await tell_together(database, *batch)
    assert [await story(database, key) for key in ("K1", "K2")] == before


@pytest.mark.parametrize(
    ("facts", "end"),
    [
        ([rejected()], "rejected"),
        ([approved(), funds_refused()], "funds_refused"),
        ([approved(), reserved(), failed(), released()], "posting_failed"),
        ([approved(), reserved(), posted(), turned_back()], "reversed"),
    ],
)
async def test_each_end_without_payment_is_an_end_of_its_own(
    database: Database, facts: list[Event], end: str
) -> None:
    assert await tell(database, *facts) == []
    assert await state(database) == end
    assert await violations("claims", database) == []


@pytest.mark.parametrize("undone", [returned(), unmatched()])
async def test_money_that_comes_back_opens_the_claim_again(
    database: Database, undone: Event
) -> None:
    await tell(database, posted(), matched())
    assert await tell(database, undone) == []
    assert await state(database) == "posted"
    assert [fact.kind for fact in await tell(database, matched(2))] == ["claims.claim-settled.v1"]
    assert await violations("claims", database) == []


async def test_an_entry_that_overtook_the_withdrawal_is_turned_back_in_silence(
    database: Database,
) -> None:
    await tell(database, approved(), reserved())
    async with database.transaction() as tx:
        await take_claims_back([given(a_withdrawal())], tx)
    await said(database)
    assert await tell(database, posted(), turned_back(), released()) == []
    assert await state(database) == "withdrawn"
    assert await violations("claims", database) == []


@pytest.mark.parametrize(
    ("fact", "defect"),
    [(rejected(), IllegalTransition), (posted(minor=1), TotalMismatch)],
)
async def test_what_cannot_be_true_is_left_to_the_dead_letters(
    database: Database, fact: Event, defect: type[Exception]
) -> None:
    await tell(database, approved())
    before = await story(database)
    with pytest.raises(defect):
        await tell(database, fact)
    assert await story(database) == before
    assert await state(database) == "approved"


async def test_a_step_keeps_time_actor_figures_and_trace(database: Database) -> None:
    event = given(approved())
    async with database.transaction() as tx:
        await handlers.by_kind[event.kind]([event], tx)
    step = (await story(database))[-1]
    assert (step.at, step.actor, step.event_id) == (event.meta.time, "M1", event.meta.id)
    assert step.traceparent == event.meta.traceparent
    assert '"rule": "standard"' in step.figures


async def test_claims_that_stand_still_are_noticed(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE claims SET since = now() - interval '16 minutes'")
    found = await violations("claims", database)
    assert [row["invariant"] for row in found] == ["no-machine-waits"] * 2


async def broken(database: Database, statement: str, *args: Any) -> list[str]:
    async with database.transaction() as tx:
        await tx.execute(statement, *args)
    return [row["invariant"] for row in await violations("claims", database)]


async def test_a_lost_step_is_noticed(database: Database) -> None:
    await tell(database, posted(), matched())
    assert await broken(database, "DELETE FROM steps WHERE kind = 'posting.entry-posted.v1'") == [
        "every-fact-has-its-step"
    ]


async def test_a_lost_document_is_noticed(database: Database) -> None:
    assert await broken(database, "DELETE FROM documents WHERE claim_id = $1", K1) == [
        "accepted-has-a-story"
    ]


async def test_a_state_that_its_facts_do_not_bear_out_is_noticed(database: Database) -> None:
    assert await broken(
        database, "UPDATE claims SET state = 'rejected' WHERE claim_id = $1", K1
    ) == ["one-end"]
