"""I6, I7 and I22: entries balance, are told as they stand, and reach the ledger once."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from checker.clauses import clause
from checker.records import minor
from checker.world import name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from checker.verdict import Clause
    from checker.world import World

ATTEMPTS_MAX: Final = 12  # Per posting: six faults in a row, each asked about once.
RATIO_MAX: Final = 1.5
RATIO_FROM: Final = 20  # Fewer postings say nothing about the ratio.
UNDER_WAY: Final = frozenset({"intended", "calling", "unknown"})
RECORDED: Final = "posting.journal-entry-recorded.v1"


@clause("I6", "debits equal credits", "posting")
def debits_equal_credits(world: World, found: Clause) -> None:
    """Per entry, per company and currency, and over all, debits and credits cancel."""
    entries = {row["id"]: row for row in world.rows("posting", "entries")}
    sums: Counter[Any] = Counter()
    for line in world.rows("posting", "journal_lines"):
        entry = entries.get(line["entry_id"])
        if entry is None:
            found.broken(line["entry_id"], "lines without an entry")
            continue
        sums[line["entry_id"]] += line["amount_minor"]
        sums[entry["company"], entry["currency"]] += line["amount_minor"]
    for entry_id in entries:
        found.saw()
        if entry_id not in sums:
            found.broken(entry_id, "an entry without lines")
    for subject, apart in sums.items():
        if apart:
            found.broken(subject, f"{apart} minor units apart")


@clause("I6", "what finance reads balances", "topics")
def records_balance(world: World, found: Clause) -> None:
    """Every published entry balances and covers its total, as do the lines of every claim."""
    for event in world.of(RECORDED):
        found.saw()
        if apart := sum(amount for _, amount in event.body["lines"]):
            found.broken(event.body["entry_id"], f"{apart} minor units apart on posting.entries")
    for event in world.of("claims.claim-submitted.v1"):
        found.saw()
        sums = {event.body["gross_minor"], event.body["split_minor"], minor(event.body["total"])}
        if len(sums) > 1:
            found.broken(name(event.claim), f"lines and total do not agree: {sorted(sums)}")


@clause("I6", "entries are immutable", "posting", "topics")
def balance_is_fold(world: World, found: Clause) -> None:
    """Each entry still has the lines and total it was published with, so balances are the fold."""
    lines: dict[str, Counter[str]] = defaultdict(Counter)
    for line in world.rows("posting", "journal_lines"):
        lines[line["entry_id"]][line["account"]] += line["amount_minor"]
    entries = {row["id"]: row for row in world.rows("posting", "entries")}
    for event in world.of(RECORDED):
        found.saw()
        entry_id = event.body["entry_id"]
        told: Counter[str] = Counter()
        for account, amount in event.body["lines"]:
            told[account] += amount
        row, total = entries.get(entry_id), event.body["total"]
        if row is None:
            found.broken(entry_id, "published, and not in the books")
        elif told != lines[entry_id]:
            found.broken(entry_id, f"published as {dict(told)}, stands as {dict(lines[entry_id])}")
        elif (abs(row["total_minor"]), row["currency"]) != (abs(minor(total)), total["currency"]):
            found.broken(entry_id, f"published over {total}, stands over {row['total_minor']}")


@clause("I7", "one entry per claim revision", "topics")
def posted_once(world: World, found: Clause) -> None:
    """A claim revision is posted by one entry, over what was claimed, and turned back by one."""
    for key, story in world.stories.items():
        posted = story.get("posting.entry-posted.v1", ())
        if not posted:
            continue
        found.saw()
        if len({event.body["entry_id"] for event in posted}) > 1:
            found.broken(name(key), f"{len(posted)} entries posted")
        claimed = story.get("claims.claim-submitted.v1")
        if claimed and claimed[0].body["total"] != posted[0].body["total"]:
            detail = f"claimed {claimed[0].body['total']}, posted {posted[0].body['total']}"
            found.broken(name(key), detail)


@clause("I7", "one row per claim revision", "posting")
def booked_once(world: World, found: Clause) -> None:
    """The books hold at most one posting and one reversal per claim revision."""
    kinds: Counter[Any] = Counter(
        (row["claim_id"], row["revision"], row["kind"]) for row in world.rows("posting", "entries")
    )
    for key, count in kinds.items():
        found.saw()
        if count > 1:
            found.broken(name(key[:2]), f"{count} entries of kind {key[2]}")


@clause("I7", "the ledger has what was posted", "posting", "ledger")
def ledger_agrees(world: World, found: Clause) -> None:
    """The ledger's own log holds one document per posted key, with its lines; none otherwise."""
    documents: dict[str, list[Any]] = defaultdict(list)
    for line in world.ledger or ():
        if line.get("outcome") == "stored":
            documents[line["key"]].append(line)
    intents = {row["key"]: row for row in world.rows("posting", "intents")}
    entries = {_own(row): row for row in world.rows("posting", "entries")}
    booked = _booked(world)
    for key in intents.keys() | documents.keys():
        found.saw()
        intent, stored = intents.get(key), documents.get(key, [])
        if len(stored) > 1:
            found.broken(key, f"{len(stored)} documents in the ledger")
        if intent is None:
            found.broken(key, "a document under a key nobody intended")
        elif intent["state"] == "posted":
            _judge_posted(found, intent, stored, (entries.get(_own(intent)), booked))
        elif stored:
            tell = found.unsure if intent["state"] in UNDER_WAY else found.broken
            tell(key, f"in the ledger, and {intent['state']} here")


@clause("I7", "the books have what was intended", "posting")
def intended_first(world: World, found: Clause) -> None:
    """An entry of an outside ledger was intended there, and has the number it was given."""
    intents = {_own(row): row for row in world.rows("posting", "intents")}
    for row in world.rows("posting", "entries"):
        if row["ledger"] == "embedded":
            continue
        found.saw()
        intent = intents.get(_own(row))
        if intent is None or (intent["state"], intent["number"]) != ("posted", row["number"]):
            found.broken(row["id"], f"an entry of {row['ledger']} without its answered intent")


def _own(row: Mapping[str, Any]) -> tuple[str, int, str]:
    return row["claim_id"], row["revision"], row["kind"]


def _judge_posted(
    found: Clause,
    intent: Mapping[str, Any],
    stored: Sequence[Mapping[str, Any]],
    books: tuple[Mapping[str, Any] | None, Mapping[str, Counter[str]]],
) -> None:
    key, (entry, booked) = intent["key"], books
    if not stored:
        found.broken(key, "posted here, and not in the ledger")
        return
    if stored[0].get("number") != intent["number"]:
        found.broken(key, f"number {intent['number']} here, {stored[0].get('number')} there")
    document = stored[0].get("document") or {}
    if entry is None:
        found.broken(key, "posted, and no entry in the books")
    elif document and _lines(document) != booked.get(entry["id"]):
        found.broken(key, f"lines {dict(_lines(document))} there, others here")
    elif document and document.get("currency") != entry["currency"]:
        found.broken(key, f"{document.get('currency')} there, {entry['currency']} here")


def _lines(document: Mapping[str, Any]) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in document.get("lines", ()):
        sign = 1 if line["side"] == "debit" else -1
        found[line["account"]] += sign * minor(line)
    return found


def _booked(world: World) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in world.rows("posting", "journal_lines"):
        found[line["entry_id"]][line["account"]] += line["amount_minor"]
    return found


@clause("I22", "bounded effort", "ledger")
def bounded_effort(world: World, found: Clause) -> None:
    """A ledger is asked a bounded number of times per posting, and seldom more than once."""
    calls: Counter[str] = Counter()
    for line in world.ledger or ():
        if line.get("method") == "PUT":
            calls[line["key"]] += 1
    found.saw(len(calls))
    for key, count in calls.items():
        if count > ATTEMPTS_MAX:
            found.broken(key, f"{count} attempts, at most {ATTEMPTS_MAX}")
    if len(calls) >= RATIO_FROM and sum(calls.values()) > RATIO_MAX * len(calls):
        found.broken("all", f"{sum(calls.values())} attempts for {len(calls)} postings")
