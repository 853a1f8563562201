"""Which rule decides a claim."""

from __future__ import annotations

import pytest

from contracts.values import PaidBy
from services.approval.rules import (
    RuleInvalid,
    RuleVersionChanged,
    choose,
    compile_rule,
    ensure_unchanged,
    in_order,
    sentence,
)
from tests.support.approval_values import (
    COMPANY,
    a_case,
    a_claim,
    a_line,
    a_rule,
    a_step,
    compiled,
    when,
)

TWO_LINES = [
    a_line(1, "900.00", category="travel", cost_center="CC-100", project="P-1"),
    a_line(2, "100.00", category="meals", cost_center="CC-200"),
]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("total = 1000", True),
        ("total = 1000.00", True),
        ("total != 1000", False),
        ("total < 1000", False),
        ("total <= 1000", True),
        ("total > 999.99", True),
        ("total >= 1000.01", False),
        ("total in 1, 1000", True),
        ("total in 1, 2", False),
        ("grade = director", True),
        ("grade = staff", False),
        ("grade in staff, director", True),
        ("grade != staff", True),
        ("category = meals", True),
        ("category = office", False),
        ("category != meals", True),
        ("category in office, travel", True),
        ("cost_center = CC-200", True),
        ("project = P-1", True),
        ("project = P-2", False),
        ("project != P-1", True),
        ("paid_by = company_card", True),
        ("paid_by = employee", False),
        ("budget = over", True),
        ("budget in within, unbudgeted", False),
        ("budget != within", True),
        ("employee = lin", True),
        ("employee in wang, chen", False),
    ],
)
def test_a_condition_holds(condition: str, holds: bool) -> None:  # noqa: FBT001
    claim = a_claim("1000.00", lines=TWO_LINES, paid_by=PaidBy.COMPANY_CARD)
    rule = compiled(conditions=when(condition))
    found = choose([rule], a_case(claim, "over", "director"))
    assert (found is rule) is holds


def test_a_line_without_a_project_counts_as_an_empty_one() -> None:
    rule = compiled(conditions=when("project = "))
    assert choose([rule], a_case(a_claim())) is rule
    with_project = a_claim("1.00", lines=[a_line(gross="1.00", project="P-1")])
    assert choose([rule], a_case(with_project)) is None


@pytest.mark.parametrize("total", ["-6000.00", "6000.00"])
def test_a_refund_is_judged_by_its_absolute_total(total: str) -> None:
    rule = compiled(conditions=when("total > 5000"))
    assert choose([rule], a_case(a_claim(total))) is rule


def test_all_conditions_must_hold() -> None:
    rule = compiled(conditions=when("total > 100", "grade = director"))
    assert choose([rule], a_case(a_claim("500.00"))) is None
    assert choose([rule], a_case(a_claim("500.00"), grade="director")) is rule


def test_the_lowest_priority_number_decides_then_the_code() -> None:
    rules = [
        compile_rule(a_rule(code, priority=priority))
        for code, priority in [("C", 20), ("B", 10), ("A", 10), ("D", 30)]
    ]
    tried = in_order(rules)[COMPANY]
    assert [rule.rule for rule in tried] == ["A", "B", "C", "D"]
    found = choose(tried, a_case(a_claim()))
    assert found
    assert found.rule == "A"


def test_an_inactive_version_ends_its_rule() -> None:
    assert in_order([compiled(active=False)])[COMPANY] == []


def test_rules_of_another_company_are_not_tried() -> None:
    tried = in_order([compiled(company="other")])
    assert tried[COMPANY] == []


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        (["total > lots"], "lots"),
        (["total > -5"], "-5"),
        (["total > 1_000"], "1_000"),
        (["total > NaN"], "NaN"),
        (["total in 5,"], "''"),
        (["grade > staff"], "no order"),
        (["budget = overdrawn"], "overdrawn"),
        (["paid_by in employee, boss"], "boss"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(conditions: list[str], word: str) -> None:
    with pytest.raises(RuleInvalid, match=word):
        compile_rule(a_rule(conditions=when(*conditions)))


@pytest.mark.parametrize("reference", ["boss", "employee:", "Manager", "cost_center_owner:CC-1"])
def test_a_reference_to_nobody_is_refused(reference: str) -> None:
    with pytest.raises(RuleInvalid, match="is nobody"):
        compile_rule(a_rule("R1", a_step(reference)))


def test_a_published_version_never_changes() -> None:
    published = a_rule(priority=1)
    ensure_unchanged(published, a_rule(priority=1))
    with pytest.raises(RuleVersionChanged, match="version 1"):
        ensure_unchanged(published, a_rule(priority=2))


def test_a_rule_reads_as_a_sentence() -> None:
    rule = a_rule(
        "R1",
        a_step("manager", name="Manager"),
        a_step("employee:zhao", "employee:sun", name="Finance", quorum="all"),
        conditions=when("total > 5000", "budget = over"),
    )
    assert sentence(rule, "CNY") == (
        "WHEN total > 5000 CNY AND budget = over "
        "THEN Manager (any of manager), then Finance (all of employee:zhao, employee:sun)"
    )
    assert sentence(a_rule()) == "WHEN always THEN approve"
