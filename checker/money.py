"""I12: per company and currency, to the cent, every amount submitted stands somewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from checker.clauses import clause
from checker.kept import accepted
from checker.records import minor
from checker.world import name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checker.records import Record
    from checker.verdict import Clause
    from checker.world import World

    Story = Mapping[str, list[Record]]

SUBMITTED: Final = "claims.claim-submitted.v1"
WAITS: Final = (
    ("withdrawn", "claims.claim-withdrawn.v1"),
    ("reversed", "posting.entry-reversed.v1"),
    ("refused", "posting.entry-failed.v1"),
    ("reserved", "budget.funds-reserved.v1"),
    ("refused", "budget.funds-refused.v1"),
    ("refused", "approval.claim-rejected.v1"),
    ("approved", "approval.claim-approved.v1"),
    ("in approval", "approval.step-opened.v1"),
    ("in approval", "budget.funds-checked.v1"),
    ("in approval", SUBMITTED),
)
"""Where money without a standing entry may be, the furthest first; each by its own event."""


@clause("I12", "conservation", "topics")
def conserved(world: World, found: Clause) -> None:
    """Submitted = refused + withdrawn + in approval + reserved + posted unpaid + paid."""
    gaps: Counter[tuple[str, str]] = Counter()
    for key, story in world.stories.items():
        if not story.get(SUBMITTED):
            continue
        found.saw()
        submitted = story[SUBMITTED][0].body
        total = minor(submitted["total"])
        where, stands = standing(story)
        if stands != total:
            found.broken(name(key), f"submitted {total}, {where} {stands}")
            gaps[submitted["company"], submitted["total"]["currency"]] += total - stands
    for (company, currency), gap in gaps.items():
        found.broken(f"{company} {currency}", f"{gap} minor units stand nowhere")


def standing(story: Story) -> tuple[str, int]:
    """Where a claim's money stands by the furthest event, and how much that event names."""
    posted = story.get("posting.entry-posted.v1")
    if posted and not story.get("posting.entry-reversed.v1"):
        return "posted", minor(posted[0].body["total"])
    for where, kind in WAITS:
        if story.get(kind):
            return where, minor(story[kind][-1].body["total"])
    return "nowhere", 0


@clause("I12", "what was reserved is what was claimed", "topics")
def allocated_in_full(world: World, found: Clause) -> None:
    """No budget carries more of a claim than the claim, and spends what it reserved."""
    for key, story in world.stories.items():
        reserved = story.get("budget.funds-reserved.v1", ())
        for event in reserved:
            found.saw()
            total = abs(minor(event.body["total"]))
            for part in event.body["allocations"]:
                if abs(minor(part["amount"])) > total:
                    found.broken(name(key), f"{part['budget']} carries more than the claim")
        for event in story.get("budget.funds-spent.v1", ()):
            if reserved and _parts(event) != _parts(reserved[0]):
                found.broken(name(key), "spent other amounts than were reserved")


def _parts(event: Record) -> dict[str, int]:
    return {part["budget"]: minor(part["amount"]) for part in event.body["allocations"]}


@clause("I12", "paid is what the bank shows", "topics")
def paid_fits(world: World, found: Clause) -> None:
    """What was paid of a claim, less what came back, is at most what was posted; settled is all."""
    for key, story in world.stories.items():
        if not story.get("reconcile.payment-matched.v1"):
            continue
        found.saw()
        posted = story.get("posting.entry-posted.v1")
        due = minor(posted[0].body["total"]) if posted else 0
        paid = _net(story)
        if posted and not min(due, 0) <= paid <= max(due, 0):
            found.broken(name(key), f"{paid} paid of {due}")
        settled = story.get("claims.claim-settled.v1")
        if settled and minor(settled[-1].body["total"]) != minor(settled[-1].body["paid"]):
            found.broken(name(key), "settled over another amount than its total")


def _net(story: Story) -> int:
    return sum(
        sign * minor(event.body[field])
        for kind, field, sign in (
            ("reconcile.payment-matched.v1", "paid", 1),
            ("reconcile.payment-returned.v1", "returned", -1),
            ("reconcile.payment-unmatched.v1", "released", -1),
        )
        for event in story.get(kind, ())
    )


@clause("I12", "the books agree with the topics", "posting", "reconcile", "topics")
def books_agree(world: World, found: Clause) -> None:
    """Per company and currency, posted and paid by the events are posted and paid by the tables."""
    told: Counter[Any] = Counter()
    for story in world.stories.values():
        for event in story.get("posting.entry-posted.v1", ()):
            where = (event.body["company"], event.body["total"]["currency"])
            told["posted", *where] += minor(event.body["total"])
            told["paid", *where] += _net(story)
    stored: Counter[Any] = Counter()
    for row in world.rows("posting", "entries"):
        if row["kind"] == "post":
            stored["posted", row["company"], row["currency"]] += row["total_minor"]
    for row in world.rows("reconcile", "items"):
        stored["paid", row["company"], row["currency"]] += row["allocated_minor"]
    for key in told.keys() | stored.keys():
        found.saw()
        if told[key] != stored[key]:
            found.broken(" ".join(key), f"{told[key]} by events, {stored[key]} by tables")


@clause("I12", "what was asked is what was answered", "journal", "topics")
def asked_is_answered(world: World, found: Clause) -> None:
    """Per company and currency, what the client asked for is submitted or refused to the cent."""
    answered: dict[Any, set[int]] = defaultdict(set)
    for event in world.of(SUBMITTED, "claims.claim-refused.v1"):
        body = event.body
        if body.get("total"):
            key = (body["source"], body["source_key"], body.get("revision", 1))
            answered[key].add(minor(body["total"]))
    gaps: Counter[tuple[str, str]] = Counter()
    for line in world.journal or ():
        if line.get("what") != "submit" or not accepted(line) or not line.get("total"):
            continue
        found.saw()
        key = (line["source"], line["source_key"], line.get("revision") or 1)
        asked = minor(line["total"])
        if answered[key] and asked not in answered[key]:
            gaps[line["company"], line["total"]["currency"]] += asked - max(answered[key])
    for (company, currency), gap in gaps.items():
        found.broken(f"{company} {currency}", f"{gap} minor units were answered otherwise")
