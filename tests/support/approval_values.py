"""Values for approval: claims, checks, rules, people, and an organisation to ask."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.budget import FundsChecked
from contracts.claims import ClaimLine, ClaimSubmitted, ClaimWithdrawn
from contracts.masterdata import (
    ApprovalRuleDefined,
    ApprovalStep,
    CompanyDefined,
    Condition,
    CostCenterDefined,
    EmployeeDefined,
    ProjectDefined,
)
from contracts.values import Money, PaidBy, claim_id
from services.approval.domain import Case, Organisation, Person, State, claim_of
from services.approval.policy import Moment, Ruling, approve
from services.approval.rules import compile_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.approval.domain import Rule

COMPANY = "acme-cn"
AT = datetime(2026, 10, 5, 9, 30, tzinfo=UTC)
_keys = itertools.count(1)


def a_line(line: int = 1, gross: str = "943.40", **fields: Any) -> ClaimLine:
    """One line without tax."""
    amount = Money.parse(gross, "CNY")
    given: dict[str, Any] = {
        "category": "travel",
        "date": date(2026, 10, 1),
        "cost_center": "CC-100",
    }
    return ClaimLine(line=line, net=amount, tax=Money.zero("CNY"), gross=amount, **(given | fields))


def a_claim(
    total: str = "943.40",
    *,
    employee: str = "lin",
    lines: Iterable[ClaimLine] = (),
    key: str = "",
    revision: int = 1,
    **fields: Any,
) -> ClaimSubmitted:
    """A claim of one line, with a key of its own."""
    key = key or f"K-{next(_keys)}"
    given: dict[str, Any] = {"paid_by": PaidBy.EMPLOYEE, "payee": employee, "company": COMPANY}
    return ClaimSubmitted(
        claim_id=claim_id("tests", key),
        revision=revision,
        source="tests",
        source_key=key,
        employee=employee,
        lines=list(lines) or [a_line(gross=total)],
        total=Money.parse(total, "CNY"),
        **(given | fields),
    )


def a_check(claim: ClaimSubmitted, outcome: Any = "within") -> FundsChecked:
    """What budget says about a claim."""
    return FundsChecked(
        claim_id=claim.claim_id,
        revision=claim.revision,
        company=claim.company,
        total=claim.total,
        outcome=outcome,
        budgets=[],
    )


def a_withdrawal(claim: ClaimSubmitted) -> ClaimWithdrawn:
    """Its owner takes the claim back."""
    return ClaimWithdrawn(
        claim_id=claim.claim_id,
        revision=claim.revision,
        company=claim.company,
        total=claim.total,
        by=claim.employee,
    )


def when(*conditions: str) -> list[Condition]:
    """Conditions out of `field operator value`."""
    parts = (condition.split(" ", 2) for condition in conditions)
    return [
        Condition.model_validate({"field": field, "operator": operator, "value": value})
        for field, operator, value in parts
    ]


def a_step(*approvers: str, name: str = "", quorum: Any = "any") -> ApprovalStep:
    """A step that asks these references."""
    return ApprovalStep(name=name or approvers[0], approvers=list(approvers), quorum=quorum)


def a_rule(rule: str = "R1", *steps: ApprovalStep, **fields: Any) -> ApprovalRuleDefined:
    """A rule that always holds, unless conditions are given."""
    given: dict[str, Any] = {
        "company": COMPANY,
        "version": 1,
        "priority": 100,
        "valid_from": date(2026, 1, 1),
    }
    return ApprovalRuleDefined(rule=rule, steps=list(steps), **(given | fields))


def compiled(*steps: ApprovalStep, **fields: Any) -> Rule:
    """A rule as approval applies it."""
    return compile_rule(a_rule("R1", *steps, **fields))


def a_case(claim: ClaimSubmitted, outcome: Any = "within", grade: str = "staff") -> Case:
    """A case that is ready to be decided."""
    return Case(claim.claim_id, claim.revision, claim=claim_of(claim), outcome=outcome, grade=grade)


def reporting(
    managers: Mapping[str, str | None],
    *,
    gone: Iterable[str] = (),
    cost_centers: Mapping[str, str] | None = None,
    projects: Mapping[str, str] | None = None,
) -> Organisation:
    """Who reports to whom: `{"lin": "wang", "wang": None}`."""
    left = set(gone)
    return Organisation(
        people={
            (COMPANY, who): Person(manager, who not in left) for who, manager in managers.items()
        },
        cost_center_owners={(COMPANY, code): who for code, who in (cost_centers or {}).items()},
        project_owners={(COMPANY, code): who for code, who in (projects or {}).items()},
    )


# lin reports to wang, wang to chen, chen to zhao; sun owns the cost centre, ma the project.
PEOPLE = {"lin": "wang", "wang": "chen", "chen": "zhao", "zhao": None, "sun": "chen", "ma": "chen"}
OWNED = {"cost_centers": {"CC-100": "sun", "CC-200": "wang"}, "projects": {"P-1": "ma"}}


def a_moment(organisation: Organisation | None = None) -> Moment:
    """A moment in an organisation, with ids that count up."""
    numbers = itertools.count(1)
    people = organisation or reporting(PEOPLE, **OWNED)
    return Moment(AT, people, lambda: UUID(int=next(numbers)))


def master_records() -> list[Any]:
    """The same organisation as master data."""
    return [
        CompanyDefined(company=COMPANY, name="Acme China", currency="CNY"),
        *(
            EmployeeDefined(company=COMPANY, employee=who, name=who.title(), manager=manager)
            for who, manager in PEOPLE.items()
        ),
        *(
            CostCenterDefined(company=COMPANY, cost_center=code, owner=owner)
            for code, owner in OWNED["cost_centers"].items()
        ),
        *(
            ProjectDefined(company=COMPANY, project=code, owner=owner)
            for code, owner in OWNED["projects"].items()
        ),
    ]


TWO_CENTERS = [a_line(1, "900.00"), a_line(2, "100.00", cost_center="CC-200", project="P-1")]


def agreed(ruling: Ruling, by: str, moment: Moment) -> Ruling:
    """What follows when somebody agrees to the open step."""
    task = next(task for task in ruling.file.tasks if task.state is State.OPEN)
    answer = approve(ruling.file, task.task_id, by=by, comment="", moment=moment)
    assert isinstance(answer, Ruling)
    return answer
