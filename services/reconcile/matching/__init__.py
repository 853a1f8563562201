"""Matching: which bank line paid which entries, by rules that neither guess nor mind the order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.reconcile.domain import facts_of
from services.reconcile.matching.board import Board
from services.reconcile.matching.named import settle_named
from services.reconcile.matching.unnamed import settle_unnamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from uuid import UUID

    from contracts.envelope import Cause, Event
    from services.reconcile.domain import Finding, Line, Match

__all__ = ["Board", "Settlement", "settle"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of every line: settled, in need of a person, or without any money in it."""

    matches: tuple[Match, ...]
    findings: tuple[tuple[Line, Finding], ...]
    empty: tuple[Line, ...] = ()

    @property
    def facts(self) -> Iterator[tuple[Event, Cause]]:
        """What the matches say, each with the cause that its entry left."""
        return (fact for match in self.matches for fact in facts_of(match))


def settle(board: Board, lines: Iterable[Line], *, new_id: Callable[[], UUID]) -> Settlement:
    """Settle lines on a board; the outcome is the same in whatever order the lines are given.

    A line that names a known entry is settled by that reference or not at all; only the others are
    judged by amount, date and payee, and only after every reference has had its say. What they pay
    may be what a return among the first had been missing, so both are asked again.
    """
    known, unknown, empty = [], [], []
    for line in lines:
        if not line.amount_minor:
            empty.append(line)
        elif board.named(line, line.keys):
            known.append(line)
        else:
            unknown.append(line)
    matches: list[Match] = []
    while True:
        first, unsettled = settle_named(board, known, new_id)
        second, unexplained = settle_unnamed(board, unknown, new_id)
        matches += [*first, *second]
        if not second:
            return Settlement(tuple(matches), (*unsettled, *unexplained), tuple(empty))
        known = [line for line, _ in unsettled]
        unknown = [line for line, _ in unexplained]
