"""I20: after healing nothing waits for a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checker.clauses import clause
from checker.plan import LISTENS
from checker.world import name

if TYPE_CHECKING:
    from checker.verdict import Clause
    from checker.world import World

MACHINES_TURN: Final = frozenset({"awaited", "submitted", "approved", "reserved"})
UNDER_WAY: Final = frozenset({"intended", "calling", "unknown"})


@clause("I20", "the outbox is empty", "topics")
def outbox_empty(world: World, found: Clause) -> None:
    """What was said is on Kafka: no outbox row is left."""
    for service, tables in world.tables.items():
        found.saw()
        if tables["outbox"]:
            found.broken(service, f"{len(tables['outbox'])} rows wait in the outbox")


@clause("I20", "no lag", "topics")
def no_lag(world: World, found: Clause) -> None:
    """Every service has read every topic it listens to up to its end."""
    for service, tables in world.tables.items():
        stored = {(row["topic"], row["partition"]): row["next_offset"] for row in tables["offsets"]}
        for place, end in world.ends.items():
            if place[0] not in LISTENS[service]:
                continue
            found.saw()
            if stored.get(place, 0) < end:
                behind = end - stored.get(place, 0)
                found.broken(f"{service} {place[0]}/{place[1]}", f"{behind} records behind")


@clause("I20", "no machine waits", "claims")
def no_machine_waits(world: World, found: Clause) -> None:
    """Every claim has ended, or waits for a person or the bank; no command is held."""
    for row in world.rows("claims", "claims"):
        found.saw()
        if row["state"] in MACHINES_TURN:
            found.broken(name((row["claim_id"], row["revision"])), f"left in {row['state']}")
    for row in world.rows("claims", "held"):
        found.broken(row["claim_id"], "a command is still held")


@clause("I20", "no call is open", "posting")
def no_call_open(world: World, found: Clause) -> None:
    """Every entry meant for an outside ledger was answered."""
    found.saw(len(world.rows("posting", "cases")))
    for row in world.rows("posting", "intents"):
        if row["state"] in UNDER_WAY:
            found.broken(row["key"], f"left {row['state']} after {row['attempts']} attempts")
