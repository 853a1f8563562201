"""What must hold of every settlement: no order matters, money is conserved, none is used twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reconcile.matching import Board, Settlement, settle
from services.reconcile.matching.keys import text_keys
from services.reconcile.matching.sums import MAX_TERMS, subsets
from tests.support import new_id
from tests.support.reconcile_values import (
    DAY,
    a_booking,
    a_payment,
    an_item,
    lines,
    reference_of,
)

if TYPE_CHECKING:
    from random import Random

    from services.reconcile.domain import Booking, Item, Line

AMOUNTS = st.sampled_from([100, 100, 200, 300, 500, 501])
NUMBERS = st.integers(1, 6)


@st.composite
def stock(draw: st.DrawFn) -> list[Item]:
    """Open, partly paid, paid and reversed items of two payees."""
    found = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        total = draw(AMOUNTS) * draw(st.sampled_from([1, 1, 1, -1]))
        paid = draw(st.sampled_from([0, 0, 0, total]))
        found.append(
            an_item(
                number,
                minor=total,
                allocated_minor=paid,
                payee=draw(st.sampled_from(["E-1001", "E-2002"])),
                reversed_by=draw(st.sampled_from([None, None, None, new_id()])),
            )
        )
    return found


@st.composite
def bookings(draw: st.DrawFn) -> Booking:
    """A line: with references, a reference in its text, only a payee, or nothing to go by."""
    refs = [reference_of(number) for number in draw(st.lists(NUMBERS, max_size=3, unique=True))]
    kind = draw(st.sampled_from(["exact", "text", "payee"]))
    sign = draw(st.sampled_from([-1, -1, -1, 1]))
    terms = draw(st.lists(AMOUNTS, min_size=1, max_size=3))
    return a_booking(
        sign * (sum(terms) + draw(st.sampled_from([0, 0, 0, 1, 20]))),
        *(refs if kind == "exact" else ()),
        text=" ".join(refs) if kind == "text" else "EXPENSES",
        party=draw(st.sampled_from(["E-1001", "E-2002", ""])),
        charges_minor=draw(st.sampled_from([0, 0, 20])),
        foreign=draw(st.booleans()),
        returned=draw(st.sampled_from([False, False, False, True])),
        booked_on=DAY + timedelta(days=draw(st.integers(0, 3))),
    )


def told(settlement: Settlement) -> tuple[object, ...]:
    """A settlement without its ids: by line, what it was given, why, and against which payment."""
    payments = {match.match_id: match.line.line_id for match in settlement.matches}
    matches = {
        match.line.line_id: (
            match.kind,
            match.rule,
            match.score,
            match.runner_up,
            match.differences,
            frozenset(
                (
                    share.item.entry_id,
                    share.amount_minor,
                    share.returns and payments.get(share.returns, share.returns),
                )
                for share in match.allocations
            ),
        )
        for match in settlement.matches
    }
    findings = {line.line_id: finding for line, finding in settlement.findings}
    return matches, findings, {line.line_id for line in settlement.empty}


@settings(max_examples=25, deadline=None)
@given(stock(), st.lists(bookings(), max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_lines_and_items_does_not_matter(
    items: list[Item], booked: list[Booking], chance: Random
) -> None:
    found = lines(*booked)
    payments = [a_payment(item) for item in items if item.allocated_minor]
    first = told(settle(Board.of(items, payments), found, new_id=new_id))
    for _ in range(3):
        chance.shuffle(found)
        chance.shuffle(items)
        chance.shuffle(payments)
        assert told(settle(Board.of(items, payments), found, new_id=new_id)) == first


@settings(max_examples=25, deadline=None)
@given(stock(), st.lists(bookings(), max_size=8))
def test_money_is_conserved_and_nothing_is_used_twice(
    items: list[Item], booked: list[Booking]
) -> None:
    found = lines(*booked)
    payments = [a_payment(item) for item in items if item.allocated_minor]
    settlement = settle(Board.of(items, payments), found, new_id=new_id)
    fates = Counter(line.line_id for line in _lines_of(settlement))
    assert fates == Counter(line.line_id for line in found)
    allocated = {item.entry_id: item.allocated_minor for item in items}
    for match in settlement.matches:
        shares = sum(share.amount_minor for share in match.allocations)
        differences = sum(minor for _, minor in match.differences)
        assert shares + differences == -match.line.amount_minor
        for share in match.allocations:
            allocated[share.item.entry_id] += share.amount_minor
    for item in items:
        low, high = sorted((0, item.total_minor))
        assert low <= allocated[item.entry_id] <= high
        if item.reversed_by:
            assert abs(allocated[item.entry_id]) <= abs(item.allocated_minor)


@settings(max_examples=25, deadline=None)
@given(stock(), st.lists(bookings(), max_size=6))
def test_settling_again_what_was_left_settles_nothing_more(
    items: list[Item], booked: list[Booking]
) -> None:
    payments = [a_payment(item) for item in items if item.allocated_minor]
    board = Board.of(items, payments)
    first = settle(board, lines(*booked), new_id=new_id)
    again = [line for line, finding in first.findings if finding.code != "AMBIGUOUS"]
    assert not settle(board, again, new_id=new_id).matches


def _lines_of(settlement: Settlement) -> list[Line]:
    return [
        *(match.line for match in settlement.matches),
        *(line for line, _ in settlement.findings),
        *settlement.empty,
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=10), st.integers(1, 120))
def test_subset_sums_agree_with_trying_everything(amounts: list[int], target: int) -> None:
    every = {
        positions
        for size in range(1, len(amounts) + 1)
        for positions in combinations(range(len(amounts)), size)
        if sum(amounts[position] for position in positions) == target
    }
    found = subsets(amounts, target)
    assert len(found) == min(2, len(every))
    assert set(found) <= every


def test_too_many_amounts_are_refused() -> None:
    with pytest.raises(ValueError, match="17 amounts"):
        subsets([1] * (MAX_TERMS + 1), 5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["PAY", "RUN", "20260311", "ACME", "7", "EREF+"]), max_size=5),
    st.lists(st.sampled_from(["PAY", "RUN", "OK", "A/B"]), max_size=5),
    st.sampled_from([" ", "-", "/", ".", ""]),
)
def test_a_reference_is_found_wherever_it_stands(
    before: list[str], after: list[str], mark: str
) -> None:
    reference = mark.join(["acme", "2026", "0000042"])
    text = " ".join([*before, reference, *after])
    assert "ACME20260000042" in text_keys([text])
