"""Budget's rules without a database: cases and budgets in memory, told facts as a handler would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.budget import Control
from services.budget.domain import Budget
from services.budget.matching import Node, Standing, Tree, carry
from services.budget.rules import Desk, asking, resume, take
from tests.support import given
from tests.support.budget_values import COMPANY, YEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.envelope import Event
    from services.budget.domain import Case, Fact, Key
    from services.budget.rules import Asker, Outcome


def a_standing(number: int, limit: int, **fields: Any) -> Standing:
    """A budget of the year by number: its definition, and what it holds; hard unless told."""
    thresholds = fields.pop("thresholds", ())
    control = fields.pop("control", Control.HARD)
    defined = fields.pop("defined", True)
    money = {name: fields.pop(name, 0) for name in ("reserved", "spent")}
    ceiling = fields.pop("ceiling", limit)
    code = f"B{number}"
    budget = Budget(
        number,
        code,
        "CNY",
        control,
        limit,
        money["reserved"],
        money["spent"],
        ceiling,
        thresholds,
        defined,
    )
    dates = {"starts_on": YEAR[0], "ends_on": YEAR[1]}
    node = Node(
        code,
        "CNY",
        limit=limit,
        control=control,
        thresholds=thresholds,
        defined=defined,
        **dates | fields,
    )
    return Standing(COMPANY, node, budget)


class Books:
    """The budgets of one company and the cases of its claims."""

    def __init__(
        self, *standings: Standing, unbudgeted: Control = Control.NONE, known: bool = True
    ) -> None:
        self.budgets = {one.budget.id: one.budget for one in standings}
        self.cases: dict[Key, Case] = {}
        self.unbudgeted = unbudgeted
        self.known = known
        self.tree = Tree({one.budget.id: one.node for one in standings})

    def tell(self, *facts: Fact) -> list[Any]:
        """Tell facts one by one; what was said."""
        return [said for fact in facts for said in self.tell_at_once([fact])]

    def tell_at_once(self, facts: Sequence[Fact]) -> list[Any]:
        """Tell facts as one batch; what was said."""
        read = [given(fact) for fact in facts]
        desk = self._desk(asking(self.cases, read))
        return [said for fact in read for said in self._keep(desk, take(desk, fact))]

    def resume(self, claim: Fact) -> list[Event]:
        """Let a waiting case go on; what was said."""
        case = self.case(claim)
        desk = self._desk(asking(self.cases, [claim]))
        return self._keep(desk, resume(desk, case.key))

    def case(self, claim: Fact) -> Case:
        """The case of a claim."""
        return self.cases[claim.claim_id, claim.revision]

    def figures(self) -> dict[int, tuple[int, int]]:
        """Reserved and spent, by number."""
        return {number: (one.reserved, one.spent) for number, one in self.budgets.items()}

    def _desk(self, askers: dict[Key, Asker]) -> Desk:
        carried = {
            key: carry(self.tree, one.lines, one.currency, self.unbudgeted)
            for key, one in askers.items()
            if self.known
        }
        return Desk.of(self.cases, carried, self.budgets)

    def _keep(self, desk: Desk, outcome: Outcome) -> list[Event]:
        desk.put(outcome)
        self.cases |= {outcome.case.key: outcome.case}
        self.budgets |= outcome.budgets
        return outcome.facts
