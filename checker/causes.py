"""I13 and I15: what follows from what, by whose hand, and whether the trace says so too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checker.clauses import clause
from checker.world import name

if TYPE_CHECKING:
    from checker.records import Record
    from checker.verdict import Clause
    from checker.world import World

ANSWERS: Final = "claims.claim-refused.v1"  # May be caused by a record that has no id at all.


@clause("I13", "another person approves", "topics")
def another_person(world: World, found: Clause) -> None:
    """No decision is by the person who made the claim, and no step asks that person."""
    for key, story in world.stories.items():
        submitted = story.get("claims.claim-submitted.v1")
        if not submitted:
            continue
        employee = submitted[0].body["employee"]
        for event in story.get("approval.claim-approved.v1", ()):
            found.saw()
            if employee in [decision["by"] for decision in event.body["decisions"]]:
                found.broken(name(key), f"{employee} approved the claim of {employee}")
        for event in story.get("approval.step-opened.v1", ()):
            found.saw()
            if employee in event.body["approvers"]:
                found.broken(name(key), f"{employee} is asked about the claim of {employee}")


@clause("I13", "nobody decides alone", "approval")
def nobody_decides_alone(world: World, found: Clause) -> None:
    """No approver of a step is the person who made the claim."""
    for row in world.rows("approval", "approvers"):
        found.saw()
        if row["approver"] == row["employee"]:
            found.broken(name((row["claim_id"], row["revision"])), f"{row['approver']} is asked")


@clause("I13", "an entry follows a reservation", "topics")
def entries_follow(world: World, found: Clause) -> None:
    """Every entry follows an approval and a reservation of the same claim."""
    for key, story in world.stories.items():
        if story.get("posting.entry-posted.v1"):
            found.saw()
            for needed in ("approval.claim-approved.v1", "budget.funds-reserved.v1"):
                if not story.get(needed) and needed.partition(".")[0] in world.speakers:
                    found.broken(name(key), f"posted without {needed}")


@clause("I13", "causes form a tree", "topics")
def causes_form_a_tree(world: World, found: Clause) -> None:
    """Every cited cause is an event that was said, and nothing causes itself."""
    for event in world.events.values():
        if not event.causation or event.kind == ANSWERS:
            continue
        found.saw()
        if event.causation not in world.said:
            found.broken(event.id, f"{event.kind} cites {event.causation}, which nobody said")
        elif _in_a_circle(world, event):
            found.broken(event.id, "causes itself")


def _in_a_circle(world: World, event: Record) -> bool:
    """Whether causes lead back; ids grow with time, so only a cause that is younger can."""
    cause = world.events.get(event.causation)
    for _ in range(50):
        if cause is None or not cause.causation:
            return False
        if cause.id == event.id:
            return True
        cause = world.events.get(cause.causation)
    return True


@clause("I15", "traces are connected", "topics")
def traces_connected(world: World, found: Clause) -> None:
    """Every consequence carries its cause's correlation id, and a trace if its cause did."""
    for event in world.events.values():
        cause = world.events.get(event.causation) if event.causation else None
        if cause is None:
            continue
        found.saw()
        if cause.trace and not event.trace:
            found.broken(event.id, f"{event.kind} lost the trace of {cause.kind}")
        if cause.correlation and cause.correlation != event.correlation:
            found.broken(event.id, f"{event.kind} has another correlation id than its cause")
