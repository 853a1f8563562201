"""Statement files: what is read, what is refused, and who a line is."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from services.reconcile.domain import Earlier, Statement, refusal_of
from services.reconcile.matching.lines import digest_of, line_ids
from services.reconcile.statements import Unreadable, layout_of, read_camt, read_csv
from services.reconcile.statements.csv_layouts import Layout
from tests.support import new_id
from tests.support.reconcile_values import (
    ACCOUNT,
    DAY,
    a_booking,
    a_file,
    a_statement,
    a_statement_file,
    an_xml_entry,
    an_xml_statement,
    reference_of,
)

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = Path(os.environ.get("LEDGERBUS_SHARED_DATA", ROOT.parent / "shared" / "data"))
CAMT = SHARED / "bank" / "camt-genkgo"
REF = reference_of(1)


def one(content: bytes) -> Statement:
    (statement,) = read_camt(content)
    return statement


@pytest.mark.parametrize(
    "namespace",
    [
        *(f"urn:iso:std:iso:20022:tech:xsd:camt.053.001.{n:02}" for n in (2, 3, 4, 6, 8, 13)),
        "urn:somebody:else",
        "",
    ],
)
def test_any_version_and_namespace_is_read(namespace: str) -> None:
    entry = an_xml_entry(-10_000, REF, text="EXPENSES", bank_id="BANK-77-1", party="E-1001")
    content = a_file(an_xml_statement(entry, total=-10_000), namespace=namespace)
    statement = one(content)
    assert (statement.account, statement.reference, statement.currency) == (
        ACCOUNT,
        "2026-03",
        "EUR",
    )
    assert statement.proven
    assert statement.closes
    (booking,) = statement.bookings
    assert booking.references == (REF,)
    assert (booking.amount_minor, booking.text, booking.party) == (-10_000, "EXPENSES", "E-1001")
    assert (booking.bank_id, booking.batch_size) == ("BANK-77-1", 1)


def test_one_entry_with_many_details_is_one_line() -> None:
    refs = [reference_of(number) for number in (1, 2, 3)]
    entry = an_xml_entry(-600, *refs, amounts=(100, 200, 300))
    (booking,) = one(a_statement_file([(-600, entry)])).bookings
    assert (booking.amount_minor, booking.batch_size, booking.batch_gap_minor) == (-600, 3, 0)
    assert booking.references == (*refs[:1], *refs[1:])
    broken = an_xml_entry(-600, *refs, amounts=(100, 200, 200))
    assert one(a_statement_file([(-600, broken)])).bookings[0].batch_gap_minor == 100


def test_a_batch_may_carry_the_charges_on_top() -> None:
    entry = an_xml_entry(-310, REF, reference_of(2), amounts=(100, 200), charges=10)
    (booking,) = one(a_statement_file([(-310, entry)])).bookings
    assert (booking.charges_minor, booking.batch_gap_minor) == (10, 0)


def test_a_charge_that_is_booked_apart_is_not_of_this_amount() -> None:
    entry = an_xml_entry(-310, REF, charges=10)
    apart = entry.replace("</Rcrd>", "<ChrgInclInd>false</ChrgInclInd></Rcrd>")
    assert one(a_statement_file([(-310, apart)])).bookings[0].charges_minor == 0
    whole = (
        entry.replace("<Rcrd>", "")
        .replace("</Rcrd>", "")
        .replace("<Chrgs>", '<Chrgs><TtlChrgsAndTaxAmt Ccy="EUR">0.1</TtlChrgsAndTaxAmt>')
    )
    assert one(a_statement_file([(-310, whole)])).bookings[0].charges_minor == 10


@pytest.mark.parametrize(
    ("entry", "because"),
    [
        (an_xml_entry(100, REF, returned=True), "AC04"),
        (an_xml_entry(100, REF, text=f"RETURN {REF}"), f"RETURN {REF}"),
        (an_xml_entry(100, REF, text="退汇 账号不符"), "退汇 账号不符"),
        (an_xml_entry(100, REF).replace("<Sts>", "<RvslInd>true</RvslInd><Sts>"), ""),
    ],
)
def test_a_returned_payment_is_marked(entry: str, because: str) -> None:
    (booking,) = one(a_statement_file([(100, entry)])).bookings
    assert booking.returned
    assert booking.because == because


def test_what_is_only_pending_is_no_line() -> None:
    pending = an_xml_entry(-100, REF).replace("BOOK", "PDNG")
    statement = one(a_file(an_xml_statement(pending, total=0)))
    assert (len(statement.bookings), statement.skipped, statement.closes) == (0, 1, True)


def test_another_currency_in_the_details_shows_an_exchange() -> None:
    entry = an_xml_entry(-100, REF).replace(
        "<RmtInf>", '<AmtDtls><InstdAmt><Amt Ccy="USD">1.10</Amt></InstdAmt></AmtDtls><RmtInf>'
    )
    assert one(a_statement_file([(-100, entry)])).bookings[0].foreign


def test_a_statement_that_does_not_close_says_by_how_much() -> None:
    entry = an_xml_entry(-100, REF)
    statement = one(a_file(an_xml_statement(entry, total=-100, closing=999_999)))
    assert (statement.closes, statement.gap_minor) == (False, -99)
    finding = refusal_of(statement, "ACME", [])
    assert finding
    assert finding.code == "STATEMENT_UNBALANCED"
    assert finding.figures["difference"] == "-0.99 EUR"


def test_a_statement_without_lines_or_balances_is_fine() -> None:
    assert one(a_file(an_xml_statement(total=0))).closes
    bare = a_file("<Stmt><Id>1</Id><CreDtTm>2026-03-01</CreDtTm><Acct><Id><Othr><Id>77 a</Id>"
                  "</Othr></Id><Ccy>EUR</Ccy></Acct></Stmt>")  # fmt: skip
    statement = one(bare)
    assert (statement.account, statement.proven, statement.closes) == ("77A", False, True)
    assert (statement.opened_on, statement.closed_on) == (date(2026, 3, 1), date(2026, 3, 1))


def xml(text: str) -> bytes:
    return a_statement_file([(-100, text)])


ENTRY = an_xml_entry(-100, REF)
BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><Document>&a;</Document>'
INCLUDED = a_file('<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="other"/>')


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (BOMB, "XML_FORBIDDEN"),
        (b'<!DOCTYPE Document SYSTEM "other.dtd"><Document/>', "XML_FORBIDDEN"),
        (INCLUDED, "XML_FORBIDDEN"),
        (b"", "XML_MALFORMED"),
        (b"account,date\n", "XML_MALFORMED"),
        (xml(ENTRY)[:-40], "XML_MALFORMED"),
        (b'<?xml version="1.0" encoding="no-such"?><Document/>', "XML_MALFORMED"),
        (a_file(), "STATEMENT_MISSING"),
        (xml(ENTRY.replace("DBIT", "")), "SIGN_MISSING"),
        (xml(ENTRY.replace(">1.00<", ">1.005<")), "SCALE"),
        (xml(ENTRY.replace(">1.00<", ">1,00<")), "AMOUNT_FORMAT"),
        (xml(ENTRY.replace(">1.00<", ">-1.00<")), "AMOUNT_FORMAT"),
        (xml(ENTRY.replace(">1.00<", ">1e3<")), "AMOUNT_FORMAT"),
        (xml(ENTRY.replace(">1.00<", ">9999999999999999.00<")), "AMOUNT_RANGE"),
        (xml(ENTRY.replace('"EUR"', '"EUX"')), "CURRENCY_UNKNOWN"),
        (xml(ENTRY.replace(str(DAY.year), "30-2")), "DATE_FORMAT"),
        (xml(ENTRY.replace('<Amt Ccy="EUR">1.00</Amt>', "")), "AMOUNT_MISSING"),
        (xml(ENTRY).replace(ACCOUNT.encode(), b" "), "ACCOUNT_MISSING"),
    ],
)
def test_a_file_that_needs_a_guess_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_camt(content)
    assert refused.value.faults[0].code == code
    assert refused.value.faults[0].where


def csv_of(
    *rows: str, header: str = "account,date,amount,currency,reference,text,balance"
) -> bytes:
    return "\r\n".join([header, *rows, ""]).encode()


PLAIN = layout_of("plain")


def test_a_plain_csv_is_a_proven_statement_by_its_running_balance() -> None:
    content = csv_of(
        f"{ACCOUNT},2026-03-11,-100.00,EUR,{REF},EXPENSES,900.00",
        f"{ACCOUNT},2026/03/12,\t+2.5 ,EUR,,REFUND,902.50",
    )
    (statement,) = read_csv(content, PLAIN)
    assert (statement.opening_minor, statement.closing_minor) == (100_000, 90_250)
    assert statement.proven
    assert statement.closes
    assert [booking.amount_minor for booking in statement.bookings] == [-10_000, 250]
    cut = csv_of(
        f"{ACCOUNT},2026-03-11,-100.00,EUR,,A,900.00", f"{ACCOUNT},2026-03-13,1.00,EUR,,C,903.50"
    )
    assert not read_csv(cut, PLAIN)[0].closes


def test_encodings_preambles_and_decoration_are_tolerated() -> None:
    rows = [
        "账户清单,2026年",
        "",
        "account,date,amount,currency,text",
        f'{ACCOUNT},20260311,"¥-1,000.00",CNY,报销 E-1001',
        f"{ACCOUNT},20260311,CNY13.50,CNY,退款",
    ]
    for encoding in ("utf-8", "utf-8-sig", "gb18030"):
        (statement,) = read_csv("\n".join(rows).encode(encoding), PLAIN)
        assert [booking.amount_minor for booking in statement.bookings] == [-100_000, 1_350]
        assert statement.bookings[0].text == "报销 E-1001"
        assert not statement.proven


def test_accounts_and_currencies_are_statements_of_their_own() -> None:
    content = csv_of("A1,2026-03-11,1,EUR,,,", "A2,2026-03-11,1,EUR,,,", "A1,2026-03-11,1,JPY,,,")
    found = [(one.account, one.currency, one.sum_minor) for one in read_csv(content, PLAIN)]
    assert found == [("A1", "EUR", 100), ("A2", "EUR", 100), ("A1", "JPY", 1)]


@pytest.mark.parametrize(
    ("changes", "row", "expected"),
    [
        ({"sign": "negated"}, "A,2026-03-11,5.00,EUR,,", -500),
        ({"sign": "columns"}, "A,2026-03-11,,EUR,5.00,", 500),
        ({"sign": "columns"}, "A,2026-03-11,,EUR,,5.00", -500),
        ({"sign": "marked", "marks": {"Dr": "debit"}}, "A,2026-03-11,5.00,EUR,,Dr", -500),
        ({"decimal": ","}, 'A,2026-03-11,"1.005,50",EUR,,', 100_550),
    ],
)
def test_a_layout_says_what_a_sign_is(changes: dict[str, object], row: str, expected: int) -> None:
    columns = PLAIN.columns | {"credit": "in", "debit": "out", "mark": "out"}
    layout = Layout.model_validate(
        PLAIN.model_dump()
        | {"columns": columns, "optional": [*PLAIN.optional, "credit", "debit", "mark"]}
        | changes
    )
    content = csv_of(row, header="account,date,amount,currency,in,out")
    assert read_csv(content, layout)[0].bookings[0].amount_minor == expected


def test_a_csv_counts_in_full_or_not_at_all() -> None:
    content = csv_of(
        f"{ACCOUNT},2026-03-11,1.00,EUR,,,",
        f"{ACCOUNT},11.03.2026,1.00,EUR,,,",
        f"{ACCOUNT},2026-03-11,1.005,EUR,,,",
        ",2026-03-11,1.00,EUR,,,",
    )
    with pytest.raises(Unreadable) as refused:
        read_csv(content, PLAIN)
    assert [(fault.code, fault.where) for fault in refused.value.faults] == [
        ("DATE_FORMAT", "row 3"),
        ("SCALE", "row 4"),
        ("ACCOUNT_MISSING", "row 5"),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "HEADER_MISSING"),
        (b"a;b;c\n1;2;3\n", "HEADER_MISSING"),
        (csv_of(), "STATEMENT_MISSING"),
        (b'account,date,amount,currency\n"A,2026-03-11', "CSV_MALFORMED"),
        (b"account,date,amount,currency\nA\x00,2026-03-11,1,EUR", "ENCODING"),
        (b"\xff\xff\xff", "ENCODING"),
    ],
)
def test_a_file_that_is_no_csv_of_the_layout_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_csv(content, PLAIN)
    assert refused.value.faults[0].code == code


def test_an_unknown_layout_names_those_there_are() -> None:
    with pytest.raises(Unreadable, match="LAYOUT_UNKNOWN") as refused:
        layout_of("../../secret")
    assert "plain" in refused.value.faults[0].detail


def test_equal_lines_of_one_statement_are_two_and_of_two_statements_one() -> None:
    booking = a_booking(-100, text="COFFEE")
    twins = a_statement(booking, booking)
    assert len(set(line_ids(twins))) == 2
    later = a_statement(booking, booking, replace(booking, text="TEA"), reference="2026-04")
    assert line_ids(later)[:2] == line_ids(twins)


def test_the_banks_own_id_names_a_line_only_where_it_names_one() -> None:
    one_id = [a_booking(-100, text=text, bank_id="BANK-000001") for text in ("A", "B")]
    assert line_ids(a_statement(one_id[0])) == line_ids(a_statement(one_id[1]))
    assert len(set(line_ids(a_statement(*one_id)))) == 2
    counted = [a_booking(-100, text=text, bank_id="1") for text in ("A", "B")]
    assert line_ids(a_statement(counted[0])) != line_ids(a_statement(counted[1]))
    other_account = a_statement(one_id[0], account="OTHER")
    assert line_ids(other_account) != line_ids(a_statement(one_id[0]))


def test_the_digest_follows_the_content() -> None:
    booking, other = a_booking(-100, text="A"), a_booking(-200, text="B")
    first = a_statement(booking, other)
    assert digest_of(first) == digest_of(a_statement(other, booking))
    assert digest_of(first) != digest_of(a_statement(booking))
    assert digest_of(first) != digest_of(replace(first, opening_minor=1, closing_minor=-299))


def test_a_statement_is_refused_for_its_account_or_its_other_content() -> None:
    statement = a_statement(a_booking())
    other = Earlier(new_id(), accepted=True, same_content=False)
    refused = Earlier(new_id(), accepted=False, same_content=False)
    unknown = refusal_of(statement, None, [])
    changed = refusal_of(statement, "ACME", [other])
    assert unknown
    assert changed
    assert (unknown.code, changed.code) == ("ACCOUNT_UNKNOWN", "STATEMENT_CHANGED")
    assert refusal_of(statement, "ACME", [refused]) is None


CLOSING = {"camt053.v2.multi.statement.xml"}
FLAGGED = {
    "camt053.v2.minimal.xml": "54.00",
    "camt053.v2.minimal.ultimate.xml": "54.00",
    "camt053.v2.with-party-ids.xml": "54.00",
    "camt053.v3.xml": "54.00",
    "camt053.v4.xml": "54.00",
    "camt053.v8.xml": "54.00",
    "camt053.v2.all-balance-types.xml": "5.82",
    "camt053.v2.five.decimals.xml": "-0.05",
}


@pytest.mark.skipif(not CAMT.is_dir(), reason="the shared files are not on this machine")
def test_the_balances_of_real_files_are_their_own_oracle() -> None:
    seen = 0
    for path in sorted(CAMT.glob("*.xml")):
        if path.name == "camt053.v2.wrong.xml":
            with pytest.raises(Unreadable, match="STATEMENT_MISSING"):
                read_camt(path.read_bytes())
            continue
        for statement in read_camt(path.read_bytes()):
            finding = refusal_of(statement, "ACME", [])
            if path.name in FLAGGED:
                assert finding, path.name
                assert finding.figures["difference"] == f"{FLAGGED[path.name]} EUR", path.name
            else:
                assert finding is None, path.name
                assert statement.proven == (path.name in CLOSING), path.name
            seen += 1
    assert seen == 26


@pytest.mark.skipif(not CAMT.is_dir(), reason="the shared files are not on this machine")
@pytest.mark.parametrize("name", ["camt054.v4.xml", "camt054.v8.xml"])
def test_details_that_do_not_add_up_are_flagged(name: str) -> None:
    (statement,) = read_camt((CAMT / name).read_bytes())
    (booking,) = statement.bookings
    assert booking.batch_size == 3
    assert booking.batch_gap_minor != 0
