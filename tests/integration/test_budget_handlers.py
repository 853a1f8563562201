"""Budget's handlers on real PostgreSQL: what is said, what is kept, and what a repeat changes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg
import pytest

from chassis.invariants import Invariants
from contracts.budget import Control, FundsChecked, FundsRefused, FundsReserved
from services.budget.handlers import handlers
from tests.support import TRACEPARENT, given, said, violations
from tests.support.budget_story import a_small_company, kinds, tell, tell_each
from tests.support.budget_values import (
    a_budget,
    a_claim,
    a_company,
    a_line,
    approved,
    cny,
    failed,
    figures,
    posted,
    rejected,
    states,
    turned_back,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database


NOTHING_HELD = "budgets = '{}', amounts = '{}'"
FAULTS = [
    ("UPDATE budgets SET reserved_minor = reserved_minor + 1", "reserved-is-what-live-cases-hold"),
    ("UPDATE budgets SET spent_minor = spent_minor - 1", "spent-is-what-spent-cases-carry"),
    ("UPDATE cases SET withdrawn = true", "ended-cases-reserve-nothing"),
    (
        "UPDATE cases SET entry = 'posted', changed_at = now() - interval '1 hour'",
        "only-funded-claims-are-posted",
    ),
    (
        f"UPDATE cases SET {NOTHING_HELD}, state = 'open', changed_at = '2026-01-01'",
        "decided-claims-do-not-wait",
    ),
    ("UPDATE companies SET currency = 'EUR'", "budgets-speak-their-companys-currency"),
    ("UPDATE budgets SET parent = 'CC-1/Q4' WHERE code = 'ALL'", "budgets-hang-on-trees"),
]


ORDERS: list[tuple[list[str], list[str], str]] = [
    (["approved", "claim"], ["FundsChecked", "FundsReserved"], "reserved"),
    (["posted", "approved", "claim"], ["FundsChecked", "FundsReserved", "FundsSpent"], "spent"),
    (["withdrawn", "claim", "approved"], [], "closed"),
    (["withdrawn", "approved", "claim"], [], "closed"),
    (["claim", "withdrawn", "approved"], ["FundsChecked"], "closed"),
    (["rejected", "claim"], [], "closed"),
    (["claim", "rejected", "withdrawn"], ["FundsChecked"], "closed"),
    (
        ["claim", "approved", "failed", "withdrawn"],
        ["FundsChecked", "FundsReserved", "FundsReleased"],
        "released",
    ),
    (
        ["failed", "approved", "claim"],
        ["FundsChecked", "FundsReserved", "FundsReleased"],
        "released",
    ),
    (
        ["claim", "approved", "withdrawn", "posted", "turned_back"],
        ["FundsChecked", "FundsReserved", "FundsReleased", "FundsSpent", "FundsReleased"],
        "released",
    ),
    (
        ["claim", "approved", "turned_back", "posted"],
        ["FundsChecked", "FundsReserved", "FundsSpent", "FundsReleased"],
        "released",
    ),
]


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    return await a_small_company(database_of)


async def test_the_money_of_a_claim_goes_from_checked_to_spent(database: Database) -> None:
    claim = a_claim(2_000, 1_000)
    (checked,) = await tell(database, claim)
    assert isinstance(checked, FundsChecked)
    assert checked.outcome == "within"
    assert [(one.budget, one.available, one.requested) for one in checked.budgets] == [
        ("CC-1/Q4", cny(6_000), cny(3_000)),
        ("ALL", cny(10_000), cny(3_000)),
    ]
    (reserved,) = await tell(database, approved(claim))
    assert isinstance(reserved, FundsReserved)
    assert [(part.budget, part.amount) for part in reserved.allocations] == [
        ("CC-1/Q4", cny(3_000)),
        ("ALL", cny(3_000)),
    ]
    assert await figures(database) == {"CC-1/Q4": (3_000, 0), "ALL": (3_000, 0)}
    (spent,) = await tell(database, posted(claim))
    assert spent.allocations == reserved.allocations
    assert await figures(database) == {"CC-1/Q4": (0, 3_000), "ALL": (0, 3_000)}
    (released,) = await tell(database, turned_back(claim))
    assert (released.was, released.because) == ("spent", "ENTRY_REVERSED")
    assert await figures(database) == {"CC-1/Q4": (0, 0), "ALL": (0, 0)}
    assert await violations("budget", database) == []


async def test_what_is_said_continues_the_story_of_what_was_heard(database: Database) -> None:
    claim = given(a_claim(100))
    async with database.transaction() as tx:
        await handlers.by_kind[claim.kind]([claim], tx)
    (checked,) = await said(database)
    assert checked.key == str(claim.claim_id)
    assert checked.meta.causation_id == claim.meta.id
    assert checked.meta.correlation_id == claim.meta.correlation_id
    assert checked.meta.traceparent == TRACEPARENT


async def test_a_batch_decides_one_claim_at_a_time(database: Database) -> None:
    claims = [a_claim(2_500) for _ in range(4)]
    await tell(database, *claims)
    outcome = await tell(database, *map(approved, claims))
    assert kinds(outcome) == ["FundsReserved", "FundsReserved", "FundsRefused", "FundsRefused"]
    refused = outcome[2]
    assert isinstance(refused, FundsRefused)
    assert refused.reasons[0].figures["available"] == "10.00 CNY"
    assert await figures(database) == {"CC-1/Q4": (5_000, 0), "ALL": (5_000, 0)}
    assert await violations("budget", database) == []


async def test_a_second_delivery_has_no_second_effect(database: Database) -> None:
    claim = a_claim(1_000)
    for fact in (claim, approved(claim), posted(claim), withdrawn(claim), turned_back(claim)):
        assert len(await tell(database, fact)) == (fact.kind != "claims.claim-withdrawn.v1")
        before = await figures(database)
        assert await tell(database, fact, fact) == []
        assert await figures(database) == before


async def test_the_same_approval_twice_in_a_batch_reserves_once(database: Database) -> None:
    claim = a_claim(1_000)
    assert kinds(await tell(database, claim, claim)) == ["FundsChecked"]
    assert kinds(await tell(database, approved(claim), approved(claim))) == ["FundsReserved"]
    assert await figures(database) == {"CC-1/Q4": (1_000, 0), "ALL": (1_000, 0)}


async def test_facts_are_kept_until_they_are_complete_whatever_their_order(
    database: Database,
) -> None:
    for facts, outcome, end in ORDERS:
        before = (await figures(database))["ALL"]
        claim = a_claim(10)
        told = {
            "claim": claim,
            "approved": approved(claim),
            "rejected": rejected(claim),
            "withdrawn": withdrawn(claim),
            "posted": posted(claim),
            "failed": failed(claim),
            "turned_back": turned_back(claim),
        }
        assert kinds(await tell_each(database, *(told[name] for name in facts))) == outcome
        assert (await states(database))[claim.claim_id] == end
        held, spent = (await figures(database))["ALL"]
        assert held - before[0] == 10 * (end == "reserved"), facts
        assert spent - before[1] == 10 * (end == "spent"), facts
    assert await violations("budget", database) == []


async def test_a_refund_frees_money_when_it_is_posted(database: Database) -> None:
    full, refund, more = a_claim(6_000), a_claim(-500), a_claim(400)
    await tell(database, full, refund, more)
    await tell(database, approved(full), approved(refund))
    await tell(database, posted(full))
    assert kinds(await tell(database, approved(more))) == ["FundsRefused"]
    await tell(database, posted(refund))
    assert await figures(database) == {"CC-1/Q4": (0, 5_500), "ALL": (0, 5_500)}
    again = a_claim(500)
    assert kinds(await tell_each(database, again, approved(again))) == [
        "FundsChecked",
        "FundsReserved",
    ]
    assert await violations("budget", database) == []


async def test_mixed_lines_are_netted_where_they_meet(database: Database) -> None:
    await tell(database, a_budget("CC-2/Q4", 100, parent="ALL", cost_center="CC-2"))
    claim = a_claim(a_line(1, 700), a_line(2, -300, cost_center="CC-2"))
    _, reserved = await tell_each(database, claim, approved(claim))
    parts = {part.budget: part.amount.minor for part in reserved.allocations}
    assert parts == {"CC-1/Q4": 700, "CC-2/Q4": -300, "ALL": 400}
    assert await figures(database) == {"CC-1/Q4": (700, 0), "CC-2/Q4": (0, 0), "ALL": (400, 0)}
    await tell(database, posted(claim))
    assert await figures(database) == {
        "CC-1/Q4": (0, 700),
        "CC-2/Q4": (0, -300),
        "ALL": (0, 400),
    }
    assert await violations("budget", database) == []


async def test_unbudgeted_money_is_refused_where_the_company_says_so(database: Database) -> None:
    await tell(database, a_company(unbudgeted=Control.HARD))
    claim = a_claim(a_line(1, 100, date=a_line(1, 1).date.replace(year=2025)))
    checked, refused = await tell_each(database, claim, approved(claim))
    assert checked.outcome == "unbudgeted"
    assert [reason.code for reason in refused.reasons] == ["BUDGET_MISSING"]


async def test_an_unbudgeted_claim_goes_on_and_holds_nothing(database: Database) -> None:
    await tell(database, a_company("OTHER"))
    claim = a_claim(100, company="OTHER")
    outcome = await tell_each(database, claim, approved(claim), posted(claim))
    assert kinds(outcome) == ["FundsChecked", "FundsReserved", "FundsSpent"]
    assert outcome[0].outcome == "unbudgeted"
    assert outcome[1].allocations == []


async def test_a_threshold_is_told_once(database: Database) -> None:
    claims = [a_claim(a_line(1, 4_000, cost_center=center)) for center in ("CC-1", "X", "X")]
    claims[2] = a_claim(a_line(1, 1_000, cost_center="X"))
    await tell(database, *claims)
    outcome = await tell(database, *map(approved, claims))
    assert kinds(outcome) == [
        "FundsReserved",
        "FundsReserved",
        "ThresholdCrossed",
        "FundsReserved",
    ]
    assert (outcome[2].budget, outcome[2].percent, outcome[2].used) == ("ALL", 80, cny(8_000))


async def test_the_tables_refuse_what_must_never_be(database: Database) -> None:
    for change in (
        "reserved_minor = 6001",
        "spent_minor = 6001",
        "reserved_minor = -1",
        "ceiling_minor = 5999",
        "parent = 'NOWHERE'",
        "parent = code",
    ):
        with pytest.raises((asyncpg.CheckViolationError, asyncpg.ForeignKeyViolationError)):
            async with database.transaction() as tx:
                await tx.execute(f"UPDATE budgets SET {change} WHERE code = 'CC-1/Q4'")


class TakeBack(Exception):  # noqa: N818 - it ends a transaction whose changes were looked at
    pass


async def test_each_invariant_sees_its_fault(database: Database) -> None:
    claim = a_claim(1_000)
    await tell_each(database, claim, approved(claim))
    for change, invariant in FAULTS:
        with suppress(TakeBack):
            async with database.transaction() as tx:
                await tx.execute(change)
                found = (await Invariants("services.budget").ask(tx))["violations"]
                assert invariant in {one["invariant"] for one in found}, invariant
                raise TakeBack
    assert await violations("budget", database) == []
