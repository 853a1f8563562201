"""What happens to the money of one claim, and to the budgets that carry it; pure.

A case is one revision of a claim. Facts about it arrive in any order and are noted; the case moves
when the facts it needs are complete:

    open ──approved, all budgets can carry it──▶ reserved ──posted──▶ spent ──reversed──▶ released
      │                                             │                   ▲
      ├──approved, a hard budget cannot──▶ refused   └──failed, withdrawn──▶ released
      └──withdrawn, rejected──▶ closed                                  │
                     closed, refused, released ──posted all the same────┘

The ledger has the last word: what it posted is spent, and what it reversed is given back, whatever
was decided here before. A reservation is resolved once; a fact told twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from contracts.approval import ClaimApproved, ClaimRejected
from contracts.budget import (
    Control,
    FundsChecked,
    FundsRefused,
    FundsReleased,
    FundsReserved,
    FundsSpent,
)
from contracts.claims import ClaimSubmitted, ClaimWithdrawn
from contracts.posting import EntryFailed, EntryPosted, EntryReversed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date, datetime
    from uuid import UUID

    from contracts.envelope import Cause
    from contracts.values import Money

Fact = (
    ClaimSubmitted
    | ClaimApproved
    | ClaimRejected
    | ClaimWithdrawn
    | EntryPosted
    | EntryFailed
    | EntryReversed
)
Said = FundsChecked | FundsReserved | FundsRefused | FundsReleased | FundsSpent
"""What budget says itself about a claim."""
Key = tuple["UUID", int]
ENTRY_FAILED: Final = "ENTRY_FAILED"  # Why a reservation is released; else the claim is withdrawn.


class IllegalTransition(ValueError):  # noqa: N818 - named for what was attempted
    """Two facts about one claim cannot both be true."""

    code = "ILLEGAL_TRANSITION"


class TotalMismatch(ValueError):  # noqa: N818 - named for what was found
    """Two facts about one claim name different amounts; another one needs a new approval."""

    code = "TOTAL_MISMATCH"


class Overdrawn(ValueError):  # noqa: N818 - named for what must never be
    """A budget would hold less than nothing, or a hard one more than it may."""

    code = "BUDGET_OVERDRAWN"


class State(StrEnum):
    """Where the money of a case stands."""

    OPEN = "open"
    CLOSED = "closed"
    REFUSED = "refused"
    RESERVED = "reserved"
    SPENT = "spent"
    RELEASED = "released"


class Entry(StrEnum):
    """What the ledger has said about a case."""

    POSTED = "posted"
    FAILED = "failed"
    REVERSED = "reversed"


class Line(NamedTuple):
    """One expense as a budget sees it; `project` is empty where there is none."""

    line: int
    category: str
    cost_center: str
    project: str
    day: date
    minor: int


@dataclass(frozen=True, slots=True)
class Carried:
    """How much of a claim each budget carries, what none carries, and what is done about that."""

    amounts: Mapping[int, int]
    unbudgeted: tuple[Line, ...] = ()
    policy: Control = Control.NONE


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget's figures in minor units; limit = available + reserved + spent, always.

    `ceiling` is what a hard budget's use may never exceed: its limit, or what was in use when the
    limit was cut or the ledger went beyond it; it comes down with the use.
    """

    id: int
    code: str
    currency: str
    control: Control
    limit: int
    reserved: int
    spent: int
    ceiling: int
    thresholds: tuple[int, ...]
    defined: bool = True

    def __post_init__(self) -> None:
        if self.reserved < 0 or (self.control is Control.HARD and self.used > self.ceiling):
            msg = (
                f"budget {self.code}: reserved {self.reserved} and spent {self.spent} do not fit "
                f"the ceiling {self.ceiling} (limit {self.limit} {self.currency})"
            )
            raise Overdrawn(msg)

    @property
    def used(self) -> int:
        """What is held or spent."""
        return self.reserved + self.spent

    @property
    def available(self) -> int:
        """What is left; negative after an overrun or a cut."""
        return self.limit - self.used

    def lacks(self, amount: int) -> bool:
        """Whether an amount is more than what is left; a refund never is."""
        return self.defined and amount > 0 and amount > self.available

    def hold(self, amount: int, *, posted: bool = False) -> Budget:
        """Hold an amount (a refund holds nothing); what is posted already, beyond any limit."""
        return self._moved(self.reserved + max(amount, 0), self.spent, by_ledger=posted)

    def spend(self, amount: int) -> Budget:
        """Turn what was held into spending; a refund lowers what is spent."""
        return self._moved(self.reserved - max(amount, 0), self.spent + amount)

    def release(self, amount: int) -> Budget:
        """Let go of what was held."""
        return self._moved(self.reserved - max(amount, 0), self.spent)

    def book(self, amount: int) -> Budget:
        """Record spending (or, negative, its reversal) that the ledger has and nobody held."""
        return self._moved(self.reserved, self.spent + amount, by_ledger=True)

    def hold_again(self, amount: int) -> Budget:
        """Hold what was held before a restore, beyond any limit."""
        return self.hold(amount, posted=True)

    def give_back(self, amount: int) -> Budget:
        """Record that spending was turned back."""
        return self.book(-amount)

    def reaches(self, percent: int) -> bool:
        """Whether the use has come to so many percent of the limit."""
        return self.used > 0 and self.used * 100 >= percent * self.limit

    def _moved(self, reserved: int, spent: int, *, by_ledger: bool = False) -> Budget:
        used = reserved + spent
        ceiling = max(self.limit, used if by_ledger else min(self.ceiling, used))
        return Budget(
            self.id,
            self.code,
            self.currency,
            self.control,
            self.limit,
            reserved,
            spent,
            ceiling,
            self.thresholds,
            self.defined,
        )


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one revision of a claim, and what is held for it in which budget."""

    claim_id: UUID
    revision: int
    company: str
    total: Money
    state: State = State.OPEN
    submitted: bool = False
    checked: bool = False
    approved: bool = False
    rejected: bool = False
    withdrawn: bool = False
    entry: Entry | None = None
    lines: tuple[Line, ...] = ()  # Kept until the money is held; what then counts is `held`.
    held: Mapping[int, int] = field(default_factory=dict)
    cause: Cause | None = None  # Of the fact that waits for the definition of the company.

    @property
    def key(self) -> Key:
        """What tells cases apart."""
        return self.claim_id, self.revision


class Holding(NamedTuple):
    """A case, the codes of the budgets it touches, and when it last moved."""

    case: Case
    codes: Mapping[int, str]
    changed_at: datetime


class Reservation(NamedTuple):
    """The part of a claim that a budget holds, and since when."""

    claim_id: UUID
    revision: int
    amount: Money
    since: datetime


def opened(fact: Fact | Said) -> Case:
    """The case that a first fact opens, whichever fact it is."""
    return Case(fact.claim_id, fact.revision, fact.company, fact.total)


def lines_of(claim: ClaimSubmitted) -> tuple[Line, ...]:
    """A claim's expenses, gross: what the budgets carry adds up to what the claim costs."""
    return tuple(
        Line(
            line.line,
            line.category,
            line.cost_center,
            line.project or "",
            line.date,
            line.gross.minor,
        )
        for line in claim.lines
    )


def note(case: Case, fact: Fact) -> Case:
    """The case with one more fact known; the same case if it was known before."""
    match fact:
        case ClaimSubmitted():
            return _submitted(case, fact)
        case ClaimApproved():
            return _approved(case, fact)
        case ClaimRejected():
            return _rejected(case)
        case ClaimWithdrawn():
            return case if case.withdrawn else replace(case, withdrawn=True)
        case EntryPosted():
            _same_total(case, fact)
            return _told_by_ledger(case, Entry.POSTED)
        case EntryFailed():
            return _told_by_ledger(case, Entry.FAILED)
        case EntryReversed():
            return _told_by_ledger(case, Entry.REVERSED)


def _submitted(case: Case, claim: ClaimSubmitted) -> Case:
    if case.submitted:
        return case
    _same_total(case, claim)
    lines = lines_of(claim)
    currencies = {line.gross.currency for line in claim.lines}
    if sum(line.minor for line in lines) != claim.total.minor or currencies != {
        claim.total.currency
    }:
        msg = f"the lines of claim {claim.claim_id} do not add up to {claim.total}"
        raise TotalMismatch(msg)
    return replace(case, submitted=True, lines=lines)


def _approved(case: Case, approval: ClaimApproved) -> Case:
    _same_total(case, approval)
    if case.rejected:
        msg = f"claim {case.claim_id} was rejected and is now approved"
        raise IllegalTransition(msg)
    return case if case.approved else replace(case, approved=True)


def _rejected(case: Case) -> Case:
    if case.approved:
        msg = f"claim {case.claim_id} was approved and is now rejected"
        raise IllegalTransition(msg)
    return case if case.rejected else replace(case, rejected=True)


def _told_by_ledger(case: Case, entry: Entry) -> Case:
    if case.entry is entry or (case.entry is Entry.REVERSED and entry is Entry.POSTED):
        return case
    if Entry.FAILED in (case.entry, entry) and case.entry is not None:
        msg = f"the entry of claim {case.claim_id} was {case.entry} and is now {entry}"
        raise IllegalTransition(msg)
    return replace(case, entry=entry)


def recalled(
    case: Case, said: Said, held: Mapping[int, int], budgets: Mapping[int, Budget]
) -> tuple[Case, dict[int, Budget]]:
    """The case and its budgets as they were once this was said; nothing new if they are so already.

    After a restore what was said stands, whatever the limits are by now: others act on it.
    """
    after: Case = case
    move: Callable[[Budget, int], Budget] | None = None
    match said:
        case FundsChecked() if case.state is State.OPEN:
            after = replace(case, checked=True)
        case FundsReserved() if case.state is State.OPEN:
            after, move = _decided(case, State.RESERVED, held), Budget.hold_again
        case FundsRefused() if case.state is State.OPEN:
            after = _decided(case, State.REFUSED, {})
        case FundsSpent() if case.state is State.RESERVED:
            after, move = replace(case, state=State.SPENT, entry=Entry.POSTED), Budget.spend
        case FundsSpent() if case.state is not State.SPENT and case.entry is not Entry.REVERSED:
            after = replace(_decided(case, State.SPENT, held), entry=Entry.POSTED)
            move = Budget.book
        case FundsReleased(was="reserved") if case.state is State.RESERVED:
            failed = said.because == ENTRY_FAILED
            entry = Entry.FAILED if failed else case.entry
            withdrawn = case.withdrawn or not failed
            after = replace(case, state=State.RELEASED, entry=entry, withdrawn=withdrawn)
            move = Budget.release
        case FundsReleased(was="spent") if case.state is State.SPENT:
            after = replace(case, state=State.RELEASED, entry=Entry.REVERSED)
            move = Budget.give_back
    return after, {n: move(budgets[n], amount) for n, amount in held.items()} if move else {}


def _decided(case: Case, state: State, held: Mapping[int, int]) -> Case:
    return replace(
        case, state=state, submitted=True, checked=True, approved=not case.rejected,
        held=dict(held), lines=(), cause=None,
    )  # fmt: skip


def _same_total(case: Case, fact: ClaimSubmitted | ClaimApproved | EntryPosted) -> None:
    if fact.total != case.total:
        msg = f"claim {case.claim_id}: {fact.kind} names {fact.total}, known is {case.total}"
        raise TotalMismatch(msg)
