"""The board on which lines and items are settled: open, paid, and what a match weighs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from services.reconcile.domain import Allocation, Line, Match, Payment
from services.reconcile.matching.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from services.reconcile.domain import Item
    from services.reconcile.matching.sums import Differences

POINTS: Final = {
    "own reference": 100,
    "reference in the text": 70,
    "amount to the cent": 50,
    "amount with a shown difference": 35,
    "partial payments add up": 40,
    "payee's code in the text": 30,
    "payee's name in the text": 25,
    "booked within a week of the entry": 10,
    "booked within the window": 5,
    "marked as returned by the bank": 20,
    "decided by a person": 1_000,
    "only combination of this payee's items": 20,
}
_WEEK_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Share:
    """What a proposal gives to one item; negative and with its payment for a return."""

    item: Item
    amount_minor: int
    returns: UUID | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A way to settle a line that nothing speaks against."""

    rule: str
    shares: tuple[Share, ...]
    evidence: tuple[str, ...]
    differences: Differences = ()
    runner_up: int | None = None
    kind: Literal["payment", "return"] = "payment"

    @property
    def score(self) -> int:
        """The sum of the points of all evidence."""
        return sum(POINTS[name] for name in self.evidence)


@dataclass(slots=True)
class Board:
    """Items by the keys that name them, and their payments; changes only through `settle`."""

    items: dict[UUID, Item] = field(default_factory=dict)
    payments: dict[UUID, list[Payment]] = field(default_factory=dict)
    _named: dict[tuple[str, str], list[UUID]] = field(default_factory=dict)

    @classmethod
    def of(cls, items: Iterable[Item], payments: Iterable[Payment] = ()) -> Board:
        """A board; the order of items and payments does not matter."""
        board = cls()
        for item in sorted(items, key=lambda item: item.order):
            board.items[item.entry_id] = item
            for key in keys_of(item):
                board._named.setdefault((item.company, key), []).append(item.entry_id)
        for payment in sorted(payments, key=lambda paid: (paid.booked_on, paid.line_id)):
            board.payments.setdefault(payment.entry_id, []).append(payment)
        return board

    def named(self, line: Line, keys: Iterable[str]) -> list[Item]:
        """The items of the line's company that the keys name, in their own order."""
        ids = {found for key in keys for found in self._named.get((line.company, key), ())}
        return sorted((self.items[entry_id] for entry_id in ids), key=lambda item: item.order)

    def settle(self, line: Line, proposal: Proposal, new_id: Callable[[], UUID]) -> Match:
        """Carry a proposal out: the items change, the match is what remains of it."""
        match_id = new_id()
        allocations = tuple(self._allocate(line, share, match_id) for share in proposal.shares)
        return Match(
            match_id=match_id,
            line=line,
            kind=proposal.kind,
            allocations=allocations,
            differences=proposal.differences,
            rule=proposal.rule,
            score=proposal.score,
            runner_up=proposal.runner_up,
            evidence=tuple(f"{name} +{POINTS[name]}" for name in proposal.evidence),
        )

    def _allocate(self, line: Line, share: Share, match_id: UUID) -> Allocation:
        before = self.items[share.item.entry_id]
        after = replace(before, allocated_minor=before.allocated_minor + share.amount_minor)
        self.items[after.entry_id] = after
        payments = self.payments.setdefault(after.entry_id, [])
        if share.returns is None:
            payments.append(
                Payment(match_id, after.entry_id, line.line_id, line.booked_on, share.amount_minor)
            )
        else:
            self.payments[after.entry_id] = list(_less(payments, share))
        return Allocation(after, share.amount_minor, after.open_minor, share.returns)


def _less(payments: Iterable[Payment], share: Share) -> Iterable[Payment]:
    for payment in payments:
        left = payment.amount_minor
        if payment.match_id == share.returns:
            left += share.amount_minor
        if left:
            yield replace(payment, amount_minor=left)


def keys_of(item: Item) -> set[str]:
    """How a bank may name the item."""
    return {key_of(item.reference), key_of(item.entry_number)} - {""}


def nearness(line: Line, items: Iterable[Item]) -> str:
    """The evidence of the dates: how far the booking lies from the entries."""
    days = max(abs((line.booked_on - item.posting_date).days) for item in items)
    near = days <= _WEEK_DAYS
    return "booked within a week of the entry" if near else "booked within the window"


def same_sign(one: int, other: int) -> bool:
    """Whether two amounts go in the same direction."""
    return (one > 0) == (other > 0)
