"""Which budget carries an expense, and what the definition of a budget may say; pure.

An expense is carried by the most specific budget (most dimensions given; then the shortest span;
then the code) whose dimensions, dates and currency fit it, and by all ancestors of that budget.
A parent that is named before it is defined is there without a limit: it carries from the start, so
its figures are right on the day its definition comes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from itertools import groupby, product
from typing import TYPE_CHECKING, Final, NamedTuple

from contracts.budget import Control
from services.budget.domain import Carried

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contracts.masterdata import BudgetDefined
    from services.budget.domain import Budget, Line

_Dimensions = tuple[str, str, str]
_NO_DAY: Final = date(1, 1, 1)  # The span of a budget that is not defined: it fits no expense.


class BudgetCycle(ValueError):  # noqa: N818 - named for what was found
    """A budget would be among its own ancestors."""

    code = "BUDGET_CYCLE"


class BudgetCurrency(ValueError):  # noqa: N818 - named for what is at fault
    """A budget, its parent and its children speak one currency, from the first definition on."""

    code = "BUDGET_CURRENCY"


class BudgetPeriod(ValueError):  # noqa: N818 - named for what is at fault
    """A budget would end before it starts."""

    code = "BUDGET_PERIOD"


@dataclass(frozen=True, slots=True)
class Node:
    """The definition of one budget; an empty dimension means any, an empty parent none."""

    code: str
    currency: str
    parent: str = ""
    cost_center: str = ""
    project: str = ""
    category: str = ""
    starts_on: date = _NO_DAY
    ends_on: date = _NO_DAY
    limit: int = 0
    control: Control = Control.NONE
    thresholds: tuple[int, ...] = ()
    defined: bool = False

    @property
    def dimensions(self) -> _Dimensions:
        """What an expense must have for this budget to carry it."""
        return self.cost_center, self.project, self.category

    @property
    def days(self) -> int:
        """The length of its span."""
        return (self.ends_on - self.starts_on).days

    def fits(self, day: date, currency: str) -> bool:
        """Whether an expense of its dimensions falls into its span and currency."""
        return self.starts_on <= day <= self.ends_on and currency == self.currency


class Standing(NamedTuple):
    """A budget as it was defined and as it stands."""

    company: str
    node: Node
    budget: Budget


class Tree:
    """The budgets of one company, ready to be asked who carries an expense."""

    def __init__(self, nodes: Mapping[int, Node]) -> None:
        numbers = {node.code: number for number, node in nodes.items()}
        parents = {node.code: node.parent for node in nodes.values()}
        self._paths = {
            code: tuple(numbers[step] for step in _chain(code, parents)) for code in numbers
        }
        self._by_dimensions: dict[_Dimensions | None, list[Node]] = defaultdict(list)
        for node in nodes.values():
            if node.defined:
                self._by_dimensions[node.dimensions].append(node)
        used = {tuple(map(bool, key)) for key in self._by_dimensions if key}
        masks = sorted((m for m in product((True, False), repeat=3) if m in used), key=sum)
        self._masks = [list(group) for _, group in groupby(reversed(masks), key=sum)]

    def path(self, line: Line, currency: str) -> tuple[int, ...]:
        """The numbers of the budgets that carry an expense, from leaf to root, if any do."""
        for masks in self._masks:  # The most dimensions first.
            fitting = [
                node
                for mask in masks
                for node in self._by_dimensions.get(_masked(line, mask), ())
                if node.fits(line.day, currency)
            ]
            if fitting:
                return self._paths[min(fitting, key=lambda node: (node.days, node.code)).code]
        return ()


def _masked(line: Line, mask: Sequence[bool]) -> _Dimensions | None:
    """The dimensions of an expense that a mask lets through; None if it lacks one of them."""
    by_center, by_project, by_category = mask
    if by_project and not line.project:
        return None
    return (
        line.cost_center if by_center else "",
        line.project if by_project else "",
        line.category if by_category else "",
    )


def carry(tree: Tree, lines: Iterable[Line], currency: str, policy: Control) -> Carried:
    """The lines of one claim, summed per budget; what sums to nothing asks nothing."""
    amounts: dict[int, int] = {}
    unbudgeted: list[Line] = []
    for line in lines:
        path = tree.path(line, currency)
        if not path:
            unbudgeted.append(line)
        for number in path:
            amounts[number] = amounts.get(number, 0) + line.minor
    carried = {number: amount for number, amount in amounts.items() if amount}
    return Carried(carried, tuple(unbudgeted), policy)


def define(forest: Mapping[str, Node], definition: BudgetDefined) -> dict[str, Node]:
    """The nodes that a definition adds or changes; raises on a cycle, currency or period at fault.

    The limit may be cut below what is in use. What is held or spent stays where it was carried; the
    new parent, dimensions and dates hold for claims reserved from now on.
    """
    node = Node(
        code=definition.budget,
        currency=definition.limit.currency,
        parent=definition.parent or "",
        cost_center=definition.cost_center or "",
        project=definition.project or "",
        category=definition.category or "",
        starts_on=definition.starts_on,
        ends_on=definition.ends_on,
        limit=definition.limit.minor,
        control=definition.control,
        thresholds=tuple(sorted(set(definition.thresholds))),
        defined=True,
    )
    if node.ends_on < node.starts_on:
        msg = f"budget {node.code} would end on {node.ends_on}, before {node.starts_on}"
        raise BudgetPeriod(msg)
    parents = {code: other.parent for code, other in forest.items()} | {node.code: node.parent}
    chain = _chain(node.code, parents)
    if parents[chain[-1]] in chain:
        msg = f"budget {node.code} would be its own ancestor: {' > '.join([*chain, node.code])}"
        raise BudgetCycle(msg)
    _same_currency(forest, node)
    if forest.get(node.code) == node:
        return {}
    if node.parent and node.parent not in forest:
        return {node.parent: Node(node.parent, node.currency), node.code: node}
    return {node.code: node}


def _same_currency(forest: Mapping[str, Node], node: Node) -> None:
    kin = [forest[code] for code in (node.code, node.parent) if code in forest]
    for other in kin:
        if other.currency != node.currency:
            msg = f"budget {node.code} is in {node.currency}, {other.code} in {other.currency}"
            raise BudgetCurrency(msg)


def _chain(code: str, parents: Mapping[str, str]) -> list[str]:
    """From a budget up to its root; it ends before a step that is unknown or was taken already."""
    chain = [code]
    while (parent := parents.get(chain[-1], "")) and parent in parents and parent not in chain:
        chain.append(parent)
    return chain
