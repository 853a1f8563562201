"""What approval knows of one claim: its figures, its state, its steps and who has agreed.

    waiting ──▶ approved ◀────────── open ──▶ rejected
       │  the check is here and         ▲         ▲
       │  a rule without steps holds    │         │ somebody says no
       ├── a rule with steps holds ─────┘         │
       ├── no rule, or nobody to ask ─────────────┘
       └── the owner takes it back ──▶ withdrawn ◀── open, approved

A case stores whichever fact comes first and is decided once, when both are here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from contracts.claims import ClaimSubmitted
    from contracts.envelope import Cause
    from contracts.masterdata import ApprovalRuleDefined, ApprovalStep
    from contracts.values import Money, PaidBy

Key = tuple["UUID", int]
"""A claim id and a revision: what one case is about."""
Place = tuple[str, str]
"""A company and an identifier in it: an employee, a cost centre, a project."""
Version = tuple[str, str, int]
"""A company, a rule of it, and which version."""
BudgetOutcome = Literal["within", "over", "unbudgeted"]
EMPLOYEE: Final = "employee:"  # What a reference to one person begins with.


class State(StrEnum):
    """Where a case stands; everything but `waiting` and `open` is final for approval."""

    WAITING = "waiting"
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Verdict(StrEnum):
    """What one approver has said: `carried` means agreed in the step before and not asked again."""

    ASKED = "asked"
    APPROVED = "approved"
    REJECTED = "rejected"
    CARRIED = "carried"
    RELEASED = "released"


AGREED: Final = frozenset({Verdict.APPROVED, Verdict.CARRIED})


@dataclass(frozen=True, slots=True)
class Claim:
    """The figures of a submitted claim that rules and people look at.

    `projects` holds "" for lines without a project, so that a condition can speak of them.
    """

    company: str
    employee: str
    total: Money
    paid_by: PaidBy
    cost_centers: tuple[str, ...]
    projects: tuple[str, ...]
    categories: tuple[str, ...]
    purpose: str = ""
    warnings: int = 0

    @property
    def owned(self) -> Iterator[tuple[str, str, str]]:
        """Everything in this claim that may have an owner: kind, company, code."""
        for code in self.cost_centers:
            yield "cost_center", self.company, code
        for code in filter(None, self.projects):
            yield "project", self.company, code


@dataclass(frozen=True, slots=True)
class Case:
    """One claim revision: what has arrived, and what which version of which rule made of it."""

    claim_id: UUID
    revision: int
    state: State = State.WAITING
    claim: Claim | None = None
    outcome: BudgetOutcome | None = None
    grade: str = ""
    rule: str | None = None
    rule_version: int | None = None
    reason: str | None = None
    decided_at: datetime | None = None
    received_at: datetime | None = None

    @property
    def key(self) -> Key:
        """What this case is about."""
        return self.claim_id, self.revision

    @property
    def known(self) -> Claim:
        """The claim of a case that is past waiting."""
        if self.claim is None:
            msg = f"claim {self.claim_id} revision {self.revision} was decided before it was seen"
            raise AssertionError(msg)
        return self.claim

    @property
    def ruled_by(self) -> Version:
        """Which version of which rule decided a case that is past waiting."""
        return self.known.company, self.rule or "", self.rule_version or 0

    @property
    def ready(self) -> bool:
        """Whether both facts are here and nothing has been decided."""
        return self.state is State.WAITING and self.claim is not None and self.outcome is not None


@dataclass(frozen=True, slots=True)
class Approver:
    """One person in one step: why this person (`reference`), and what was said when."""

    employee: str
    reference: str
    verdict: Verdict = Verdict.ASKED
    at: datetime | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One step of one case; open until its quorum has agreed or one approver refuses."""

    task_id: UUID
    step: int
    name: str
    quorum: Literal["any", "all"]
    opened_at: datetime
    approvers: tuple[Approver, ...]
    state: State = State.OPEN
    closed_at: datetime | None = None

    @property
    def asked(self) -> list[str]:
        """Those who still have to speak."""
        return [one.employee for one in self.approvers if one.verdict is Verdict.ASKED]

    @property
    def agreed(self) -> frozenset[str]:
        """Those who have agreed, here or in the step before."""
        return frozenset(one.employee for one in self.approvers if one.verdict in AGREED)

    @property
    def satisfied(self) -> bool:
        """Whether the quorum has agreed: anyone, or everyone who was not released."""
        voices = [one for one in self.approvers if one.verdict is not Verdict.RELEASED]
        agreed = [one for one in voices if one.verdict in AGREED]
        return bool(agreed) and (self.quorum == "any" or len(agreed) == len(voices))

    def said(self, employee: str, verdict: Verdict, at: datetime, comment: str = "") -> Task:
        """This task after one of its approvers has spoken."""
        return replace(
            self,
            approvers=tuple(
                replace(one, verdict=verdict, at=at, comment=comment)
                if one.employee == employee
                else one
                for one in self.approvers
            ),
        )

    def closed(self, state: State, at: datetime) -> Task:
        """This task decided; whoever has not spoken is released."""
        return replace(
            self,
            state=state,
            closed_at=at,
            approvers=tuple(
                replace(one, verdict=Verdict.RELEASED, at=at)
                if one.verdict is Verdict.ASKED
                else one
                for one in self.approvers
            ),
        )


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition of a rule, ready to be applied: texts for most fields, amounts for `total`."""

    field: str
    operator: str
    texts: frozenset[str] = frozenset()
    amounts: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of a rule: when every criterion holds, then these steps, or none at all."""

    company: str
    rule: str
    version: int
    priority: int
    active: bool
    criteria: tuple[Criterion, ...] = ()
    steps: tuple[ApprovalStep, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """A version of a rule as it was published, and whether it is the newest one valid today."""

    defined: ApprovalRuleDefined
    currency: str
    newest: bool


@dataclass(frozen=True, slots=True)
class Person:
    """An employee as approval sees one."""

    manager: str | None
    active: bool


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who reports to whom and who owns what."""

    people: Mapping[Place, Person] = field(default_factory=dict)
    cost_center_owners: Mapping[Place, str] = field(default_factory=dict)
    project_owners: Mapping[Place, str] = field(default_factory=dict)

    def is_active(self, company: str, employee: str) -> bool:
        """Whether this person is known and still here."""
        person = self.people.get((company, employee))
        return person is not None and person.active

    def upwards(self, company: str, employee: str | None) -> Iterator[str]:
        """The person and the managers above, each once, whatever circle they stand in."""
        seen: set[str] = set()
        while employee is not None and employee not in seen:
            yield employee
            seen.add(employee)
            person = self.people.get((company, employee))
            employee = person.manager if person else None

    def manager_of(self, company: str, employee: str) -> str | None:
        """The direct manager, whoever that is; None for the top and for unknown people."""
        person = self.people.get((company, employee))
        return person.manager if person else None


@dataclass(frozen=True, slots=True)
class Desk:
    """What a decision needs: for each case the rule that holds, if any, and whom it can ask."""

    chosen: tuple[tuple[Case, Rule | None], ...]
    organisation: Organisation


@dataclass(frozen=True, slots=True)
class File:
    """A case that people work on: its steps as the rule has them, and as they went so far."""

    case: Case
    steps: tuple[ApprovalStep, ...] = ()
    tasks: tuple[Task, ...] = ()
    cause: Cause | None = None  # The StepOpened that asked last, which an answer follows from.

    def task(self, task_id: UUID) -> Task:
        """The task with this id, which must be one of the case."""
        return next(task for task in self.tasks if task.task_id == task_id)

    def changed(self, *tasks: Task) -> File:
        """This file with some tasks replaced, or added at the end."""
        kept = {task.task_id: task for task in self.tasks} | {task.task_id: task for task in tasks}
        return replace(self, tasks=tuple(kept.values()))


@dataclass(frozen=True, slots=True)
class Tray:
    """Which tasks somebody looks at; open ones of an approver only while this person is asked."""

    state: str = "open"
    company: str | None = None
    approver: str | None = None


@dataclass(frozen=True, slots=True)
class Matter:
    """A task in front of a person: the step, its case, and what the claimant is called."""

    task: Task
    case: Case
    claimant_name: str


def claim_of(submitted: ClaimSubmitted) -> Claim:
    """The figures that matter here, out of a submitted claim."""
    lines = submitted.lines
    return Claim(
        company=submitted.company,
        employee=submitted.employee,
        total=submitted.total,
        paid_by=submitted.paid_by,
        cost_centers=tuple(sorted({line.cost_center for line in lines})),
        projects=tuple(sorted({line.project or "" for line in lines})),
        categories=tuple(sorted({line.category for line in lines})),
        purpose=submitted.purpose,
        warnings=len(submitted.warnings),
    )


def named_in(steps: Iterable[ApprovalStep], company: str) -> set[Place]:
    """Whom steps name as persons, whatever the claim."""
    references = (reference for step in steps for reference in step.approvers)
    return {
        (company, reference.removeprefix(EMPLOYEE))
        for reference in references
        if reference.startswith(EMPLOYEE)
    }


def version_of(rule: ApprovalRuleDefined) -> Version:
    """Which version of which rule a definition is."""
    return rule.company, rule.rule, rule.version


def note_check(case: Case, outcome: BudgetOutcome) -> Case:
    """Remember what the budget said; the first word counts, a repetition changes nothing."""
    return case if case.outcome else replace(case, outcome=outcome)


def withdraw(case: Case) -> Case:
    """Close the case because its owner took the claim back; a rejected one stays rejected."""
    return case if case.state is State.REJECTED else replace(case, state=State.WITHDRAWN)


def open_task(file: File) -> Task | None:
    """The step that waits for people, if any does; there is never more than one."""
    return next((task for task in file.tasks if task.state is State.OPEN), None)
