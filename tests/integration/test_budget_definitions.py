"""Budgets as they are defined: trees that change, parents that come late, limits that are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contracts.values import Money
from services.budget.handlers import handlers
from services.budget.jobs import resume_waiting
from services.budget.matching import BudgetCycle
from tests.support import TRACEPARENT, given, said, violations
from tests.support.budget_story import a_small_company, kinds, tell, tell_each
from tests.support.budget_values import (
    COMPANY,
    a_budget,
    a_claim,
    a_company,
    a_line,
    approved,
    figures,
    posted,
    turned_back,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    return await a_small_company(database_of)


async def test_a_limit_may_be_cut_below_what_is_in_use(database: Database) -> None:
    claims = [a_claim(3_000), a_claim(1)]
    await tell(database, *claims)
    await tell(database, approved(claims[0]))
    assert await tell(database, a_budget("CC-1/Q4", 1_000, parent="ALL", cost_center="CC-1")) == []
    assert kinds(await tell(database, approved(claims[1]))) == ["FundsRefused"]
    assert await violations("budget", database) == []
    await tell(database, posted(claims[0]))
    await tell(database, turned_back(claims[0]))
    small = a_claim(1_000)
    assert kinds(await tell_each(database, small, approved(small))) == [
        "FundsChecked",
        "FundsReserved",
    ]
    assert await violations("budget", database) == []


async def test_a_parent_carries_from_before_its_definition(database: Database) -> None:
    await tell(database, a_budget("CC-7", 1_000, parent="WEST", cost_center="CC-7"))
    claim = a_claim(a_line(1, 600, cost_center="CC-7"))
    await tell_each(database, claim, approved(claim))
    assert (await figures(database))["WEST"] == (600, 0)
    assert [one["invariant"] for one in await violations("budget", database)] == [
        "parents-are-defined"
    ]
    await tell(database, a_budget("WEST", 500, project="none of its own"))
    more = a_claim(a_line(1, 1, cost_center="CC-7"))
    checked, refused = await tell_each(database, more, approved(more))
    assert [one.budget for one in checked.budgets] == ["CC-7", "WEST"]
    assert refused.reasons[0].figures["budget"] == "WEST"
    assert await violations("budget", database) == []


async def test_a_cycle_is_refused_when_it_is_defined(database: Database) -> None:
    with pytest.raises(BudgetCycle):
        await tell(database, a_budget("ALL", 10_000, parent="CC-1/Q4"))
    with pytest.raises(BudgetCycle):
        await tell(database, a_budget("SELF", 10_000, parent="SELF"))
    claim = a_claim(100)
    assert kinds(await tell_each(database, claim, approved(claim))) == [
        "FundsChecked",
        "FundsReserved",
    ]


async def test_a_changed_tree_holds_for_the_next_claim_and_keeps_what_is_held(
    database: Database,
) -> None:
    first, second = a_claim(1_000), a_claim(2_000)
    await tell(database, first, second)
    await tell(database, approved(first))
    await tell(
        database,
        a_budget("TRAVEL", 5_000, cost_center="CC-1", category="travel"),
        a_budget("CC-1/Q4", 6_000, cost_center="CC-1"),
    )
    (reserved,) = await tell(database, approved(second))
    assert [part.budget for part in reserved.allocations] == ["TRAVEL"]
    await tell(database, posted(first), posted(second))
    assert await figures(database) == {
        "ALL": (0, 1_000),
        "CC-1/Q4": (0, 1_000),
        "TRAVEL": (0, 2_000),
    }
    assert await violations("budget", database) == []


async def test_the_last_definition_in_a_batch_holds(database: Database) -> None:
    await tell(
        database, a_budget("NEW", 1), a_budget("NEW", 2), a_budget("ALL", 1), a_budget("ALL", 9)
    )
    async with database.reader() as reader:
        rows = await reader.fetch("SELECT code, limit_minor FROM budgets WHERE code <> 'CC-1/Q4'")
    assert {row["code"]: row["limit_minor"] for row in rows} == {"NEW": 2, "ALL": 9}


async def test_claims_wait_for_their_company_and_keep_their_trace(database: Database) -> None:
    claims = [a_claim(100, company="LATE") for _ in range(3)]
    read = [given(claim) for claim in claims]
    async with database.transaction() as tx:
        await handlers.by_kind[claims[0].kind](read, tx)
    await tell(database, approved(claims[0]))
    await tell(database, withdrawn(claims[1]))
    await resume_waiting(database)
    assert await said(database) == []
    await tell(database, a_company("LATE"))
    await tell(database, a_budget("LATE-ALL", 1_000, company="LATE"))
    await resume_waiting(database)
    outcome = await said(database)
    by_claim = {
        claim.claim_id: kinds([one for one in outcome if one.key == str(claim.claim_id)])
        for claim in claims
    }
    assert by_claim == {
        claims[0].claim_id: ["FundsChecked", "FundsReserved"],
        claims[1].claim_id: [],
        claims[2].claim_id: ["FundsChecked"],
    }
    assert {one.meta.correlation_id for one in outcome} == {
        str(claims[0].claim_id),
        str(claims[2].claim_id),
    }
    assert all(one.meta.traceparent[:35] == TRACEPARENT[:35] for one in outcome)
    await resume_waiting(database)
    assert await said(database) == []
    assert await violations("budget", database) == []


async def test_a_budget_in_another_currency_carries_nothing_and_is_reported(
    database: Database,
) -> None:
    await tell(
        database, a_budget("DOLLARS", Money(100_000, "USD"), cost_center="CC-1", project="P-1")
    )
    claim = a_claim(a_line(1, 100, project="P-1"))
    (checked,) = await tell(database, claim)
    assert [one.budget for one in checked.budgets] == ["CC-1/Q4", "ALL"]
    (found,) = await violations("budget", database)
    assert found["subject"] == f"{COMPANY}/DOLLARS"
