"""A file against the topics, to the penny: what became of every row, and that none is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table as Sheet

from contracts.values import Money
from ledgerbus.claimfile import ClaimFile
from ledgerbus.conservation import standing
from ledgerbus.layout import load_layout
from ledgerbus.stories import key_name
from ledgerbus.telling import readable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from ledgerbus.claimfile import FileClaim
    from ledgerbus.reading import Reading
    from ledgerbus.stories import Stories

SHOWN: int = 20


@dataclass(slots=True)
class Outcome:
    """What became of a claim of the file, and the amount the chain says it had."""

    name: str
    total: int | None
    claim: str = ""


@dataclass(slots=True)
class FileProof:
    """The rows of a file by outcome; it holds when every row has one and every penny agrees."""

    name: str
    rows: int = 0
    claims: int = 0
    unreadable: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_outcome: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: list[dict[str, Any]] = field(default_factory=list)
    differing: list[dict[str, Any]] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every claim of the file has an outcome over the file's own amount."""
        return not self.missing and not self.differing and self._adds_up()

    def _adds_up(self) -> bool:
        told: Counter[str] = Counter()
        for (_, currency), amount in self.by_outcome.items():
            told[currency] += amount
        return told == self.sums

    def take(self, claim: FileClaim, outcome: Outcome | None) -> None:
        """Enter one claim of the file."""
        self.claims += 1
        currency = claim.total.currency if claim.total else ""
        self.unreadable += claim.total is None
        if claim.total:
            self.sums[currency] += claim.total.minor
        where = {"rows": list(claim.rows), "source_key": claim.source_key}
        if outcome is None:
            self.missing.append(where)
            return
        self.counts[outcome.name, currency] += 1
        amount = outcome.total
        if amount is None and claim.total is not None and outcome.claim == "":
            amount = claim.total.minor  # Refused before its total could be read; the file's counts.
        if claim.total is not None and amount is not None:
            self.by_outcome[outcome.name, currency] += amount
            if amount != claim.total.minor:
                told = Money(amount, currency).amount
                self.differing.append(where | {"file": claim.total.amount, "chain": told})

    def plain(self) -> dict[str, Any]:
        """The proof of the file as one document."""
        return {
            "file": self.name,
            "rows": self.rows,
            "claims": self.claims,
            "without_readable_amount": self.unreadable,
            "sums": {c: Money(total, c).amount for c, total in sorted(self.sums.items())},
            "outcomes": [
                {
                    "outcome": outcome,
                    "currency": currency,
                    "claims": count,
                    "sum": self._sum(outcome, currency),
                }
                for (outcome, currency), count in sorted(self.counts.items())
            ],
            "missing": self.missing,
            "differing": self.differing,
            "holds": self.holds,
        }

    def _sum(self, outcome: str, currency: str) -> str:
        return Money(self.by_outcome[outcome, currency], currency).amount if currency else "-"

    def show(self, screen: Console) -> None:
        """The proof as people read it."""
        sheet = Sheet(title=f"{self.name}: {self.rows} rows, {self.claims} claims")
        sheet.add_column("outcome")
        sheet.add_column("claims", justify="right")
        sheet.add_column("sum", justify="right")
        sheet.add_column("")
        for (outcome, currency), count in sorted(self.counts.items()):
            amount = self.by_outcome[outcome, currency]
            figure = readable(amount, currency) if currency else "-"
            sheet.add_row(outcome, f"{count:,}", figure, currency)
        sheet.add_section()
        for currency, total in sorted(self.sums.items()):
            sheet.add_row("the file's own sum", "", readable(total, currency), currency)
        screen.print(sheet)
        for row in self.missing[:SHOWN]:
            screen.print(f"[red]no outcome[/] rows {_numbers(row)}, key {row['source_key']}")
        for row in self.differing[:SHOWN]:
            told = f"the file says {row['file']}, the chain {row['chain']}"
            screen.print(f"[red]differs[/] rows {_numbers(row)}, key {row['source_key']}: {told}")


def prove_file(reading: Reading, path: Path, layout: str, company: str) -> FileProof:
    """Find every claim of the file in what the topics say."""
    claims = ClaimFile(path, load_layout(layout), company)
    proof = FileProof(path.name)
    for claim in claims:
        proof.take(claim, outcome_of(reading.stories, claim.source, claim.source_key))
    proof.rows = claims.rows
    return proof


def outcome_of(stories: Stories, source: str, source_key: str) -> Outcome | None:
    """What became of the first revision of a claim that a source calls `source_key`."""
    key = key_name(source, source_key, 1)
    accepted = stories.accepted.get(key)
    if accepted is not None:
        state, amounts = standing(stories.claims[accepted])
        return Outcome(state, sum(amounts.values()), accepted)
    refusal = stories.refusals.get(key)
    if refusal is not None:
        return Outcome(f"refused {', '.join(refusal.codes)}", refusal.total)
    return None


def _numbers(where: dict[str, Any]) -> str:
    return ", ".join(map(str, where["rows"]))
