"""I1 to I3: what was accepted is kept, ends once, and has a legal history."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from checker.clauses import clause
from checker.plan import INTAKE
from checker.records import minor
from checker.world import name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checker.records import Record
    from checker.verdict import Clause
    from checker.world import World

UNPAID_ENDS: Final = frozenset(
    {"rejected", "funds_refused", "posting_failed", "reversed", "withdrawn"}
)
CONTRADICTIONS: Final = (
    ("approval.claim-approved.v1", "approval.claim-rejected.v1"),
    ("budget.funds-reserved.v1", "budget.funds-refused.v1"),
    ("posting.entry-posted.v1", "posting.entry-failed.v1"),
    ("approval.claim-rejected.v1", "budget.funds-reserved.v1"),
    ("approval.claim-rejected.v1", "posting.entry-posted.v1"),
    ("budget.funds-refused.v1", "posting.entry-posted.v1"),
)
ONCE: Final = (
    "claims.claim-submitted.v1",
    "claims.claim-withdrawn.v1",
    "approval.claim-approved.v1",
    "approval.claim-rejected.v1",
    "budget.funds-checked.v1",
    "budget.funds-reserved.v1",
    "budget.funds-refused.v1",
    "posting.entry-posted.v1",
    "posting.entry-failed.v1",
    "posting.entry-reversed.v1",
)
STREAM_ORDERS: Final = (
    ("claims.claim-submitted.v1", "claims.claim-withdrawn.v1"),
    ("claims.claim-submitted.v1", "claims.claim-settled.v1"),
    ("approval.step-opened.v1", "approval.claim-approved.v1"),
    ("approval.step-opened.v1", "approval.claim-rejected.v1"),
    ("budget.funds-checked.v1", "budget.funds-reserved.v1"),
    ("budget.funds-checked.v1", "budget.funds-refused.v1"),
    ("budget.funds-reserved.v1", "budget.funds-spent.v1"),
    ("budget.funds-reserved.v1", "budget.funds-released.v1"),
    ("posting.entry-posted.v1", "posting.entry-reversed.v1"),
)
"""Pairs on one stream of which the first is never behind the second."""


def accepted(line: Mapping[str, Any]) -> bool:
    """Whether a line of the journal was taken: by Kafka, or by an answer of success."""
    answered = line.get("answered")
    return answered == "acked" or (isinstance(answered, int) and 200 <= answered < 300)


@clause("I1", "accepted is kept", "journal", "topics")
def accepted_is_kept(world: World, found: Clause) -> None:
    """Every claim the client was told was taken is submitted or refused, over the same amount."""
    answers = _answers(world)
    for line in world.journal or ():
        if line.get("what") != "submit" or not accepted(line):
            continue
        found.saw()
        key = (line["source"], line["source_key"])
        told = answers.get((*key, line.get("revision") or 1), []) or answers.get((*key, None), [])
        if not told:
            found.broken("/".join(key), "taken, and neither submitted nor refused")
        elif line.get("total") and not _same_total(line["total"], told):
            found.broken("/".join(key), f"taken over {line['total']}, answered over another")


def _answers(world: World) -> dict[tuple[Any, ...], list[Any]]:
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for event in world.of("claims.claim-submitted.v1", "claims.claim-refused.v1"):
        key = (event.body.get("source"), event.body.get("source_key"))
        found[(*key, event.body.get("revision", 1))].append(event.body.get("total"))
        if event.kind == "claims.claim-refused.v1":
            found[(*key, None)].append(event.body.get("total"))
    return found


def _same_total(asked: Mapping[str, Any], told: list[Any]) -> bool:
    return any(
        total is None or (minor(total), total["currency"]) == (minor(asked), asked["currency"])
        for total in told
    )


@clause("I1", "what was sent is on its topic", "journal", "topics")
def sent_is_there(world: World, found: Clause) -> None:
    """Every record that Kafka acknowledged to the client is on its topic."""
    there = {(record.topic, record.id) for record in world.records or ()}
    for line in world.journal or ():
        if line.get("answered") == "acked" and line.get("event_id") and line.get("topic"):
            found.saw()
            if (line["topic"], line["event_id"]) not in there:
                found.broken(line["event_id"], f"acknowledged, and not on {line['topic']}")


@clause("I1", "the accepted is in the table", "claims", "topics")
def submitted_is_stored(world: World, found: Clause) -> None:
    """Every claim that was told as submitted is stored with the same amount and company."""
    stored = {(r["claim_id"], r["revision"]): r for r in world.rows("claims", "claims")}
    for event in world.of("claims.claim-submitted.v1"):
        found.saw()
        row = stored.get(event.claim)
        total = event.body["total"]
        told = (minor(total), total["currency"], event.body["company"])
        if row is None:
            found.broken(name(event.claim), "submitted, and in no row")
        elif (row["total_minor"], row["currency"], row["company"]) != told:
            found.broken(name(event.claim), f"told as {told}, stored with another amount")


@clause("I2", "one end", "topics")
def one_end(world: World, found: Clause) -> None:
    """No claim revision has two ends that exclude each other, and none is told twice."""
    for key, story in world.stories.items():
        found.saw()
        for one, other in CONTRADICTIONS:
            if story.get(one) and story.get(other):
                found.broken(name(key), f"{one} and {other}")
        for kind in ONCE:
            if len(story.get(kind, ())) > 1:
                found.broken(name(key), f"{len(story[kind])} times {kind}")


@clause("I2", "only poison is left behind", "journal", "topics")
def only_poison(world: World, found: Clause) -> None:
    """What became a dead letter is what was planted, and what was planted was refused by code."""
    planted = [line for line in world.journal or () if line.get("what") == "poison"]
    letters = [
        row
        for tables in world.tables.values()
        for row in tables.get("dead_letters", ())
        if row["state"] == "open"
    ]
    codes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in letters:
        codes[row["topic"], (row["key"] or b"").decode("utf-8", "replace")].add(row["code"])
    refused = _refused_codes(world)
    for line in planted:
        if not accepted(line):
            continue
        found.saw()
        key = (line.get("topic") or INTAKE, line.get("key") or "")
        told = codes.get(key, set())
        for called in (line.get("key"), line.get("source_key")):
            told = told | refused.get(called, set())
        if line.get("code") and line["code"] not in told:
            found.broken(line.get("event_id") or key, f"poison {line['code']} met {sorted(told)}")
    expected = {(line.get("topic") or INTAKE, line.get("key") or "") for line in planted}
    for place in codes.keys() - expected:
        found.broken("/".join(place), f"dead letter {sorted(codes[place])} that nobody planted")


def _refused_codes(world: World) -> dict[Any, set[str]]:
    found: dict[Any, set[str]] = defaultdict(set)
    for refusal in world.of("claims.claim-refused.v1"):
        codes = {reason["code"] for reason in refusal.body["reasons"]}
        found[refusal.body["source_key"]] |= codes
    return found


@clause("I3", "legal history", "topics")
def legal_history(world: World, found: Clause) -> None:
    """Every fact follows what it needs: submitted first, one order per stream, no end undone."""
    for key, story in world.stories.items():
        found.saw()
        if "claims" in world.speakers and not story.get("claims.claim-submitted.v1"):
            found.broken(name(key), f"never submitted, and yet {', '.join(sorted(story))}")
        for before, after in STREAM_ORDERS:
            early, late = story.get(before), story.get(after)
            if early and late and _place(late[0]) < _place(early[-1]):
                found.broken(name(key), f"{after} stands before {before}")


def _place(record: Record) -> tuple[int, int]:
    return record.partition, record.offset


@clause("I3", "revisions follow ends", "claims")
def revisions_follow_ends(world: World, found: Clause) -> None:
    """A further revision is accepted only after the former ended without payment."""
    states: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in world.rows("claims", "claims"):
        if row["facts"] & 1:
            states[row["claim_id"]].append((row["revision"], row["state"]))
    for claim, revisions in states.items():
        found.saw()
        for revision, state in sorted(revisions)[:-1]:
            if state not in UNPAID_ENDS:
                found.broken(f"{claim}/{revision}", f"{state}, and a later revision is accepted")
