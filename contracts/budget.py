"""What budget says: what is left, what is held, spent and given back."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from contracts.envelope import Event, event
from contracts.values import ClaimId, Code, Money, Reason, Value


class Control(StrEnum):
    """What a budget does about an overrun: refuse it, warn of it, or only record it."""

    HARD = "hard"
    SOFT = "soft"
    NONE = "none"


class BudgetFigures(Value):
    """One budget at one moment: available = limit - reserved - spent; `requested` by this claim."""

    budget: Code
    control: Control
    limit: Money
    reserved: Money
    spent: Money
    available: Money
    requested: Money


class Allocation(Value):
    """The part of a claim that one budget carries."""

    budget: Code
    amount: Money


class _ClaimFact(Event):
    """What every fact about one claim carries."""

    claim_id: ClaimId
    revision: int
    company: Code
    total: Money


@event("budget.funds-checked.v1")
class FundsChecked(_ClaimFact):
    """Before approval: what is left in each budget the claim touches."""

    outcome: Literal["within", "over", "unbudgeted"]
    budgets: list[BudgetFigures]


@event("budget.funds-reserved.v1")
class FundsReserved(_ClaimFact):
    """The money is held in every budget from leaf to root."""

    allocations: list[Allocation]


@event("budget.funds-refused.v1")
class FundsRefused(_ClaimFact):
    """A hard budget could not carry the approved claim; final for this revision."""

    reasons: list[Reason]
    budgets: list[BudgetFigures]


@event("budget.funds-released.v1")
class FundsReleased(_ClaimFact):
    """What was reserved or spent for the claim is available again."""

    was: Literal["reserved", "spent"]
    because: Code
    allocations: list[Allocation]


@event("budget.funds-spent.v1")
class FundsSpent(_ClaimFact):
    """The reservation became actual spending: the entry is posted."""

    allocations: list[Allocation]


@event("budget.threshold-crossed.v1")
class ThresholdCrossed(_ClaimFact):
    """This claim took a budget's use (reserved + spent) over one of its thresholds."""

    budget: Code
    percent: int
    limit: Money
    used: Money
