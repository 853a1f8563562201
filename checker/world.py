"""Everything a judgement looks at, read once: topics, tables, logs, and the stories they tell."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from checker.plan import LISTENS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from checker.records import Place, Record

Key = tuple[str, int]


@dataclass
class World:
    """One run's evidence in memory; None is a part that was not given."""

    tables: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]] = field(default_factory=dict)
    records: Sequence[Record] | None = None
    ends: Mapping[Place, int] = field(default_factory=dict)
    commits: Mapping[str, Mapping[Place, int]] = field(default_factory=dict)
    ledger: Sequence[Mapping[str, Any]] | None = None
    bank: Mapping[bytes, str] | None = None
    journal: Sequence[Mapping[str, Any]] | None = None

    def has(self, part: str) -> bool:
        """Whether a part of the evidence was given: topics, ledger, bank, journal, a database."""
        if part in LISTENS:
            return part in self.tables
        return getattr(self, "records" if part == "topics" else part) is not None

    def rows(self, service: str, table: str) -> Sequence[Mapping[str, Any]]:
        """The rows of a table."""
        return self.tables[service][table]

    @cached_property
    def events(self) -> dict[str, Record]:
        """The first record of each event id, in the order of topics and offsets."""
        found: dict[str, Record] = {}
        for record in self.records or ():
            if record.id and record.body is not None:
                found.setdefault(record.id, record)
        return found

    @cached_property
    def by_kind(self) -> dict[str, list[Record]]:
        """Each event once, by kind."""
        found: dict[str, list[Record]] = defaultdict(list)
        for record in self.events.values():
            found[record.kind].append(record)
        return found

    @cached_property
    def stories(self) -> dict[Key, dict[str, list[Record]]]:
        """Each claim revision's events by kind, each kind in the order it was said."""
        found: dict[Key, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
        for record in self.events.values():
            if "claim_id" in record.body and record.body["claim_id"] and told(record.kind):
                found[record.claim][record.kind].append(record)
        for story in found.values():
            for told_records in story.values():
                told_records.sort(key=lambda record: record.order)
        return found

    @cached_property
    def said(self) -> set[str]:
        """The ids of all events that were said: on a topic, or waiting in an outbox."""
        waiting = {
            row["event_id"]
            for tables in self.tables.values()
            for row in tables.get("outbox", ())
            if row["event_id"]
        }
        return waiting | set(self.events)

    @cached_property
    def speakers(self) -> set[str]:
        """The services that said anything at all in this run."""
        return {
            r.kind.partition(".")[0] for r in self.events.values() if r.topic.endswith(".events")
        }

    def of(self, *kinds: str) -> Iterator[Record]:
        """Each event of some kinds, once."""
        for kind in kinds:
            yield from self.by_kind.get(kind, ())


def told(kind: str) -> bool:
    """Whether a kind is a fact about an accepted claim, and no command or refusal."""
    return kind != "claims.claim-refused.v1" and not kind.startswith("claims.submit-")


def name(key: Key) -> str:
    """A claim revision, for people."""
    return f"{key[0]}/{key[1]}"
