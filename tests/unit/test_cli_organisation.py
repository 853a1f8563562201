from __future__ import annotations

import textwrap
from datetime import date
from typing import TYPE_CHECKING

import pytest

from contracts.masterdata import ApprovalRuleDefined, BudgetDefined, CompanyDefined, EmployeeDefined
from contracts.values import Money
from ledgerbus import organisation
from ledgerbus.derive import derived
from ledgerbus.errors import CommandError, Exit
from ledgerbus.layout import load_layout
from ledgerbus.organisation import SECTIONS, dangling, read_organisation, written_organisation
from tests.support.cli_values import BIRMINGHAM, birmingham, file_of

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.envelope import Event


def read(folder: Path, text: str) -> list[Event]:
    path = folder / "organisation.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return read_organisation(path)


def test_the_documented_example_is_sound_and_has_every_section(tmp_path: Path) -> None:
    described = organisation.__doc__ or ""
    example = described[described.index("    company:") : described.index("A section is")]
    events = read(tmp_path, example)
    assert {type(event) for event in events} == set(SECTIONS.values())
    assert dangling(events, []) == []
    budget = next(event for event in events if isinstance(event, BudgetDefined))
    assert budget.limit == Money(500000, "GBP")
    rule = next(event for event in events if isinstance(event, ApprovalRuleDefined))
    assert [(c.field, c.operator, c.value) for c in rule.conditions] == [("total", "<=", "100")]


def test_what_is_written_reads_as_the_same_records(tmp_path: Path) -> None:
    described = organisation.__doc__ or ""
    example = described[described.index("    company:") : described.index("A section is")]
    events = read(tmp_path, example)
    again = tmp_path / "again.yaml"
    again.write_text(written_organisation(events, "two\nlines"), encoding="utf-8")
    assert read_organisation(again) == events


@pytest.mark.parametrize(
    "name",
    ["yes", "null", "0660", "1_000", "2026-10-01", "a: b", "#1", "北京", 'say "x"', "- a", "é"],
)
def test_any_name_survives_the_file(tmp_path: Path, name: str) -> None:
    events: list[Event] = [CompanyDefined(company="A", name=name, currency="GBP")]
    path = tmp_path / "names.yaml"
    path.write_text(written_organisation(events, "names"), encoding="utf-8")
    assert read_organisation(path) == events


def test_several_companies_in_one_file_keep_their_own(tmp_path: Path) -> None:
    events: list[Event] = [
        CompanyDefined(company="A", name="A", currency="GBP"),
        CompanyDefined(company="B", name="B", currency="CNY"),
        EmployeeDefined(company="B", employee="E1"),
    ]
    path = tmp_path / "both.yaml"
    path.write_text(written_organisation(events, "both"), encoding="utf-8")
    assert read_organisation(path) == events


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("employees: [{employee: 1001}]", "write it in quotes"),
        ("employees: [{employee: E1, nmae: Ann}]", "record 1: nmae: Extra inputs"),
        ("employees: [E1]", "not a record but 'E1'"),
        ("employes: []", "no section is called 'employes'"),
        ("employees: [{employee: E1}, {employee: E1}]", "'A/E1' is defined twice"),
        ("rates: [{original: USD, functional: GBP, date: 2026-10-01, rate: 1,5}]", "rate"),
        (
            "budgets: [{budget: B, starts_on: 2026-01-01, ends_on: 2026-12-31, limit: 5 GBP}]",
            "exactly 2 digits",
        ),
        ("approval_rules: [{rule: r, version: 1, priority: 1, valid_from: soon}]", "valid_from"),
        ("[1, 2]", "none of the sections"),
        ("a: [", "not a sound organisation"),
    ],
)
def test_a_fault_is_named_with_its_record_and_nothing_is_published(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(CommandError) as problem:
        read(tmp_path, text if text.startswith(("[", "a: [")) else f"company: A\n{text}\n")
    assert told in "\n".join(problem.value.lines())
    assert problem.value.code == Exit.INVALID


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = "company: A\nemployees: [" + ", ".join(["{employee: 7}"] * 14) + "]\n"
    with pytest.raises(CommandError) as problem:
        read(tmp_path, text)
    assert problem.value.why.count("write it in quotes") == 10
    assert "and 4 more" in problem.value.why


def test_a_reference_to_nobody_is_dangling_unless_it_is_known_already() -> None:
    boss = EmployeeDefined(company="A", employee="E2")
    company = CompanyDefined(company="A", name="A", currency="GBP")
    clerk = EmployeeDefined(company="A", employee="E1", manager="E2", cost_center="C9")
    assert dangling([company, clerk], []) == [
        "employees A/E1: no employee 'E2'",
        "employees A/E1: no cost_center 'C9'",
    ]
    assert dangling([company, clerk], [boss]) == ["employees A/E1: no cost_center 'C9'"]
    assert dangling([clerk], [boss])[-1] == "employees A/E1: no company 'A'"


def test_the_same_code_in_another_company_does_not_count() -> None:
    both = [CompanyDefined(company=code, name=code, currency="GBP") for code in "AB"]
    there = EmployeeDefined(company="B", employee="E2")
    clerk = EmployeeDefined(company="A", employee="E1", manager="E2")
    assert dangling([*both, there, clerk], []) == ["employees A/E1: no employee 'E2'"]


def test_a_derived_organisation_holds_everything_its_file_mentions(tmp_path: Path) -> None:
    rows = (
        birmingham()
        + birmingham(day="2017-04-02", billed="1500.00", original="1500.00", card="*1147")
        + birmingham(billed="-100.00", original="-100.00")
        + birmingham(account="", card="*0000")
    )
    claims = file_of(tmp_path, BIRMINGHAM + rows, "birmingham")
    events = derived([claims.path], load_layout("birmingham"), "BHAM", "GBP")
    told = {(type(event).__name__, event.key) for event in events}
    assert ("EmployeeDefined", "BHAM/CARD-5770") in told
    assert ("EmployeeDefined", "BHAM/CARD-1147") in told
    assert ("EmployeeDefined", "BHAM/CARD-0000") not in told
    assert ("CostCenterDefined", "BHAM/RV12N") in told
    assert ("AccountMapped", "BHAM/expense:K020/2017-01-01") in told
    assert {key for kind, key in told if kind == "PeriodDefined"} == {
        "BHAM/2017-01",
        "BHAM/2017-04",
    }
    assert dangling(events, []) == []
    fallback = [rule for rule in events if isinstance(rule, ApprovalRuleDefined)][-1]
    assert not fallback.conditions
    assert [step.approvers for step in fallback.steps] == [["manager"]]


def test_derived_budgets_carry_what_the_file_spends_and_refunds_do_not_lower_them(
    tmp_path: Path,
) -> None:
    rows = (
        birmingham(billed="900.00", original="900.00")
        + birmingham(day="2017-03-31", billed="100.01", original="100.01")
        + birmingham(billed="-900.00", original="-900.00")
    )
    claims = file_of(tmp_path, BIRMINGHAM + rows, "birmingham")
    events = derived([claims.path], load_layout("birmingham"), "BHAM", "GBP")
    root, quarter = [event for event in events if isinstance(event, BudgetDefined)]
    assert (root.control, root.limit) == ("soft", Money(200000, "GBP"))
    assert (quarter.budget, quarter.parent, quarter.control) == ("RV12N-2017Q1", "ROOT", "hard")
    assert (quarter.starts_on, quarter.ends_on) == (date(2017, 1, 1), date(2017, 3, 31))
    assert quarter.limit == Money(200000, "GBP")


def test_an_expense_of_the_far_future_opens_no_period(tmp_path: Path) -> None:
    rows = birmingham() + birmingham(day="2108-11-02")
    claims = file_of(tmp_path, BIRMINGHAM + rows, "birmingham")
    events = derived([claims.path], load_layout("birmingham"), "BHAM", "GBP")
    assert "BHAM/2108-11" not in {event.key for event in events}


def test_nothing_can_be_derived_from_a_file_without_a_sound_claim(tmp_path: Path) -> None:
    claims = file_of(tmp_path, BIRMINGHAM + birmingham(account=""), "birmingham")
    with pytest.raises(CommandError, match="no sound claim"):
        derived([claims.path], load_layout("birmingham"), "BHAM", "GBP")


def test_a_currency_the_layout_does_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="reads amounts in CAD") as problem:
        derived([tmp_path / "x.csv"], load_layout("canada"), "CANADA", "USD")
    assert problem.value.code == Exit.USAGE


def test_an_organisation_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no such file") as problem:
        read_organisation(tmp_path / "nothere.yaml")
    assert problem.value.code == Exit.NOT_FOUND
    assert "Errno" not in problem.value.why


def test_an_organisation_in_another_encoding_is_invalid(tmp_path: Path) -> None:
    path = tmp_path / "organisation.yaml"
    path.write_bytes("companies: café".encode("latin-1"))
    with pytest.raises(CommandError, match="no UTF-8 text") as problem:
        read_organisation(path)
    assert problem.value.code == Exit.INVALID
