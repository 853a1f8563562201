"""What was never said although it had to follow: seen once its cause is due, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contracts.budget import FundsReleased, FundsSpent
from ledgerbus.conservation import prove
from ledgerbus.stories import Stories
from tests.support.story_values import Tale, cny, told

if TYPE_CHECKING:
    from contracts.envelope import Event

TALE = Tale()
FACTS: dict[str, Any] = {
    "claim_id": TALE.claim,
    "revision": 1,
    "company": TALE.company,
    "total": TALE.total,
    "allocations": [],
}
SPENT = FundsSpent(**FACTS)
LET_GO = FundsReleased(**FACTS, was="reserved", because="CLAIM_WITHDRAWN")
GIVEN_BACK = FundsReleased(**FACTS, was="spent", because="ENTRY_REVERSED")
RESERVED = TALE.until_posted()[:4]
POSTED = TALE.until_posted()
TURNED_BACK = [*POSTED, SPENT, TALE.withdrawn(), *TALE.turned_back()]
PAID_IN_PARTS = [
    *POSTED,
    SPENT,
    TALE.paid(cny("900.00")),
    TALE.paid(cny("43.40"), rest=cny("0.00")),
]

LOSSES: list[tuple[str, list[Event], Event]] = [
    ("spent-after-posted", POSTED, SPENT),
    ("released-after-its-end", [*RESERVED, TALE.failed()], LET_GO),
    ("released-after-its-end", [*RESERVED, TALE.withdrawn()], LET_GO),
    ("given-back-after-reversed", TURNED_BACK, GIVEN_BACK),
    ("settled-after-paid", [*POSTED, SPENT, TALE.paid()], TALE.settled()),
    ("settled-after-paid", PAID_IN_PARTS, TALE.settled()),
]
losses = pytest.mark.parametrize(("invariant", "story", "missing"), LOSSES)


def heard(*events: Event, due: bool) -> Stories:
    """The stories that the events tell, all of them due or none."""
    stories = Stories()
    for fact in told(*events):
        stories.tell(fact._replace(due=due))
    return stories


@losses
def test_a_consequence_that_never_came_names_the_claim(
    invariant: str, story: list[Event], missing: Event
) -> None:
    table = prove(heard(*story, due=True))
    assert [(v.invariant, v.subject) for v in table.violations] == [(invariant, TALE.name)]
    assert not table.gaps
    assert prove(heard(*story, missing, due=True)).proven


@losses
def test_work_under_way_is_no_loss(invariant: str, story: list[Event], missing: Event) -> None:
    assert prove(heard(*story, due=False)).proven, (invariant, missing.kind)


@losses
def test_a_consequence_behind_the_watermark_is_no_loss(
    invariant: str, story: list[Event], missing: Event
) -> None:
    stories = heard(*story, due=True)
    for fact in told(missing, late=True):
        stories.tell(fact)
    assert prove(stories).proven, invariant


@losses
def test_a_service_that_does_not_run_may_have_said_it(
    invariant: str, story: list[Event], missing: Event
) -> None:
    table = prove(heard(*story, due=True), complete=False)
    assert table.proven, (invariant, missing.kind)


def test_a_payment_that_is_not_due_settles_nothing_yet() -> None:
    stories = heard(*PAID_IN_PARTS[:-1], due=True)
    for fact in told(PAID_IN_PARTS[-1]):
        stories.tell(fact)
    assert prove(stories).proven


NOTHING_FOLLOWS: list[tuple[str, list[Event]]] = [
    ("a withdrawal before the reservation", [TALE.submitted(), TALE.withdrawn()]),
    ("a withdrawal behind the entry", [*POSTED, SPENT, TALE.withdrawn()]),
    ("a payment in part", PAID_IN_PARTS[:-1]),
    ("a payment of a withdrawn claim", [*POSTED, SPENT, TALE.paid(), TALE.withdrawn()]),
    (
        "a settlement whose payment came back",
        [*POSTED, SPENT, TALE.paid(), TALE.settled(), TALE.returned(TALE.total, TALE.total)],
    ),
]


@pytest.mark.parametrize(("what", "story"), NOTHING_FOLLOWS)
def test_nothing_is_missed_where_nothing_has_to_follow(what: str, story: list[Event]) -> None:
    table = prove(heard(*story, due=True))
    assert table.proven, (what, table.violations)
