"""Which line pays which entry: the rules, one fact each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.reconcile.matching import Board, Settlement, settle
from tests.support import new_id
from tests.support.reconcile_values import (
    DAY,
    a_booking,
    a_line,
    a_payment,
    an_item,
    lines,
    reference_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from services.reconcile.domain import Item, Line, Payment


def settled(
    items: Iterable[Item], found: Iterable[Line], payments: Iterable[Payment] = ()
) -> Settlement:
    return settle(Board.of(items, payments), found, new_id=new_id)


def paid(settlement: Settlement) -> list[tuple[UUID, int]]:
    return [
        (share.item.entry_id, share.amount_minor)
        for match in settlement.matches
        for share in match.allocations
    ]


def codes(settlement: Settlement) -> list[str]:
    return [finding.code for _, finding in settlement.findings]


REF = reference_of(1)


@pytest.mark.parametrize(
    ("line", "rule", "score"),
    [
        (a_line(-10_000, REF), "own-reference", 160),
        (a_line(-10_000, REF.lower().replace("-", " ")), "own-reference", 160),
        (a_line(-10_000, text=f"PAY {REF} THANKS"), "reference-in-text", 130),
        (a_line(-10_000, text="Salary acme 2026 00 00001 run"), "reference-in-text", 130),
        (a_line(-10_000, text=REF.replace("0", "O")), "reference-in-text", 130),
        (a_line(-10_000, text="EREF+NOTPROVIDED KREF+ACME/2026/0000001"), "reference-in-text", 130),
        (a_line(-10_000, "NOTPROVIDED", text="EXPENSES", party="E-1001"), "amount-date-payee", 90),
        (a_line(-10_000, "NOTPROVIDED", party="Expenses for e 1001"), "amount-date-payee", 90),
    ],
)
def test_a_line_that_points_at_one_entry_pays_it(line: Line, rule: str, score: int) -> None:
    settlement = settled([an_item(1), an_item(2, minor=77)], [line])
    (match,) = settlement.matches
    assert (match.rule, match.score) == (rule, score)
    assert paid(settlement) == [(an_item(1).entry_id, 10_000)]
    assert match.allocations[0].open_minor == 0
    assert sum(int(text.rsplit("+", 1)[1]) for text in match.evidence) == match.score


def test_an_entry_number_that_differs_from_the_reference_names_the_entry_too() -> None:
    item = an_item(1, entry_number="5100004711/2026")
    assert settled([item], [a_line(-10_000, text="DOC 5100004711 2026")]).matches


def test_money_that_is_owed_to_us_is_paid_by_a_credit() -> None:
    item = an_item(1, minor=-2_500)
    assert paid(settled([item], [a_line(2_500, REF)])) == [(item.entry_id, -2_500)]
    assert codes(settled([item], [a_line(-2_500, text=REF)])) == ["AMBIGUOUS"]


def test_the_payee_is_known_by_name_in_any_order_of_words() -> None:
    item = an_item(1, payee_name="Grace Hopper")
    settlement = settled([item], [a_line(-10_000, party="HOPPER, GRACE", text="EXPENSES MARCH")])
    assert settlement.matches[0].evidence[1] == "payee's name in the text +25"
    chinese = an_item(1, payee_name="王小明")
    assert settled([chinese], [a_line(-10_000, party="王小明")]).matches


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (a_line(-10_001_00, REF), "AMOUNT_DIFFERS"),
        (a_line(-5_000, REF), "AMOUNT_DIFFERS"),
        (a_line(-10_200, REF), "AMOUNT_DIFFERS"),
        (a_line(-10_000, REF, currency="USD"), "CURRENCY_DIFFERS"),
        (a_line(-10_000, "NOTPROVIDED"), "NO_CANDIDATE"),
        (a_line(-9_999, party="E-1001"), "NO_CANDIDATE"),
        (a_line(-10_000, party="E-1001", booked_on=DAY + timedelta(days=61)), "NO_CANDIDATE"),
        (a_line(-10_000, party="E-1001", booked_on=DAY - timedelta(days=9)), "NO_CANDIDATE"),
        (a_line(-10_000, reference_of(9), party="E-1001"), "NO_CANDIDATE"),
        (a_line(-10_000, party="E-1001", text=f"EXPENSES {reference_of(9)}"), "NO_CANDIDATE"),
        (a_line(10_000, "NOTPROVIDED", party="E-1001"), "NO_CANDIDATE"),
        (a_line(10_000, REF), "RETURN_UNPAIRED"),
        (a_line(10_000, text="RETURN", returned=True), "RETURN_UNPAIRED"),
        (a_line(-10_000, REF, batch_size=2, batch_gap_minor=7), "BATCH_UNBALANCED"),
    ],
)
def test_a_line_that_fits_nothing_exactly_waits_with_a_reason(line: Line, code: str) -> None:
    settlement = settled([an_item(1)], [line])
    assert codes(settlement) == [code]
    assert not settlement.matches


def test_a_line_that_names_an_entry_is_never_given_to_another_of_its_amount() -> None:
    items = [an_item(1, minor=5_000), an_item(2)]
    assert codes(settled(items, [a_line(-10_000, REF, party="E-1001")])) == ["AMOUNT_DIFFERS"]


def test_equal_twins_without_a_reference_are_ambiguous() -> None:
    items = [an_item(1), an_item(2)]
    twins = lines(a_booking(party="E-1001"), a_booking(party="E-1001"))
    settlement = settled(items, twins)
    assert codes(settlement) == ["AMBIGUOUS", "AMBIGUOUS"]
    assert set(settlement.findings[0][1].candidates) == {item.claim_id for item in items}
    assert codes(settled([an_item(1)], twins)) == ["AMBIGUOUS", "AMBIGUOUS"]


def test_two_payments_of_one_reference_pay_once() -> None:
    twice = lines(a_booking(-10_000, REF), a_booking(-10_000, REF))
    settlement = settled([an_item(1)], twice)
    assert paid(settlement) == [(an_item(1).entry_id, 10_000)]
    assert codes(settlement) == ["ALREADY_PAID"]


def test_a_reversed_entry_has_nothing_open() -> None:
    assert codes(settled([an_item(1, reversed_by=new_id())], [a_line(-10_000, REF)])) == [
        "NOTHING_OPEN"
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount_minor": -10_250, "charges_minor": 250}, [("fee", 250)]),
        ({"amount_minor": -10_001}, [("rounding", 1)]),
        ({"amount_minor": -9_999}, [("rounding", -1)]),
        ({"amount_minor": -10_251, "charges_minor": 250}, [("fee", 250), ("rounding", 1)]),
        ({"amount_minor": -10_290, "foreign": True}, [("fx", 290)]),
        ({"amount_minor": -9_800, "foreign": True}, [("fx", -200)]),
    ],
)
def test_a_typed_difference_makes_the_sum_exact(
    changes: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    (match,) = settled([an_item(1)], [replace(a_line(-1, REF), **changes)]).matches
    assert list(match.differences) == expected
    assert match.allocations[0].open_minor == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": -10_250},
        {"amount_minor": -10_250, "charges_minor": 240},
        {"amount_minor": -15_001, "charges_minor": 5_001},
        {"amount_minor": -9_750, "charges_minor": 250},
        {"amount_minor": -10_301, "foreign": True},
        {"amount_minor": -10_290},
    ],
)
def test_a_difference_nothing_shows_is_nobodys(changes: dict[str, Any]) -> None:
    assert codes(settled([an_item(1)], [replace(a_line(-1, REF), **changes)])) == ["AMOUNT_DIFFERS"]


def test_a_refund_loses_a_fee_on_its_way_in() -> None:
    line = replace(a_line(9_800, REF), charges_minor=200)
    (match,) = settled([an_item(1, minor=-10_000)], [line]).matches
    assert (match.allocated_minor, match.differences) == (-10_000, (("fee", 200),))


def test_a_batch_pays_all_entries_its_details_name() -> None:
    items = [an_item(number, minor=1_000 + number) for number in range(1, 201)]
    total = sum(item.total_minor for item in items)
    line = a_line(-total, *(item.reference for item in items), batch_size=200)
    settlement = settled(items, [line])
    assert len(settlement.matches[0].allocations) == 200
    assert sum(minor for _, minor in paid(settlement)) == total


def test_a_batch_with_an_unknown_detail_waits_as_a_whole() -> None:
    items = [an_item(1), an_item(2)]
    line = a_line(-30_000, reference_of(1), reference_of(2), reference_of(3), batch_size=3)
    assert codes(settled(items, [line])) == ["AMOUNT_DIFFERS"]
    assert settled([*items, an_item(3)], [line]).matches


def test_only_one_combination_of_named_entries_is_taken() -> None:
    items = [an_item(1, minor=100), an_item(2, minor=200), an_item(3, minor=400)]
    refs = [item.reference for item in items]
    assert paid(settled(items, [a_line(-600, *refs)])) == [
        (items[1].entry_id, 200),
        (items[2].entry_id, 400),
    ]
    twins = [*items, an_item(4, minor=300)]
    settlement = settled(twins, [a_line(-300, *refs, reference_of(4))])
    assert codes(settlement) == ["AMBIGUOUS"]


def test_a_sum_of_one_payees_items_is_taken_if_it_is_the_only_one() -> None:
    items = [an_item(1, minor=100), an_item(2, minor=250), an_item(3, minor=400)]
    line = a_line(-650, party="E-1001")
    settlement = settled(items, [line])
    assert settlement.matches[0].rule == "payee-sum"
    assert [minor for _, minor in paid(settlement)] == [250, 400]
    others = [*items, an_item(4, minor=650 - 100)]
    assert codes(settled(others, [line])) == ["AMBIGUOUS"]


def test_several_lines_that_complete_one_entry_pay_it_in_parts() -> None:
    parts = lines(a_booking(-4_000, REF), a_booking(-6_000, REF))
    settlement = settled([an_item(1)], parts)
    assert {match.rule for match in settlement.matches} == {"partial-payments"}
    assert sorted(minor for _, minor in paid(settlement)) == [4_000, 6_000]
    assert [match.allocations[0].open_minor for match in settlement.matches][-1] == 0
    assert codes(settled([an_item(1)], parts[:1])) == ["AMOUNT_DIFFERS"]


def test_a_returned_payment_reopens_its_entry() -> None:
    item = an_item(1, allocated_minor=10_000)
    payment = a_payment(item)
    line = a_line(10_000, REF, returned=True)
    (match,) = settled([item], [line], [payment]).matches
    assert (match.kind, match.allocations[0].returns) == ("return", payment.match_id)
    assert match.allocations[0].open_minor == 10_000


@pytest.mark.parametrize(
    "line",
    [
        a_line(10_000, REF),
        a_line(10_000, text=f"RETURN {REF} ACCOUNT CLOSED", returned=True),
        replace(a_line(9_700, REF, returned=True), charges_minor=300),
    ],
)
def test_a_return_is_known_by_its_reference_or_its_mark(line: Line) -> None:
    item = an_item(1, allocated_minor=10_000)
    settlement = settled([item], [line], [a_payment(item)])
    assert [match.kind for match in settlement.matches] == ["return"]


def test_a_credit_that_only_mentions_a_paid_entry_is_a_question() -> None:
    item = an_item(1, allocated_minor=10_000)
    settlement = settled([item], [a_line(10_000, text=f"ABOUT {REF}")], [a_payment(item)])
    assert codes(settlement) == ["AMBIGUOUS"]


def test_a_return_of_another_amount_is_a_question() -> None:
    item = an_item(1, allocated_minor=10_000)
    settlement = settled([item], [a_line(9_000, REF, returned=True)], [a_payment(item)])
    assert codes(settlement) == ["AMOUNT_DIFFERS"]


def test_one_of_a_batch_comes_back_alone() -> None:
    items = [an_item(n, allocated_minor=10_000) for n in (1, 2)]
    payments = [a_payment(item) for item in items]
    (match,) = settled(items, [a_line(10_000, REF, returned=True)], payments).matches
    assert [share.item.entry_id for share in match.allocations] == [items[0].entry_id]


def test_paid_returned_and_paid_again_within_one_statement() -> None:
    days = [DAY + timedelta(days=n) for n in (1, 2, 3)]
    story = lines(
        a_booking(-10_000, REF, booked_on=days[2]),
        a_booking(10_000, REF, returned=True, booked_on=days[1]),
        a_booking(-10_000, REF, booked_on=days[0]),
    )
    settlement = settled([an_item(1)], story)
    assert not settlement.findings
    assert [(m.line.booked_on, m.kind) for m in settlement.matches] == [
        (days[0], "payment"),
        (days[1], "return"),
        (days[2], "payment"),
    ]
    assert settlement.matches[1].allocations[0].returns == settlement.matches[0].match_id


def test_a_line_without_money_needs_nobody() -> None:
    settlement = settled([an_item(1)], [a_line(0, REF)])
    assert len(settlement.empty) == 1
    assert not settlement.findings


def test_candidates_of_the_same_amount_are_suggested() -> None:
    items = [an_item(number, payee=f"E-{number}") for number in range(1, 13)]
    (pair,) = settled(items, [a_line(-10_000, "NOTPROVIDED")]).findings
    assert len(pair[1].candidates) == 10
    assert set(pair[1].candidates) <= {item.claim_id for item in items}


def test_what_is_disputed_is_no_part_of_a_sum() -> None:
    items = [an_item(1, minor=100), an_item(2, minor=100), an_item(3, minor=50), an_item(4)]
    lone = lines(
        a_booking(-100, party="E-1001", text="ONE"), a_booking(-10_050, party="E-1001", text="TWO")
    )
    assert codes(settled(items[1:], lone)) == []
    disputed = lines(
        a_booking(-100, party="E-1001", text="ONE"), a_booking(-10_100, party="E-1001", text="TWO")
    )
    assert codes(settled(items, disputed)) == ["AMBIGUOUS", "AMBIGUOUS"]


def test_a_return_finds_a_payment_that_carried_no_reference() -> None:
    found = lines(
        a_booking(-10_000, party="E-1001", text="EXPENSES"), a_booking(10_000, REF, returned=True)
    )
    settlement = settled([an_item(1)], found)
    assert [match.kind for match in settlement.matches] == ["payment", "return"]
