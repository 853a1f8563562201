"""Approval's handlers on real PostgreSQL: any order, any repetition, one decision."""

from __future__ import annotations

import asyncio
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from asyncpg.exceptions import CheckViolationError

from chassis.invariants import Invariants
from contracts.approval import ClaimApproved, StepOpened
from contracts.masterdata import EmployeeDefined
from services.approval.handlers import (
    decide_checked_claims,
    handlers,
    note_claims,
    take_back_claims,
)
from tests.support import given, said, violations
from tests.support.approval_office import (
    DIRECTOR,
    an_office,
    hear,
    the_state,
    undone,
)
from tests.support.approval_values import (
    COMPANY,
    a_check,
    a_claim,
    a_line,
    a_rule,
    a_withdrawal,
    when,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database

    Databases = Callable[[str], Awaitable[Database]]


DAMAGES = [
    ("UPDATE cases SET employee = 'wang'", "nobody-approves-their-own-claim"),
    ("UPDATE cases SET state = 'approved'", "the-decided-have-no-open-step"),
    ("UPDATE cases SET state = 'approved'", "every-step-was-taken"),
    ("UPDATE cases SET state = 'open'", "the-decided-have-no-open-step"),
    ("UPDATE cases SET rule_version = 9", "a-decision-names-its-rule-version"),
    (
        "UPDATE approvers SET verdict = 'released', decided_at = now()",
        "an-open-step-asks-somebody",
    ),
    ("UPDATE employees SET active = false", "an-open-step-asks-somebody"),
    ("UPDATE tasks SET state = 'approved', closed_at = now()", "an-approval-has-its-quorum"),
    (
        "UPDATE cases SET state = 'waiting', received_at = now() - interval '16 minutes'",
        "no-machine-waits",
    ),
]


async def test_a_batch_is_decided_in_one_transaction(database_of: Databases) -> None:
    database = await an_office(database_of)
    small = [a_claim(f"{number}.00") for number in range(1, 41)]
    large = [a_claim(f"{number}000.00") for number in range(2, 12)]
    async with database.transaction() as tx:
        await note_claims([given(claim) for claim in [*small, *large]], tx)
    assert await said(database) == []
    async with database.transaction() as tx:
        await decide_checked_claims([given(a_check(claim)) for claim in [*large, *small]], tx)
    facts = await said(database)
    approved = {fact.claim_id: fact for fact in facts if isinstance(fact, ClaimApproved)}
    opened = {fact.claim_id: fact for fact in facts if isinstance(fact, StepOpened)}
    assert len(facts) == 50
    assert {claim.claim_id: claim.total for claim in small} == {
        claim_id: fact.total for claim_id, fact in approved.items()
    }
    assert set(opened) == {claim.claim_id for claim in large}
    assert {fact.rule for fact in approved.values()} == {"A-SMALL"}
    assert {tuple(fact.approvers) for fact in opened.values()} == {("wang",)}
    assert await violations("approval", database) == []


async def test_a_decision_follows_from_the_fact_that_completed_it(database_of: Databases) -> None:
    database = await an_office(database_of)
    claim = a_claim()
    await hear(database, claim)
    check = given(a_check(claim))
    async with database.transaction() as tx:
        await decide_checked_claims([check], tx)
    fact = (await said(database))[0]
    assert fact.meta.causation_id == check.meta.id
    assert fact.meta.correlation_id == check.meta.correlation_id
    assert fact.meta.traceparent.split("-")[1] == check.meta.traceparent.split("-")[1]


async def test_the_order_of_arrival_changes_nothing(database_of: Databases) -> None:
    database = await an_office(database_of)
    for order in permutations(range(3)):
        claim = a_claim("5000.00")
        story = [claim, a_check(claim, "over"), a_withdrawal(claim)]
        await hear(database, *(story[number] for number in order))
        assert await the_state(database, claim) == "withdrawn", order
        asked_first = order[-1] == 2
        facts = [type(fact) for fact in await said(database)]
        assert facts == ([StepOpened] if asked_first else []), order
    assert await violations("approval", database) == []


async def test_the_check_may_come_before_the_claim(database_of: Databases) -> None:
    rule = a_rule("DIRECTORS", conditions=when("grade = director"), priority=1)
    database = await an_office(database_of, rule, DIRECTOR)
    director = EmployeeDefined(company=COMPANY, employee="lin", grade="director", manager="wang")
    await hear(database, director)
    claim = a_claim("5000.00", lines=[a_line(gross="5000.00", project="P-1")])
    await hear(database, a_check(claim, "unbudgeted"), claim)
    facts = await said(database)
    assert [(type(fact), getattr(fact, "rule", "")) for fact in facts] == [
        (ClaimApproved, "DIRECTORS")
    ]
    async with database.reader() as reader:
        row = await reader.fetchrow(
            "SELECT employee, total_minor, currency, outcome, grade, rule, rule_version, "
            "inputs ->> 'projects' AS projects FROM cases WHERE claim_id = $1",
            claim.claim_id,
        )
    assert row
    assert tuple(row) == (
        *("lin", 500000, "CNY", "unbudgeted", "director", "DIRECTORS", 1),
        '["P-1"]',
    )


async def test_the_same_facts_again_change_nothing(database_of: Databases) -> None:
    database = await an_office(database_of)
    small, large = a_claim(), a_claim("5000.00")
    story = [small, large, a_check(small), a_check(large, "over")]
    await hear(database, *story)
    assert len(await said(database)) == 2
    await hear(database, *story, a_check(large, "within"))
    async with database.transaction() as tx:
        await note_claims([given(small), given(small), given(large)], tx)
        await decide_checked_claims([given(a_check(small)), given(a_check(small))], tx)
    assert await said(database) == []
    assert await violations("approval", database) == []


async def test_a_fact_twice_in_one_batch_is_decided_once(database_of: Databases) -> None:
    database = await an_office(database_of)
    claim = a_claim()
    async with database.transaction() as tx:
        await note_claims([given(claim), given(claim)], tx)
        await decide_checked_claims([given(a_check(claim)), given(a_check(claim, "over"))], tx)
    facts = await said(database)
    assert [type(fact) for fact in facts] == [ClaimApproved]


async def test_a_batch_that_rolls_back_leaves_nothing_behind(database_of: Databases) -> None:
    database = await an_office(database_of)
    claim = a_claim()
    await hear(database, claim)
    async with undone(database) as tx:
        await decide_checked_claims([given(a_check(claim))], tx)
    assert await said(database) == []
    assert await the_state(database, claim) == "waiting"
    await hear(database, a_check(claim))
    assert [type(fact) for fact in await said(database)] == [ClaimApproved]


async def test_each_revision_is_a_case_of_its_own(database_of: Databases) -> None:
    database = await an_office(database_of)
    first = a_claim("5000.00", key="K-REVISED")
    second = a_claim("500.00", key="K-REVISED", revision=2)
    await hear(database, first, a_check(first), a_withdrawal(first), second, a_check(second))
    facts = await said(database)
    assert [(type(fact), getattr(fact, "revision", 0)) for fact in facts] == [
        (StepOpened, 1),
        (ClaimApproved, 2),
    ]


async def test_a_withdrawal_closes_what_is_open(database_of: Databases) -> None:
    database = await an_office(database_of)
    claim, other = a_claim("5000.00"), a_claim("6000.00")
    await hear(database, claim, other, a_check(claim), a_check(other))
    await said(database)
    async with database.transaction() as tx:
        await take_back_claims([given(a_withdrawal(claim))], tx)
    assert await said(database) == []
    async with database.reader() as reader:
        rows = await reader.fetch(
            "SELECT c.state, t.state, a.verdict FROM cases c "
            "JOIN tasks t USING (claim_id, revision) JOIN approvers a USING (task_id) "
            "ORDER BY c.state"
        )
    assert [tuple(row) for row in rows] == [
        ("open", "open", "asked"),
        ("withdrawn", "withdrawn", "released"),
    ]
    assert await violations("approval", database) == []


async def test_the_database_itself_refuses_self_approval(database_of: Databases) -> None:
    database = await an_office(database_of)
    claim = a_claim("5000.00")
    await hear(database, claim, a_check(claim))
    seat = (
        "INSERT INTO approvers (task_id, company, approver, reference, verdict, comment) "
        "SELECT task_id, company, 'lin', 'manager', 'asked', '' FROM tasks"
    )
    for statement in ("UPDATE approvers SET approver = 'lin'", seat):
        with pytest.raises(CheckViolationError, match="lin made the claim"):
            async with database.transaction() as tx:
                await tx.execute(statement)


async def test_an_invariant_finds_each_damage(database_of: Databases) -> None:
    database = await an_office(database_of)
    small, large = a_claim(), a_claim("5000.00")
    await hear(database, small, large, a_check(small), a_check(large))
    await said(database)
    assert await violations("approval", database) == []
    invariants = Invariants("services.approval")
    for damage, invariant in DAMAGES:
        async with undone(database) as tx:
            await tx.execute(damage)
            found = (await invariants.ask(tx))["violations"]
            assert invariant in {one["invariant"] for one in found}, damage
    assert await violations("approval", database) == []


async def test_two_replicas_decide_each_claim_once(database_of: Databases) -> None:
    database = await an_office(database_of)
    claims = [a_claim("10.00") for _ in range(300)]

    async def in_batches(events: list[Any]) -> None:
        for start in range(0, len(events), 50):
            batch = events[start : start + 50]
            async with database.transaction() as tx:
                await handlers.by_kind[batch[0].kind]([given(one) for one in batch], tx)

    checks = [a_check(claim) for claim in claims]
    await asyncio.gather(
        in_batches(claims), in_batches(checks), in_batches(claims[::-1]), in_batches(checks[::-1])
    )
    facts = await said(database)
    assert len(facts) == 300
    assert {type(fact) for fact in facts} == {ClaimApproved}
    assert {getattr(fact, "claim_id", None) for fact in facts} == {one.claim_id for one in claims}
    assert await violations("approval", database) == []
