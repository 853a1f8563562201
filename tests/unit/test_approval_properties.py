"""Whatever the organisation and the rule: nobody decides on their own claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.approval import ClaimApproved
from services.approval.domain import State
from services.approval.policy import rule_on
from tests.support.approval_values import (
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

NAMES = [f"p{number}" for number in range(8)]
references = st.sampled_from(
    ["manager", "cost_center_owner", "project_owner", *(f"employee:{name}" for name in NAMES)]
)
steps_of = st.builds(
    lambda approvers, quorum: a_step(*approvers, quorum=quorum),
    st.lists(references, min_size=1, max_size=3, unique=True),
    st.sampled_from(["any", "all"]),
)
managers = st.dictionaries(
    st.sampled_from(NAMES), st.none() | st.sampled_from([*NAMES, "stranger"]), min_size=1
)


@settings(deadline=None)
@given(
    people=managers,
    gone=st.sets(st.sampled_from(NAMES)),
    owners=st.tuples(*[st.sampled_from(NAMES)] * 3),
    steps=st.lists(steps_of, min_size=1, max_size=4),
    claimant=st.sampled_from(NAMES),
)
def test_whatever_the_organisation_nobody_approves_their_own_claim(
    people: dict[str, str | None],
    gone: set[str],
    owners: tuple[str, str, str],
    steps: list[ApprovalStep],
    claimant: str,
) -> None:
    organisation = reporting(
        people,
        gone=gone,
        cost_centers={"CC-100": owners[0], "CC-200": owners[1]},
        projects={"P-1": owners[2]},
    )
    moment = a_moment(organisation)
    claim = a_claim("1000.00", lines=TWO_CENTERS, employee=claimant)
    ruling = rule_on(a_case(claim), compiled(*steps), moment)
    answers = 0
    while ruling.case.state is State.OPEN:
        asked = next(task.asked for task in ruling.file.tasks if task.state is State.OPEN)
        assert asked
        assert claimant not in asked
        assert gone.isdisjoint(asked)
        ruling = agreed(ruling, asked[0], moment)
        answers += 1
    if isinstance(ruling.fact, ClaimApproved):
        assert answers > 0
        assert {one.step for one in ruling.fact.decisions} == set(range(1, len(steps) + 1))
        assert claimant not in {one.by for one in ruling.fact.decisions}
