"""Lines that name their entries, by reference: paid, paid in parts or in batches, and returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.values import Money
from services.reconcile.domain import MAX_CANDIDATES, Finding, Item, Line, Match
from services.reconcile.matching.board import (
    POINTS,
    Board,
    Proposal,
    Share,
    nearness,
    same_sign,
)
from services.reconcile.matching.sums import MAX_TERMS, differences, subsets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from uuid import UUID

    from services.reconcile.domain import Payment

    Judge = Callable[[Board, Line], Proposal | None]


def settle_named(
    board: Board, lines: Iterable[Line], new_id: Callable[[], UUID]
) -> tuple[list[Match], list[tuple[Line, Finding]]]:
    """Settle what fits until nothing more does, then say of each line left why it does not.

    Exact fits come before fits with a difference, whole payments before parts, and a return makes
    its entry payable again, so that the order of the lines in their statement does not matter.
    """
    pending = sorted(lines, key=lambda line: line.order)
    matches: list[Match] = []
    judges: tuple[Callable[[Board, Sequence[Line]], Iterator[tuple[Line, Proposal]]], ...] = (
        lambda board, lines: _each(board, lines, _exactly),
        lambda board, lines: _each(board, lines, _nearly),
        _parts,
    )
    stage = 0
    while pending and stage < len(judges):
        settled = [
            board.settle(line, proposal, new_id) for line, proposal in judges[stage](board, pending)
        ]
        matches += settled
        done = {match.line.line_id for match in settled}
        pending = [line for line in pending if line.line_id not in done]
        stage = 0 if settled else stage + 1
    return matches, [(line, _why_not(board, line)) for line in pending]


def _each(board: Board, lines: Sequence[Line], judge: Judge) -> Iterator[tuple[Line, Proposal]]:
    """Proposals one at a time, each made after the one before has been carried out."""
    for line in lines:
        proposal = None if line.batch_gap_minor else judge(board, line)
        if proposal is not None:
            yield line, proposal


def _exactly(board: Board, line: Line) -> Proposal | None:
    if _is_return(board, line):
        return _returned(board, line)
    items = _payable(board, line, line.exact_keys)
    if items or board.named(line, line.exact_keys):
        found = _combination(items, line.pays_minor)
        if found is not None:
            return _paid(line, found, items, "own-reference")
        both = _payable(board, line, line.keys)
        whole = sum(item.open_minor for item in both) == line.pays_minor
        return _paid(line, both, both, "reference-in-text") if whole and items else None
    items = _payable(board, line, line.text_keys)
    found = _combination(items, line.pays_minor)
    return None if found is None else _paid(line, found, items, "reference-in-text")


def _nearly(board: Board, line: Line) -> Proposal | None:
    """With a shown fee, a rounding or an exchange difference; all named items together."""
    if _is_return(board, line):
        return _returned_less_a_fee(board, line)
    exact = bool(board.named(line, line.exact_keys))
    items = _payable(board, line, line.exact_keys if exact else line.text_keys)
    if not items:
        return None
    found = differences(
        pays=line.pays_minor,
        expected=sum(item.open_minor for item in items),
        terms=len(items),
        charges=line.charges_minor,
        foreign=line.foreign,
    )
    if not found:
        return None
    rule = "own-reference" if exact else "reference-in-text"
    return _paid(line, items, items, rule, found)


def _parts(board: Board, lines: Sequence[Line]) -> Iterator[tuple[Line, Proposal]]:
    """Several lines that each name one and the same item, and together pay exactly what is open."""
    groups: dict[UUID, list[Line]] = {}
    for line in lines:
        items = _payable(board, line, line.exact_keys)
        if len(items) == 1 and not line.batch_gap_minor and not _is_return(board, line):
            groups.setdefault(items[0].entry_id, []).append(line)
    for entry_id, group in groups.items():
        item = board.items[entry_id]
        if sum(line.pays_minor for line in group) == item.open_minor:
            for line in group:
                share = Share(board.items[entry_id], line.pays_minor)
                evidence = ("own reference", "partial payments add up", nearness(line, [item]))
                yield line, Proposal("partial-payments", (share,), evidence)


def _paid(
    line: Line,
    items: Sequence[Item],
    named: Sequence[Item],
    rule: str,
    found: tuple[tuple[str, int], ...] = (),
) -> Proposal:
    reference = "own reference" if rule == "own-reference" else "reference in the text"
    amount = "amount with a shown difference" if found else "amount to the cent"
    others = POINTS[reference] if len(named) > len(items) else None
    shares = tuple(Share(item, item.open_minor) for item in items)
    evidence = (reference, amount, nearness(line, items))
    return Proposal(rule, shares, evidence, found, runner_up=others)


def _payable(board: Board, line: Line, keys: Iterable[str]) -> list[Item]:
    """The named items of which something is open in the line's direction and currency."""
    return [
        item
        for item in board.named(line, keys)
        if item.open_minor
        and item.currency == line.currency
        and same_sign(item.open_minor, line.pays_minor)
    ]


def _combination(items: Sequence[Item], target: int) -> Sequence[Item] | None:
    """All items if they add up, else the only combination that does."""
    if items and sum(item.open_minor for item in items) == target:
        return items
    found = _combinations(items, target)
    return found[0] if len(found) == 1 else None


def _combinations(items: Sequence[Item], target: int) -> list[list[Item]]:
    if not 1 < len(items) <= MAX_TERMS:
        return []
    found = subsets([item.open_minor for item in items], target)
    return [[items[position] for position in positions] for positions in found]


def _is_return(board: Board, line: Line) -> bool:
    """Whether the line brings back what an entry it names was paid with."""
    keys = line.keys if line.returned else line.exact_keys
    named = [item for item in board.named(line, keys) if item.currency == line.currency]
    return bool(named) and not any(same_sign(item.total_minor, line.pays_minor) for item in named)


def _returned(board: Board, line: Line) -> Proposal | None:
    payments = _payments(board, line)
    amounts = [payment.amount_minor for payment in payments]
    if amounts and sum(amounts) == line.amount_minor:
        return _back(board, line, payments)
    if not 1 < len(payments) <= MAX_TERMS:
        return None
    found = subsets(amounts, line.amount_minor)
    entries = {tuple(payments[position].entry_id for position in chosen) for chosen in found}
    if len(entries) != 1:  # Equal parts of one entry are alike; those of several are not.
        return None
    return _back(board, line, [payments[position] for position in found[0]])


def _returned_less_a_fee(board: Board, line: Line) -> Proposal | None:
    payments = _payments(board, line)
    if not payments:
        return None
    found = differences(
        pays=line.pays_minor,
        expected=-sum(payment.amount_minor for payment in payments),
        terms=len(payments),
        charges=line.charges_minor,
        foreign=line.foreign,
    )
    return _back(board, line, payments, found) if found else None


def _back(
    board: Board,
    line: Line,
    payments: Sequence[Payment],
    found: tuple[tuple[str, int], ...] = (),
) -> Proposal:
    exact = bool(board.named(line, line.exact_keys))
    marked = ("marked as returned by the bank",) if line.returned else ()
    return Proposal(
        rule="returned-payment",
        shares=tuple(
            Share(board.items[payment.entry_id], -payment.amount_minor, payment.match_id)
            for payment in payments
        ),
        evidence=(
            "own reference" if exact else "reference in the text",
            "amount with a shown difference" if found else "amount to the cent",
            *marked,
        ),
        differences=found,
        kind="return",
    )


def _payments(board: Board, line: Line) -> list[Payment]:
    named = board.named(line, line.exact_keys)
    if not named and line.returned:
        named = board.named(line, line.text_keys)
    return [
        payment
        for item in named
        if item.currency == line.currency
        for payment in board.payments.get(item.entry_id, ())
    ]


def _why_not(board: Board, line: Line) -> Finding:
    """The reason a line that names known entries cannot be settled by itself."""
    named = board.named(line, line.exact_keys) or board.named(line, line.text_keys)
    claims = tuple(dict.fromkeys(item.claim_id for item in named))[:MAX_CANDIDATES]
    code, detail = _reason(board, line, named)
    expected = sum(item.open_minor for item in named if item.currency == line.currency)
    figures = {
        "line": str(Money(line.amount_minor, line.currency)),
        "open": str(Money(expected, line.currency)),
        "named": str(len(named)),
    }
    if line.charges_minor:
        figures["charges"] = str(Money(line.charges_minor, line.currency))
    if line.batch_gap_minor:
        figures["details_missing"] = str(Money(line.batch_gap_minor, line.currency))
    return Finding(code, detail, figures, claims)


def _reason(board: Board, line: Line, named: Sequence[Item]) -> tuple[str, str]:
    if line.batch_gap_minor:
        return "BATCH_UNBALANCED", "the details of this batch do not add up to its amount"
    if all(item.currency != line.currency for item in named):
        return "CURRENCY_DIFFERS", f"{line.currency} was booked for an entry of {named[0].currency}"
    if _is_return(board, line):
        if not _payments(board, line):
            return "RETURN_UNPAIRED", "this looks like a returned payment that was never seen"
        return "AMOUNT_DIFFERS", "what came back is not what was paid"
    items = _payable(board, line, line.keys)
    if items and len(_combinations(items, line.pays_minor)) > 1:
        return "AMBIGUOUS", "more than one combination of the named entries has this sum"
    if items:
        return "AMOUNT_DIFFERS", "the amount is not what is open for the reference"
    return _closed(line, named)


def _closed(line: Line, named: Sequence[Item]) -> tuple[str, str]:
    """The reason where nothing of what the line names is open to it."""
    if not any(same_sign(item.total_minor, line.pays_minor) for item in named):
        return "AMBIGUOUS", "this names an entry, yet neither pays it nor is marked as returned"
    if any(item.allocated_minor for item in named):
        return "ALREADY_PAID", "the entry with this reference has been paid already"
    return "NOTHING_OPEN", "nothing is open for this reference"
