from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from contracts.values import PaidBy
from services.posting.domain import (
    Case,
    DateRule,
    JournalEntry,
    Kind,
    Recorded,
    Stage,
    Unbalanced,
    case_of,
    learn,
    outside_reference,
    signed,
)
from services.posting.policy import (
    GRACE,
    Account,
    Chart,
    Grounds,
    advance,
    back_off,
    company_part,
    date_for,
    decide,
    entry_number,
    give_up,
    lacks,
    needs_of,
    supply,
)
from tests.support import given, new_id
from tests.support.posting_values import (
    COMPANY,
    DAY,
    a_chart,
    a_claim,
    a_line,
    cny,
    drafted,
    reserved,
    sides,
    withdrawn,
)

if TYPE_CHECKING:
    from contracts.claims import ClaimLine

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
EXPENSE, MEALS, OTHER, VAT = "660201", "660202", "660299", "22210101"
EMPLOYEE, CARD, SUPPLIER = "224101", "224102", "220201"


def entry_of(*lines: ClaimLine, chart: Chart | None = None, **fields: Any) -> JournalEntry:
    found = drafted(a_claim(*lines, **fields), chart or a_chart())
    assert isinstance(found, JournalEntry), found
    return found


def codes_of(chart: Chart, *lines: ClaimLine) -> list[tuple[str, dict[str, str]]]:
    found = drafted(a_claim(*lines), chart)
    assert isinstance(found, tuple)
    return [(reason.code, reason.figures) for reason in found]


def a_case(**fields: Any) -> Case:
    claim = a_claim()
    case = learn(case_of(claim, now=NOW), given(reserved(claim)), now=NOW)
    return replace(case, **fields)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [a_line(1, 10000, 600)],
            [("debit", EXPENSE, 10000), ("debit", VAT, 600), ("credit", EMPLOYEE, 10600)],
            id="deductible tax stands apart",
        ),
        pytest.param(
            [a_line(1, 10000, 600, category="meals")],
            [("debit", MEALS, 10600), ("credit", EMPLOYEE, 10600)],
            id="other tax belongs to the expense",
        ),
        pytest.param(
            [a_line(1, 10000)],
            [("debit", EXPENSE, 10000), ("credit", EMPLOYEE, 10000)],
            id="no tax, no line for it",
        ),
        pytest.param(
            [a_line(1, 10000, 600, category="gift")],
            [("debit", OTHER, 10000), ("debit", VAT, 600), ("credit", EMPLOYEE, 10600)],
            id="the star serves a category without a mapping",
        ),
        pytest.param(
            [a_line(1, -10000, -600)],
            [("credit", EXPENSE, 10000), ("credit", VAT, 600), ("debit", EMPLOYEE, 10600)],
            id="a refund turns its sides",
        ),
        pytest.param(
            [a_line(1, 10000), a_line(2, -3000, -180)],
            [
                ("debit", EXPENSE, 10000),
                ("credit", EXPENSE, 3000),
                ("credit", VAT, 180),
                ("credit", EMPLOYEE, 6820),
            ],
            id="a refund inside a claim turns its own sides only",
        ),
        pytest.param(
            [a_line(1, 10000), a_line(2, -10000)],
            [("debit", EXPENSE, 10000), ("credit", EXPENSE, 10000)],
            id="nothing owed, no line for the payee",
        ),
    ],
)
def test_a_claim_becomes_its_entry(
    lines: list[ClaimLine], expected: list[tuple[str, str, int]]
) -> None:
    assert sides(entry_of(*lines).lines) == expected


@pytest.mark.parametrize(
    ("paid_by", "account"),
    [
        (PaidBy.EMPLOYEE, EMPLOYEE),
        (PaidBy.COMPANY_CARD, CARD),
        (PaidBy.SUPPLIER_INVOICE, SUPPLIER),
    ],
)
def test_who_has_paid_decides_the_credit_account(paid_by: PaidBy, account: str) -> None:
    last = entry_of(paid_by=paid_by, payee="P-7").lines[-1]
    assert (last.account, last.party) == (account, "P-7")


def test_expense_lines_carry_dimensions_and_the_payees_line_its_party() -> None:
    expense, payee = entry_of(a_line(project="P-1", merchant="M" * 80)).lines
    assert (expense.cost_center, expense.project, expense.party) == ("CC-1", "P-1", None)
    assert (payee.cost_center, payee.project, payee.party) == (None, None, "E-1")
    assert expense.text == "M" * 50
    assert expense.account_name == "Travel"


def test_the_newest_account_valid_on_the_posting_date_serves() -> None:
    chart = a_chart()
    newest_first = (
        Account("6603", "Later", date(2026, 10, 13)),
        Account("6602", "Now", date(2026, 10, 12)),
        Account("6601", "Before", date(2020, 1, 1)),
    )
    accounts = {**chart.accounts, (COMPANY, "expense:travel"): newest_first}
    chart = replace(chart, accounts=accounts)
    for day, account in ((11, "6601"), (12, "6602"), (13, "6603")):
        line = a_line(date=date(2026, 10, day))
        assert entry_of(line, chart=chart).lines[0].account == account


def test_every_missing_mapping_is_named_once_with_its_purpose_and_date() -> None:
    chart = a_chart(accounts={})
    lines = [a_line(1, 100, 6), a_line(2, 100), a_line(3, 100, category="meals")]
    found = codes_of(chart, *lines)
    assert {code for code, _ in found} == {"ACCOUNT_MAPPING_MISSING"}
    assert [figures["purpose"] for _, figures in found] == [
        "expense:travel",
        "input_vat",
        "expense:meals",
        "payable:employee",
    ]
    assert {figures["date"] for _, figures in found} == {"2026-10-12"}


def test_tax_of_an_unknown_category_is_never_guessed() -> None:
    assert codes_of(a_chart(deductible={}), a_line(1, 100, 6)) == [
        ("CATEGORY_UNKNOWN", {"company": COMPANY, "category": "travel"})
    ]
    entry_of(a_line(1, 100), chart=a_chart(deductible={}))


def test_an_unknown_company_is_a_reason() -> None:
    assert codes_of(a_chart(ledgers={}))[0][0] == "COMPANY_UNKNOWN"


@pytest.mark.parametrize(
    ("open_periods", "expected"),
    [
        (("2026-09", "2026-10"), (DAY, DateRule.DOCUMENT_DATE)),
        (("2026-09", "2026-11", "2026-12"), (date(2026, 11, 1), DateRule.NEXT_OPEN_PERIOD)),
        (("2027-02",), (date(2027, 2, 1), DateRule.NEXT_OPEN_PERIOD)),
        (("2026-08", "2026-09"), None),
        ((), None),
    ],
)
def test_the_posting_date_lies_in_an_open_period(
    open_periods: tuple[str, ...], expected: tuple[date, DateRule] | None
) -> None:
    chart = a_chart(open_periods={COMPANY: open_periods})
    assert date_for(chart, COMPANY, DAY, DateRule.DOCUMENT_DATE) == expected


def test_the_latest_line_dates_the_document() -> None:
    entry = entry_of(a_line(1, date=date(2026, 9, 3)), a_line(2, date=date(2026, 9, 30)))
    assert entry.document_date == date(2026, 9, 30)
    assert (entry.posting_date, entry.date_rule) == (date(2026, 10, 1), DateRule.NEXT_OPEN_PERIOD)
    assert (entry.fiscal_year, entry.period) == (2026, "2026-10")


def test_no_open_period_is_a_reason_with_its_figures() -> None:
    assert codes_of(a_chart(open_periods={})) == [
        (
            "PERIOD_CLOSED",
            {"company": COMPANY, "document_date": "2026-10-12", "period": "2026-10"},
        )
    ]


def test_an_entry_out_of_balance_cannot_exist() -> None:
    entry = entry_of()
    with pytest.raises(Unbalanced, match="10000"):
        replace(entry, lines=entry.lines[:1])
    with pytest.raises(Unbalanced):
        replace(entry, lines=())
    with pytest.raises(Unbalanced):
        entry_of(total=cny(10001))
    with pytest.raises(Unbalanced):
        entry_of(a_line(net=9000, tax=900, gross=cny(10000)))
    negative = entry.lines[0].model_copy(update={"amount": cny(-1)})
    with pytest.raises(Unbalanced):
        replace(entry, lines=(negative, *entry.lines))


amounts = st.integers(-(10**12), 10**12)


@settings(max_examples=200, deadline=None)
@for_all(
    st.lists(
        st.tuples(amounts, amounts, st.sampled_from(["travel", "meals", "gift"])),
        min_size=1,
        max_size=20,
    )
)
def test_debits_equal_credits_whatever_is_claimed(rows: list[tuple[int, int, str]]) -> None:
    lines = [a_line(i, net, tax, category=c) for i, (net, tax, c) in enumerate(rows, start=1)]
    if not any(line.gross or line.tax for line in lines):
        return
    entry = entry_of(*lines)
    assert sum(signed(line) for line in entry.lines) == 0
    assert all(line.amount.minor > 0 for line in entry.lines)
    owed = -sum(signed(line) for line in entry.lines if line.party)
    assert owed == sum(net + tax for net, tax, _ in rows)


def grounds(**fields: Any) -> Grounds:
    """What decisions are made from when nothing was posted or held before."""
    return Grounds(chart=a_chart(**fields), postings={}, held={})


def test_a_complete_case_is_posted() -> None:
    move = decide(a_case(), grounds(), entry_id=new_id(), now=NOW)
    assert (move.case.stage, move.case.claim, move.case.cause) == (Stage.POSTED, None, None)
    assert move.entry is not None
    assert move.entry.kind is Kind.POST


def test_a_company_with_another_ledger_gets_an_intent() -> None:
    move = decide(a_case(), grounds(ledgers={COMPANY: "sap"}), entry_id=new_id(), now=NOW)
    assert move.case.stage is Stage.INTENDED
    assert move.entry is not None
    assert move.entry.ledger == "sap"


def test_missing_master_data_blocks_first_and_holds_only_after_its_grace() -> None:
    lacking, case = grounds(accounts={}), a_case()
    blocked = decide(case, lacking, entry_id=new_id(), now=NOW)
    assert (blocked.case.stage, blocked.case.since, blocked.reasons) == (Stage.BLOCKED, NOW, ())
    assert blocked.case.claim == case.claim
    early = decide(blocked.case, lacking, entry_id=new_id(), now=NOW + GRACE / 2)
    assert early.case is blocked.case
    late = decide(blocked.case, lacking, entry_id=new_id(), now=NOW + GRACE)
    assert (late.case.stage, late.case.claim) == (Stage.HELD, case.claim)
    assert [reason.code for reason in late.reasons] == ["ACCOUNT_MAPPING_MISSING"] * 2
    mended = decide(blocked.case, grounds(), entry_id=new_id(), now=NOW + GRACE)
    assert mended.case.stage is Stage.POSTED


def test_a_held_case_says_why_once_and_again_only_for_other_reasons() -> None:
    lacking, case = grounds(accounts={}), replace(a_case(), stage=Stage.BLOCKED)
    first = decide(case, lacking, entry_id=new_id(), now=NOW + GRACE)
    looked_at = decide(first.case, lacking, entry_id=new_id(), now=NOW + 2 * GRACE)
    assert looked_at.case is first.case
    known = replace(lacking, held={case.key: first.reasons})
    again = decide(case, known, entry_id=new_id(), now=NOW + GRACE)
    assert (again.case.stage, again.reasons) == (Stage.HELD, ())
    other = replace(grounds(open_periods={}), held=known.held)
    (reason,) = decide(case, other, entry_id=new_id(), now=NOW + GRACE).reasons
    assert reason.code == "PERIOD_CLOSED"
    posted = decide(first.case, grounds(), entry_id=new_id(), now=NOW + GRACE)
    assert posted.case.stage is Stage.POSTED


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"accounts": {}}, {("account", "expense:travel"), ("account", "expense:*")}),
        ({"open_periods": {}}, {("period",)}),
        ({"ledgers": {}}, {("company",)}),
        ({"deductible": {}}, {("category", "travel")}),
    ],
)
def test_a_reason_names_all_that_would_make_it_vanish(
    fields: dict[str, Any], expected: set[tuple[str, ...]]
) -> None:
    reasons = drafted(a_claim(a_line(1, 100, 6)), a_chart(**fields))
    assert isinstance(reasons, tuple)
    named = {name for reason in reasons for name in lacks(reason)}
    assert {supply(what, COMPANY, *names) for what, *names in expected} <= named


def test_who_gives_a_held_case_up_is_named_before_what_it_lacked() -> None:
    held = decide(
        replace(a_case(), stage=Stage.BLOCKED),
        grounds(accounts={}),
        entry_id=new_id(),
        now=NOW + GRACE,
    )
    move = give_up(held.case, held.reasons, by="E-7", why="paid in cash")
    assert (move.case.stage, move.case.claim) == (Stage.FAILED, None)
    assert move.reasons[0].code == "POSTING_GIVEN_UP"
    assert "paid in cash" in move.reasons[0].detail
    assert move.reasons[1:] == held.reasons


def a_reversal(chart: Chart, entry: JournalEntry) -> Any:
    claim = a_claim()
    case = replace(case_of(claim, now=NOW), stage=Stage.POSTED, claim=None)
    case = learn(case, given(withdrawn(claim)), now=NOW)
    first = Recorded(entry, "HUAXIN-2026-0000001", "HUAXIN-2026-0000001", 1)
    grounds = Grounds(chart=chart, postings={case.key: first}, held={})
    return advance(case, grounds, entry_id=new_id(), now=NOW), case


def test_a_reversal_turns_every_side_and_names_what_it_reverses() -> None:
    entry = entry_of(a_line(1, 10000, 600), a_line(2, -500))
    move, _ = a_reversal(a_chart(), entry)
    reversal = move.entry
    assert move.case.stage is Stage.REVERSED
    assert [-signed(line) for line in reversal.lines] == [signed(line) for line in entry.lines]
    assert (reversal.reverses, reversal.reverses_number) == (
        entry.entry_id,
        "HUAXIN-2026-0000001",
    )
    assert reversal.total == entry.total
    assert reversal.date_rule is DateRule.ORIGINAL_DATE
    assert reversal.posting_date == entry.posting_date


def test_a_reversal_goes_into_the_next_open_period_if_the_original_is_closed() -> None:
    move, _ = a_reversal(a_chart(open_periods={COMPANY: ("2026-12",)}), entry_of())
    assert move.entry.posting_date == date(2026, 12, 1)
    assert move.entry.date_rule is DateRule.NEXT_OPEN_PERIOD


def test_a_reversal_waits_while_no_period_is_open() -> None:
    move, case = a_reversal(a_chart(open_periods={}), entry_of())
    assert move.case is case
    assert move.entry is None


def test_a_reversal_in_another_ledger_needs_its_answer() -> None:
    entry = entry_of(chart=a_chart(ledgers={COMPANY: "sap"}))
    move, _ = a_reversal(a_chart(), entry)
    assert (move.case.stage, move.case.cause, move.entry.ledger) == (Stage.REVERSING, None, "sap")


def test_needs_name_each_purpose_and_category_once() -> None:
    claim = a_claim(a_line(1), a_line(2), a_line(3, category="meals"))
    needs = needs_of([case_of(claim, now=NOW), case_of(a_claim(), now=NOW)])
    assert needs.companies == {COMPANY}
    assert {purpose for _, purpose in needs.purposes} == {
        "expense:travel",
        "expense:meals",
        "expense:*",
        "input_vat",
        "payable:employee",
    }
    assert {category for _, category in needs.categories} == {"travel", "meals"}


@pytest.mark.parametrize(
    ("company", "number"),
    [
        ("HUAXIN", "HUAXIN-2026-0000001"),
        ("CN-01.b", "CN-01.b-2026-0000001"),
        ("A" * 16, "AAAAAAAAAAAAAAAA-2026-0000001"),
    ],
)
def test_a_number_tells_company_year_and_count(company: str, number: str) -> None:
    assert entry_number(company, 2026, 1) == number


@pytest.mark.parametrize("company", ["A" * 17, "华信科技", "two words", "x/y", "-x", "é"])
def test_a_long_or_unplain_company_code_is_shortened_to_what_a_bank_carries(company: str) -> None:
    number = entry_number(company, 2026, 12_345_678)
    assert len(number) <= 30
    assert number.isascii()
    assert " " not in number
    assert company_part(company) == company_part(company)
    assert company_part(company) != company_part(company + "x")


def test_the_reference_in_another_ledger_depends_on_claim_revision_kind_and_ledger() -> None:
    entry = entry_of()
    same = replace(entry, entry_id=new_id(), text="other")
    others = [
        replace(entry, revision=2),
        replace(entry, kind=Kind.REVERSE),
        replace(entry, ledger="sap"),
        replace(entry, claim_id=new_id()),
    ]
    assert outside_reference(entry) == outside_reference(same)
    assert len({outside_reference(one) for one in [entry, *others]}) == 5
    assert len(outside_reference(entry)) == 16


def test_a_silent_ledger_is_asked_ever_more_rarely_but_not_before_it_has_settled() -> None:
    waits = [back_off(attempts, settle_s=30) for attempts in (1, 4, 6, 8, 9, 5000)]
    assert waits == [timedelta(seconds=s) for s in (30, 30, 64, 256, 300, 300)]
