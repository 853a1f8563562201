"""Entries turned back: their items close, and one that has been paid is a question to a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.reconcile import BankLine, ExceptionOpened
from contracts.values import Money
from services.reconcile.domain import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from contracts.posting import EntryReversed
    from services.reconcile.domain import Item, Payment


@dataclass(frozen=True, slots=True)
class PaidReversal:
    """A reversed entry whose payment has not come back: the exception, and what it is about."""

    exception_id: UUID
    item: Item
    line: BankLine
    finding: Finding
    reversal: EntryReversed

    @property
    def fact(self) -> ExceptionOpened:
        """What is said of it."""
        return ExceptionOpened(
            exception_id=self.exception_id,
            company=self.item.company,
            account=self.line.account,
            statement=self.line.statement,
            bank_line=self.line,
            reason=self.finding.reason,
            candidates=list(self.finding.candidates),
        )


def turn_back(
    reversals: Iterable[EntryReversed],
    items: Mapping[UUID, Item],
    payments: Mapping[UUID, Sequence[Payment]],
    *,
    new_id: Callable[[], UUID],
) -> tuple[dict[UUID, UUID], list[PaidReversal]]:
    """Which items close, by which reversal, and which of them had been paid.

    A reversal heard before changes nothing.
    """
    closed: dict[UUID, UUID] = {}
    paid: list[PaidReversal] = []
    for reversal in reversals:
        item = items[reversal.reverses]
        if item.reversed_by is None and item.entry_id not in closed:
            closed[item.entry_id] = reversal.entry_id
            for payment in payments.get(item.entry_id, ())[-1:]:
                if payment.line is not None:
                    finding = _finding(item, reversal)
                    paid.append(PaidReversal(new_id(), item, payment.line, finding, reversal))
    return closed, paid


def _finding(item: Item, reversal: EntryReversed) -> Finding:
    return Finding(
        "REVERSED_AFTER_PAYMENT",
        f"the entry was reversed ({reversal.because}), but it has been paid",
        {"paid": str(Money(item.allocated_minor, item.currency)), "reference": item.reference},
        (item.claim_id,),
    )
