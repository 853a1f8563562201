"""What people decide about lines, held to the same arithmetic as the rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from contracts.values import Money
from services.reconcile.domain import (
    Allocation,
    Finding,
    Item,
    Line,
    Match,
    matched,
    unmatched,
)
from services.reconcile.matching.board import Board, Proposal, Share, same_sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from contracts.envelope import Cause, Event
    from services.reconcile.matching.sums import Differences


@dataclass(frozen=True, slots=True)
class Given:
    """What a person gives of a line to one claim; against the claim's sign, a return of it."""

    claim_id: UUID
    amount_minor: int


def settle_by_hand(
    board: Board,
    line: Line,
    given: Sequence[Given],
    differences: Differences,
    new_id: Callable[[], UUID],
) -> Match | Finding:
    """The match a person wants, or why it cannot be: the figures must be exact in every way."""
    total = sum(one.amount_minor for one in given) + sum(minor for _, minor in differences)
    if total != line.pays_minor:
        figures = {
            "pays": str(Money(line.pays_minor, line.currency)),
            "given": str(Money(total, line.currency)),
        }
        return Finding("SUM_MISMATCH", "claims + differences is not what the line pays", figures)
    named = [*(one.claim_id for one in given), *(kind for kind, _ in differences)]
    if len(set(named)) != len(named) or not all(minor for _, minor in differences):
        detail = "name each claim and each kind of difference once, and nothing for nothing"
        return Finding("CLAIMS_MIXED", detail, {"parts": str(len(named))})
    shares: list[Share] = []
    for one in given:
        share = _share(board, line, one)
        if isinstance(share, Finding):
            return share
        shares.append(share)
    kinds = {share.returns is not None for share in shares}
    if len(kinds) != 1:
        detail = "a line either pays claims or brings payments back"
        return Finding("CLAIMS_MIXED", detail, {"parts": str(len(named))})
    proposal = Proposal(
        rule="person",
        shares=tuple(shares),
        evidence=("decided by a person",),
        differences=differences,
        kind="return" if True in kinds else "payment",
    )
    return board.settle(line, proposal, new_id)


def _share(board: Board, line: Line, given: Given) -> Share | Finding:
    items = [
        item
        for item in board.items.values()
        if item.claim_id == given.claim_id
        and item.company == line.company
        and item.currency == line.currency
    ]
    for item in items:
        share = _payment(item, given) or _return(board, item, given)
        if share is not None:
            return share
    figures = {
        "claim": str(given.claim_id),
        "amount": str(Money(given.amount_minor, line.currency)),
        "open": str(Money(sum(item.open_minor for item in items), line.currency)),
    }
    return Finding("CLAIM_NOT_OPEN", "so much is neither open nor paid on this claim", figures)


def _payment(item: Item, given: Given) -> Share | None:
    fits = same_sign(item.total_minor, given.amount_minor) and (
        0 < abs(given.amount_minor) <= abs(item.open_minor)
    )
    return Share(item, given.amount_minor) if fits else None


def _return(board: Board, item: Item, given: Given) -> Share | None:
    """Out of the payment of just this amount if there is one, else of any that is large enough."""
    if same_sign(item.total_minor, given.amount_minor):
        return None
    large = [
        payment
        for payment in board.payments.get(item.entry_id, ())
        if abs(payment.amount_minor) >= abs(given.amount_minor) > 0
    ]
    large.sort(key=lambda payment: abs(payment.amount_minor))
    return Share(item, given.amount_minor, large[0].match_id) if large else None


def undone(
    match: Match, originals: Mapping[UUID, Match], *, by: str, because: str
) -> list[tuple[Event, Cause]] | Finding:
    """What undoing a match says, or why it cannot be undone.

    Undoing a payment makes its claims unpaid again; undoing a return makes them paid again by the
    original payment, unless something else has paid them since.
    """
    facts: list[tuple[Event, Cause]] = []
    items = {share.item.entry_id: share.item for share in match.allocations}
    for share in match.allocations:
        before = items[share.item.entry_id]
        after = replace(before, allocated_minor=before.allocated_minor - share.amount_minor)
        items[after.entry_id] = after
        if abs(after.allocated_minor) > abs(after.total_minor):
            return Finding(
                "ITEM_PAID_AGAIN",
                "the claim has been paid again since this return; undo that payment first",
                {"claim": str(after.claim_id)},
            )
        now = Allocation(after, _like_total(share, after), after.open_minor)
        if share.returns is None:
            facts.append((unmatched(now, match.match_id, by=by, because=because), after.cause))
        else:
            facts.append((matched(originals[share.returns], now), after.cause))
    return facts


def _like_total(share: Allocation, item: Item) -> int:
    """A share's amount in the sign of its item's total."""
    return abs(share.amount_minor) if item.total_minor > 0 else -abs(share.amount_minor)
