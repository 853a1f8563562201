"""What the bank shows and what the books expect: items, lines, matches, and the facts of them.

An item (one per posted entry):

    open ──match──▶ partly paid ──match──▶ paid ──return, undo──▶ partly paid | open
    open ──entry reversed──▶ closed;   paid ──entry reversed──▶ closed, and an exception

A bank line:

    new ──fits exactly──▶ matched ──undo──▶ exception
    new ──anything else──▶ exception ──fits later | resolved by a person──▶ matched
                           exception ──dismissed by a person──▶ dismissed

Signs: a bank line is negative when money leaves the account. What a line pays is therefore
`-amount_minor`, in the sign of the totals it pays: positive for money owed, negative for refunds.
Allocations + differences = what the line pays, always.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, cast

from contracts.reconcile import (
    BankLine,
    Difference,
    ExceptionOpened,
    PaymentMatched,
    PaymentReturned,
    PaymentUnmatched,
)
from contracts.values import Money, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date
    from uuid import UUID

    from contracts.envelope import Cause, Event

TEXT_CHARS: Final = 500
MAX_CANDIDATES: Final = 50  # More than a person will look through; keeps the event small.
DIFFERENCES: Final = ("fee", "rounding", "fx")
DifferenceKind = Literal["fee", "rounding", "fx"]


@dataclass(frozen=True, slots=True)
class Item:
    """What one posted entry expects from the bank, and how much of it has been seen."""

    entry_id: UUID
    claim_id: UUID
    revision: int
    company: str
    currency: str
    total_minor: int
    allocated_minor: int
    payee: str
    reference: str
    entry_number: str
    document_date: date
    posting_date: date
    reversed_by: UUID | None
    cause: Cause
    payee_name: str = ""

    @property
    def open_minor(self) -> int:
        """What remains unpaid; nothing once the entry is reversed."""
        return 0 if self.reversed_by else self.total_minor - self.allocated_minor

    @property
    def order(self) -> tuple[date, UUID]:
        """A total order that does not depend on how the items arrived."""
        return self.posting_date, self.entry_id


@dataclass(frozen=True, slots=True)
class Booking:
    """One booked line as a bank's file gives it; several details (`batch_size`) make a batch.

    `texts` are the details' own texts; `batch_gap_minor` is what the details fail to add up to.
    """

    booked_on: date
    amount_minor: int
    currency: str
    references: tuple[str, ...] = ()
    text: str = ""
    texts: tuple[str, ...] = ()
    party: str = ""
    bank_id: str = ""
    charges_minor: int = 0
    foreign: bool = False
    returned: bool = False
    because: str = ""
    batch_size: int = 1
    batch_gap_minor: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """One account's bookings between two balances; without both balances it proves nothing.

    `mixed` names other currencies of its balances and bookings: such figures do not add up.
    """

    account: str
    reference: str
    currency: str
    opened_on: date
    closed_on: date
    opening_minor: int | None
    closing_minor: int | None
    bookings: tuple[Booking, ...]
    skipped: int = 0
    mixed: str = ""

    @property
    def sum_minor(self) -> int:
        """All bookings added up."""
        return sum(booking.amount_minor for booking in self.bookings)

    @property
    def proven(self) -> bool:
        """Whether both balances are known, so that the sum can be checked."""
        return self.opening_minor is not None and self.closing_minor is not None

    @property
    def gap_minor(self) -> int:
        """Opening + bookings - closing: zero if the statement closes or proves nothing."""
        if self.opening_minor is None or self.closing_minor is None:
            return 0
        return self.opening_minor + self.sum_minor - self.closing_minor

    @property
    def closes(self) -> bool:
        """Whether the balances, where given, agree with the bookings."""
        return not self.proven or (self.gap_minor == 0 and not self.mixed)


@dataclass(frozen=True, slots=True)
class Line:
    """A booking with an identity, and the keys under which it may name an entry."""

    line_id: UUID
    company: str
    account: str
    statement: str
    position: int
    currency: str
    booked_on: date
    amount_minor: int
    exact_keys: frozenset[str] = frozenset()
    text_keys: frozenset[str] = frozenset()
    reference: str = ""
    text: str = ""
    party: str = ""
    charges_minor: int = 0
    foreign: bool = False
    returned: bool = False
    because: str = ""
    batch_size: int = 1
    batch_gap_minor: int = 0

    @property
    def pays_minor(self) -> int:
        """What the line pays, in the sign of the totals it pays."""
        return -self.amount_minor

    @property
    def keys(self) -> frozenset[str]:
        """All keys, exact or from text."""
        return self.exact_keys | self.text_keys

    @property
    def order(self) -> tuple[date, UUID]:
        """A total order that does not depend on how the lines arrived."""
        return self.booked_on, self.line_id

    @property
    def shown(self) -> BankLine:
        """As a fact carries it."""
        return BankLine(
            account=self.account,
            statement=self.statement,
            line_id=self.line_id,
            booked_on=self.booked_on,
            amount=Money(self.amount_minor, self.currency),
        )


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment's share in one item, as far as it has not come back."""

    match_id: UUID
    entry_id: UUID
    line_id: UUID
    booked_on: date
    amount_minor: int
    line: BankLine | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """A line's share in one item, and what is open of the item afterwards.

    A return is a share of the other sign, and names the payment (by its match) that came back.
    """

    item: Item
    amount_minor: int
    open_minor: int
    returns: UUID | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A line settled to the cent, by which rule, and on what evidence."""

    match_id: UUID
    line: Line
    kind: Literal["payment", "return"]
    allocations: tuple[Allocation, ...]
    differences: tuple[tuple[str, int], ...]
    rule: str
    score: int
    runner_up: int | None
    evidence: tuple[str, ...]

    def __post_init__(self) -> None:
        differing = sum(amount for _, amount in self.differences)
        if self.allocated_minor + differing != self.line.pays_minor:
            msg = f"{self.allocated_minor} + {differing} is not what {self.line.line_id} pays: "
            raise ValueError(msg + str(self.line.pays_minor))

    @property
    def allocated_minor(self) -> int:
        """The sum of the shares."""
        return sum(allocation.amount_minor for allocation in self.allocations)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a line, a statement or an item needs a person."""

    code: str
    detail: str
    figures: Mapping[str, str] = field(default_factory=dict)
    candidates: tuple[UUID, ...] = ()

    @property
    def reason(self) -> Reason:
        """As a fact carries it."""
        figures = dict(self.figures)
        return Reason(
            code=self.code, detail=self.detail[:TEXT_CHARS], who="finance", figures=figures
        )


@dataclass(frozen=True, slots=True)
class Earlier:
    """A statement received before under the same account, name and day."""

    statement_id: UUID
    accepted: bool
    same_content: bool


@dataclass(frozen=True, slots=True)
class Question:
    """An exception as a person answers it; without a line it can only be dismissed."""

    exception_id: UUID
    is_open: bool
    line: Line | None


def refusal_of(
    statement: Statement, company: str | None, earlier: Sequence[Earlier]
) -> Finding | None:
    """Why nothing of a statement may be used; None for one that may."""
    currency = statement.currency
    if company is None:
        detail = f"no company has the account {statement.account}"
        return Finding("ACCOUNT_UNKNOWN", detail, {"account": statement.account})
    if not statement.closes:
        figures = {
            "opening": str(Money(statement.opening_minor or 0, currency)),
            "lines": str(Money(statement.sum_minor, currency)),
            "closing": str(Money(statement.closing_minor or 0, currency)),
            "difference": str(Money(statement.gap_minor, currency)),
        }
        if statement.mixed:
            figures["currencies"] = statement.mixed
        return Finding("STATEMENT_UNBALANCED", "opening + lines is not closing", figures)
    if any(one.accepted and not one.same_content for one in earlier):
        detail = "another statement of this name and day was accepted, with other content"
        return Finding("STATEMENT_CHANGED", detail, {"statement": statement.reference})
    return None


def facts_of(match: Match) -> Iterator[tuple[Event, Cause]]:
    """What a match says: one fact per claim it touches, with the cause that its entry left."""
    for share in match.allocations:
        if share.returns is None:
            yield matched(match, share), share.item.cause
        else:
            yield _returned(match, share, share.returns), share.item.cause


def matched(match: Match, share: Allocation) -> PaymentMatched:
    """What a payment's share says."""
    item = share.item
    return PaymentMatched(
        claim_id=item.claim_id,
        revision=item.revision,
        company=item.company,
        total=Money(item.total_minor, item.currency),
        entry_id=item.entry_id,
        match_id=match.match_id,
        paid=Money(share.amount_minor, item.currency),
        open=Money(share.open_minor, item.currency),
        bank_line=match.line.shown,
        differences=[
            Difference(kind=cast("DifferenceKind", kind), amount=Money(minor, item.currency))
            for kind, minor in match.differences
        ],
        rule=match.rule,
        score=match.score,
        evidence=list(match.evidence),
    )


def _returned(match: Match, share: Allocation, returns: UUID) -> PaymentReturned:
    item = share.item
    return PaymentReturned(
        claim_id=item.claim_id,
        revision=item.revision,
        company=item.company,
        total=Money(item.total_minor, item.currency),
        entry_id=item.entry_id,
        match_id=returns,
        returned=Money(-share.amount_minor, item.currency),
        open=Money(share.open_minor, item.currency),
        bank_line=match.line.shown,
        because=match.line.because,
    )


def unmatched(share: Allocation, match_id: UUID, *, by: str, because: str) -> PaymentUnmatched:
    """What undoing a payment's share says: `amount_minor` of the claim is unpaid again."""
    item = share.item
    return PaymentUnmatched(
        claim_id=item.claim_id,
        revision=item.revision,
        company=item.company,
        total=Money(item.total_minor, item.currency),
        entry_id=item.entry_id,
        match_id=match_id,
        released=Money(share.amount_minor, item.currency),
        open=Money(share.open_minor, item.currency),
        by=by,
        because=because,
    )


def opened(exception_id: UUID, line: Line, finding: Finding) -> ExceptionOpened:
    """What an unmatched line says."""
    return ExceptionOpened(
        exception_id=exception_id,
        company=line.company,
        account=line.account,
        statement=line.statement,
        bank_line=line.shown,
        reason=finding.reason,
        candidates=list(finding.candidates),
    )
