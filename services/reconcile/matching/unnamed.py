"""Lines that name no known entry: settled only if amount, date and payee leave one answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from contracts.values import Money
from services.reconcile.domain import MAX_CANDIDATES, Finding, Item, Line, Match
from services.reconcile.matching.board import Board, Proposal, Share, keys_of, nearness, same_sign
from services.reconcile.matching.keys import key_of, name_key, party_keys, shape_of
from services.reconcile.matching.sums import MAX_TERMS, subsets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

DAYS_BEFORE: Final = 3  # A card is charged before its claim exists, never long before the expense.
DAYS_AFTER: Final = 60  # Month-end plus a payment run that was skipped.
_TWINS_MAX: Final = 20  # Of one payee and amount; with more, nothing but a reference tells.
_PARTY_ITEMS_MAX: Final = 100  # A payee with more open items has chance sums without end.
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


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a line could pay: each option an answer of its own, or a crowd of equal items."""

    options: Sequence[Proposal] = ()
    crowd: Sequence[Item] = ()

    @property
    def entries(self) -> set[UUID]:
        """All entries that this line may be about."""
        return {share.item.entry_id for option in self.options for share in option.shares}


@dataclass(slots=True)
class _Open:
    """The open items, by what an unnamed line can know of them; each list in the items' order."""

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

    def with_amount(self, seen: _Seen) -> list[list[Item]]:
        """Per payee that the line names, the items whose open amount is the line's."""
        amount = seen.line.pays_minor
        return [
            found
            for key in sorted(seen.parties)
            if (found := self._party(seen.line, key).get(amount, []))
        ]

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

    Every line makes its choice before any is carried out: two lines with the same choice both wait,
    and what they dispute is nobody's part of a sum.
    """
    known = frozenset(key for item in board.items.values() for key in _parties_of(item))
    pending = [_Seen.of(line, known) for line in sorted(lines, key=lambda line: line.order)]
    matches: list[Match] = []
    findings: list[tuple[Line, Finding]] = []
    disputed: list[_Choice] = []
    for choices in (_single_items, _sums):
        index = _Open.of(board.items.values())
        chosen = [(seen, choices(seen, index)) for seen in pending]
        wanted = _wanted([*(choice for _, choice in chosen), *disputed])
        pending = []
        for seen, choice in chosen:
            if not choice.options and not choice.crowd:
                pending.append(seen)
            elif len(choice.options) == 1 and all(wanted[entry] == 1 for entry in choice.entries):
                matches.append(board.settle(seen.line, choice.options[0], new_id))
            else:
                disputed.append(choice)
                findings.append((seen.line, _ambiguous(seen.line, choice)))
    index = _Open.of(board.items.values())
    return matches, [*findings, *((seen.line, _nothing(seen.line, index)) for seen in pending)]


def _wanted(choices: Iterable[_Choice]) -> Counter[UUID]:
    """How many lines want each entry; whatever is in a crowd is wanted too often."""
    wanted: Counter[UUID] = Counter()
    crowds: dict[int, Sequence[Item]] = {}
    for choice in choices:
        wanted.update(choice.entries)
        if choice.crowd:
            crowds[id(choice.crowd)] = choice.crowd
    for crowd in crowds.values():
        wanted.update(dict.fromkeys((item.entry_id for item in crowd), 2))
    return wanted


def _single_items(seen: _Seen, index: _Open) -> _Choice:
    found: dict[UUID, Item] = {}
    for items in index.with_amount(seen):
        if len(items) > _TWINS_MAX:
            return _Choice(crowd=items)
        found |= {item.entry_id: item for item in items if _possible(seen, item)}
    return _Choice(
        [
            Proposal("amount-date-payee", (Share(item, item.open_minor),), _evidence(seen, [item]))
            for item in sorted(found.values(), key=lambda item: item.order)
        ]
    )


def _sums(seen: _Seen, index: _Open) -> _Choice:
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
    return _Choice(found)


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


def _ambiguous(line: Line, choice: _Choice) -> Finding:
    crowd = list(choice.crowd[:_SUGGESTIONS])
    items = crowd or [share.item for option in choice.options for share in option.shares]
    claims = dict.fromkeys(item.claim_id for item in items)
    several = bool(crowd) or len(choice.options) > 1
    more, one = ("entry, or sum of entries,", "line") if several else ("line", "entry")
    detail = f"more than one {more} fits the same {one}"
    options = len(choice.crowd) or len(choice.options)
    return Finding("AMBIGUOUS", detail, _figures(line, options), tuple(claims)[:MAX_CANDIDATES])


def _nothing(line: Line, index: _Open) -> Finding:
    if line.returned:
        detail = "the bank marks this as returned, and it names no payment we know"
        return Finding("RETURN_UNPAIRED", detail, _figures(line, 0))
    equal = index.by_amount.get((line.company, line.currency, line.pays_minor), [])
    claims = tuple(dict.fromkeys(item.claim_id for item in equal[:_SUGGESTIONS]))
    none = "nothing that is open fits this line"
    some = "no reference, and no payee that fits; the candidates have the same amount"
    return Finding(
        "NO_CANDIDATE",
        some if claims else none,
        _figures(line, len(equal)),
        claims,
    )


def _figures(line: Line, options: int) -> dict[str, str]:
    return {"line": str(Money(line.amount_minor, line.currency)), "options": str(options)}
