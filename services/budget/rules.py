"""The moves a case makes once the facts it needs are known, and what is said about each; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from contracts.approval import ClaimRejected
from contracts.budget import (
    Allocation,
    BudgetFigures,
    Control,
    FundsChecked,
    FundsRefused,
    FundsReleased,
    FundsReserved,
    FundsSpent,
    ThresholdCrossed,
)
from contracts.claims import ClaimSubmitted, ClaimWithdrawn
from contracts.values import Money, Reason
from services.budget.domain import (
    ENTRY_FAILED,
    Budget,
    Carried,
    Case,
    Entry,
    State,
    lines_of,
    note,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from contracts.envelope import Cause, Event
    from services.budget.domain import Fact, Key, Line

FULL: Final = 100  # Percent; a soft budget always tells when its limit is reached.


class Outcome(NamedTuple):
    """A case after its moves, the budgets that changed, and what is to be said."""

    case: Case
    budgets: dict[int, Budget]
    facts: list[Event]


class Asker(NamedTuple):
    """A claim whose expenses need to be matched to budgets."""

    company: str
    currency: str
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Desk:
    """What one batch is decided on: its own, so each outcome is put back for the next decision."""

    stored: Mapping[Key, Case]
    loaded: Mapping[int, Budget]
    carried: Mapping[Key, Carried]
    cases: dict[Key, Case]
    budgets: dict[int, Budget]

    @classmethod
    def of(
        cls,
        stored: Mapping[Key, Case],
        carried: Mapping[Key, Carried],
        loaded: Mapping[int, Budget],
    ) -> Desk:
        """A desk as it is loaded."""
        return cls(stored, loaded, carried, dict(stored), dict(loaded))

    def put(self, outcome: Outcome) -> None:
        """Let the next decision see what this one did."""
        self.cases[outcome.case.key] = outcome.case
        self.budgets |= outcome.budgets


def asking(stored: Mapping[Key, Case], facts: Sequence[Fact]) -> dict[Key, Asker]:
    """The claims among these facts whose expenses are known, not held yet, and may have to be."""
    askers: dict[Key, Asker] = {}
    for fact in facts:
        case = stored.get((fact.claim_id, fact.revision)) or opened(fact)
        lines = case.lines
        if isinstance(fact, ClaimSubmitted) and not case.submitted:
            lines = lines_of(fact)
        ends = isinstance(fact, ClaimRejected | ClaimWithdrawn) and case.entry is None
        if lines and not ends:
            askers[case.key] = Asker(case.company, case.total.currency, lines)
    return askers


def may_move(stored: Mapping[Key, Case], facts: Sequence[Fact]) -> bool:
    """Whether money may move; claims that are only submitted are told what is left, unlocked."""
    return bool(stored) or not all(isinstance(fact, ClaimSubmitted) for fact in facts)


def take(desk: Desk, fact: Fact) -> Outcome:
    """Decide what a fact changes."""
    key = fact.claim_id, fact.revision
    case = note(desk.cases.get(key) or opened(fact), fact)
    return advance(case, desk.budgets, desk.carried.get(key), because=fact.meta.cause)


def resume(desk: Desk, key: Key) -> Outcome:
    """Decide on a case that waited for its company to be defined."""
    case = desk.cases[key]
    return advance(case, desk.budgets, desk.carried.get(key), because=case.cause)


def advance(
    case: Case,
    budgets: Mapping[int, Budget],
    carried: Carried | None,
    *,
    because: Cause | None = None,
) -> Outcome:
    """Make every move that the known facts allow; none is made twice.

    `carried` is None while the company is not defined: the case then waits and keeps its cause.
    """
    moved: dict[int, Budget] = {}
    facts: list[Event] = []
    while (move := _next_move(case, carried)) is not None:
        amounts = case.held or (carried.amounts if carried else {})
        before = {number: moved.get(number) or budgets[number] for number in amounts}
        case, after, said = move(case, before, carried or Carried({}))
        facts += said
        facts += _crossings(case, before, after)
        moved |= after
    waits = case.state is State.OPEN and case.submitted and carried is None
    if waits or case.cause is not None:
        case = replace(case, cause=because if waits else None)
    return Outcome(case, moved, facts)


_Move = tuple[Case, dict[int, Budget], list["Event"]]


def _next_move(
    case: Case, carried: Carried | None
) -> Callable[[Case, Mapping[int, Budget], Carried], _Move] | None:
    if case.state is State.OPEN:
        if case.withdrawn or case.rejected:
            return _close
        if not case.submitted or carried is None:
            return None
        if not case.checked:
            return _check
        return _reserve if case.approved else None
    if case.state is State.RESERVED:
        if case.entry in (Entry.POSTED, Entry.REVERSED):
            return _spend
        return _release if case.withdrawn or case.entry is Entry.FAILED else None
    if case.state is State.SPENT:
        return _give_back if case.entry is Entry.REVERSED else None
    can_book = case.state is State.RELEASED or carried is not None
    return _book if case.entry is Entry.POSTED and can_book else None


def _close(case: Case, _budgets: Mapping[int, Budget], _carried: Carried) -> _Move:
    return replace(case, state=State.CLOSED), {}, []


def _check(case: Case, budgets: Mapping[int, Budget], carried: Carried) -> _Move:
    over = any(
        budgets[number].control is not Control.NONE and budgets[number].lacks(amount)
        for number, amount in carried.amounts.items()
    )
    checked = FundsChecked(
        **_about(case),
        outcome="over" if over else "unbudgeted" if carried.unbudgeted else "within",
        budgets=_figures(budgets, carried),
    )
    return replace(case, checked=True), {}, [checked]


def _reserve(case: Case, budgets: Mapping[int, Budget], carried: Carried) -> _Move:
    posted = case.entry in (Entry.POSTED, Entry.REVERSED)
    reasons = [] if posted else _reasons(case, budgets, carried)
    if reasons:
        refused = FundsRefused(**_about(case), reasons=reasons, budgets=_figures(budgets, carried))
        return replace(case, state=State.REFUSED), {}, [refused]
    after = {
        number: budgets[number].hold(amount, posted=posted)
        for number, amount in carried.amounts.items()
    }
    case = replace(case, state=State.RESERVED, held=carried.amounts, lines=())
    return case, after, [FundsReserved(**_about(case), allocations=_parts(case, budgets))]


def _spend(case: Case, budgets: Mapping[int, Budget], _carried: Carried) -> _Move:
    after = {number: budgets[number].spend(amount) for number, amount in case.held.items()}
    spent = FundsSpent(**_about(case), allocations=_parts(case, budgets))
    return replace(case, state=State.SPENT), after, [spent]


def _book(case: Case, budgets: Mapping[int, Budget], carried: Carried) -> _Move:
    case = replace(case, state=State.SPENT, held=case.held or carried.amounts, lines=())
    after = {number: budgets[number].book(amount) for number, amount in case.held.items()}
    return case, after, [FundsSpent(**_about(case), allocations=_parts(case, budgets))]


def _release(case: Case, budgets: Mapping[int, Budget], _carried: Carried) -> _Move:
    after = {number: budgets[number].release(amount) for number, amount in case.held.items()}
    released = FundsReleased(
        **_about(case),
        was="reserved",
        because=ENTRY_FAILED if case.entry is Entry.FAILED else "CLAIM_WITHDRAWN",
        allocations=_parts(case, budgets),
    )
    return replace(case, state=State.RELEASED), after, [released]


def _give_back(case: Case, budgets: Mapping[int, Budget], _carried: Carried) -> _Move:
    after = {number: budgets[number].book(-amount) for number, amount in case.held.items()}
    released = FundsReleased(
        **_about(case),
        was="spent",
        because="ENTRY_REVERSED",
        allocations=_parts(case, budgets),
    )
    return replace(case, state=State.RELEASED), after, [released]


class _About(TypedDict):
    claim_id: UUID
    revision: int
    company: str
    total: Money


def _about(case: Case) -> _About:
    return {
        "claim_id": case.claim_id,
        "revision": case.revision,
        "company": case.company,
        "total": case.total,
    }


def _parts(case: Case, budgets: Mapping[int, Budget]) -> list[Allocation]:
    """The part of the claim that each budget carries, from the leaf to the root."""
    currency = case.total.currency
    return [
        Allocation(budget=budgets[number].code, amount=Money(amount, currency))
        for number, amount in case.held.items()
    ]


def _figures(budgets: Mapping[int, Budget], carried: Carried) -> list[BudgetFigures]:
    """What is left where; a budget that is named as a parent but not defined has no figures yet."""
    return [
        _figures_of(budgets[number], amount)
        for number, amount in carried.amounts.items()
        if budgets[number].defined
    ]


def _figures_of(budget: Budget, amount: int) -> BudgetFigures:
    currency = budget.currency
    return BudgetFigures(
        budget=budget.code,
        control=budget.control,
        limit=Money(budget.limit, currency),
        reserved=Money(budget.reserved, currency),
        spent=Money(budget.spent, currency),
        available=Money(budget.available, currency),
        requested=Money(amount, currency),
    )


def _reasons(case: Case, budgets: Mapping[int, Budget], carried: Carried) -> list[Reason]:
    """Why the claim cannot be carried; empty if it can."""
    exceeded = [
        _exceeded(budgets[number], amount)
        for number, amount in carried.amounts.items()
        if budgets[number].control is Control.HARD and budgets[number].lacks(amount)
    ]
    if carried.policy is not Control.HARD:
        return exceeded
    return exceeded + [_missing(line, case.total.currency) for line in carried.unbudgeted]


def _exceeded(budget: Budget, amount: int) -> Reason:
    figures = {
        "limit": budget.limit,
        "reserved": budget.reserved,
        "spent": budget.spent,
        "available": budget.available,
        "requested": amount,
    }
    texts = {name: str(Money(minor, budget.currency)) for name, minor in figures.items()}
    return Reason(
        code="BUDGET_EXCEEDED",
        detail=f"{budget.code} has {texts['available']} left, the claim asks {texts['requested']}",
        who="finance",
        figures={"budget": budget.code, **texts},
    )


def _missing(line: Line, currency: str) -> Reason:
    return Reason(
        code="BUDGET_MISSING",
        detail=f"no budget carries line {line.line}, and the company allows no unbudgeted money",
        who="masterdata",
        figures={
            "line": str(line.line),
            "category": line.category,
            "cost_center": line.cost_center,
            "project": line.project,
            "date": line.day.isoformat(),
            "requested": str(Money(line.minor, currency)),
        },
    )


def _crossings(
    case: Case, before: Mapping[int, Budget], after: Mapping[int, Budget]
) -> list[Event]:
    """The thresholds that this move took budgets over."""
    return [
        ThresholdCrossed(
            **_about(case),
            budget=budget.code,
            percent=percent,
            limit=Money(budget.limit, budget.currency),
            used=Money(budget.used, budget.currency),
        )
        for number, budget in after.items()
        if budget.used > before[number].used and budget.defined
        for percent in _levels(budget)
        if budget.reaches(percent) and not before[number].reaches(percent)
    ]


def _levels(budget: Budget) -> list[int]:
    soft = budget.control is Control.SOFT
    return sorted({*budget.thresholds, FULL} if soft else set(budget.thresholds))
