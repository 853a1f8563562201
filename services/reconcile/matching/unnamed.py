"""Lines that name no known entry: settled only if amount, date and payee leave one answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from contracts.values import Money
from services.reconcile.domain import Finding, Item, Line, Match
from services.reconcile.matching.board import Board, Proposal, Share, keys_of, nearness, same_sign
from services.reconcile.matching.keys import key_of, name_key, party_keys, shape_of
from services.reconcile.matching.sums import MAX_TERMS, subsets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

DAYS_BEFORE: Final = 3  # A card is charged before its claim exists, never long before the expense.
DAYS_AFTER: Final = 60  # Month-end plus a payment run that was skipped.
_PARTY_ITEMS_MAX: Final = 500  # A payee with more open items has chance sums without end.
_SUGGESTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class _Seen:
    """A line with the payees its words name, and the shapes of the references it carries."""

    line: Line
    parties: frozenset[str]
    shapes: frozenset[str]

    @classmethod
    def of(cls, line: Line, known: frozenset[str]) -> _Seen:
        """Only parties that have items count."""
        parties = party_keys((line.text, line.party)) & known
        return cls(line, parties, frozenset(map(shape_of, line.keys)) if parties else frozenset())


@dataclass(slots=True)
class _Open:
    """The open items, by what an unnamed line can know of them: payee and amount."""

    by_party: dict[tuple[str, str, str], dict[int, list[Item]]] = field(default_factory=dict)
    by_amount: dict[tuple[str, str, int], list[Item]] = field(default_factory=dict)

    @classmethod
    def of(cls, items: Iterable[Item]) -> _Open:
        """An index of what is open at this moment."""
        index = cls()
        for item in items:
            if item.open_minor:
                amount = (item.company, item.currency, item.open_minor)
                index.by_amount.setdefault(amount, []).append(item)
                for key in _parties_of(item):
                    amounts = index.by_party.setdefault((item.company, item.currency, key), {})
                    amounts.setdefault(item.open_minor, []).append(item)
        return index

    def with_amount(self, seen: _Seen) -> list[Item]:
        """The possible items of the line's payees whose open amount is the line's."""
        line = seen.line
        found = {
            item.entry_id: item
            for key in seen.parties
            for item in self._party(line, key).get(line.pays_minor, ())
            if _possible(seen, item)
        }
        return sorted(found.values(), key=lambda item: item.order)

    def of_payees(self, seen: _Seen) -> list[list[Item]]:
        """The possible items of each of the line's payees."""
        found: dict[str, dict[UUID, Item]] = {}
        for key in seen.parties:
            items = [item for group in self._party(seen.line, key).values() for item in group]
            if len(items) <= _PARTY_ITEMS_MAX:
                for item in items:
                    if _possible(seen, item):
                        found.setdefault(item.payee, {})[item.entry_id] = item
        return [
            sorted(items.values(), key=lambda item: item.order)
            for _, items in sorted(found.items())
        ]

    def _party(self, line: Line, key: str) -> dict[int, list[Item]]:
        return self.by_party.get((line.company, line.currency, key), {})


def settle_unnamed(
    board: Board, lines: Iterable[Line], new_id: Callable[[], UUID]
) -> tuple[list[Match], list[tuple[Line, Finding]]]:
    """Settle lines that have one possible item, then those with one possible sum; explain the rest.

    Every line makes its choice before any is carried out: two lines with the same choice both wait.
    """
    known = frozenset(key for item in board.items.values() for key in _parties_of(item))
    pending = [_Seen.of(line, known) for line in sorted(lines, key=lambda line: line.order)]
    matches: list[Match] = []
    findings: list[tuple[Line, Finding]] = []
    for choices in (_single_items, _sums):
        index = _Open.of(board.items.values())
        chosen = [(seen, choices(seen, index)) for seen in pending]
        wanted = Counter(entry_id for _, options in chosen for entry_id in _entries(options))
        pending = []
        for seen, options in chosen:
            if not options:
                pending.append(seen)
            elif len(options) == 1 and all(wanted[entry] == 1 for entry in _entries(options)):
                matches.append(board.settle(seen.line, options[0], new_id))
            else:
                findings.append((seen.line, _ambiguous(seen.line, options)))
    index = _Open.of(board.items.values())
    return matches, [*findings, *((seen.line, _nothing(seen.line, index)) for seen in pending)]


def _entries(options: Sequence[Proposal]) -> set[UUID]:
    return {share.item.entry_id for option in options for share in option.shares}


def _single_items(seen: _Seen, index: _Open) -> list[Proposal]:
    return [
        Proposal("amount-date-payee", (Share(item, item.open_minor),), _evidence(seen, [item]))
        for item in index.with_amount(seen)
    ]


def _sums(seen: _Seen, index: _Open) -> list[Proposal]:
    """Up to two combinations of each payee's items that have the line's amount."""
    found: list[Proposal] = []
    for items in index.of_payees(seen) if seen.parties else ():
        if 1 < len(items) <= MAX_TERMS:
            amounts = [item.open_minor for item in items]
            for positions in subsets(amounts, seen.line.pays_minor):
                chosen = [items[position] for position in positions]
                shares = tuple(Share(item, item.open_minor) for item in chosen)
                evidence = (*_evidence(seen, chosen), "only combination of this payee's items")
                found.append(Proposal("payee-sum", shares, evidence))
    return found


def _evidence(seen: _Seen, items: Sequence[Item]) -> tuple[str, ...]:
    by_code = all(key_of(item.payee) in seen.parties for item in items)
    party = "payee's code in the text" if by_code else "payee's name in the text"
    return ("amount to the cent", party, nearness(seen.line, items))


def _parties_of(item: Item) -> set[str]:
    return {key_of(item.payee), name_key(item.payee_name)} - {""}


def _possible(seen: _Seen, item: Item) -> bool:
    """Whether date, direction and references leave the item possible.

    A line that carries a reference of the item's kind, but another one, is about another entry,
    perhaps one that has not arrived yet.
    """
    line = seen.line
    return (
        not line.returned
        and same_sign(item.open_minor, line.pays_minor)
        and (line.booked_on - item.posting_date).days <= DAYS_AFTER
        and (item.document_date - line.booked_on).days <= DAYS_BEFORE
        and not any(shape_of(key) in seen.shapes for key in keys_of(item))
    )


def _ambiguous(line: Line, options: Sequence[Proposal]) -> Finding:
    claims = dict.fromkeys(share.item.claim_id for option in options for share in option.shares)
    several = len(options) > 1
    more, one = ("entry, or sum of entries,", "line") if several else ("line", "entry")
    detail = f"more than one {more} fits the same {one}"
    return Finding("AMBIGUOUS", detail, _figures(line, len(options)), tuple(claims))


def _nothing(line: Line, index: _Open) -> Finding:
    if line.returned:
        detail = "the bank marks this as returned, and it names no payment we know"
        return Finding("RETURN_UNPAIRED", detail, _figures(line, 0))
    equal = index.by_amount.get((line.company, line.currency, line.pays_minor), [])
    claims = dict.fromkeys(item.claim_id for item in sorted(equal, key=lambda item: item.order))
    none = "nothing that is open fits this line"
    some = "no reference, and no payee that fits; the candidates have the same amount"
    return Finding(
        "NO_CANDIDATE",
        some if claims else none,
        _figures(line, len(claims)),
        tuple(claims)[:_SUGGESTIONS],
    )


def _figures(line: Line, options: int) -> dict[str, str]:
    return {"line": str(Money(line.amount_minor, line.currency)), "options": str(options)}
