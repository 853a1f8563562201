"""The conservation table: every cent of every claim stands in one column, or the claim is named."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.posting import EntryPosted
from contracts.values import Money
from ledgerbus.conservation import hear, prove
from ledgerbus.stories import GIVEN_IDS, Fact, Stories, key_name
from tests.support.story_values import Tale, cny, folded, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.envelope import Event

TALE = Tale()
UNTIL_RESERVED = TALE.until_posted()[:4]

ENDS: list[tuple[str, str, list[Event]]] = [
    ("refused_at_intake", "refused", [TALE.refused_at_intake()]),
    ("submitted", "in_approval", [TALE.submitted()]),
    ("submitted", "in_approval", [TALE.submitted(), TALE.checked()]),
    ("in_approval", "in_approval", [TALE.submitted(), TALE.checked(), TALE.asked()]),
    ("rejected", "refused", [TALE.submitted(), TALE.rejected()]),
    ("approved", "approved", [TALE.submitted(), TALE.approved()]),
    ("funds_refused", "refused", [TALE.submitted(), TALE.approved(), TALE.funds_refused()]),
    ("reserved", "reserved", UNTIL_RESERVED),
    ("posting_failed", "refused", [*UNTIL_RESERVED, TALE.failed()]),
    ("withdrawn", "withdrawn", [*UNTIL_RESERVED, TALE.withdrawn()]),
    ("withdrawn", "withdrawn", [*TALE.until_posted(), TALE.withdrawn(), *TALE.turned_back()]),
    ("posted", "posted_unpaid", TALE.until_posted()),
    ("paid", "paid_matched", [*TALE.until_posted(), TALE.paid()]),
    ("settled", "paid_matched", TALE.whole()),
]


@pytest.mark.parametrize(("state", "column", "story"), ENDS)
def test_every_state_has_its_column(state: str, column: str, story: list[Event]) -> None:
    table = prove(folded(*story))
    (row,) = table.ordered()
    assert table.by_state == {state: 1}
    assert row.submitted == row.columns[column] == sum(row.columns.values()) == TALE.total.minor
    assert table.proven


WRONG = cny("943.41")
OTHER_AMOUNTS: list[tuple[str, list[Event]]] = [
    ("the check", [TALE.submitted(), TALE.checked(WRONG)]),
    ("the approval", [TALE.submitted(), TALE.approved(WRONG)]),
    ("the rejection", [TALE.submitted(), TALE.rejected(WRONG)]),
    ("the reservation", [*UNTIL_RESERVED[:3], TALE.reserved(WRONG)]),
    ("the refusal", [*UNTIL_RESERVED[:3], TALE.funds_refused(WRONG)]),
    ("the entry", [*UNTIL_RESERVED, TALE.posted(WRONG), TALE.recorded(WRONG)]),
    ("the failure", [*UNTIL_RESERVED, TALE.failed(WRONG)]),
    ("the withdrawal", [TALE.submitted(), TALE.withdrawn(WRONG)]),
]


@pytest.mark.parametrize(("where", "story"), OTHER_AMOUNTS)
def test_a_cent_too_much_anywhere_is_a_gap(where: str, story: list[Event]) -> None:
    table = prove(folded(*story))
    assert table.gaps == {TALE.name: cny("-0.01")}, where
    assert not table.proven


Contradiction = tuple[str, list["Event"]]
CONTRADICTIONS: list[Contradiction] = [
    ("submitted-first", [TALE.approved()]),
    ("submitted-first", [TALE.posted(), TALE.recorded()]),
    ("said-once", [TALE.submitted(), TALE.submitted(WRONG)]),
    ("said-once", [*TALE.until_posted()[:3], TALE.approved(WRONG)]),
    ("said-once", [*UNTIL_RESERVED, TALE.reserved(WRONG)]),
    ("one-decision", [TALE.submitted(), TALE.approved(), TALE.rejected()]),
    ("one-answer-from-budget", [*UNTIL_RESERVED, TALE.funds_refused()]),
    ("one-answer-from-posting", [*TALE.until_posted(), TALE.failed()]),
    ("approved-first", [TALE.submitted(), TALE.reserved()]),
    ("reserved-first", [TALE.submitted(), TALE.approved(), TALE.posted(), TALE.recorded()]),
    ("posted-once", [*TALE.until_posted(), TALE.posted(number=2)]),
    ("posted-once", [*TALE.until_posted(), TALE.posted(number=2), TALE.recorded(number=2)]),
    ("entries-paired", [*UNTIL_RESERVED, TALE.posted()]),
    ("entries-paired", [*UNTIL_RESERVED, TALE.recorded()]),
    ("entries-agree", [*UNTIL_RESERVED, TALE.posted(), TALE.recorded(WRONG)]),
    ("entries-balance", [*UNTIL_RESERVED, TALE.posted(), TALE.recorded(credit=WRONG)]),
    ("never-overpaid", [*TALE.until_posted(), TALE.paid(WRONG)]),
    ("open-adds-up", [*TALE.until_posted(), TALE.paid(cny("900.00"), rest=cny("0.00"))]),
    ("settled-in-full", [*TALE.until_posted(), TALE.settled()]),
    ("settled-in-full", [*TALE.until_posted(), TALE.paid(cny("900.00")), TALE.settled()]),
    ("posted-first", [*UNTIL_RESERVED, TALE.paid()]),
    ("one-currency", [TALE.submitted(), TALE.approved(Money.parse("943.40", "EUR"))]),
    ("one-company", [TALE.submitted(), Tale(company="OTHER").approved()]),
]


@pytest.mark.parametrize(("invariant", "story"), CONTRADICTIONS)
def test_contradicting_facts_name_the_claim(invariant: str, story: list[Event]) -> None:
    table = prove(folded(*story))
    assert (invariant, TALE.name) in {(v.invariant, v.subject) for v in table.violations}


def test_a_redelivered_event_changes_nothing() -> None:
    stories = Stories()
    facts = told(*TALE.whole())
    for fact in [*facts, *facts]:
        stories.tell(fact)
    assert stories.repeats == len(facts)
    assert prove(stories).proven


def with_new_ids(event: Event) -> Event:
    """The event as a service says it that was set back to a backup and did the same again."""
    given = {name: uuid5(TALE.claim, f"again {name}") for name in GIVEN_IDS}
    fields = {name: each for name, each in given.items() if name in type(event).model_fields}
    return event.model_copy(update=fields)


AGAIN: list[list[Event]] = [
    [TALE.posted(), TALE.recorded()],
    *([event] for event in TALE.whole() if event.kind != "posting.journal-entry-recorded.v1"),
]


@pytest.mark.parametrize("again", AGAIN, ids=lambda again: str(again[0].kind))
def test_a_fact_said_again_under_new_ids_changes_nothing(again: list[Event]) -> None:
    table = prove(folded(*TALE.whole(), *(with_new_ids(event) for event in again)))
    assert table.proven, table.violations
    assert table.by_state == {"settled": 1}


def test_a_whole_story_said_again_under_new_ids_changes_nothing() -> None:
    table = prove(folded(*TALE.whole(), *(with_new_ids(event) for event in TALE.whole())))
    assert table.proven, table.violations
    assert table.ordered() == prove(folded(*TALE.whole())).ordered()


def test_an_entry_said_again_is_turned_back_under_its_new_id() -> None:
    again = with_new_ids(TALE.posted())
    assert isinstance(again, EntryPosted)
    reversal, record = TALE.turned_back()
    story = [
        *TALE.until_posted(),
        again,
        TALE.withdrawn(),
        reversal.model_copy(update={"reverses": again.entry_id}),
        record.model_copy(update={"reverses": again.entry_id}),
    ]
    table = prove(folded(*story))
    assert table.proven, table.violations
    assert table.by_state == {"withdrawn": 1}


def test_the_same_payment_counts_again_after_it_came_back() -> None:
    back = TALE.returned(TALE.total, TALE.total)
    table = prove(folded(*TALE.whole(), back, with_new_ids(TALE.paid())))
    assert table.proven, table.violations
    assert table.ordered()[0].columns["paid_matched"] == TALE.total.minor


def test_a_payment_in_parts_stands_in_two_columns() -> None:
    table = prove(folded(*TALE.until_posted(), TALE.paid(cny("900.00"))))
    (row,) = table.ordered()
    assert (row.columns["posted_unpaid"], row.columns["paid_matched"]) == (4340, 90000)
    assert table.by_state == {"partly_paid": 1}


def test_a_returned_payment_is_unpaid_again_even_after_the_settlement() -> None:
    table = prove(folded(*TALE.whole(), TALE.returned(TALE.total, TALE.total)))
    (row,) = table.ordered()
    assert row.columns["posted_unpaid"] == TALE.total.minor
    assert table.proven


def test_a_refund_is_conserved_with_its_sign() -> None:
    refund = Tale(total=cny("-25.00"))
    table = prove(folded(*refund.whole()))
    (row,) = table.ordered()
    assert row.submitted == row.columns["paid_matched"] == -2500
    assert table.proven


def test_a_key_accepted_after_a_refusal_is_counted_once() -> None:
    table = prove(folded(TALE.refused_at_intake(WRONG), TALE.submitted()))
    assert table.by_state == {"submitted": 1}
    assert table.by_code == {"SUM_MISMATCH": 1}
    assert table.ordered()[0].submitted == TALE.total.minor


def test_a_key_refused_again_and_again_is_counted_once() -> None:
    table = prove(folded(TALE.refused_at_intake(WRONG), TALE.refused_at_intake()))
    assert table.ordered()[0].columns["refused"] == TALE.total.minor


def test_an_unreadable_refusal_has_a_state_and_no_amount() -> None:
    table = prove(folded(TALE.refused_at_intake(readable=False)))
    assert table.by_state == {"refused_at_intake": 1}
    assert table.ordered() == []


def test_revisions_of_a_claim_are_stories_of_their_own() -> None:
    second = Tale(revision=2)
    table = prove(folded(TALE.submitted(), TALE.rejected(), *second.whole()))
    (row,) = table.ordered()
    assert row.submitted == 2 * TALE.total.minor
    assert row.columns == {"refused": 94340, "posted_unpaid": 0, "paid_matched": 94340}


def test_companies_and_currencies_have_rows_of_their_own() -> None:
    euros = Tale("K-2", Money.parse("10.00", "EUR"))
    table = prove(folded(TALE.submitted(), euros.submitted(), Tale("K-3", company="B").submitted()))
    assert [(row.company, row.currency) for row in table.ordered()] == [
        ("ACME", "CNY"),
        ("ACME", "EUR"),
        ("B", "CNY"),
    ]


FORGOTTEN: list[tuple[str, list[Event]]] = [
    ("the approval", [TALE.submitted(), TALE.reserved()]),
    ("the reservation", [TALE.submitted(), TALE.approved(), TALE.posted(), TALE.recorded()]),
    ("the event of an entry", [*UNTIL_RESERVED, TALE.recorded()]),
    ("the record of an entry", [*UNTIL_RESERVED, TALE.posted()]),
    ("the record of a reversal", [*TALE.until_posted(), TALE.withdrawn(), TALE.turned_back()[0]]),
    ("the entry of a payment", [*UNTIL_RESERVED, TALE.paid()]),
    ("the payment of a settlement", [*TALE.until_posted(), TALE.settled()]),
    ("a payment in part", [*TALE.until_posted(), TALE.paid(cny("900.00"), rest=cny("0.00"))]),
    ("what was returned", [*TALE.until_posted(), TALE.returned(TALE.total, TALE.total)]),
]


@pytest.mark.parametrize(("what", "story"), FORGOTTEN)
def test_what_the_topics_have_forgotten_is_no_fault(what: str, story: list[Event]) -> None:
    assert prove(folded(*story)).violations, what
    assert prove(folded(*story), from_the_start=False).violations == []


REMEMBERED = ("said-once", "one-decision", "posted-once", "entries-balance", "never-overpaid")


@pytest.mark.parametrize(
    ("invariant", "story"), [each for each in CONTRADICTIONS if each[0] in REMEMBERED]
)
def test_what_is_there_still_contradicts_where_the_topics_have_forgotten(
    invariant: str, story: list[Event]
) -> None:
    table = prove(folded(*story), from_the_start=False)
    assert invariant in {v.invariant for v in table.violations}


def test_an_entry_over_two_totals_is_a_fault_where_the_topics_have_forgotten() -> None:
    stories = folded(*UNTIL_RESERVED, TALE.posted(), TALE.recorded(WRONG))
    (violation,) = prove(stories, from_the_start=False).violations
    assert violation.invariant == "entries-agree"


def test_unknown_beginnings_are_no_fault_where_the_topics_no_longer_reach_back() -> None:
    assert prove(folded(TALE.posted(), TALE.recorded()), from_the_start=False).proven


LATE: list[tuple[str, list[Event], list[Event]]] = [
    ("the payment behind a settlement", [*TALE.until_posted(), TALE.settled()], [TALE.paid()]),
    ("the event of a recorded entry", [*UNTIL_RESERVED, TALE.recorded()], [TALE.posted()]),
    ("the record of a posted entry", [*UNTIL_RESERVED, TALE.posted()], [TALE.recorded()]),
    (
        "the record of a reversal",
        [*TALE.until_posted(), TALE.withdrawn(), TALE.turned_back()[0]],
        [TALE.turned_back()[1]],
    ),
]


@pytest.mark.parametrize(("what", "read", "late"), LATE)
def test_facts_behind_the_watermark_excuse_and_are_not_counted(
    what: str, read: list[Event], late: list[Event]
) -> None:
    stories = folded(*read)
    assert prove(stories).violations, what
    before = prove(stories).ordered()
    for fact in told(*late, late=True):
        stories.tell(fact)
    table = prove(stories)
    assert table.violations == []
    assert table.ordered() == before


def test_a_fact_without_its_figures_is_a_violation_and_no_crash() -> None:
    stories = Stories()
    body = {"claim_id": str(TALE.claim), "revision": 1, "company": "ACME", "total": {"amount": "1"}}
    stories.tell(Fact("claims.claim-submitted.v1", 1, body))
    (violation,) = prove(stories).violations
    assert (violation.invariant, violation.subject) == ("fact-readable", str(TALE.claim))


KEY = key_name("test", "K-1", 1)


def test_a_command_without_an_answer_is_told() -> None:
    assert not hear(Stories(), [KEY], 94340)


@pytest.mark.parametrize(
    "answer", [TALE.submitted(), TALE.refused_at_intake()], ids=["accepted", "refused"]
)
def test_an_answer_over_another_total_than_asked_is_a_violation(answer: Event) -> None:
    stories = folded(answer)
    assert hear(stories, [KEY], 94341)
    assert [v.invariant for v in prove(stories).violations] == ["intake-total"]


def test_of_two_commands_under_one_key_one_has_the_answer() -> None:
    stories = folded(TALE.submitted())
    assert hear(stories, [KEY], 94341)
    assert hear(stories, [KEY], 94340)
    assert hear(stories, [KEY], 94342)
    assert prove(stories).proven


@pytest.mark.parametrize("refused", [("943.41",), ("943.41", "1.00"), ("1.00", "943.41")])
def test_a_command_refused_under_a_key_taken_elsewhere_has_its_answer(
    refused: tuple[str, ...],
) -> None:
    # Taken over HTTP, or by a command that the topic no longer keeps.
    stories = folded(TALE.submitted(), *(TALE.refused_at_intake(cny(each)) for each in refused))
    assert hear(stories, [KEY], 94341)
    assert prove(stories).proven


def test_of_refused_commands_under_one_key_each_has_its_answer() -> None:
    stories = folded(TALE.refused_at_intake(WRONG), TALE.refused_at_intake())
    assert hear(stories, [KEY], 94341)
    assert prove(stories).proven


def test_a_refusal_over_a_third_total_answers_nothing() -> None:
    stories = folded(TALE.submitted(), TALE.refused_at_intake(cny("1.00")))
    assert hear(stories, [KEY], 94341)
    assert [v.invariant for v in prove(stories).violations] == ["intake-total"]


def test_an_unreadable_command_is_answered_under_its_position() -> None:
    stories = folded(Tale("claims.intake/0@7").refused_at_intake(readable=False))
    assert hear(stories, [KEY, key_name("test", "claims.intake/0@7", 1)], None)


Step = str
PATHS: list[tuple[Callable[[Tale], Event], ...]] = [
    (Tale.submitted,),
    (Tale.submitted, Tale.checked, Tale.asked, Tale.rejected),
    (Tale.submitted, Tale.approved, Tale.funds_refused),
    (Tale.submitted, Tale.approved, Tale.reserved, Tale.failed),
    (Tale.submitted, Tale.withdrawn),
    (Tale.submitted, Tale.approved, Tale.reserved, Tale.posted, Tale.recorded),
    (
        Tale.submitted,
        Tale.approved,
        Tale.reserved,
        Tale.posted,
        Tale.recorded,
        Tale.paid,
        Tale.settled,
    ),
]
AMOUNTS = st.integers(-(10**11), 10**11).filter(bool)


@given(st.lists(st.tuples(AMOUNTS, st.sampled_from(PATHS), st.integers(1, 7)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_money_is_conserved_for_any_claims_stopped_anywhere(
    claims: list[tuple[int, tuple[Callable[[Tale], Event], ...], int]],
) -> None:
    stories = Stories()
    heads: list[Event] = []
    rest: list[Event] = []
    for number, (amount, path, length) in enumerate(claims):
        tale = Tale(f"K-{number}", Money(amount, "CNY"))
        walked = [step(tale) for step in path[:length]]
        if walked[-1].kind == "posting.entry-posted.v1":
            walked.append(tale.recorded())
        heads += walked[:1]
        rest += walked[1:]
    for fact in told(*heads, *rest):
        stories.tell(fact)
    table = prove(stories)
    assert table.proven
    assert sum(row.submitted for row in table.ordered()) == sum(amount for amount, *_ in claims)
