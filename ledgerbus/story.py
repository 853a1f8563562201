"""What is known of one claim, one entry and one refused command: lean, for there are millions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, auto


class Heard(IntFlag):
    """What an intake command said, compared with what became of it."""

    NOTHING = 0
    SAME_TOTAL = auto()
    OTHER_TOTAL = auto()


class Due(IntFlag):
    """Facts of a claim whose consequences must be out by now."""

    NOTHING = 0
    POSTED = auto()
    FAILED = auto()
    TURNED_BACK = auto()
    WITHDRAWN = auto()
    PAID = auto()


@dataclass(slots=True)
class Entry:
    """One journal entry, as posting.events and posting.entries tell it; `mark` is what it says."""

    mark: int = 0
    posted: int | None = None
    recorded: int | None = None
    turned_back: int | None = None
    turned_back_recorded: int | None = None


@dataclass(slots=True)
class Story:
    """One revision of one claim; every amount in minor units, from the event that said it."""

    company: str = ""
    currency: str = ""
    key: str = ""
    submitted: int | None = None
    checked: int | None = None
    asked: int | None = None
    approved: int | None = None
    rejected: int | None = None
    reserved: int | None = None
    refused: int | None = None
    failed: int | None = None
    withdrawn: int | None = None
    spent: int | None = None
    let_go: int | None = None
    given_back: int | None = None
    settled: int | None = None
    entries: dict[str, Entry] | None = None
    turns: int = 0  # How often money turned from coming in to going back; equal facts are even.
    paid: int = 0
    paid_in_all: int = 0
    paid_late: int = 0
    late: frozenset[str] = frozenset()
    heard: Heard = Heard.NOTHING
    due: Due = Due.NOTHING

    def mark(self, fact: Due, *, reached: bool) -> None:
        """Note whether the last fact of this sort is due."""
        self.due = self.due | fact if reached else self.due & ~fact

    @property
    def own_entries(self) -> list[tuple[str, Entry]]:
        """The entries, each under the first of its ids."""
        told = (self.entries or {}).items()
        return list({id(entry): (entry_id, entry) for entry_id, entry in reversed(told)}.values())

    @property
    def live_entries(self) -> list[Entry]:
        """Entries that stand: posted and not turned back."""
        return [
            entry
            for _, entry in self.own_entries
            if entry.posted is not None and entry.turned_back is None
        ]

    @property
    def posted(self) -> int | None:
        """What the standing entries owe, or None without any."""
        entries = self.live_entries
        return sum(entry.posted or 0 for entry in entries) if entries else None


@dataclass(slots=True)
class Refusal:
    """An intake command that was refused; of several under one key, the last counts.

    `totals` are those of all of them, so that each finds its answer; None is one nobody could read.
    """

    company: str
    currency: str
    total: int | None
    codes: tuple[str, ...]
    totals: frozenset[int | None] = frozenset()
    heard: Heard = Heard.NOTHING
