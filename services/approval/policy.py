"""The route of a claim: who is asked in which step, what an answer leads to, and what is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from contracts.approval import ClaimApproved, ClaimRejected, Decision, StepOpened
from contracts.values import Reason
from services.approval.domain import (
    AGREED,
    EMPLOYEE,
    Approver,
    Case,
    File,
    State,
    Task,
    Verdict,
    open_task,
    withdraw,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from uuid import UUID

    from contracts.masterdata import ApprovalStep
    from services.approval.domain import Claim, Organisation, Rule

# Master data comes on topics of its own and may arrive after the claim that needs it: what is
# missing is looked for again this long before the refusal becomes a fact.
GRACE: Final = timedelta(seconds=10)
RULES: Final = "rules"  # Who rejects a claim that no person was asked about.
Fact = StepOpened | ClaimApproved | ClaimRejected


@dataclass(frozen=True, slots=True)
class Moment:
    """What a decision needs from outside: the time, the people, and ids for new tasks."""

    at: datetime
    organisation: Organisation
    new_id: Callable[[], UUID]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a file, the fact to say about it, if any, and the tasks to be stored."""

    file: File
    fact: Fact | None
    tasks: tuple[Task, ...] = ()

    @property
    def case(self) -> Case:
        """The case as it stands now."""
        return self.file.case


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a person may not decide: a stable code and a sentence."""

    code: str
    detail: str


def rule_on(case: Case, rule: Rule | None, moment: Moment) -> Ruling:
    """Decide a case that is complete; without a fact while master data may still be on its way."""
    ruling = _decide(case, rule, moment)
    refused = isinstance(ruling.fact, ClaimRejected)
    if refused and case.received_at and moment.at < case.received_at + GRACE:
        return Ruling(File(case), None)
    return ruling


def _decide(case: Case, rule: Rule | None, moment: Moment) -> Ruling:
    """Approve the claim, open its first step, or say why not."""
    if not case.grade:
        detail = f"no employee of {case.known.company} is called {case.known.employee}"
        unknown = Reason(code="EMPLOYEE_UNKNOWN", detail=detail, who="masterdata")
        return _no(File(case), unknown, RULES, moment)
    if rule is None:
        detail = f"no approval rule of {case.known.company} holds for this claim"
        return _no(
            File(case), Reason(code="NO_RULE", detail=detail, who="masterdata"), RULES, moment
        )
    if not rule.steps:
        state, name, version = State.APPROVED, rule.rule, rule.version
        case = replace(case, state=state, rule=name, rule_version=version, decided_at=moment.at)
        return Ruling(File(case), _approved(File(case)))
    file = File(replace(case, rule=rule.rule, rule_version=rule.version), rule.steps)
    for number, step in enumerate(rule.steps, 1):  # Ask nobody in vain when a later step is empty.
        if not _seats(step, case.known, moment.organisation):
            return _nobody(file, number, moment)
    return _go_on(file, moment)


def approve(
    file: File, task_id: UUID, *, by: str, comment: str, moment: Moment
) -> Ruling | Refusal:
    """One approver agrees; the step closes when its quorum has agreed, and the next one opens."""
    refusal = _refusal(file, file.task(task_id), by, moment)
    if refusal:
        return refusal
    task = file.task(task_id).said(by, Verdict.APPROVED, moment.at, comment)
    return _progress(file, task, moment)


def reject(file: File, task_id: UUID, *, by: str, reason: str, moment: Moment) -> Ruling | Refusal:
    """One approver says no, which is enough, with a reason for the claimant."""
    refusal = _refusal(file, file.task(task_id), by, moment)
    if refusal:
        return refusal
    task = file.task(task_id).said(by, Verdict.REJECTED, moment.at, reason)
    task = task.closed(State.REJECTED, moment.at)
    why = Reason(
        code="REJECTED_BY_APPROVER",
        detail=reason,
        who="claimant",
        figures={"step": task.name, "approver": by},
    )
    return _no(file.changed(task), why, by, moment, task)


def take_back(file: File, moment: Moment) -> Ruling:
    """Ask nobody any more about a claim that its owner has taken back."""
    task = open_task(file)
    closed = (task.closed(State.WITHDRAWN, moment.at),) if task else ()
    return Ruling(replace(file.changed(*closed), case=withdraw(file.case)), None, closed)


def hand_over(file: File, leavers: frozenset[str], moment: Moment) -> Ruling | None:
    """Ask the next manager up in place of approvers who have left; None if none was asked."""
    task = open_task(file)
    if task is None or leavers.isdisjoint(task.asked):
        return None
    claim = file.case.known
    seats = {one.employee: one for one in task.approvers}
    for one in task.approvers:
        if one.verdict is not Verdict.ASKED or one.employee not in leavers:
            continue
        seats[one.employee] = replace(one, verdict=Verdict.RELEASED, at=moment.at)
        able = _stand_in(one.employee, claim, moment.organisation)
        if able:
            seats.setdefault(able, Approver(able, one.reference))
        elif task.quorum == "all":  # A voice that must be heard is missing.
            task = task.closed(State.REJECTED, moment.at)
            return _nobody(file.changed(task), task.step, moment, task)
    task = replace(task, approvers=tuple(seats.values()))
    ruling = _progress(file, task, moment)
    return ruling if ruling.fact else replace(ruling, fact=_opened(file, task))


def decisions(file: File) -> list[Decision]:
    """Who agreed to which step, in order, with the rule version that asked them."""
    case = file.case
    return [
        Decision(
            step=task.step,
            by=one.employee,
            at=one.at,
            rule=case.rule,
            rule_version=case.rule_version,
        )
        for task in sorted(file.tasks, key=lambda task: task.step)
        for one in task.approvers
        if one.verdict in AGREED and one.at and case.rule and case.rule_version
    ]


def _refusal(file: File, task: Task, by: str, moment: Moment) -> Refusal | None:
    claim = file.case.known
    if file.case.state is State.WITHDRAWN:
        return Refusal("CLAIM_WITHDRAWN", "the owner has taken the claim back; nothing to decide")
    if by == claim.employee:
        return Refusal("SELF_APPROVAL", f"{by} made this claim and cannot decide on it")
    if by not in {one.employee for one in task.approvers}:
        return Refusal("NOT_AN_APPROVER", f"{by} is not asked in step '{task.name}'")
    if task.state is not State.OPEN:
        return Refusal("STEP_CLOSED", f"step '{task.name}' is {task.state} already")
    if by not in task.asked:
        return Refusal("STEP_CLOSED", f"{by} has spoken in step '{task.name}' already")
    if not moment.organisation.is_active(claim.company, by):
        return Refusal("NOT_AN_APPROVER", f"{by} is no longer active in {claim.company}")
    return None


def _progress(file: File, task: Task, moment: Moment) -> Ruling:
    """Go on after an open task has changed: wait, open the next step, or find nobody left."""
    if task.satisfied:
        task = task.closed(State.APPROVED, moment.at)
        ruling = _go_on(file.changed(task), moment)
        return replace(ruling, tasks=(task, *ruling.tasks))
    if not task.asked:
        task = task.closed(State.REJECTED, moment.at)
        return _nobody(file.changed(task), task.step, moment, task)
    return Ruling(file.changed(task), None, (task,))


def _go_on(file: File, moment: Moment) -> Ruling:
    """Open the next step in which somebody has to be asked, or approve when none is left."""
    new: list[Task] = []
    for number in range(len(file.tasks) + 1, len(file.steps) + 1):
        task = _task(file, number, moment)
        if task is None:
            return _nobody(file, number, moment, *new)
        file = file.changed(task)
        new.append(task)
        if task.state is State.OPEN:
            file = replace(file, case=replace(file.case, state=State.OPEN))
            return Ruling(file, _opened(file, task), tuple(new))
    case = replace(file.case, state=State.APPROVED, decided_at=moment.at)
    file = replace(file, case=case)
    return Ruling(file, _approved(file), tuple(new))


def _task(file: File, number: int, moment: Moment) -> Task | None:
    """The step's task; whoever agreed in the step just before is not asked again."""
    step = file.steps[number - 1]
    seats = _seats(step, file.case.known, moment.organisation)
    if not seats:
        return None
    before = file.tasks[-1].agreed if file.tasks else frozenset()
    task = Task(
        task_id=moment.new_id(),
        step=number,
        name=step.name,
        quorum=step.quorum,
        opened_at=moment.at,
        approvers=tuple(
            replace(seat, verdict=Verdict.CARRIED, at=moment.at)
            if seat.employee in before
            else seat
            for seat in seats
        ),
    )
    return task.closed(State.APPROVED, moment.at) if task.satisfied else task


def _seats(step: ApprovalStep, claim: Claim, organisation: Organisation) -> list[Approver]:
    """Who is asked in a step; empty if nobody is, or if one who must agree is missing."""
    seats: dict[str, Approver] = {}
    for reference, person in _named(step, claim, organisation):
        able = _stand_in(person, claim, organisation)
        if able:
            seats.setdefault(able, Approver(able, reference))
        elif step.quorum == "all":
            return []
    return list(seats.values())


def _named(
    step: ApprovalStep, claim: Claim, organisation: Organisation
) -> Iterator[tuple[str, str | None]]:
    """Whom the references of a step mean for this claim, whether they may decide or not."""
    for reference in step.approvers:
        if reference == "manager":
            yield reference, organisation.manager_of(claim.company, claim.employee)
        elif reference == "cost_center_owner":
            for code in claim.cost_centers:
                owner = organisation.cost_center_owners.get((claim.company, code))
                yield f"{reference}:{code}", owner
        elif reference == "project_owner":
            for code in filter(None, claim.projects):
                yield f"{reference}:{code}", organisation.project_owners.get((claim.company, code))
        else:
            yield reference, reference.removeprefix(EMPLOYEE)


def _stand_in(person: str | None, claim: Claim, organisation: Organisation) -> str | None:
    """The person, or the next manager up who is active and did not make the claim."""
    return next(
        (
            one
            for one in organisation.upwards(claim.company, person)
            if one != claim.employee and organisation.is_active(claim.company, one)
        ),
        None,
    )


def _nobody(file: File, number: int, moment: Moment, *tasks: Task) -> Ruling:
    step = file.steps[number - 1]
    reason = Reason(
        code="NO_APPROVER",
        detail=f"nobody may decide step {number}, '{step.name[:100]}'",
        who="masterdata",
        figures={"step": step.name, "approvers": ", ".join(step.approvers)},
    )
    return _no(file, reason, RULES, moment, *tasks)


def _no(file: File, reason: Reason, by: str, moment: Moment, *tasks: Task) -> Ruling:
    """Reject for good, with the inputs of the decision among the figures."""
    case = replace(file.case, state=State.REJECTED, reason=reason.code, decided_at=moment.at)
    claim = case.known
    figures = {
        "total": str(claim.total),
        "grade": case.grade,
        "budget": case.outcome or "",
        "rule": f"{case.rule}/{case.rule_version}" if case.rule else "",
    }
    fact = ClaimRejected(
        claim_id=case.claim_id,
        revision=case.revision,
        company=claim.company,
        total=claim.total,
        by=by,
        reasons=[reason.model_copy(update={"figures": figures | reason.figures})],
    )
    return Ruling(replace(file, case=case), fact, tasks)


def _opened(file: File, task: Task) -> StepOpened:
    case = file.case
    return StepOpened(
        claim_id=case.claim_id,
        revision=case.revision,
        company=case.known.company,
        total=case.known.total,
        task_id=task.task_id,
        step=task.step,
        name=task.name,
        approvers=task.asked,
        quorum=task.quorum,
        rule=case.rule or "",
        rule_version=case.rule_version or 0,
    )


def _approved(file: File) -> ClaimApproved:
    case = file.case
    return ClaimApproved(
        claim_id=case.claim_id,
        revision=case.revision,
        company=case.known.company,
        total=case.known.total,
        route="people" if file.steps else "automatic",
        rule=case.rule or "",
        rule_version=case.rule_version or 0,
        decisions=decisions(file),
    )
