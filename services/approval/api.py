"""The HTTP face of approval: what waits for whom, what people decide, rules and inputs."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from chassis.http import PageArgs, Paged, Problem, Reading, Writing, router
from contracts.masterdata import ApprovalStep, Condition
from contracts.values import ClaimId, Code, Money, PaidBy, Text
from services.approval.domain import BudgetOutcome, State, Tray, Verdict, named_in
from services.approval.policy import Moment, Refusal, approve, reject
from services.approval.rules import sentence
from services.approval.store import cases, organisation, tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from chassis.db import Tx
    from services.approval.domain import Case, File, Matter, RuleVersion, Task
    from services.approval.policy import Ruling

T = TypeVar("T")
routes = router()
_CODE: Final = TypeAdapter[str](Code)
_STATUS: Final = {
    "CLAIM_WITHDRAWN": 409,
    "STEP_CLOSED": 409,
    "SELF_APPROVAL": 403,
    "NOT_AN_APPROVER": 403,
}
_VERSION_MAX: Final = 2**31 - 1  # What the column holds; a cursor beyond it is forged.
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$"),
]


class ApproveRequest(BaseModel):
    """Who agrees, and what they want to add."""

    model_config = ConfigDict(extra="forbid")

    by: Code
    comment: Text = ""


class RejectRequest(BaseModel):
    """Who refuses, and why: the claimant reads it."""

    model_config = ConfigDict(extra="forbid")

    by: Code
    reason: Why


class ApproverView(BaseModel):
    """One person in a step: why this person, and what they have said."""

    approver: str
    reference: str
    verdict: Verdict
    at: datetime | None
    comment: str


class StepView(BaseModel):
    """One step of a claim's way, as it went."""

    task_id: UUID
    step: int
    name: str
    quorum: Literal["any", "all"]
    state: State
    since: datetime
    closed_at: datetime | None
    approvers: list[ApproverView]

    @classmethod
    def of(cls, task: Task) -> Self:
        """The step behind a task."""
        return cls(**_step(task))


class InputsView(BaseModel):
    """What the rules looked at, and what they decided."""

    claim_id: ClaimId
    revision: int
    claim_state: State
    company: str | None
    claimant: str | None
    total: Money | None
    paid_by: PaidBy | None
    cost_centers: list[str]
    projects: list[str]
    categories: list[str]
    purpose: str
    possible_duplicates: int
    budget: BudgetOutcome | None
    grade: str
    rule: str | None
    rule_version: int | None


class TaskView(InputsView):
    """A step in front of a person, with all that the decision needs."""

    claimant_name: str
    task_id: UUID
    step: int
    name: str
    quorum: Literal["any", "all"]
    state: State
    since: datetime
    closed_at: datetime | None
    approvers: list[ApproverView]

    @classmethod
    def of(cls, matter: Matter) -> Self:
        """The view of a task and its case."""
        return cls(**_inputs(matter.case), **_step(matter.task), claimant_name=matter.claimant_name)


class CaseView(InputsView):
    """One revision of a claim: inputs, rule version, steps and outcome."""

    reason: str | None
    decided_at: datetime | None
    steps: list[StepView]

    @classmethod
    def of(cls, file: File) -> Self:
        """The view of a case with its steps so far."""
        return cls(
            **_inputs(file.case),
            reason=file.case.reason,
            decided_at=file.case.decided_at,
            steps=[StepView.of(task) for task in file.tasks],
        )


class ClaimView(BaseModel):
    """How a claim was decided, each revision by itself."""

    claim_id: ClaimId
    revisions: list[CaseView]


class RuleView(BaseModel):
    """A version of a rule; `in_force` if claims are tried against it today."""

    company: str
    rule: str
    version: int
    priority: int
    sentence: str
    conditions: list[Condition]
    steps: list[ApprovalStep]
    valid_from: date
    active: bool
    in_force: bool
    fallback: bool

    @classmethod
    def of(cls, one: RuleVersion) -> Self:
        """The view of a published version."""
        rule = one.defined
        return cls(
            company=rule.company,
            rule=rule.rule,
            version=rule.version,
            priority=rule.priority,
            sentence=sentence(rule, one.currency),
            conditions=rule.conditions,
            steps=rule.steps,
            valid_from=rule.valid_from,
            active=rule.active,
            in_force=rule.active and one.newest,
            fallback=not rule.conditions,
        )


@routes.get("/tasks")
async def list_tasks(
    reader: Reading,
    page: PageArgs,
    approver: Code | None = None,
    company: Code | None = None,
    state: Literal["open", "approved", "rejected", "withdrawn"] = "open",
) -> Paged[TaskView]:
    """Tasks, the oldest first; with `approver` and `open`, those that wait for this person."""
    found = await tasks.tasks_in(
        reader,
        Tray(state, company, approver),
        None if page.after is None else _cursor(page.after, lambda after: UUID(after[0])),
        page.limit + 1,
    )
    return Paged.of([TaskView.of(one) for one in found], page, key=lambda one: [one.task_id])


@routes.get("/tasks/{task_id}")
async def show_task(reader: Reading, task_id: UUID) -> TaskView:
    """One task, whatever has become of it."""
    found = await tasks.matters(reader, [task_id])
    if not found:
        raise _unknown(task_id)
    return TaskView.of(found[0])


@routes.post("/tasks/{task_id}/approve")
async def approve_task(tx: Writing, task_id: UUID, body: ApproveRequest) -> TaskView:
    """Agree to a step; the claim goes on when the step's quorum has agreed."""
    return await _decide(
        tx,
        task_id,
        body.by,
        lambda file, moment: approve(
            file, task_id, by=body.by, comment=body.comment, moment=moment
        ),
    )


@routes.post("/tasks/{task_id}/reject")
async def reject_task(tx: Writing, task_id: UUID, body: RejectRequest) -> TaskView:
    """Refuse the claim for good, with a reason that its claimant reads."""
    return await _decide(
        tx,
        task_id,
        body.by,
        lambda file, moment: reject(file, task_id, by=body.by, reason=body.reason, moment=moment),
    )


@routes.get("/claims/{claim_id}")
async def show_claim(reader: Reading, claim_id: UUID) -> ClaimView:
    """How a claim was decided: inputs, rule version, who said what."""
    files = await tasks.revisions(reader, claim_id)
    if not files:
        raise Problem(404, "CLAIM_NOT_FOUND", f"approval has not heard of the claim {claim_id}")
    return ClaimView(claim_id=claim_id, revisions=[CaseView.of(file) for file in files])


@routes.get("/rules")
async def list_rules(
    reader: Reading, page: PageArgs, company: Code | None = None
) -> Paged[RuleView]:
    """Every version of every rule, by company, rule and version."""
    found = await organisation.rule_versions(
        reader,
        company=company,
        after=("", "", 0) if page.after is None else _cursor(page.after, _version),
        limit=page.limit + 1,
    )
    return Paged.of(
        [RuleView.of(one) for one in found],
        page,
        key=lambda one: [one.company, one.rule, one.version],
    )


async def _decide(
    tx: Tx, task_id: UUID, by: str, act: Callable[[File, Moment], Ruling | Refusal]
) -> TaskView:
    """Lock the case, let its approver act on it, save and say what follows."""
    key = await tasks.key_of(tx, task_id)
    if key is None:
        raise _unknown(task_id)
    file = (await tasks.lock_files(tx, [key]))[0]
    claim = file.case.known
    named = named_in(file.steps, claim.company) | {(claim.company, by)}
    people = await organisation.load(tx, [claim], named)
    answer = act(file, Moment(tx.now, people, tx.new_id))
    if isinstance(answer, Refusal):
        raise Problem(_STATUS[answer.code], answer.code, answer.detail)
    if file.cause is None:
        raise AssertionError(f"task {task_id} was never opened")
    cause = tx.emit_after_wait(answer.fact, because=file.cause) if answer.fact else file.cause
    await cases.save(tx, [answer.case])
    await tasks.save_tasks(tx, [(answer, cause)])
    return TaskView.of((await tasks.matters(tx, [task_id]))[0])


def _unknown(task_id: UUID) -> Problem:
    return Problem(404, "TASK_NOT_FOUND", f"no task has the id {task_id}")


def _cursor(after: list[str], read: Callable[[list[str]], T]) -> T:
    """The place where a page begins; a forged cursor is refused."""
    try:
        return read(after)
    except (IndexError, ValueError):
        raise Problem(
            422, "CURSOR_INVALID", "use the `next` of the page before, unchanged"
        ) from None


def _version(after: list[str]) -> tuple[str, str, int]:
    company, rule, version = after
    if not 0 <= int(version) <= _VERSION_MAX:
        raise ValueError(version)
    return _CODE.validate_python(company), _CODE.validate_python(rule), int(version)


def _inputs(case: Case) -> dict[str, Any]:
    claim = case.claim
    return {
        "claim_id": case.claim_id,
        "revision": case.revision,
        "claim_state": case.state,
        "company": claim and claim.company,
        "claimant": claim and claim.employee,
        "total": claim and claim.total,
        "paid_by": claim and claim.paid_by,
        "cost_centers": list(claim.cost_centers) if claim else [],
        "projects": [code for code in claim.projects if code] if claim else [],
        "categories": list(claim.categories) if claim else [],
        "purpose": claim.purpose if claim else "",
        "possible_duplicates": claim.warnings if claim else 0,
        "budget": case.outcome,
        "grade": case.grade,
        "rule": case.rule,
        "rule_version": case.rule_version,
    }


def _step(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "step": task.step,
        "name": task.name,
        "quorum": task.quorum,
        "state": task.state,
        "since": task.opened_at,
        "closed_at": task.closed_at,
        "approvers": [
            ApproverView(
                approver=one.employee,
                reference=one.reference,
                verdict=one.verdict,
                at=one.at,
                comment=one.comment,
            )
            for one in task.approvers
        ],
    }
