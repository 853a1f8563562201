"""`ledgerbus demo score`: what reconcile said of the bank's lines, against the bank's own truth.

A match is right when the truth of the line, as reconcile saw it, has the same entry and amount.
Of two lines nothing tells apart, either is right for either of their two entries.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from contracts.codec import kind_of
from contracts.values import Money
from ledgerbus.kafka import reader, records, stretches
from ledgerbus.sending import topic_name

if TYPE_CHECKING:
    from pathlib import Path

    from ledgerbus.addresses import Addresses

EVENTS: Final = "reconcile.events"
MATCHED: Final = "reconcile.payment-matched.v1"
RETURNED: Final = "reconcile.payment-returned.v1"
UNMATCHED: Final = "reconcile.payment-unmatched.v1"
EXCEPTION: Final = "reconcile.exception-opened.v1"
HEARD: Final = frozenset({MATCHED, RETURNED, UNMATCHED, EXCEPTION})

Told = tuple[str, str, str, str, str]
"""Statement, booking day, line amount, entry, and what of it was paid: one allocation."""


@dataclass(slots=True)
class Score:
    """How much of the truth was found, and whether anything untrue was said."""

    true: Counter[Told] = field(default_factory=Counter)
    said: Counter[Told] = field(default_factory=Counter)
    noise: dict[Told, str] = field(default_factory=dict)
    exceptions: Counter[str] = field(default_factory=Counter)

    @property
    def right(self) -> int:
        """Allocations that are said and true."""
        return (self.said & self.true).total()

    @property
    def wrong(self) -> Counter[Told]:
        """Allocations that are said and untrue; there must be none."""
        return self.said - self.true

    @property
    def unfound(self) -> Counter[str]:
        """Allocations that are true and unsaid, by the noise of their lines."""
        missed = self.true - self.said
        return Counter(self.noise[told] for told in missed.elements())

    def plain(self) -> dict[str, Any]:
        """The score as one document; shares are decimal strings."""
        return {
            "true": self.true.total(),
            "said": self.said.total(),
            "right": self.right,
            "wrong": self.wrong.total(),
            "precision": share(self.right, self.said.total()),
            "recall": share(self.right, self.true.total()),
            "unfound_by_noise": dict(self.unfound),
            "exceptions": dict(self.exceptions),
            "wrong_allocations": [list(told) for told in self.wrong.elements()],
        }


def share(part: int, whole: int) -> str:
    """A share with four digits, never rounded up to one."""
    tenthousandths = part * 10_000 // whole if whole else 10_000
    return f"{tenthousandths // 10_000}.{tenthousandths % 10_000:04}"


def read_truth(file: Path, score: Score) -> None:
    """The bank's own knowledge of every line it wrote."""
    with file.open("rb") as lines:
        for text in lines:
            line = orjson.loads(text)
            for part in line["allocations"]:
                told = (
                    line["statement"],
                    line["booked_on"],
                    line["amount"],
                    part["entry_id"],
                    part["paid"],
                )
                score.true[told] += 1
                score.noise[told] = line["noise"]


async def read_matches(where: Addresses, score: Score) -> None:
    """What reconcile said, less what was undone by a person."""
    topic = topic_name(EVENTS)
    matches: dict[tuple[str, str], Told] = {}
    seen: set[bytes | None] = set()
    async with reader(where.kafka, [topic]) as consumer:
        async for page in records(consumer, await stretches(consumer, [topic])):
            for record in page:
                event_id = dict(record.headers).get("ce_id")
                kind = kind_of(record.headers)
                if kind in HEARD and event_id not in seen:
                    seen.add(event_id)
                    hear(kind, orjson.loads(record.value), score, matches)


def hear(
    kind: str, told: dict[str, Any], score: Score, matches: dict[tuple[str, str], Told]
) -> None:
    """Enter one event of reconcile; `matches` remembers what each match said, to undo it."""
    if kind == EXCEPTION:
        score.exceptions[told["reason"]["code"]] += 1
        return
    match = (told["match_id"], told["entry_id"])
    if kind == UNMATCHED:
        undone = matches.pop(match, None)
        if undone:
            score.said[undone] -= 1
        return
    paid = told["paid"]["amount"] if kind == MATCHED else _turned(told["returned"])
    line = told["bank_line"]
    allocation = (
        line["statement"],
        line["booked_on"],
        line["amount"]["amount"],
        told["entry_id"],
        paid,
    )
    score.said[allocation] += 1
    if kind == MATCHED:
        matches[match] = allocation


def _turned(amount: dict[str, str]) -> str:
    return (-Money.parse(amount["amount"], amount["currency"])).amount
