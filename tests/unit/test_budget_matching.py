"""Which budget carries an expense, and what a definition may say."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given as whenever
from hypothesis import settings
from hypothesis import strategies as st

from contracts.budget import Control
from contracts.values import Money
from services.budget.domain import Line
from services.budget.matching import (
    BudgetCurrency,
    BudgetCycle,
    BudgetPeriod,
    Node,
    Tree,
    carry,
    define,
)
from tests.support.budget_values import DAY, a_budget

YEAR = {"starts_on": date(2026, 1, 1), "ends_on": date(2026, 12, 31)}
QUARTER = {"starts_on": date(2026, 10, 1), "ends_on": date(2026, 12, 31)}


def node(code: str, **fields: Any) -> Node:
    return Node(code, **{**YEAR, "currency": "CNY", "limit": 1_000, "defined": True, **fields})


def line(minor: int = 100, **fields: Any) -> Line:
    usual: dict[str, Any] = {"line": 1, "category": "travel", "cost_center": "CC-1"}
    return Line(**usual | {"project": "P-1", "day": DAY, "minor": minor} | fields)


def a_tree(*nodes: Node) -> Tree:
    return Tree(dict(enumerate(nodes, start=1)))


def path(tree: Tree, one: Line, currency: str = "CNY") -> tuple[int, ...]:
    return tree.path(one, currency)


@pytest.mark.parametrize(
    ("nodes", "carrier"),
    [
        ([node("all"), node("center", cost_center="CC-1")], "center"),
        ([node("center", cost_center="CC-1"), node("all")], "center"),
        (
            [
                node("center", cost_center="CC-1"),
                node("both", cost_center="CC-1", category="travel"),
            ],
            "both",
        ),
        (
            [
                node("three", cost_center="CC-1", project="P-1", category="travel"),
                node("two", cost_center="CC-1", project="P-1", **QUARTER),
            ],
            "three",
        ),
        ([node("year", project="P-1"), node("quarter", project="P-1", **QUARTER)], "quarter"),
        ([node("b", project="P-1"), node("a", category="travel")], "a"),
        ([node("all"), node("other", cost_center="CC-2")], "all"),
        ([node("all"), node("dollars", cost_center="CC-1", currency="USD")], "all"),
        ([node("all"), node("over", cost_center="CC-1", ends_on=date(2026, 10, 11))], "all"),
        ([node("all"), node("today", cost_center="CC-1", starts_on=DAY, ends_on=DAY)], "today"),
    ],
)
def test_the_most_specific_budget_carries(nodes: list[Node], carrier: str) -> None:
    assert [nodes[number - 1].code for number in path(a_tree(*nodes), line())] == [carrier]


def test_an_expense_without_a_project_is_carried_by_no_project() -> None:
    nodes = [node("all"), node("project", project="P-1"), node("center", cost_center="CC-1")]
    assert path(a_tree(*nodes), line(project="")) == (3,)
    assert path(a_tree(*nodes[:2]), line(project="")) == (1,)


dimensions = st.sampled_from(["", "x", "y"])
days = st.integers(1, 4).map(lambda day: date(2026, 10, day))


@st.composite
def some_nodes(draw: st.DrawFn) -> list[Node]:
    return [
        node(
            code,
            cost_center=draw(dimensions),
            project=draw(dimensions),
            category=draw(dimensions),
            starts_on=start,
            ends_on=start + timedelta(days=draw(st.integers(0, 3))),
            defined=draw(st.sampled_from([True, True, False])),
        )
        for code in draw(st.lists(st.sampled_from("abcdefgh"), unique=True))
        for start in [draw(days)]
    ]


@settings(max_examples=200, deadline=None)
@whenever(some_nodes(), dimensions, st.sampled_from("xy"), st.sampled_from("xy"), days)
def test_the_carrier_is_the_one_that_a_search_through_all_budgets_finds(
    nodes: list[Node], project: str, center: str, category: str, day: date
) -> None:
    one = line(project=project, cost_center=center, category=category, day=day)
    fitting = [
        (-sum(map(bool, other.dimensions)), other.days, other.code)
        for other in nodes
        if other.defined
        and other.cost_center in ("", center)
        and other.project in ("", project)
        and other.category in ("", category)
        and other.starts_on <= day <= other.ends_on
    ]
    found = [nodes[number - 1].code for number in path(a_tree(*nodes), one)]
    assert found == [code for _, _, code in sorted(fitting)[:1]]


def test_an_expense_that_fits_nowhere_is_unbudgeted() -> None:
    tree = a_tree(node("center", cost_center="CC-2"), Node("named-only", "CNY"))
    carried = carry(tree, [line()], "CNY", Control.HARD)
    assert carried.amounts == {}
    assert carried.unbudgeted == (line(),)
    assert carried.policy is Control.HARD


def test_ancestors_carry_too_whatever_their_dimensions_and_dates() -> None:
    tree = a_tree(
        node("leaf", cost_center="CC-1", parent="middle"),
        node("middle", cost_center="CC-9", parent="root", ends_on=date(2026, 1, 31)),
        node("root"),
    )
    assert path(tree, line()) == (1, 2, 3)


def test_a_parent_without_a_definition_carries_too() -> None:
    tree = a_tree(node("leaf", parent="root"), Node("root", "CNY"))
    assert path(tree, line()) == (1, 2)


def test_a_cycle_in_the_tree_ends_where_it_began() -> None:
    tree = a_tree(node("a", parent="b", cost_center="CC-1"), node("b", parent="a"))
    assert path(tree, line()) == (1, 2)


def test_lines_of_a_claim_are_summed_per_budget() -> None:
    tree = a_tree(
        node("travel", category="travel", parent="root"),
        node("meals", category="meals", parent="root"),
        node("root", project="none"),
    )
    lines = [line(100), line(50, line=2), line(-30, line=3, category="meals")]
    assert carry(tree, lines, "CNY", Control.NONE).amounts == {1: 150, 3: 120, 2: -30}


def test_lines_that_cancel_out_ask_nothing() -> None:
    tree = a_tree(node("all"))
    carried = carry(tree, [line(100), line(-100, line=2)], "CNY", Control.NONE)
    assert carried.amounts == {}
    assert carried.unbudgeted == ()


def test_a_definition_names_its_parent_into_being() -> None:
    changed = define({}, a_budget("leaf", 100, parent="root", cost_center="CC-1"))
    assert list(changed) == ["root", "leaf"]
    assert changed["root"] == Node("root", "CNY")
    assert changed["leaf"].defined
    assert changed["leaf"].dimensions == ("CC-1", "", "")


def test_the_same_definition_again_changes_nothing() -> None:
    forest = define({}, a_budget("all", 100))
    assert define(forest, a_budget("all", 100)) == {}
    assert define(forest, a_budget("all", 99))["all"].limit == 99


@pytest.mark.parametrize("chain", [["a"], ["a", "b"], ["a", "b", "c", "d"]])
def test_a_cycle_is_refused_by_whichever_definition_closes_it(chain: list[str]) -> None:
    forest: dict[str, Node] = {}
    parents = [*chain[1:], chain[0]]
    for code, parent in list(zip(chain, parents, strict=True))[:-1]:
        forest |= define(forest, a_budget(code, 100, parent=parent))
    with pytest.raises(BudgetCycle) as refused:
        define(forest, a_budget(chain[-1], 100, parent=chain[0]))
    assert refused.value.code == "BUDGET_CYCLE"


def test_a_branch_may_move_to_another_parent() -> None:
    forest: dict[str, Node] = {}
    for code, parent in [("root", None), ("a", "root"), ("b", "root"), ("leaf", "a"), ("a", "b")]:
        forest |= define(forest, a_budget(code, 100, parent=parent))
    assert forest["a"].parent == "b"


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        (a_budget("leaf", Money(1, "USD"), parent="root"), "BUDGET_CURRENCY"),
        (a_budget("root", Money(1, "USD")), "BUDGET_CURRENCY"),
        (a_budget("late", 1, ends_on=date(2025, 12, 31)), "BUDGET_PERIOD"),
    ],
)
def test_what_cannot_be_carried_is_refused(definition: Any, code: str) -> None:
    forest = define({}, a_budget("root", 100))
    with pytest.raises((BudgetCurrency, BudgetPeriod)) as refused:
        define(forest, definition)
    assert getattr(refused.value, "code", "") == code
