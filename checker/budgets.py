"""I4 and I5: budgets are never over-reserved, and every reservation has a reason and one end."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from checker.clauses import clause
from checker.records import minor
from checker.world import name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from checker.records import Record
    from checker.verdict import Clause
    from checker.world import World

RESERVED: Final = "budget.funds-reserved.v1"
SPENT: Final = "budget.funds-spent.v1"
RELEASED: Final = "budget.funds-released.v1"
REFUSED: Final = "budget.funds-refused.v1"
Code = tuple[str, str]


@clause("I4", "no over-reservation by table", "budget")
def never_overdrawn(world: World, found: Clause) -> None:
    """0 <= reserved, and reserved + spent <= limit on hard budgets, save recorded ceilings."""
    for row in world.rows("budget", "budgets"):
        found.saw()
        subject = f"{row['company']}/{row['code']}"
        used = row["reserved_minor"] + row["spent_minor"]
        if row["reserved_minor"] < 0:
            found.broken(subject, f"{row['reserved_minor']} reserved")
        if row["control"] == "hard" and used > row["ceiling_minor"]:
            found.broken(subject, f"uses {used} of at most {row['ceiling_minor']}")


@clause("I4", "balances are what cases hold", "budget")
def balances_are_live_cases(world: World, found: Clause) -> None:
    """A budget's reserved and spent are the sums over the cases that reserve and spend."""
    held: Counter[tuple[int, str]] = Counter()
    for case in world.rows("budget", "cases"):
        for number, amount in zip(case["budgets"], case["amounts"], strict=True):
            counts = max(amount, 0) if case["state"] == "reserved" else amount
            held[number, case["state"]] += counts
    for row in world.rows("budget", "budgets"):
        found.saw()
        for state in ("reserved", "spent"):
            live = held[row["id"], state]
            if row[f"{state}_minor"] != live:
                detail = f"{state} {row[f'{state}_minor']}, live cases {live}"
                found.broken(f"{row['company']}/{row['code']}", detail)


@clause("I4", "no over-reservation by fold", "budget", "topics")
def fold_never_overdrawn(world: World, found: Clause) -> None:
    """At every event a hard budget's folded use fits its limit; in the end it is the table's."""
    limits = _limits(world)
    reserved: Counter[Code] = Counter()
    spent: Counter[Code] = Counter()
    for event in sorted(world.of(RESERVED, SPENT, RELEASED), key=lambda record: record.order):
        found.saw()
        for code, amount in _allocations(event):
            held, used = _moved(world, event, amount)
            reserved[code] += held
            spent[code] += used
            use = reserved[code] + spent[code]
            if event.kind == RESERVED and amount > 0 and use > limits.get(code, use):
                found.broken("/".join(code), f"{use} of {limits[code]} in use after {event.id}")
            if reserved[code] < 0:
                found.broken("/".join(code), f"{reserved[code]} reserved after {event.id}")
    for row in world.rows("budget", "budgets"):
        code = (row["company"], row["code"])
        folded = (reserved[code], spent[code])
        if folded != (row["reserved_minor"], row["spent_minor"]):
            detail = f"{row['reserved_minor']} reserved, {row['spent_minor']} spent"
            found.broken("/".join(code), f"{detail}; the events add up to {folded}")


def _limits(world: World) -> dict[Code, int]:
    """The highest limit a hard budget ever had; a cut freezes it, and is no breach by itself."""
    limits: dict[Code, int] = {}
    for row in world.rows("budget", "budgets"):
        if row["control"] == "hard":
            limits[row["company"], row["code"]] = max(row["limit_minor"], row["ceiling_minor"])
    for event in world.of("masterdata.budget-defined.v1"):
        code = (event.body["company"], event.body["budget"])
        if event.body.get("control", "hard") != "hard":
            limits.pop(code, None)
        elif code in limits:
            limits[code] = max(limits[code], minor(event.body["limit"]))
    return limits


def _allocations(event: Record) -> Iterator[tuple[Code, int]]:
    for part in event.body["allocations"]:
        yield (event.body["company"], part["budget"]), minor(part["amount"])


def _moved(world: World, event: Record, amount: int) -> tuple[int, int]:
    """How an event moves reserved and spent; a refund (negative) never holds anything."""
    held = max(amount, 0)
    if event.kind == RESERVED:
        return held, 0
    if event.kind == RELEASED:
        return (-held, 0) if event.body["was"] == "reserved" else (0, -amount)
    was_held = any(
        one.order < event.order for one in world.stories[event.claim].get(RESERVED, ())
    ) and not any(one.order < event.order for one in world.stories[event.claim].get(RELEASED, ()))
    return (-held if was_held else 0), amount


@clause("I5", "each reservation ends once", "topics")
def reservations_end_once(world: World, found: Clause) -> None:
    """Money is reserved once, then spent or released once; what was spent comes back once."""
    for key, story in world.stories.items():
        if not any(story.get(kind) for kind in (RESERVED, SPENT, RELEASED)):
            continue
        found.saw()
        told = _moves(story)
        for before, after in zip(["", *told], told, strict=False):
            if after not in _NEXT[before]:
                found.broken(name(key), f"{after} after {before or 'nothing'}")


_NEXT: Final = {
    "": {"reserved", "spent", "refused"},
    "reserved": {"spent", "released reserved"},
    "refused": {"spent"},
    "released reserved": {"spent"},
    "spent": {"released spent"},
    "released spent": set[str](),
}


def _moves(story: Mapping[str, list[Record]]) -> list[str]:
    events = [one for kind in (RESERVED, REFUSED, SPENT, RELEASED) for one in story.get(kind, ())]
    events.sort(key=lambda record: record.order)
    return [
        " ".join(filter(None, (one.kind[len("budget.funds-") : -3], one.body.get("was"))))
        for one in events
    ]


@clause("I5", "each reservation has a reason", "topics")
def reservations_have_reasons(world: World, found: Clause) -> None:
    """Reserved follows an approval, spent an entry, released an end; over the same amount."""
    for key, story in world.stories.items():
        for kind, reasons in _REASONS.items():
            for event in story.get(kind, ()):
                found.saw()
                if not any(story.get(reason) for reason in reasons):
                    found.broken(name(key), f"{kind} without any of {', '.join(reasons)}")
                claimed = story.get("claims.claim-submitted.v1")
                if claimed and claimed[0].body["total"] != event.body["total"]:
                    found.broken(name(key), f"{kind} over another amount than was claimed")


_REASONS: Final[dict[str, tuple[str, ...]]] = {
    RESERVED: ("approval.claim-approved.v1",),
    REFUSED: ("approval.claim-approved.v1",),
    SPENT: ("posting.entry-posted.v1",),
    RELEASED: (
        "claims.claim-withdrawn.v1",
        "approval.claim-rejected.v1",
        "posting.entry-failed.v1",
        "posting.entry-reversed.v1",
    ),
}
_ENDED: Final = (
    "claims.claim-withdrawn.v1",
    "approval.claim-rejected.v1",
    "posting.entry-failed.v1",
    "posting.entry-reversed.v1",
    "posting.entry-posted.v1",
)


@clause("I5", "no reservation outlives its claim", "budget", "topics")
def nothing_held_for_the_ended(world: World, found: Clause) -> None:
    """Nothing is held for a claim that was rejected, withdrawn, failed, posted or reversed."""
    live: dict[Any, str] = {}
    for row in world.rows("budget", "cases"):
        found.saw()
        live[row["claim_id"], row["revision"]] = row["state"]
    for key, state in live.items():
        story = world.stories.get(key, {})
        ends = [kind for kind in _ENDED if story.get(kind)]
        if state == "reserved" and ends:
            found.broken(name(key), f"still reserved after {', '.join(ends)}")
        if state == "spent" and story.get("posting.entry-reversed.v1"):
            found.broken(name(key), "still spent after its entry was reversed")


@clause("I5", "the table is the events' last word", "budget", "topics")
def table_is_last_word(world: World, found: Clause) -> None:
    """A case stands where its last event left it, with the amounts that event names."""
    numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for budget in world.rows("budget", "budgets"):
        numbers[budget["company"]][budget["code"]] = budget["id"]
    for row in world.rows("budget", "cases"):
        key = (row["claim_id"], row["revision"])
        moves = _moves(world.stories.get(key, {}))
        found.saw()
        last = moves[-1].partition(" ")[0] if moves else ""
        if last and row["state"] != last and row["state"] != "closed":
            found.broken(name(key), f"the table says {row['state']}, the last event {last}")
