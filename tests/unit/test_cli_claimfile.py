from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.values import Money
from ledgerbus.claimfile import ClaimFile, fault_of
from ledgerbus.claimrow import drafted
from ledgerbus.errors import CommandError, Exit
from ledgerbus.layout import load_layout
from tests.support.cli_values import BIRMINGHAM, birmingham, file_of, only

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = load_layout("birmingham")
ROW = dict(zip(BIRMINGHAM.strip().split(","), birmingham().strip().split(","), strict=True))


def keys_of(claims: ClaimFile) -> list[str]:
    return [claim.source_key for claim in claims]


def test_equal_rows_stay_distinct_and_keep_their_keys_when_read_again(tmp_path: Path) -> None:
    claims = file_of(tmp_path, BIRMINGHAM + birmingham() * 3, "birmingham")
    keys = keys_of(claims)
    assert len(set(keys)) == 3
    assert [key.rpartition("-")[2] for key in keys] == ["1", "2", "3"]
    assert keys_of(claims) == keys


def test_an_overlapping_extract_gives_the_rows_it_shares_the_same_keys(tmp_path: Path) -> None:
    first = birmingham(day="2017-01-03") + birmingham(day="2017-01-04")
    second = birmingham(day="2017-01-04", file="february-2017", directorate="Renamed")
    second += birmingham(day="2017-02-05")
    before = keys_of(file_of(tmp_path, BIRMINGHAM + first, "birmingham"))
    after = keys_of(file_of(tmp_path, BIRMINGHAM + second, "birmingham"))
    assert set(before) & set(after) == {before[1]}
    assert after[0] == before[1]


def test_the_order_of_the_rows_does_not_change_the_set_of_keys(tmp_path: Path) -> None:
    rows = [birmingham(), birmingham(), birmingham(billed="1.00", original="1.00")]
    forth = keys_of(file_of(tmp_path, BIRMINGHAM + "".join(rows), "birmingham"))
    back = keys_of(file_of(tmp_path, BIRMINGHAM + "".join(reversed(rows)), "birmingham"))
    assert sorted(forth) == sorted(back)


@pytest.mark.parametrize(
    ("cells", "code", "pointer", "told"),
    [
        ({"billed": "abc", "original": "abc"}, "AMOUNT_FORMAT", "/lines/0/gross", b'"abc"'),
        ({"billed": "", "original": ""}, "AMOUNT_FORMAT", "/lines/0/gross", b'"amount":""'),
        ({"billed": "1.005", "original": "1.005"}, "SCALE", "/lines/0/gross", b'"1.005"'),
        ({"original_currency": "HRK"}, "CURRENCY_UNKNOWN", "/lines/0/original", b'"HRK"'),
        ({"day": "31.12.2016"}, "SCHEMA_INVALID", "/lines/0/date", b'"31.12.2016"'),
        ({"day": "2017-02-30"}, "SCHEMA_INVALID", "/lines/0/date", b'"2017-02-30"'),
        ({"account": ""}, "SCHEMA_INVALID", "/lines/0/category", b'"category":""'),
        ({"center": ""}, "SCHEMA_INVALID", "/lines/0/cost_center", b'"cost_center":""'),
        ({"card": ""}, "SCHEMA_INVALID", "/employee", b'"employee":""'),
        ({"account": "x" * 129}, "SCHEMA_INVALID", "/lines/0/category", b"xxx"),
        ({"billed": "9" * 14}, "SCALE", "/lines/0/gross", b'"99999999999999"'),
        ({"billed": "9" * 40 + ".00"}, "AMOUNT_FORMAT", "/lines/0/gross", b'"9999'),
        ({"currency": "GBX"}, "CURRENCY_UNKNOWN", "/lines/0/gross", b'"GBX"'),
    ],
)
def test_what_cannot_be_read_is_sent_as_it_is_with_its_code_foretold(
    tmp_path: Path, cells: dict[str, str], code: str, pointer: str, told: bytes
) -> None:
    claim = only(file_of(tmp_path, BIRMINGHAM + birmingham(**cells), "birmingham"))
    assert claim.fault is not None
    assert claim.fault.code == code
    assert (claim.fault.pointer or "").startswith(pointer.rsplit("/", 1)[0])
    assert told in claim.body
    assert orjson.loads(claim.body)["source_key"] == claim.source_key


def test_a_row_with_too_many_cells_is_sent_as_cells_and_refused(tmp_path: Path) -> None:
    text = BIRMINGHAM + birmingham(merchant="shop, with a comma")
    claim = only(file_of(tmp_path, text, "birmingham"))
    body = orjson.loads(claim.body)
    assert claim.fault is not None
    assert claim.fault.code == "SCHEMA_INVALID"
    assert claim.total is None
    assert body.keys() == {"source", "source_key", "company", "cells"}
    assert "january-2017" in body["cells"][0]


def test_blank_lines_are_no_rows_and_missing_cells_at_the_end_are_blank(tmp_path: Path) -> None:
    short = birmingham().rpartition("A00")[0].rstrip(",") + "\n"
    claims = file_of(tmp_path, BIRMINGHAM + "\n" + short + ",,,\n\n", "birmingham")
    assert only(claims).fault is None
    assert claims.rows == 1


def test_a_missing_column_is_named_with_what_row_1_has(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"has no columns .*'TRANS DATE'") as problem:
        list(file_of(tmp_path, "a,b\n1,2\n", "birmingham"))
    assert problem.value.code == Exit.INVALID
    assert "needs each of them exactly once, and row 1 has: a, b" in problem.value.why


def test_one_missing_column_is_told_in_the_singular(tmp_path: Path) -> None:
    text = BIRMINGHAM.replace("TRANS DATE", "DAY")
    with pytest.raises(CommandError, match="has no column 'TRANS DATE'") as problem:
        list(file_of(tmp_path, text, "birmingham"))
    assert "needs it exactly once" in problem.value.why


@pytest.mark.parametrize("text", ["", "\ufeff"])
def test_an_empty_file_is_called_empty(tmp_path: Path, text: str) -> None:
    with pytest.raises(CommandError, match="the file is empty") as problem:
        list(file_of(tmp_path, text, "birmingham"))
    assert problem.value.code == Exit.INVALID


def test_a_blank_first_row_names_no_columns(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="row 1 has: nothing"):
        list(file_of(tmp_path, "\n" + BIRMINGHAM, "birmingham"))


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = BIRMINGHAM.strip() + ",TRANS DATE\n"
    with pytest.raises(CommandError, match="two columns 'TRANS DATE'"):
        list(file_of(tmp_path, text, "birmingham"))


def test_another_encoding_is_named_with_the_row(tmp_path: Path) -> None:
    text = (BIRMINGHAM + birmingham() + birmingham(merchant="café")).encode("latin-1")
    with pytest.raises(CommandError, match="not a CSV file in utf-8-sig"):
        list(file_of(tmp_path, text, "birmingham"))


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8-sig"])
def test_a_layout_may_name_its_encoding(tmp_path: Path, encoding: str) -> None:
    layout = load_layout("birmingham").model_copy(update={"encoding": encoding})
    text = (BIRMINGHAM + birmingham(merchant="咖啡馆")).encode(encoding)
    claim = only(file_of(tmp_path, text, layout))
    assert claim.command().lines[0].merchant == "咖啡馆"


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read") as problem:
        list(ClaimFile(tmp_path / "none.csv", load_layout("barnet")))
    assert problem.value.code == Exit.NOT_FOUND


def test_a_file_that_writes_expenses_as_negative_is_turned(tmp_path: Path) -> None:
    layout = load_layout("birmingham").model_copy(update={"sign": -1})
    claim = only(file_of(tmp_path, BIRMINGHAM + birmingham(billed="-5.00"), layout))
    assert claim.total == Money(500, "GBP")


def test_names_are_collected_only_when_they_are_wanted(tmp_path: Path) -> None:
    claims = file_of(tmp_path, BIRMINGHAM + birmingham(), "birmingham")
    assert only(claims).fault is None
    assert not claims.names
    wanted = ClaimFile(claims.path, claims.layout, keep_names=True)
    only(wanted)
    assert wanted.names == {
        ("category", "K020"): "Vehicle Fuel",
        ("cost_center", "RV12N"): "Day Centre",
    }


CELLS = st.text(max_size=12) | st.from_regex(r"-?[0-9]{0,4}(\.[0-9]{0,3})?", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(ROW)), CELLS, max_size=2))
def test_a_draft_without_doubts_can_always_be_read(cells: dict[str, str]) -> None:
    row = ROW | {name: cell.strip() for name, cell in cells.items()}
    try:
        draft = drafted(LAYOUT, "BHAM", "key", [row])
        body = orjson.dumps(draft.document)
    except (TypeError, orjson.JSONEncodeError):
        return  # Lone surrogates, which no decoded file holds.
    if not draft.doubts:
        assert fault_of(body) is None
        assert draft.total is not None


def test_rows_of_one_key_are_the_lines_of_one_claim(tmp_path: Path) -> None:
    header = (
        "报销单号,报销人,支付方式,收款方,事由,日期,费用类别,成本中心,项目,商户,发票号,"
        "不含税金额,税额,价税合计,原币金额,原币,汇率,单据合计\n"
    )
    rows = (
        "A-1,E1,员工垫付,,出差,2026-10-01,travel,GM,,铁路,1,91.74,8.26,100.00,,,,170.94\n"
        "A-2,C1,公司卡,C1,退订,2026-10-02,lodging,GM,,酒店,,-50.00,0.00,-50.00,,,,-50.00\n"
        "A-1,E1,员工垫付,,出差,2026-10-02,lodging,GM,P1,Inn,,70.94,0.00,70.94,10.00,USD,7.0935,"
        "170.94\n"
        ",E1,员工垫付,,无号,2026-10-02,office,GM,,店,,1.00,0.00,1.00,,,,1.00\n"
    )
    first, second, third = file_of(tmp_path, header + rows, "made-month")
    trip = first.command()
    assert (first.source_key, first.rows) == ("A-1", (2, 4))
    assert [(line.line, line.tax.minor, line.project) for line in trip.lines] == [
        (1, 826, None),
        (2, 0, "P1"),
    ]
    assert (trip.lines[1].original, trip.lines[1].rate) == (Money(1000, "USD"), "7.0935")
    assert str(trip.lines[1].rate_date) == "2026-10-02"
    assert second.command().paid_by == "company_card"
    assert second.total == Money(-5000, "CNY")
    assert third.source_key.startswith("row-")
