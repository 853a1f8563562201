"""The verdict: a status per clause of an invariant, what was examined, and every violation."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

SHOWN: Final = 5  # Violations per clause in the table for people; JSON has all of them.


class Status(StrEnum):
    """What is known of a clause; emptiness is never ok."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Violation:
    """What contradicts a clause: the ids it concerns, and in what way."""

    subject: str
    detail: str


@dataclass(slots=True)
class Clause:
    """One clause of an invariant, as judged over one run."""

    number: str
    name: str
    sentence: str
    examined: int = 0
    violations: list[Violation] = field(default_factory=list)
    unsettled: list[Violation] = field(default_factory=list)
    missing: tuple[str, ...] = ()

    def saw(self, count: int = 1) -> None:
        """Count what was examined."""
        self.examined += count

    def broken(self, subject: object, detail: str) -> None:
        """Record a contradiction."""
        self.violations.append(Violation(str(subject), detail))

    def unsure(self, subject: object, detail: str) -> None:
        """Record what the evidence cannot settle."""
        self.unsettled.append(Violation(str(subject), detail))

    @property
    def status(self) -> Status:
        """What is known; a clause that examined nothing is not judged."""
        if self.violations:
            return Status.FAIL
        if self.missing:
            return Status.NOT_JUDGED
        if self.unsettled:
            return Status.UNKNOWN
        return Status.OK if self.examined else Status.NOT_JUDGED

    def plain(self) -> dict[str, Any]:
        """The clause for JSON."""
        return {
            "invariant": self.number,
            "name": self.name,
            "sentence": self.sentence,
            "status": self.status.value,
            "examined": self.examined,
            "missing": list(self.missing),
            "violations": [{"subject": v.subject, "detail": v.detail} for v in self.violations],
            "unsettled": [{"subject": v.subject, "detail": v.detail} for v in self.unsettled],
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """All clauses of one run, with the seed and commit it ran with."""

    seed: int | None
    commit: str
    clauses: tuple[Clause, ...]
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """The worst there is; a run of which nothing was judged is not judged."""
        found = {clause.status for clause in self.clauses}
        for status in (Status.FAIL, Status.UNKNOWN, Status.OK):
            if status in found:
                return status
        return Status.NOT_JUDGED

    @property
    def failed(self) -> set[str]:
        """The numbers of the invariants that do not hold."""
        return {c.number for c in self.clauses if c.status is Status.FAIL}

    def of(self, number: str) -> Status:
        """What is known of an invariant over all its clauses."""
        return Verdict(None, "", tuple(c for c in self.clauses if c.number == number)).status

    def plain(self) -> dict[str, Any]:
        """The verdict for JSON."""
        return {
            "seed": self.seed,
            "commit": self.commit,
            "status": self.status.value,
            "counts": self.counts,
            "clauses": [clause.plain() for clause in self.clauses],
        }

    def json(self) -> bytes:
        """The verdict as one JSON document."""
        return orjson.dumps(self.plain(), option=orjson.OPT_INDENT_2)

    def table(self) -> str:
        """The verdict for people: a line per clause, its first violations under it."""
        lines = [f"seed {self.seed}, commit {self.commit or '?'}: {self.status.value}"]
        for each in self.clauses:
            lack = f"  (no {', '.join(each.missing)})" if each.missing else ""
            head = f"{each.number:4}{each.status.value:11}{each.examined:>8}  {each.name}{lack}"
            lines.append(head)
            found = each.violations + each.unsettled
            lines += [f"        {v.subject}: {v.detail}" for v in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"        ... and {len(found) - SHOWN} more")
        return "\n".join(lines)
