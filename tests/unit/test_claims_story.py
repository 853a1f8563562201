"""Where a claim stands follows from what was said of it, in whatever order."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from contracts.values import Money, claim_id
from services.claims.domain import (
    Claim,
    Facts,
    IllegalTransition,
    State,
    TotalMismatch,
    awaited,
    hear,
    heard_step,
)
from tests.support import given
from tests.support.claims_values import (
    approved,
    asked,
    checked,
    cny,
    failed,
    funds_refused,
    held_back,
    matched,
    posted,
    rejected,
    reserved,
    returned,
    turned_back,
    unmatched,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contracts.claims import ClaimSettled
    from services.claims.domain import Remark, Told

SUBMITTED = Claim(claim_id("tests", "K1"), 1, "C1", cny("106.00"), Facts.SUBMITTED, employee="E1")


def after(facts: Iterable[Told], claim: Claim = SUBMITTED) -> tuple[Claim, list[ClaimSettled]]:
    said: list[ClaimSettled] = []
    for fact in facts:
        claim, words = hear(claim, fact)
        said += words
    return claim, said


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ([], State.SUBMITTED),
        ([asked()], State.IN_APPROVAL),
        ([asked(), approved()], State.APPROVED),
        ([asked(), rejected()], State.REJECTED),
        ([approved(), reserved()], State.RESERVED),
        ([approved(), funds_refused()], State.FUNDS_REFUSED),
        ([approved(), reserved(), posted()], State.POSTED),
        ([approved(), reserved(), failed()], State.POSTING_FAILED),
        ([approved(), reserved(), held_back()], State.POSTING_HELD),
        ([approved(), reserved(), held_back(), posted()], State.POSTED),
        ([approved(), reserved(), held_back(), failed()], State.POSTING_FAILED),
        ([posted(), turned_back()], State.REVERSED),
        ([posted(), matched(paid=100, rest=10500)], State.POSTED),
        ([posted(), matched()], State.SETTLED),
        ([posted(), matched(), returned()], State.POSTED),
        ([posted(), matched(), unmatched()], State.POSTED),
    ],
)
def test_the_furthest_fact_says_where_a_claim_stands(facts: list[Told], state: State) -> None:
    assert after(facts)[0].state is state


def test_the_order_of_topics_does_not_matter() -> None:
    facts: list[Told] = [asked(), approved(), reserved(), posted(), matched()]
    expected, _ = after(facts)
    for order in permutations(facts):
        claim, said = after(order)
        assert claim == expected
        assert [(word.paid, str(word.settled_on)) for word in said] == [
            (cny("106.00"), "2024-03-20")
        ]


def test_a_claim_that_has_not_come_is_awaited_whatever_is_said_of_it() -> None:
    claim, said = after([posted(), matched()], awaited(posted()))
    assert claim.state is State.AWAITED
    assert said == []
    assert claim.told(Facts.SUBMITTED).state is State.SETTLED


def test_a_claim_is_settled_again_after_its_money_came_back() -> None:
    claim, said = after([posted(), matched(), returned(), matched(2)])
    assert claim.state is State.SETTLED
    assert len(said) == 2


def test_two_parts_settle_a_claim_once() -> None:
    parts = [matched(1, paid=600, rest=10000), matched(2, paid=10000, rest=0)]
    claim, said = after([posted(), *parts])
    assert claim.state is State.SETTLED
    assert [word.paid for word in said] == [cny("106.00")]


def test_a_refund_is_settled_when_the_employee_has_paid() -> None:
    refund = replace(SUBMITTED, total=Money(-10600, "CNY"))
    [match] = [matched(paid=-10600, rest=0, minor=-10600)]
    claim, said = after([posted(minor=-10600), match], refund)
    assert claim.state is State.SETTLED
    assert said[0].paid == Money(-10600, "CNY")


@pytest.mark.parametrize("fact", [posted(), reserved(), failed(), turned_back(), rejected()])
def test_withdrawn_is_withdrawn_whatever_comes_late(fact: Told) -> None:
    claim, _ = after([fact], SUBMITTED.told(Facts.WITHDRAWN))
    assert claim.state is State.WITHDRAWN


@pytest.mark.parametrize(
    "pair",
    [(approved(), rejected()), (reserved(), funds_refused()), (failed(), posted())],
)
def test_two_ends_at_once_are_a_defect(pair: tuple[Told, Told]) -> None:
    with pytest.raises(IllegalTransition):
        after(pair)


def test_another_amount_is_a_defect() -> None:
    with pytest.raises(TotalMismatch):
        hear(SUBMITTED, posted(minor=10601))


def test_the_same_fact_under_another_event_id_is_the_same_step() -> None:
    first, again = (heard_step(given(matched())) for _ in range(2))
    assert first.mark == again.mark
    assert first.event_id != again.event_id


def test_different_facts_are_different_steps() -> None:
    facts: list[Told | Remark] = [
        checked(),
        asked(1),
        asked(2),
        matched(1),
        matched(2),
        returned(1),
        unmatched(1),
    ]
    assert len({heard_step(given(fact)).mark for fact in facts}) == len(facts)


@pytest.mark.parametrize(
    ("fact", "actor"),
    [
        (approved(), "M1"),
        (rejected(), "M1"),
        (unmatched(), "F1"),
        (checked(), "budget"),
        (posted(), "posting"),
        (matched(), "reconcile"),
    ],
)
def test_a_step_names_who_acted(fact: Told | Remark, actor: str) -> None:
    assert heard_step(given(fact)).actor == actor
