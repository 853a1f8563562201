"""Approval and master data: rules in their versions, people, and what comes late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from contracts.approval import ClaimApproved, ClaimRejected, StepOpened
from contracts.masterdata import CostCenterDefined, EmployeeDefined
from services.approval.handlers import (
    decide_checked_claims,
    define_cost_centers,
    publish_rules,
)
from services.approval.jobs import decide_held
from services.approval.rules import RuleInvalid, RuleVersionChanged
from tests.support import given, said, violations
from tests.support.approval_office import (
    AUTOMATIC,
    DIRECTOR,
    an_office,
    grow_old,
    hear,
    the_state,
)
from tests.support.approval_values import (
    COMPANY,
    a_check,
    a_claim,
    a_rule,
    a_step,
    a_withdrawal,
    master_records,
    when,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database
    from contracts.masterdata import ApprovalRuleDefined

    Databases = Callable[[str], Awaitable[Database]]


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ((a_rule(conditions=when("total > 100000")),), "NO_RULE"),
        ((a_rule(active=False),), "NO_RULE"),
        ((a_rule(company="other"),), "NO_RULE"),
        ((a_rule("R1", a_step("employee:stranger")),), "NO_APPROVER"),
    ],
)
async def test_a_claim_that_nobody_may_decide_is_rejected(
    database_of: Databases, rules: tuple[ApprovalRuleDefined, ...], code: str
) -> None:
    database = await an_office(database_of, *rules)
    claim = a_claim()
    await hear(database, claim, a_check(claim))
    await decide_held(database)
    assert await said(database) == []
    assert await the_state(database, claim) == "waiting"
    await grow_old(database)
    await decide_held(database)
    facts = await said(database)
    assert [type(fact) for fact in facts] == [ClaimRejected]
    assert isinstance(facts[0], ClaimRejected)
    assert facts[0].reasons[0].code == code
    await decide_held(database)
    assert await said(database) == []
    assert await violations("approval", database) == []


async def test_master_data_that_comes_late_is_waited_for(database_of: Databases) -> None:
    database = await database_of("approval")
    small, large = a_claim(), a_claim("5000.00")
    checks = [given(a_check(small)), given(a_check(large))]
    await hear(database, small, large)
    async with database.transaction() as tx:
        await decide_checked_claims(checks, tx)
    await decide_held(database)
    assert await said(database) == []
    await hear(database, *master_records())
    await hear(database, AUTOMATIC, DIRECTOR)
    await decide_held(database)
    facts = await said(database)
    assert {type(fact) for fact in facts} == {ClaimApproved, StepOpened}
    assert {fact.meta.causation_id for fact in facts} == {check.meta.id for check in checks}
    await decide_held(database)
    assert await said(database) == []
    assert await violations("approval", database) == []


async def test_a_claim_of_somebody_unknown_is_rejected_in_time(database_of: Databases) -> None:
    database = await an_office(database_of)
    claim = a_claim(employee="nobody")
    await hear(database, claim, a_check(claim))
    await grow_old(database)
    await hear(database, a_check(claim))
    fact = (await said(database))[0]
    assert isinstance(fact, ClaimRejected)
    assert fact.reasons[0].code == "EMPLOYEE_UNKNOWN"
    assert await violations("approval", database) == []


async def test_a_held_claim_can_be_withdrawn(database_of: Databases) -> None:
    database = await database_of("approval")
    claim = a_claim()
    await hear(database, claim, a_check(claim), a_withdrawal(claim))
    await hear(database, *master_records(), AUTOMATIC)
    await decide_held(database)
    assert await said(database) == []
    assert await the_state(database, claim) == "withdrawn"


async def test_the_newest_version_that_is_valid_today_decides(database_of: Databases) -> None:
    database = await an_office(database_of, a_rule(version=1))
    async with database.transaction() as tx:
        today = tx.now.date()
        second = a_rule("R1", a_step("manager"), version=2, valid_from=today)
        third = a_rule(version=3, valid_from=today + timedelta(days=1))
        await publish_rules([given(third), given(second)], tx)
    claim = a_claim()
    await hear(database, claim, a_check(claim))
    fact = (await said(database))[0]
    assert isinstance(fact, StepOpened)
    assert fact.rule_version == 2


async def test_a_published_version_is_never_overwritten(database_of: Databases) -> None:
    database = await an_office(database_of, a_rule(priority=1))
    async with database.transaction() as tx:
        await publish_rules([given(a_rule(priority=1)), given(a_rule(version=2))], tx)
    for batch in ([a_rule(priority=2)], [a_rule(version=3), a_rule(version=3, priority=3)]):
        with pytest.raises(RuleVersionChanged):
            async with database.transaction() as tx:
                await publish_rules([given(rule) for rule in batch], tx)
    with pytest.raises(RuleInvalid):
        async with database.transaction() as tx:
            await publish_rules([given(a_rule("R2", a_step("boss")))], tx)
    async with database.reader() as reader:
        rows = await reader.fetch(
            "SELECT version, (definition ->> 'priority')::int FROM rules ORDER BY version"
        )
    assert [tuple(row) for row in rows] == [(1, 1), (2, 100)]


async def test_master_data_follows_the_newest_word(database_of: Databases) -> None:
    database = await an_office(database_of, a_rule("R1", a_step("cost_center_owner")))
    async with database.transaction() as tx:
        await define_cost_centers(
            [
                given(CostCenterDefined(company=COMPANY, cost_center="CC-100", owner="wang")),
                given(CostCenterDefined(company=COMPANY, cost_center="CC-100", owner="ma")),
            ],
            tx,
        )
    claim = a_claim()
    await hear(database, claim, a_check(claim))
    fact = (await said(database))[0]
    assert isinstance(fact, StepOpened)
    assert fact.approvers == ["ma"]


async def test_whoever_leaves_hands_over_what_is_open(database_of: Databases) -> None:
    database = await an_office(database_of)
    claims = [a_claim("5000.00") for _ in range(3)]
    await hear(database, *claims, *(a_check(claim) for claim in claims))
    opened = {fact.meta.id for fact in await said(database)}
    left = EmployeeDefined(company=COMPANY, employee="wang", manager="chen", active=False)
    await hear(database, left)
    facts = await said(database)
    assert [getattr(fact, "approvers", None) for fact in facts] == [["chen"]] * 3
    assert {fact.meta.causation_id for fact in facts} == opened
    assert {fact.meta.correlation_id for fact in facts} == {str(one.claim_id) for one in claims}
    assert await violations("approval", database) == []
    await hear(database, left)
    assert await said(database) == []
