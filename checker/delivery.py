"""I9 to I11: what was said is on its topic, once and in order; what is on a topic was handled."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from checker.clauses import clause
from checker.plan import INTAKE, LISTENS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from checker.records import Record
    from checker.verdict import Clause
    from checker.world import World


@clause("I9", "an id is one event", "topics")
def same_bytes(world: World, found: Clause) -> None:
    """An event id comes with the same bytes, key and partition wherever it comes again."""
    first: dict[tuple[str, str], Record] = {}
    for record in _published(world):
        found.saw()
        former = first.setdefault((record.topic, record.id), record)
        if former.digest != record.digest:
            found.broken(record.id, f"other bytes at {record.place} than at {former.place}")
        elif (former.key, former.partition) != (record.key, record.partition):
            found.broken(record.id, f"another key or partition at {record.place}")


@clause("I9", "a key keeps its order", "topics")
def in_order(world: World, found: Clause) -> None:
    """The events of one key first appear on their topic in the order they were said in."""
    last: dict[tuple[str, bytes | None], Record] = {}
    seen: set[tuple[str, str]] = set()
    for record in _published(world):
        if not record.sequence or (record.topic, record.id) in seen:
            continue
        seen.add((record.topic, record.id))
        found.saw()
        former = last.get((record.topic, record.key))
        if former is not None and former.sequence > record.sequence:
            found.broken(record.id, f"{record.place} was said before {former.place}")
        else:
            last[record.topic, record.key] = record


def _published(world: World) -> Iterator[Record]:
    return (r for r in world.records or () if r.id and r.topic in (*STREAMS, "posting.entries"))


@clause("I9", "claims' state is on its topic", "claims", "topics")
def claims_are_told(world: World, found: Clause) -> None:
    """Every claim that was accepted, withdrawn or settled was told, and no other."""
    implied = {"submitted": set(), "withdrawn": set()}  # type: dict[str, set[Any]]
    for row in world.rows("claims", "claims"):
        key = (row["claim_id"], row["revision"])
        if row["facts"] & 1:
            implied["submitted"].add(key)
        if row["facts"] & 512:
            implied["withdrawn"].add(key)
        if row["state"] == "settled":
            found.saw()
            if not world.stories.get(key, {}).get("claims.claim-settled.v1"):
                _untold(world, found, key, "claims.claim-settled.v1")
    for what, keys in implied.items():
        _same(world, found, f"claims.claim-{what}.v1", keys, ("claim_id", "revision"))


@clause("I9", "approval's state is on its topic", "approval", "topics")
def decisions_are_told(world: World, found: Clause) -> None:
    """Every decision and every step that was opened was told, and no other."""
    by_state: dict[str, set[Any]] = {"approved": set(), "rejected": set(), "withdrawn": set()}
    for row in world.rows("approval", "cases"):
        by_state.get(row["state"], set()).add((row["claim_id"], row["revision"]))
    for state in ("approved", "rejected"):  # What was decided may have been withdrawn since.
        kind, fields = f"approval.claim-{state}.v1", ("claim_id", "revision")
        _same(world, found, kind, by_state[state], fields, also=by_state["withdrawn"])
    asked = {r["task_id"] for r in world.rows("approval", "approvers") if r["verdict"] != "carried"}
    told = {event.body["task_id"] for event in world.of("approval.step-opened.v1")}
    known = {row["task_id"] for row in world.rows("approval", "tasks")}
    found.saw(len(known))
    for task in asked - told:  # A step is not opened when its approvers have agreed before.
        _untold(world, found, (task,), "approval.step-opened.v1")
    for task in told - known:
        found.broken(task, "approval.step-opened.v1 was told, and no row holds it")


@clause("I9", "budget's state is on its topic", "budget", "topics")
def money_moves_are_told(world: World, found: Clause) -> None:
    """Every check, reservation, refusal, release and spending in a case was told."""
    for row in world.rows("budget", "cases"):
        story = world.stories.get((row["claim_id"], row["revision"]), {})
        told = [row["state"]] if row["state"] not in ("open", "closed") else []
        for what in ["checked"] * row["checked"] + told:
            found.saw()
            if not story.get(f"budget.funds-{what}.v1"):
                _untold(world, found, (row["claim_id"], row["revision"]), f"budget.funds-{what}.v1")


@clause("I9", "posting's state is on its topics", "posting", "topics")
def entries_are_told(world: World, found: Clause) -> None:
    """Every entry is on posting.events and posting.entries, every failure on posting.events."""
    entries = world.rows("posting", "entries")
    for kind, table_kind in (("posted", "post"), ("reversed", "reverse")):
        ids = {(row["id"],) for row in entries if row["kind"] == table_kind}
        _same(world, found, f"posting.entry-{kind}.v1", ids, ("entry_id",))
    ids = {(row["id"],) for row in entries}
    _same(world, found, "posting.journal-entry-recorded.v1", ids, ("entry_id",))
    failed = {
        (row["claim_id"], row["revision"])
        for row in world.rows("posting", "cases")
        if row["stage"] == "failed"
    }
    _same(world, found, "posting.entry-failed.v1", failed, ("claim_id", "revision"))


@clause("I9", "reconcile's state is on its topic", "reconcile", "topics")
def matches_are_told(world: World, found: Clause) -> None:
    """Every match, return and undone match was told, and no other."""
    kinds = {row["match_id"]: row["kind"] for row in world.rows("reconcile", "matches")}
    paid, returned = set(), set()
    for share in world.rows("reconcile", "allocations"):
        if kinds[share["match_id"]] == "payment":
            paid.add((share["match_id"], share["entry_id"]))
        elif share["returns"]:  # The fact names the payment that came back.
            returned.add((share["returns"], share["entry_id"]))
    _same(world, found, "reconcile.payment-matched.v1", paid, ("match_id", "entry_id"))
    _same(world, found, "reconcile.payment-returned.v1", returned, ("match_id", "entry_id"))


def _same(
    world: World,
    found: Clause,
    kind: str,
    state: set[Any],
    fields: tuple[str, ...],
    *,
    also: AbstractSet[Any] = frozenset(),
) -> None:
    """What the tables hold and what the topic tells are the same things; `also` may be told."""
    told = {tuple(event.body[name] for name in fields) for event in world.of(kind)}
    found.saw(len(state | told))
    for key in state - told:
        _untold(world, found, key, kind)
    for key in told - state - also:
        found.broken("/".join(map(str, key)), f"{kind} was told, and no row holds it")


def _untold(world: World, found: Clause, key: tuple[Any, ...], kind: str) -> None:
    waiting = any(t.get("outbox") for t in world.tables.values())
    tell = found.unsure if waiting else found.broken
    tell("/".join(map(str, key)), f"{kind} is not on its topic")


@clause("I10", "every event is handled", "topics")
def handled(world: World, found: Clause) -> None:
    """Every record that concerns a service is in its inbox, a dead letter, parked or answered."""
    for service in world.tables:
        for record, done in _concerning(world, service):
            found.saw()
            if not done:
                found.broken(record.id or record.place, f"{service} never handled {record.kind}")


@clause("I11", "offsets are never ahead", "topics")
def not_ahead(world: World, found: Clause) -> None:
    """Whatever lies below a stored or committed offset was handled; none is beyond the end."""
    for service in world.tables:
        stored = _stored(world, service)
        for place, offset in stored.items():
            found.saw()
            subject = f"{service} {place[0]}/{place[1]}"
            if offset > world.ends.get(place, offset):
                found.broken(subject, f"stored {offset}, the end is {world.ends[place]}")
            committed = world.commits.get(service, {}).get(place, 0)
            if committed > offset:
                found.broken(subject, f"committed {committed}, stored {offset}")
        for record, done in _concerning(world, service):
            below = record.offset < stored.get((record.topic, record.partition), 0)
            if below and not done:
                found.broken(record.place, f"below {service}'s stored offset and never handled")


@clause("I10", "one event, one effect", "topics")
def one_effect(world: World, found: Clause) -> None:
    """No cause has the same consequence twice: kind, claim and body under two ids."""
    said: dict[Any, Record] = {}
    for event in world.events.values():
        if event.topic not in (*STREAMS, "posting.entries") or not event.causation:
            continue
        found.saw()
        mark = (event.kind, event.causation, event.key, event.digest)
        former = said.setdefault(mark, event)
        if former is not event:
            found.broken(event.causation, f"{event.kind} was said twice: {former.id}, {event.id}")


@clause("I10", "what was handled has its effect", "topics")
def has_its_effect(world: World, found: Clause) -> None:
    """What stands in an inbox left a row: a case per claim, an item per entry, an answer."""
    for service, (kind, table, fields) in EFFECTS.items():
        if service not in world.tables:
            continue
        inbox = {row["event_id"] for row in world.rows(service, "inbox")}
        rows = {tuple(row[name] for name in fields) for row in world.rows(service, table)}
        for event in world.of(kind):
            if event.id not in inbox:
                continue
            found.saw()
            if tuple(event.body[name] for name in fields) not in rows:
                found.broken(event.id, f"in {service}'s inbox, and no row of {table} knows it")
    if "budget" in world.tables:
        _approved_are_answered(world, found)


def _approved_are_answered(world: World, found: Clause) -> None:
    """Budget answers an approval, unless the claim was withdrawn or its company is unknown."""
    inbox = {row["event_id"] for row in world.rows("budget", "inbox")}
    answers = ("budget.funds-reserved.v1", "budget.funds-refused.v1", "claims.claim-withdrawn.v1")
    open_cases = {
        (row["claim_id"], row["revision"])
        for row in world.rows("budget", "cases")
        if row["state"] == "open"
    }
    for event in world.of("approval.claim-approved.v1"):
        found.saw()
        story = world.stories[event.claim]
        if event.id in inbox and event.claim in open_cases and not any(map(story.get, answers)):
            found.broken(event.id, "approved, in budget's inbox, and neither reserved nor refused")


EFFECTS: Final = {
    "approval": ("claims.claim-submitted.v1", "cases", ("claim_id", "revision")),
    "budget": ("claims.claim-submitted.v1", "cases", ("claim_id", "revision")),
    "posting": ("claims.claim-submitted.v1", "cases", ("claim_id", "revision")),
    "reconcile": ("posting.entry-posted.v1", "items", ("entry_id",)),
}


def _stored(world: World, service: str) -> dict[tuple[str, int], int]:
    rows = world.rows(service, "offsets")
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


def _concerning(world: World, service: str) -> Iterator[tuple[Record, bool]]:
    """The records a service must handle, and whether it did."""
    inbox = {row["event_id"] for row in world.rows(service, "inbox")}
    kept = {
        (row["topic"], row["partition"], row["offset"])
        for table in ("dead_letters", "parked")
        for row in world.rows(service, table)
    }
    answered = _answered(world)
    for record in world.records or ():
        kinds = LISTENS[service].get(record.topic)
        if kinds is None or not (record.topic == INTAKE or record.kind in kinds | {""}):
            continue
        done = record.id in inbox or (record.topic, record.partition, record.offset) in kept
        if not done and record.topic == INTAKE:
            keys = answered[(record.key or b"").decode("utf-8", "replace")]
            done = bool(keys) or bool(answered[record.place])
        yield record, done


def _answered(world: World) -> dict[str, int]:
    """How many refusals were said under each source key, which may be a record's place."""
    found: dict[str, int] = defaultdict(int)
    for refusal in world.of("claims.claim-refused.v1"):
        found[refusal.body.get("source_key", "")] += 1
    return found
