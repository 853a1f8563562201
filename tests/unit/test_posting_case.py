from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from pydantic import TypeAdapter

from contracts.envelope import Cause
from contracts.posting import EntryFailed, EntryPosted, EntryReversed, JournalEntryRecorded
from contracts.values import Money, MoneyMismatch, Reason
from services.posting.domain import (
    Case,
    Claim,
    Fact,
    Intent,
    JournalEntry,
    Kind,
    Move,
    Posted,
    Recorded,
    Refused,
    Stage,
    TotalsDiffer,
    case_of,
    claim_of,
    dropped,
    learn,
    outside_reference,
)
from services.posting.policy import conclude
from services.posting.rules import facts_of
from tests.support import given, new_id
from tests.support.posting_values import (
    COMPANY,
    a_chart,
    a_claim,
    a_line,
    cny,
    drafted,
    reserved,
    withdrawn,
)

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
CAUSE = Cause(new_id(), "claim")
REASON = Reason(code="LEDGER_REFUSED", detail="no such account", who="finance")


def told(*facts: Fact) -> Case:
    case = case_of(given(facts[0]), now=NOW)
    for fact in facts[1:]:
        case = learn(case, given(fact), now=NOW)
    return case


def at(stage: Stage) -> Case:
    return replace(case_of(a_claim(), now=NOW), stage=stage, claim=None)


def an_entry(kind: Kind = Kind.POST) -> JournalEntry:
    entry = drafted(a_claim(), a_chart(ledgers={COMPANY: "sap"}))
    assert isinstance(entry, JournalEntry)
    if kind is Kind.POST:
        return entry
    return replace(entry, kind=kind, reverses=new_id(), reverses_number="5105")


def test_a_case_is_complete_with_claim_and_reservation_in_any_order() -> None:
    claim = a_claim()
    facts: list[Fact] = [claim, reserved(claim)]
    for order in permutations(facts):
        case = told(*order)
        assert case.complete
        assert case.claim == claim_of(claim)
        assert case.cause == reserved(claim)
    assert not told(claim).complete
    assert not told(reserved(claim)).complete


def test_a_fact_told_twice_changes_nothing() -> None:
    claim = a_claim()
    for fact in (claim, reserved(claim), withdrawn(claim)):
        case = told(fact)
        assert learn(case, given(fact), now=LATER) is case


def test_a_claim_withdrawn_before_its_posting_is_never_complete() -> None:
    claim = a_claim()
    facts: list[Fact] = [claim, reserved(claim), withdrawn(claim)]
    for order in permutations(facts):
        case = told(*order)
        assert case.stage is Stage.WITHDRAWN
        assert not case.due
        assert case.claim is None


@pytest.mark.parametrize(
    ("stage", "after"),
    [
        (Stage.BLOCKED, Stage.WITHDRAWN),
        (Stage.HELD, Stage.WITHDRAWN),
        (Stage.INTENDED, Stage.RECALLED),
        (Stage.POSTED, Stage.REVERSING),
    ],
)
def test_a_withdrawal_takes_a_case_back_from_where_it_is(stage: Stage, after: Stage) -> None:
    case = at(stage)
    assert learn(case, given(withdrawn(a_claim())), now=LATER).stage is after


@pytest.mark.parametrize(
    "stage",
    [Stage.RECALLED, Stage.FAILED, Stage.REVERSING, Stage.REVERSED, Stage.WITHDRAWN],
)
def test_a_withdrawal_changes_nothing_twice_or_after_the_end(stage: Stage) -> None:
    case = at(stage)
    assert learn(case, given(withdrawn(a_claim())), now=LATER) is case


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.WAITING])
def test_late_claims_and_reservations_change_nothing(stage: Stage) -> None:
    case = at(stage)
    claim = a_claim()
    assert learn(case, given(claim), now=LATER) is case
    assert learn(case, given(reserved(claim)), now=LATER) is case


def test_a_reservation_of_another_amount_is_a_defect() -> None:
    claim = a_claim()
    with pytest.raises(TotalsDiffer):
        told(claim, reserved(claim, total=cny(1)))
    with pytest.raises(TotalsDiffer):
        told(reserved(claim, total=cny(1)), claim)


def test_a_line_in_another_currency_is_a_defect() -> None:
    with pytest.raises(MoneyMismatch):
        told(a_claim(a_line(tax=0, gross=Money(10000, "EUR")), total=cny(10000)))


@pytest.mark.parametrize(
    ("stage", "kind", "outcome", "after"),
    [
        (Stage.INTENDED, Kind.POST, Posted("5105"), Stage.POSTED),
        (Stage.RECALLED, Kind.POST, Posted("5105"), Stage.REVERSING),
        (Stage.REVERSING, Kind.REVERSE, Posted("5106"), Stage.REVERSED),
        (Stage.INTENDED, Kind.POST, Refused((REASON,)), Stage.FAILED),
        (Stage.RECALLED, Kind.POST, Refused((REASON,)), Stage.WITHDRAWN),
        (Stage.REVERSING, Kind.REVERSE, Refused((REASON,)), Stage.REVERSING),
    ],
)
def test_another_ledgers_answer_moves_the_case(
    stage: Stage, kind: Kind, outcome: Posted | Refused, after: Stage
) -> None:
    move = conclude(at(stage), Intent(an_entry(kind), CAUSE), outcome, now=LATER)
    assert move.case.stage is after
    assert move.because is CAUSE
    assert bool(move.reasons) == (after is Stage.FAILED)
    assert (move.entry is not None) == isinstance(outcome, Posted)


def test_a_recalled_posting_is_reversed_from_now_on_because_of_its_withdrawal() -> None:
    claim = a_claim()
    case = learn(at(Stage.INTENDED), given(withdrawn(claim)), now=NOW)
    move = conclude(case, Intent(an_entry(), CAUSE), Posted("5105"), now=LATER)
    assert move.case.cause == withdrawn(claim)
    assert move.case.since == LATER
    assert move.case.due
    assert dropped(case).cause is None


def test_a_posting_is_said_to_all_and_to_finance_with_its_lines() -> None:
    entry = an_entry()
    move = Move(at(Stage.POSTED), CAUSE, entry=entry, number="5105")
    taken = Recorded(entry, "5105", outside_reference(entry))
    (fact, because), (record, also_because) = facts_of([move], {entry.entry_id: taken})
    assert isinstance(fact, EntryPosted)
    assert isinstance(record, JournalEntryRecorded)
    assert because is also_because is CAUSE
    assert (fact.entry_number, fact.ledger, fact.total) == ("5105", "sap", cny(10000))
    assert fact.reference == record.reference == outside_reference(entry)
    assert record.lines == list(entry.lines)
    assert (record.fiscal_year, record.period, record.reverses) == (2026, "2026-10", None)


def test_a_reversal_is_said_with_the_amount_of_the_first() -> None:
    entry = an_entry(Kind.REVERSE)
    move = Move(at(Stage.REVERSED), CAUSE, entry=entry, number="5106")
    taken = Recorded(entry, "5106", "REF")
    (fact, _), (record, _) = facts_of([move], {entry.entry_id: taken})
    assert isinstance(fact, EntryReversed)
    assert isinstance(record, JournalEntryRecorded)
    assert (fact.total, fact.reverses, fact.because) == (
        cny(10000),
        entry.reverses,
        "CLAIM_WITHDRAWN",
    )
    assert (record.reverses, record.total) == (entry.reverses, cny(10000))


def test_a_failure_is_said_with_its_reasons_and_an_intent_says_nothing() -> None:
    failed = Move(at(Stage.FAILED), CAUSE, reasons=(REASON,))
    intended = Move(at(Stage.INTENDED), CAUSE, entry=an_entry())
    ((fact, _),) = facts_of([failed, intended], {})
    assert isinstance(fact, EntryFailed)
    assert (fact.total, fact.reasons) == (failed.case.total, [REASON])


def test_a_claim_survives_being_stored_until_its_money_is_reserved() -> None:
    adapter = TypeAdapter(Claim)
    claim = claim_of(a_claim(a_line(1, 1, 1, merchant="茶" * 60), a_line(2, -7, project="P")))
    assert adapter.validate_json(adapter.dump_json(claim)) == claim
    assert claim.expenses[0].text == "茶" * 50


def test_an_entry_survives_being_stored_with_its_intent() -> None:
    adapter = TypeAdapter(JournalEntry)
    entry = drafted(a_claim(a_line(1, 1, 1), a_line(2, -7, project="P")), a_chart())
    assert isinstance(entry, JournalEntry)
    assert adapter.validate_json(adapter.dump_json(entry)) == entry
