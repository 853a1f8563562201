from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from contracts.values import Money
from ledgerbus.claimrow import derived_rate, included_tax
from ledgerbus.errors import CommandError, Exit
from ledgerbus.layout import Template, load_layout, plain_amount, shipped
from tests.support.cli_values import (
    BARNET,
    BIRMINGHAM,
    BRAZIL,
    CANADA,
    birmingham,
    file_of,
    only,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_five_layouts_ship_and_each_can_be_read() -> None:
    assert set(shipped()) == {"barnet", "birmingham", "brazil", "canada", "made-month"}
    for name in shipped():
        assert load_layout(name).name == name


def test_an_unknown_layout_names_those_that_ship() -> None:
    with pytest.raises(CommandError, match="barnet, birmingham, brazil") as problem:
        load_layout("paris")
    assert problem.value.code == Exit.NOT_FOUND


def test_a_layout_of_ones_own_is_read_by_its_path(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(shipped()["barnet"].read_text().replace("name: barnet", "name: own"))
    assert load_layout(str(own)).name == "own"


def test_a_misspelt_field_of_a_layout_is_an_error_that_names_it(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(shipped()["barnet"].read_text() + "gruped: true\n")
    with pytest.raises(CommandError, match="gruped"):
        load_layout(str(own))


@pytest.mark.parametrize(
    ("cell", "plain"),
    [
        ("12.30", "12.30"),
        ("2,799.00", "2799.00"),
        ("-1,234,567.8", "-1234567.8"),
        (".50", ".50"),
        ("-.5", "-.5"),
        ("+7", "+7"),
        ("2,79", None),
        ("27,99,000", None),
        ("", None),
        ("-", None),
        (".", None),
        ("12.", None),
        ("1e3", None),
        ("NaN", None),
        ("\uff11\uff12", None),
        ("12 000", None),
        ("£5", None),
    ],
)
def test_amounts_as_people_write_them(cell: str, plain: str | None) -> None:
    assert plain_amount(cell) == plain


@pytest.mark.parametrize(
    ("gross", "percent", "tax"),
    [
        ("72.61", "20", "12.10"),
        ("0.03", "20", "0.01"),  # 0.005 is rounded up.
        ("-0.03", "20", "-0.01"),
        ("120.00", "20", "20.00"),
        ("-120.00", "20", "-20.00"),
        ("100.00", "17.5", "14.89"),
    ],
)
def test_tax_inside_a_price_is_rounded_half_up(gross: str, percent: str, tax: str) -> None:
    assert included_tax(Money.parse(gross, "GBP"), percent) == Money.parse(tax, "GBP")


def test_a_rate_between_two_amounts_gives_the_first_back_to_the_penny() -> None:
    gross, original = Money(-497294, "GBP"), Money(-592125, "USD")
    rate = derived_rate(gross, original)
    assert rate == "0.8398463162"
    assert derived_rate(Money(100, "GBP"), Money(100, "JPY")) == "0.0100000000"


def test_a_card_row_becomes_a_claim_of_the_card(tmp_path: Path) -> None:
    claim = only(file_of(tmp_path, BIRMINGHAM + birmingham(), "birmingham")).command()
    assert (claim.company, claim.employee, claim.payee) == ("BHAM", "CARD-5770", "CARD-5770")
    assert (claim.paid_by, claim.purpose) == ("company_card", "Vehicle Fuel")
    (line,) = claim.lines
    assert (line.category, line.cost_center, str(line.date)) == ("K020", "RV12N", "2017-01-03")
    assert (str(line.net), str(line.tax)) == ("60.51 GBP", "12.10 GBP")
    assert line.gross == claim.total == Money(7261, "GBP")
    assert line.original is None
    assert line.rate is None


@pytest.mark.parametrize(
    ("vat", "day", "tax"),
    [
        ("VR", "2017-01-03", 1210),
        ("VR", "2010-06-01", 1081),
        ("VR", "2009-06-01", 0),
        ("VZ", "2017-01-03", 0),
        ("VL", "2017-01-03", 0),
        ("VE", "2017-01-03", 0),
        ("VS", "2017-01-03", 0),
        ("", "2017-01-03", 0),
    ],
)
def test_the_vat_code_decides_the_tax_on_its_day(
    tmp_path: Path, vat: str, day: str, tax: int
) -> None:
    text = BIRMINGHAM + birmingham(vat=vat, day=day)
    (line,) = only(file_of(tmp_path, text, "birmingham")).command().lines
    assert line.tax == Money(tax, "GBP")
    assert line.net + line.tax == line.gross


def test_a_refund_on_a_card_is_negative_in_all_its_amounts(tmp_path: Path) -> None:
    text = BIRMINGHAM + birmingham(original="-12.0", billed="-12.0")
    claim = only(file_of(tmp_path, text, "birmingham")).command()
    (line,) = claim.lines
    assert [each.minor for each in (line.net, line.tax, line.gross)] == [-1000, -200, -1200]
    assert claim.total.minor == -1200


def test_a_foreign_row_keeps_its_amount_and_the_rate_it_was_billed_at(tmp_path: Path) -> None:
    text = BIRMINGHAM + birmingham(
        vat="VZ", original="5921.25", original_currency="USD", billed="4972.94"
    )
    (line,) = only(file_of(tmp_path, text, "birmingham")).command().lines
    assert line.original == Money(592125, "USD")
    assert line.rate == "0.8398463162"
    assert line.rate_date == line.date
    assert Money.rounded(line.original.decimal * 8398463162 / 10**10, "GBP") == line.gross


def test_a_card_statement_reads_its_dates_and_thousands(tmp_path: Path) -> None:
    rows = (
        '19/04/17,20/04/17,"2,799.00",HM COURTS,LONDON,"2,799.00",GBP,1.00\n'
        "13/04/17,14/04/17,32.90,CAMPAIGN,SYDNEY,40.00,USD,1.22\n"
    )
    home, foreign = file_of(tmp_path, BARNET + rows, "barnet")
    assert home.total == Money(279900, "GBP")
    assert str(home.command().lines[0].date) == "2017-04-19"
    (line,) = foreign.command().lines
    assert (line.original, line.rate) == (Money(4000, "USD"), "0.8225000000")


def trip(**cells: str) -> str:
    row = {
        "ref": "T-1",
        "name": "Jane Q. Public",
        "purpose": "Board meeting",
        "start": "2020-02-03",
        "end": "2020-02-04",
        "to": '"Regina, Saskatchewan"',
        "airfare": "646.17",
        "other_transport": "117.26",
        "lodging": "",
        "meals": "197.25",
        "other": "0",
        "total": "960.68",
        "org": "org-a",
        "org_title": "Organisation A",
    }
    assert not cells.keys() - row.keys()
    return ",".join((row | cells).values()) + "\n"


def test_the_parts_of_a_trip_become_lines_and_blank_or_zero_parts_none(tmp_path: Path) -> None:
    claim = only(file_of(tmp_path, b"\xef\xbb\xbf" + (CANADA + trip()).encode(), "canada"))
    command = claim.command()
    assert claim.source_key == "org-a/T-1"
    assert [(line.line, line.category, str(line.gross)) for line in command.lines] == [
        (1, "airfare", "646.17 CAD"),
        (2, "other_transport", "117.26 CAD"),
        (3, "meals", "197.25 CAD"),
    ]
    assert {str(line.date) for line in command.lines} == {"2020-02-04"}
    assert command.total == Money(96068, "CAD")


def test_a_traveller_is_known_by_a_digest_however_the_name_is_spaced(tmp_path: Path) -> None:
    text = CANADA + trip() + trip(ref="T-2", name="  jane q.  public ")
    one, two = file_of(tmp_path, text, "canada")
    assert one.command().employee == two.command().employee
    assert "public" not in orjson.dumps(one.command().model_dump(mode="json")).decode().lower()


def test_a_control_sum_that_differs_is_left_for_the_chain_to_refuse(tmp_path: Path) -> None:
    claim = only(file_of(tmp_path, CANADA + trip(total="1867.11"), "canada"))
    assert claim.fault is None
    assert claim.total == Money(186711, "CAD")
    assert sum(line.gross.minor for line in claim.command().lines) == 96068


def test_a_trip_is_dated_by_its_end_even_if_that_is_far_away(tmp_path: Path) -> None:
    claim = only(file_of(tmp_path, CANADA + trip(end="2108-11-02"), "canada"))
    assert {str(line.date) for line in claim.command().lines} == {"2108-11-02"}


def document(**cells: str) -> str:
    row = {
        "applicant": "3074",
        "tax_id": "02575829000148",
        "number": "Bilhete: 1",
        "type": "0",
        "value": "180.0",
        "installment": "0",
        "date": "2018-01-22 00:00:00",
        "leg": "BSB/AJU",
        "month": "1",
        "passenger": "ANY ONE",
        "remark": "0",
        "description": "Flight ticket issue",
        "subquota": "999",
        "supplier": "Cia Aérea",
        "net": "178.49",
        "year": "2018",
    }
    assert not cells.keys() - row.keys()
    return ",".join((row | cells).values()) + "\n"


def test_a_document_is_paid_by_the_deputy_net_of_what_was_disallowed(tmp_path: Path) -> None:
    claim = only(file_of(tmp_path, BRAZIL + document(), "brazil")).command()
    (line,) = claim.lines
    assert (claim.employee, claim.paid_by, claim.payee) == ("DEP-3074", "employee", None)
    assert (line.category, line.cost_center) == ("SUBQUOTA-999", "QUOTA-3074")
    assert (str(line.date), line.receipt) == ("2018-01-22", "Bilhete: 1")
    assert line.gross == Money(17849, "BRL")


def test_a_document_without_a_date_is_sent_and_will_be_refused(tmp_path: Path) -> None:
    claim = only(file_of(tmp_path, BRAZIL + document(date="", number=""), "brazil"))
    assert claim.fault is not None
    assert (claim.fault.code, claim.fault.pointer) == ("SCHEMA_INVALID", "/lines/0/date")
    assert claim.total == Money(17849, "BRL")
    assert b'"date":""' in claim.body


@pytest.mark.parametrize(
    ("template", "row", "code"),
    [
        ({"text": "CARD-{n}", "drop": "*"}, {"n": "*12"}, "CARD-12"),
        ({"text": "CARD-{n}"}, {"n": ""}, ""),
        ({"text": "{a}/{b}"}, {"a": "x", "b": ""}, ""),
        ({"text": "fixed"}, {}, "fixed"),
        ({"text": "{n}", "values": {"现金": "cash"}}, {"n": "现金"}, "cash"),
        ({"text": "{n}", "values": {"现金": "cash"}}, {"n": "other"}, "other"),
    ],
)
def test_templates(template: dict[str, object], row: dict[str, str], code: str) -> None:
    assert Template.model_validate(template).code(row) == code
