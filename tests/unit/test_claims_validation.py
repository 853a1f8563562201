"""A claim is told everything that is wrong with it at once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts.values import Money
from services.claims.policy.validation import MasterData, faults
from tests.support.claims_values import DAY, NOON, a_claim, a_line, cny, master_data

if TYPE_CHECKING:
    from contracts.claims import SubmitClaim

USD = Money(1400, "USD")


def found(claim: SubmitClaim, master: MasterData | None = None) -> list[tuple[str, str | None]]:
    return [
        (reason.code, reason.pointer) for reason in faults(claim, master or master_data(), NOON)
    ]


def of_line(**fields: Any) -> SubmitClaim:
    return a_claim("K1", a_line(**fields))


def test_a_sound_claim_has_no_fault() -> None:
    line = a_line(project="P1", original=USD, rate="7.5714", rate_date=DAY)
    assert found(a_claim("K1", line, a_line(2, category="meals"))) == []


def test_a_refund_is_a_claim_like_any_other() -> None:
    refund = a_line(net=cny("-100.00"), tax=cny("-6.00"), gross=cny("-106.00"))
    assert found(a_claim("K1", refund)) == []


@pytest.mark.parametrize(
    ("claim", "code", "pointer"),
    [
        (of_line(tax=cny("6.01")), "SUM_MISMATCH", "/lines/0/gross"),
        (a_claim(total=cny("106.01")), "SUM_MISMATCH", "/total"),
        (of_line(net=cny("50.00"), tax=cny("56.00")), "TAX_EXCEEDS_NET", "/lines/0/tax"),
        (of_line(net=cny("112.00"), tax=cny("-6.00")), "SIGN_MISMATCH", "/lines/0"),
        (a_claim(company="C9"), "COMPANY_UNKNOWN", "/company"),
        (a_claim(employee="E9"), "EMPLOYEE_UNKNOWN", "/employee"),
        (a_claim(employee="GONE"), "EMPLOYEE_INACTIVE", "/employee"),
        (of_line(cost_center="CC9"), "COST_CENTER_UNKNOWN", "/lines/0/cost_center"),
        (of_line(cost_center="CC-OLD"), "COST_CENTER_INACTIVE", "/lines/0/cost_center"),
        (of_line(project="P9"), "PROJECT_UNKNOWN", "/lines/0/project"),
        (of_line(category="boats"), "CATEGORY_UNKNOWN", "/lines/0/category"),
        (a_claim("K1", a_line(7), a_line(7)), "LINE_NUMBER_REPEATED", "/lines/1/line"),
        (of_line(date=date(1999, 12, 31)), "DATE_IMPLAUSIBLE", "/lines/0/date"),
        (of_line(date=date(2108, 1, 1)), "DATE_IMPLAUSIBLE", "/lines/0/date"),
        (of_line(date=date(2024, 3, 18)), "DATE_IN_FUTURE", "/lines/0/date"),
        (of_line(date=date(2023, 9, 17)), "DATE_TOO_OLD", "/lines/0/date"),
        (of_line(original=USD), "FX_INCOMPLETE", "/lines/0/rate"),
        (of_line(rate="7.1"), "FX_INCOMPLETE", "/lines/0/original"),
        (of_line(original=USD, rate="0.1321"), "FX_MISMATCH", "/lines/0/gross"),
        (of_line(original=USD, rate="0"), "FX_MISMATCH", "/lines/0/gross"),
        (of_line(original=cny("105.00")), "FX_SAME_CURRENCY", "/lines/0/original"),
        (of_line(original=cny("106.00"), rate="2"), "FX_SAME_CURRENCY", "/lines/0/original"),
    ],
)
def test_each_fault_has_its_code_and_its_place(claim: SubmitClaim, code: str, pointer: str) -> None:
    assert found(claim) == [(code, pointer)]


def test_what_comes_to_nothing_is_no_claim() -> None:
    nothing = a_line(net=cny("0.00"), tax=cny("0.00"), gross=cny("0.00"))
    assert found(a_claim("K1", nothing)) == [
        ("AMOUNT_ZERO", "/lines/0/gross"),
        ("AMOUNT_ZERO", "/total"),
    ]


def test_money_of_another_currency_belongs_into_the_original_amount() -> None:
    line = a_line(net=Money(1000, "USD"), tax=Money(60, "USD"), gross=Money(1060, "USD"))
    assert found(a_claim("K1", line)) == [
        ("CURRENCY_NOT_FUNCTIONAL", "/lines/0/net"),
        ("CURRENCY_NOT_FUNCTIONAL", "/total"),
    ]


def test_every_fault_is_told_at_once() -> None:
    line = a_line(tax=cny("7.00"), cost_center="CC9", date=date(1980, 1, 1), original=USD)
    codes = [code for code, _ in found(a_claim("K1", line, employee="E9", total=cny("1.00")))]
    assert sorted(codes) == [
        "COST_CENTER_UNKNOWN",
        "DATE_IMPLAUSIBLE",
        "EMPLOYEE_UNKNOWN",
        "FX_INCOMPLETE",
        "SUM_MISMATCH",
        "SUM_MISMATCH",
    ]


def test_one_cause_is_told_once_with_all_its_lines() -> None:
    claim = a_claim("K1", *(a_line(n, cost_center="CC9") for n in (3, 5, 8)))
    [reason] = faults(claim, master_data(), NOON)
    assert reason.figures == {"cost_center": "CC9", "company": "C1", "lines": "3, 5, 8"}
    assert reason.who == "masterdata"


def test_an_unknown_company_is_not_blamed_on_its_people() -> None:
    assert found(a_claim(company="C9", employee="E9")) == [("COMPANY_UNKNOWN", "/company")]


def test_a_mismatch_shows_its_figures() -> None:
    [reason] = faults(of_line(original=USD, rate="7.1"), master_data(), NOON)
    assert reason.figures == {
        "original": "14.00 USD",
        "gross": "106.00 CNY",
        "rate": "7.1",
        "expected": "99.40 CNY",
    }
    [reason] = faults(a_claim(total=cny("100.00")), master_data(), NOON)
    assert reason.figures["difference"] == "-6.00 CNY"


@pytest.mark.parametrize(
    ("rate", "sound"),
    [("7.4965", True), ("7.4950", False), ("7.6464", True), ("7.6480", False)],
)
def test_an_exchanged_amount_may_be_off_by_one_percent(rate: str, *, sound: bool) -> None:
    assert (found(of_line(original=USD, rate=rate)) == []) is sound


def test_a_cent_of_rounding_is_no_mismatch() -> None:
    small = a_line(
        net=cny("0.05"), tax=cny("0.00"), gross=cny("0.05"), original=Money(1, "USD"), rate="5.6"
    )
    assert found(a_claim("K1", small)) == []


def test_the_largest_amounts_and_rates_are_judged_and_not_feared() -> None:
    line = a_line(original=Money(10**15 - 1, "JPY"), rate="999999999.9999999999")
    assert found(a_claim("K1", line)) == [("FX_MISMATCH", "/lines/0/gross")]


def test_today_anywhere_on_earth_is_no_future() -> None:
    assert found(of_line(date=(NOON + timedelta(hours=14)).date())) == []


def test_the_oldest_day_is_still_taken() -> None:
    assert found(of_line(date=NOON.date() - timedelta(days=180))) == []


def test_a_company_without_limit_takes_old_expenses() -> None:
    master = master_data()
    company = MasterData({"C1": type(master.companies["C1"])("CNY")}, master.directory)
    assert found(of_line(date=date(2001, 1, 1)), company) == []


def test_a_limit_of_a_thousand_years_is_no_error() -> None:
    master = master_data()
    company = type(master.companies["C1"])("CNY", 400_000)
    assert found(of_line(date=DAY), MasterData({"C1": company}, master.directory)) == []
