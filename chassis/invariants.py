"""Asks the database, on a schedule and on demand, whether what must never be has happened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from chassis import metrics

if TYPE_CHECKING:
    from chassis.db import Reader

_HEAD: Final = re.compile(r"^-- invariant: ([a-z0-9-]+): (.+)$", re.MULTILINE)
ROWS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Invariant:
    """A query that returns a row (`subject`, `detail`) per violation, and none when all is well."""

    name: str
    sentence: str
    sql: str


def parse(text: str) -> list[Invariant]:
    """The invariants of a file: each begins with `-- invariant: <slug>: <sentence>`."""
    parts = _HEAD.split(text)
    return [
        Invariant(name, sentence, sql.strip().rstrip(";"))
        for name, sentence, sql in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    ]


class Invariants:
    """The machinery's invariants and the service's own."""

    def __init__(self, package: str) -> None:
        self.all = [
            invariant
            for owner in ("chassis", package)
            for invariant in parse(
                files(owner).joinpath("invariants.sql").read_text(encoding="utf-8")
            )
        ]

    async def ask(self, reader: Reader) -> dict[str, Any]:
        """Run every query; `checked` lists them, `violations` what they found (ROWS_MAX each)."""
        violations: list[dict[str, str]] = []
        for invariant in self.all:
            rows = await reader.fetch(
                f"SELECT subject, detail FROM ({invariant.sql}) AS found LIMIT {ROWS_MAX}"  # noqa: S608
            )
            metrics.VIOLATIONS.labels(invariant.name).set(len(rows))
            violations += [
                {
                    "invariant": invariant.name,
                    "subject": str(row["subject"]),
                    "detail": str(row["detail"]),
                }
                for row in rows
            ]
        checked = [{"invariant": i.name, "sentence": i.sentence} for i in self.all]
        return {"checked": checked, "violations": violations}
