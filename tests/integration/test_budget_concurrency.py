"""Many connections at once on the same budgets: no update is lost and no limit is passed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg
import pytest

from chassis.db import Database
from chassis.errors import Retry
from contracts.budget import FundsRefused, FundsReleased, FundsReserved, FundsSpent
from services.budget.handlers import handlers
from tests.support import given, said, violations
from tests.support.budget_values import (
    a_budget,
    a_claim,
    a_company,
    a_line,
    approved,
    figures,
    posted,
    states,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from contracts.claims import ClaimSubmitted
    from contracts.envelope import Event

WORKERS = 8
CENTERS = ("CC-1", "CC-2", "CC-3")
RETRIED = (Retry, asyncpg.DeadlockDetectedError)  # As the machinery does, among other outages.


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> AsyncIterator[Database]:
    url = (await database_of("budget")).url
    database = Database(url, service="budget", pool_size=WORKERS + 1)
    leaves = [a_budget(f"B-{one}", 80_000, parent="ALL", cost_center=one) for one in CENTERS]
    await carry_out(database, [a_company()])
    await carry_out(database, [*leaves, a_budget("ALL", 100_000)])
    yield database
    await database.close()


async def carry_out(database: Database, *batches: Sequence[Event]) -> None:
    """Hand batches to their handlers in one transaction, again until it commits."""
    while True:
        with suppress(*RETRIED):
            async with database.transaction() as tx:
                for batch in filter(None, batches):
                    read = [given(fact) for fact in batch]
                    await handlers.by_kind[batch[0].kind](read, tx)
            return


def repeatable(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same choices in every run


def some_claims(chance: random.Random, count: int) -> list[ClaimSubmitted]:
    return [
        a_claim(a_line(1, chance.randint(100, 900), cost_center=chance.choice(CENTERS)))
        for _ in range(count)
    ]


async def watch(database: Database, stop: asyncio.Event) -> int:
    """Look at every committed state there is time to look at; how many were seen."""
    seen = 0
    async with database.reader() as reader:
        while not stop.is_set():
            rows = await reader.fetch(
                "SELECT code, reserved_minor + spent_minor AS used, limit_minor FROM budgets"
            )
            seen += 1
            assert all(row["used"] <= row["limit_minor"] for row in rows)
    return seen


async def test_eight_connections_never_reserve_more_than_there_is(database: Database) -> None:
    async def work(number: int) -> None:
        chance = repeatable(number)
        for _ in range(4):
            claims = some_claims(chance, 20)
            await carry_out(database, claims)
            await carry_out(database, [approved(claim) for claim in claims])

    stop = asyncio.Event()
    watching = asyncio.create_task(watch(database, stop))
    await asyncio.gather(*map(work, range(WORKERS)))
    stop.set()
    assert await watching > 0
    outcome = await said(database)
    reserved = [fact for fact in outcome if isinstance(fact, FundsReserved)]
    refused = [fact for fact in outcome if isinstance(fact, FundsRefused)]
    assert reserved
    assert refused
    held = await figures(database)
    assert held["ALL"] == (sum(fact.total.minor for fact in reserved), 0)
    assert held["ALL"][0] == sum(held[f"B-{one}"][0] for one in CENTERS)
    left = 100_000 - held["ALL"][0]
    assert left < min(
        fact.total.minor for fact in refused if fact.reasons[0].figures["budget"] == "ALL"
    )
    assert await violations("budget", database) == []


async def test_money_that_comes_and_goes_at_once_adds_up(database: Database) -> None:
    """Each transaction touches several kinds, so its locks are taken in several steps."""

    async def work(number: int) -> None:
        chance = repeatable(number)
        former: list[ClaimSubmitted] = []
        for _ in range(5):
            claims = some_claims(chance, 10)
            steps: list[list[Event]] = [[approved(claim) for claim in claims]]
            if former:
                steps.insert(chance.randint(0, 1), [posted(claim) for claim in former[:5]])
                steps.insert(chance.randint(0, 2), [withdrawn(claim) for claim in former[5:]])
            await carry_out(database, claims)
            await carry_out(database, *steps)
            held = await states(database)
            former = [claim for claim in claims if held[claim.claim_id] == "reserved"]

    await asyncio.gather(*map(work, range(WORKERS)))
    assert await violations("budget", database) == []
    moved: Counter[str] = Counter()
    for fact in await said(database):
        if isinstance(fact, FundsReserved | FundsSpent | FundsReleased):
            moved[fact.kind] += fact.total.minor
    reserved, spent, released = (
        moved[one.kind] for one in (FundsReserved, FundsSpent, FundsReleased)
    )
    assert spent > 0
    assert released > 0
    assert (await figures(database))["ALL"] == (reserved - spent - released, spent)


async def test_the_same_facts_on_two_connections_move_money_once(database: Database) -> None:
    claims = some_claims(repeatable(1), 20)
    approvals = [approved(claim) for claim in claims]
    batches: list[Sequence[Event]] = [approvals, claims, approvals, claims]
    await asyncio.gather(*(carry_out(database, batch) for batch in batches))
    outcome = await said(database)
    reserved = [fact for fact in outcome if isinstance(fact, FundsReserved)]
    assert len(reserved) == len({fact.claim_id for fact in reserved}) == len(claims)
    assert (await figures(database))["ALL"] == (sum(c.total.minor for c in claims), 0)
    assert await violations("budget", database) == []


async def test_a_definition_amid_reservations_loses_nothing(database: Database) -> None:
    async def reserve(number: int) -> None:
        chance = repeatable(number)
        for _ in range(4):
            claims = some_claims(chance, 10)
            await carry_out(database, claims)
            await carry_out(database, [approved(claim) for claim in claims])

    async def define() -> None:
        for round_ in range(12):
            limit = 100_000 - 7_000 * round_
            leaf = a_budget("B-CC-1", limit, parent="ALL", cost_center="CC-1")
            await carry_out(database, [a_budget("ALL", limit), leaf, a_budget(f"N{round_}", 1)])

    await asyncio.gather(define(), *map(reserve, range(4)))
    held = await figures(database)
    reserved = [fact for fact in await said(database) if isinstance(fact, FundsReserved)]
    parts = [part for fact in reserved for part in fact.allocations]
    for code, (holds, _) in held.items():
        assert holds == sum(part.amount.minor for part in parts if part.budget == code)
    assert await violations("budget", database) == []
