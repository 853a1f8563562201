"""Who is asked, in which order, and what an answer leads to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from contracts.approval import ClaimApproved, ClaimRejected, StepOpened
from services.approval.domain import File, State, Verdict, named_in, withdraw
from services.approval.policy import (
    GRACE,
    Refusal,
    Ruling,
    approve,
    hand_over,
    reject,
    rule_on,
    take_back,
)
from tests.support.approval_values import (
    AT,
    COMPANY,
    PEOPLE,
    TWO_CENTERS,
    a_case,
    a_claim,
    a_moment,
    a_step,
    agreed,
    compiled,
    reporting,
)

if TYPE_CHECKING:
    from contracts.masterdata import ApprovalStep
    from services.approval.domain import Organisation, Rule
    from services.approval.policy import Moment


def opened(
    *steps: ApprovalStep, moment: Moment | None = None, employee: str = "lin"
) -> tuple[Ruling, StepOpened]:
    """The first step of a claim of two cost centres and a project."""
    claim = a_claim("1000.00", lines=TWO_CENTERS, employee=employee)
    ruling = rule_on(a_case(claim), compiled(*steps), moment or a_moment())
    assert isinstance(ruling.fact, StepOpened)
    return ruling, ruling.fact


def refused(file: File, by: str, moment: Moment, step: int = 0) -> str:
    """The code with which somebody's decision is refused, both ways."""
    task_id = file.tasks[step].task_id
    answers = [
        approve(file, task_id, by=by, comment="", moment=moment),
        reject(file, task_id, by=by, reason="no", moment=moment),
    ]
    assert all(isinstance(answer, Refusal) for answer in answers)
    codes = {answer.code for answer in answers if isinstance(answer, Refusal)}
    assert len(codes) == 1
    return codes.pop()


def test_a_rule_without_steps_approves_by_itself() -> None:
    claim = a_claim()
    ruling = rule_on(a_case(claim), compiled(version=3), a_moment())
    fact = ruling.fact
    assert isinstance(fact, ClaimApproved)
    assert (fact.route, fact.rule, fact.rule_version) == ("automatic", "R1", 3)
    assert (fact.total, fact.decisions) == (claim.total, [])
    assert ruling.case.state is State.APPROVED
    assert ruling.tasks == ()


def test_without_a_rule_nobody_decides() -> None:
    ruling = rule_on(a_case(a_claim(), "over", "director"), None, a_moment())
    assert isinstance(ruling.fact, ClaimRejected)
    reason = ruling.fact.reasons[0]
    assert (reason.code, reason.who, ruling.fact.by) == ("NO_RULE", "masterdata", "rules")
    assert reason.figures == {
        "total": "943.40 CNY",
        "grade": "director",
        "budget": "over",
        "rule": "",
    }
    assert ruling.case.state is State.REJECTED
    assert ruling.case.rule_version is None


@pytest.mark.parametrize("rule", [None, compiled(a_step("employee:stranger"))])
def test_what_is_missing_may_still_come_for_a_while(rule: Rule | None) -> None:
    case = replace(a_case(a_claim()), received_at=AT)
    young, old = a_moment(), replace(a_moment(), at=AT + GRACE)
    assert rule_on(case, rule, young).fact is None
    assert rule_on(case, rule, young).case == case
    assert isinstance(rule_on(case, rule, old).fact, ClaimRejected)


def test_a_claim_of_somebody_unknown_is_not_decided_by_any_rule() -> None:
    fact = rule_on(a_case(a_claim(), grade=""), compiled(), a_moment()).fact
    assert isinstance(fact, ClaimRejected)
    assert (fact.reasons[0].code, fact.reasons[0].who) == ("EMPLOYEE_UNKNOWN", "masterdata")


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        ("manager", ["wang"]),
        ("cost_center_owner", ["sun", "wang"]),
        ("project_owner", ["ma"]),
        ("employee:zhao", ["zhao"]),
    ],
)
def test_a_reference_asks_whom_it_means(reference: str, asked: list[str]) -> None:
    _, fact = opened(a_step(reference, name="Step"))
    assert fact.approvers == asked
    assert (fact.step, fact.name, fact.quorum) == (1, "Step", "any")


@pytest.mark.parametrize(
    ("employee", "gone", "asked"),
    [
        ("lin", [], "wang"),
        ("lin", ["wang"], "chen"),
        ("lin", ["wang", "chen"], "zhao"),
        ("wang", [], "chen"),
    ],
)
def test_the_next_manager_up_stands_in(employee: str, gone: list[str], asked: str) -> None:
    moment = a_moment(reporting(PEOPLE, gone=gone))
    _, fact = opened(a_step("manager"), moment=moment, employee=employee)
    assert fact.approvers == [asked]


@pytest.mark.parametrize("reference", ["cost_center_owner", "employee:sun"])
def test_an_owner_who_claims_is_replaced_by_the_manager(reference: str) -> None:
    claim = a_claim("10.00", employee="sun")
    ruling = rule_on(a_case(claim), compiled(a_step(reference)), a_moment())
    assert isinstance(ruling.fact, StepOpened)
    assert ruling.fact.approvers == ["chen"]


@pytest.mark.parametrize(
    ("steps", "organisation"),
    [
        ([a_step("manager")], reporting({"lin": None})),
        ([a_step("manager")], reporting({"lin": "lin"})),
        ([a_step("manager")], reporting({"lin": "wang", "wang": "lin"}, gone=["wang"])),
        ([a_step("manager")], reporting({"lin": "stranger"})),
        ([a_step("manager")], reporting({})),
        ([a_step("project_owner")], reporting(PEOPLE)),
        ([a_step("employee:stranger")], reporting(PEOPLE)),
        ([a_step("manager"), a_step("employee:stranger")], reporting(PEOPLE)),
        (
            [a_step("cost_center_owner", quorum="all")],
            reporting(PEOPLE, cost_centers={"CC-200": "chen"}),
        ),
    ],
)
def test_when_nobody_is_left_to_ask_the_claim_is_rejected_at_once(
    steps: list[ApprovalStep], organisation: Organisation
) -> None:
    claim = a_claim("1000.00", lines=TWO_CENTERS)
    ruling = rule_on(a_case(claim), compiled(*steps), a_moment(organisation))
    assert isinstance(ruling.fact, ClaimRejected)
    assert ruling.fact.reasons[0].code == "NO_APPROVER"
    assert ruling.fact.reasons[0].who == "masterdata"
    assert ruling.case.rule_version == 1
    assert ruling.tasks == ()


def test_one_of_any_is_enough() -> None:
    moment = a_moment()
    ruling, _ = opened(a_step("cost_center_owner"), moment=moment)
    ruling = agreed(ruling, "wang", moment)
    assert isinstance(ruling.fact, ClaimApproved)
    assert [(one.step, one.by, one.at) for one in ruling.fact.decisions] == [(1, "wang", AT)]
    assert ruling.fact.route == "people"
    verdicts = {one.employee: one.verdict for one in ruling.file.tasks[0].approvers}
    assert verdicts == {"wang": Verdict.APPROVED, "sun": Verdict.RELEASED}


def test_all_means_all() -> None:
    moment = a_moment()
    ruling, _ = opened(a_step("cost_center_owner", quorum="all"), moment=moment)
    waiting = agreed(ruling, "wang", moment)
    assert waiting.fact is None
    assert waiting.case.state is State.OPEN
    assert refused(waiting.file, "wang", moment) == "STEP_CLOSED"
    done = agreed(waiting, "sun", moment)
    assert isinstance(done.fact, ClaimApproved)
    assert {one.by for one in done.fact.decisions} == {"wang", "sun"}


def test_steps_open_one_after_the_other() -> None:
    moment = a_moment()
    ruling, _ = opened(a_step("manager"), a_step("employee:sun"), moment=moment)
    ruling = agreed(ruling, "wang", moment)
    assert isinstance(ruling.fact, StepOpened)
    assert (ruling.fact.step, ruling.fact.approvers) == (2, ["sun"])
    ruling = agreed(ruling, "sun", moment)
    assert isinstance(ruling.fact, ClaimApproved)
    assert [(one.step, one.by) for one in ruling.fact.decisions] == [(1, "wang"), (2, "sun")]


def test_the_same_person_on_consecutive_steps_is_asked_once() -> None:
    moment = a_moment()
    steps = [a_step("manager"), a_step("employee:wang"), a_step("employee:wang", "employee:ma")]
    ruling, _ = opened(*steps, moment=moment)
    ruling = agreed(ruling, "wang", moment)
    assert isinstance(ruling.fact, ClaimApproved)
    assert [(one.step, one.by) for one in ruling.fact.decisions] == [
        (1, "wang"),
        (2, "wang"),
        (3, "wang"),
    ]
    assert len(ruling.tasks) == 3


def test_after_another_person_the_first_one_is_asked_again() -> None:
    moment = a_moment()
    steps = [a_step("employee:wang"), a_step("employee:sun"), a_step("employee:wang")]
    ruling, _ = opened(*steps, moment=moment)
    ruling = agreed(agreed(ruling, "wang", moment), "sun", moment)
    assert isinstance(ruling.fact, StepOpened)
    assert (ruling.fact.step, ruling.fact.approvers) == (3, ["wang"])


def test_who_agreed_before_counts_where_all_must_agree() -> None:
    moment = a_moment()
    steps = [a_step("manager"), a_step("manager", "employee:sun", quorum="all")]
    ruling, _ = opened(*steps, moment=moment)
    ruling = agreed(ruling, "wang", moment)
    assert isinstance(ruling.fact, StepOpened)
    assert ruling.fact.approvers == ["sun"]


def test_one_no_is_enough_and_carries_its_reason() -> None:
    moment = a_moment()
    ruling, fact = opened(a_step("cost_center_owner", quorum="all"), moment=moment)
    answer = reject(ruling.file, fact.task_id, by="sun", reason="no receipt", moment=moment)
    assert isinstance(answer, Ruling)
    assert isinstance(answer.fact, ClaimRejected)
    reason = answer.fact.reasons[0]
    assert (answer.fact.by, reason.code, reason.detail) == (
        "sun",
        "REJECTED_BY_APPROVER",
        "no receipt",
    )
    assert reason.who == "claimant"
    assert answer.case.state is State.REJECTED
    assert answer.tasks[0].state is State.REJECTED


def test_nobody_decides_on_their_own_claim() -> None:
    moment = a_moment()
    ruling, _ = opened(a_step("manager"), moment=moment)
    assert refused(ruling.file, "lin", moment) == "SELF_APPROVAL"


def test_a_stranger_decides_nothing() -> None:
    moment = a_moment()
    ruling, _ = opened(a_step("manager"), moment=moment)
    assert refused(ruling.file, "sun", moment) == "NOT_AN_APPROVER"


def test_an_approver_who_has_left_decides_nothing() -> None:
    ruling, _ = opened(a_step("manager"))
    later = a_moment(reporting(PEOPLE, gone=["wang"]))
    assert refused(ruling.file, "wang", later) == "NOT_AN_APPROVER"


def test_a_decided_step_stays_decided() -> None:
    moment = a_moment()
    ruling, _ = opened(a_step("manager"), a_step("employee:sun"), moment=moment)
    ruling = agreed(ruling, "wang", moment)
    assert refused(ruling.file, "wang", moment) == "STEP_CLOSED"


def test_a_withdrawn_claim_is_asked_about_no_more() -> None:
    moment = a_moment()
    ruling, _ = opened(a_step("manager"), moment=moment)
    gone = take_back(ruling.file, moment)
    assert gone.case.state is State.WITHDRAWN
    assert [task.state for task in gone.tasks] == [State.WITHDRAWN]
    assert gone.tasks[0].asked == []
    assert refused(gone.file, "wang", moment) == "CLAIM_WITHDRAWN"


def test_a_rejected_claim_stays_rejected() -> None:
    rejected = rule_on(a_case(a_claim()), None, a_moment()).case
    assert withdraw(rejected) is rejected


def test_an_approver_who_leaves_hands_over_to_the_next_manager() -> None:
    ruling, fact = opened(a_step("manager"))
    later = a_moment(reporting(PEOPLE, gone=["wang"]))
    handed = hand_over(ruling.file, frozenset({"wang"}), later)
    assert handed
    assert isinstance(handed.fact, StepOpened)
    assert (handed.fact.task_id, handed.fact.approvers) == (fact.task_id, ["chen"])
    assert refused(handed.file, "wang", later) == "STEP_CLOSED"
    assert isinstance(agreed(handed, "chen", later).fact, ClaimApproved)


def test_whoever_is_not_asked_leaves_without_a_trace() -> None:
    moment = a_moment()
    ruling, _ = opened(a_step("cost_center_owner"), moment=moment)
    assert hand_over(ruling.file, frozenset({"ma"}), moment) is None
    done = agreed(ruling, "sun", moment)
    assert hand_over(done.file, frozenset({"wang"}), moment) is None


def test_the_last_voice_that_agreed_closes_the_step_when_the_other_is_replaced_by_it() -> None:
    people = {"lin": "wang", "wang": "sun", "sun": None}
    moment = a_moment(reporting(people))
    steps = [a_step("employee:wang", "employee:sun", quorum="all")]
    ruling, _ = opened(*steps, moment=moment)
    ruling = agreed(ruling, "sun", moment)
    later = a_moment(reporting(people, gone=["wang"]))
    handed = hand_over(ruling.file, frozenset({"wang"}), later)
    assert handed
    assert isinstance(handed.fact, ClaimApproved)


@pytest.mark.parametrize("quorum", ["any", "all"])
def test_a_step_without_a_successor_rejects_the_claim(quorum: str) -> None:
    people = {"lin": "wang", "wang": None}
    ruling, _ = opened(a_step("manager", quorum=quorum), moment=a_moment(reporting(people)))
    later = a_moment(reporting(people, gone=["wang"]))
    handed = hand_over(ruling.file, frozenset({"wang"}), later)
    assert handed
    assert isinstance(handed.fact, ClaimRejected)
    assert handed.fact.reasons[0].code == "NO_APPROVER"


def test_named_people_are_known_beforehand() -> None:
    steps = [a_step("manager", "employee:zhao"), a_step("employee:sun", "project_owner")]
    assert named_in(steps, COMPANY) == {(COMPANY, "zhao"), (COMPANY, "sun")}
