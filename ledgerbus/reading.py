"""From topics to stories: everything the proof needs, read up to one watermark.

The ends of downstream topics are taken before those of upstream ones, so that a consequence never
outruns its cause; what is published while we read is looked at only to excuse a half-told story.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic_core import PydanticCustomError

from contracts.values import Money, claim_id
from ledgerbus.conservation import hear
from ledgerbus.deadletters import buried
from ledgerbus.kafka import Stretch, Stretches, committed, reader, records, stretches
from ledgerbus.sending import topic_name
from ledgerbus.stories import COUNTED, Fact, Stories, key_name, story_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import AIOKafkaConsumer, ConsumerRecord

    from ledgerbus.addresses import Addresses

INTAKE: Final = "claims.intake"
# Downstream first: whatever a topic holds up to its end was caused by what the next ones hold.
ENDS: Final = (
    "reconcile.events",
    "posting.entries",
    "posting.events",
    "budget.events",
    "approval.events",
    "claims.events",
    INTAKE,
)
# Upstream first: a story begins with its submission, and a payment finds its entry.
FOLD: Final = (
    "claims.events",
    "budget.events",
    "approval.events",
    "posting.events",
    "posting.entries",
    "reconcile.events",
)
GRACE_S: Final = 1  # Two records of one transaction reach two topics well within this.
ANSWER_S: Final = 60  # A command consumed so long ago and still unanswered is lost.
COMMANDS: Final = frozenset({"claims.submit-claim.v1", "claims.withdraw-claim.v1"})
# Who has to take a fact before its consequence can be missed.
TAKERS: Final = {
    "claims.claim-withdrawn.v1": ("budget",),
    "posting.entry-posted.v1": ("budget", "claims"),
    "posting.entry-failed.v1": ("budget",),
    "posting.entry-reversed.v1": ("budget",),
    "reconcile.payment-matched.v1": ("claims",),
}
QUIET_S: Final = 10  # While nobody says anything, nothing that is said waits to be published.
RESTLESS_S: Final = 300  # As long as an outbox may hold a fact before its service calls it stuck.

Consumed = dict[str, dict[tuple[str, int], int]]


@dataclass(slots=True)
class Unanswered:
    """An intake command without an answer: still under way, or lost."""

    position: str
    key: str
    lost: bool


@dataclass(slots=True)
class Reading:
    """Everything read, and up to where."""

    stories: Stories = field(default_factory=Stories)
    offsets: dict[str, dict[str, int]] = field(default_factory=dict)
    newest: str = ""
    from_the_start: bool = True
    commands: int = 0
    unanswered: list[Unanswered] = field(default_factory=list)
    dead_letters: dict[str, int] = field(default_factory=dict)

    def watermark(self) -> dict[str, Any]:
        """The stated watermark: how far each partition was read, and the newest event's time."""
        return {
            "newest_event": self.newest or None,
            "from_the_start": self.from_the_start,
            "offsets": self.offsets,
        }


@dataclass(frozen=True, slots=True)
class Patience:
    """When a fact is due: taken by all who listen to it, and neither too young nor too old."""

    consumed: Consumed
    oldest_ms: int
    newest_ms: int

    def ended(self, kind: str, record: ConsumerRecord) -> bool:
        """Whether the consequences of a record must be on the topics."""
        takers = TAKERS.get(kind)
        if takers is None or not self.oldest_ms < record.timestamp < self.newest_ms:
            return False
        place = record.topic, record.partition
        return all(record.offset < self.consumed[taker].get(place, 0) for taker in takers)


async def read_everything(addresses: Addresses) -> Reading:
    """Fold every topic of the running system up to its end of now."""
    ends = [topic_name(topic) for topic in ENDS]
    dead = {service: topic_name(f"dlq.{service}") for service in addresses.services}
    reading = Reading()
    async with reader(addresses.kafka, [*ends, *dead.values()]) as consumer:
        consumed = {
            service: await committed(addresses.kafka, topic_name(service))
            for service in ("claims", "budget")
        }
        wanted = await stretches(consumer, ends)
        await asyncio.sleep(GRACE_S)
        later = await stretches(consumer, ends)
        for service, topic in dead.items():
            reading.dead_letters[service] = await buried(consumer, topic)
        _state_watermark(reading, wanted)
        patience = await _patience(consumer, consumed, wanted, later)
        for topic in FOLD:
            await _fold(consumer, _of(wanted, topic), reading, patience)
        for topic in FOLD:
            await _fold(consumer, _behind(wanted, later, topic), reading, None)
        async for page in records(consumer, _of(wanted, INTAKE)):
            for record in page:
                seen = consumed["claims"].get((record.topic, record.partition), 0)
                _hear(reading, record, consumed=record.offset < seen)
    return reading


def _of(wanted: Stretches, topic: str) -> Stretches:
    name = topic_name(topic)
    return {part: stretch for part, stretch in wanted.items() if part.topic == name}


def _behind(wanted: Stretches, later: Stretches, topic: str) -> Stretches:
    """What came between the two looks at the ends."""
    return {
        part: Stretch(stretch.end, later[part].end) for part, stretch in _of(wanted, topic).items()
    }


def _state_watermark(reading: Reading, wanted: Stretches) -> None:
    for part, stretch in sorted(wanted.items()):
        reading.offsets.setdefault(part.topic, {})[str(part.partition)] = stretch.end
        if stretch.start and part.topic != topic_name(INTAKE):
            reading.from_the_start = False


async def _patience(
    consumer: AIOKafkaConsumer, consumed: Consumed, wanted: Stretches, later: Stretches
) -> Patience:
    """How long to wait for consequences; those of the oldest facts may be forgotten already."""
    ends = [(each.end, later[part].end) for part, each in wanted.items()]
    waiting_s = QUIET_S if all(end == after for end, after in ends) else RESTLESS_S
    now_ms = int(time.time() * 1_000)
    oldest = 0
    for part, stretch in wanted.items():
        if stretch.start and part.topic != topic_name(INTAKE):
            oldest = max(oldest, await _first_moment(consumer, {part: stretch}) or now_ms)
    return Patience(consumed, oldest, now_ms - waiting_s * 1_000)


async def _first_moment(consumer: AIOKafkaConsumer, wanted: Stretches) -> int | None:
    async for page in records(consumer, wanted):
        for record in page:
            return int(record.timestamp)
    return None


async def _fold(
    consumer: AIOKafkaConsumer, wanted: Stretches, reading: Reading, patience: Patience | None
) -> None:
    """Fold what one topic holds; without patience it lies behind the watermark."""
    stories, late = reading.stories, patience is None
    async for page in records(consumer, wanted):
        for record in page:
            headers = dict(record.headers)
            kind = headers.get("ce_type", b"").decode("ascii", "replace")
            if kind not in COUNTED:
                continue
            try:
                event_id = int(headers["ce_id"].replace(b"-", b""), 16)
                due = patience is not None and patience.ended(kind, record)
                fact = Fact(kind, event_id, orjson.loads(record.value), late, due)
                moment = headers["ce_time"].decode("ascii").removesuffix("Z")
            except (KeyError, TypeError, ValueError) as problem:
                stories.accuse("fact-readable", _position(record), f"{kind}: {problem!r}")
                continue
            stories.tell(fact)
            if not late and moment > reading.newest:
                reading.newest = moment


def _position(record: ConsumerRecord) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"


def _hear(reading: Reading, record: ConsumerRecord, *, consumed: bool) -> None:
    """Look for the answer to one intake record, whatever it holds."""
    reading.commands += 1
    body = _body(record.value)
    total = _total(body.get("total"))
    if body and _withdrawal(reading, record, body):
        return
    position = f"{INTAKE}/{record.partition}@{record.offset}"
    if hear(reading.stories, _keys(body, position), total):
        return
    waited_s = time.time() - record.timestamp / 1_000
    lost = consumed and waited_s > ANSWER_S
    key = str(body.get("source_key", ""))
    reading.unanswered.append(Unanswered(position, key, lost))


def _body(value: bytes | None) -> dict[str, Any]:
    try:
        body = orjson.loads(value or b"")
    except ValueError:
        return {}
    if isinstance(body, dict) and isinstance(body.get("data"), dict):
        body = body["data"]  # A structured CloudEvent carries the command inside.
    return body if isinstance(body, dict) else {}


def _total(written: Any) -> int | None:
    try:
        return Money.parse(written["amount"], written["currency"]).minor
    except (KeyError, TypeError, PydanticCustomError):
        return None


def _keys(body: dict[str, Any], position: str) -> Iterator[str]:
    """The names an answer may have: the command's own, else the record's position."""
    source, source_key = body.get("source"), body.get("source_key")
    revision = body.get("revision", 1)
    if isinstance(source, str) and isinstance(source_key, str):
        if isinstance(revision, int):
            yield key_name(source, source_key, revision)
        yield key_name(source, source_key, 1)
    for named in {str(source), "unknown"}:
        yield key_name(named, position, 1)


def _withdrawal(reading: Reading, record: ConsumerRecord, body: dict[str, Any]) -> bool:
    """Whether this is a withdrawal with an effect; a refused one is answered like any command."""
    if dict(record.headers).get("ce_type") != b"claims.withdraw-claim.v1":
        return False
    claim = str(claim_id(str(body.get("source")), str(body.get("source_key"))))
    claims = reading.stories.claims
    revision = 1
    while (story := claims.get(story_name(claim, revision))) is not None:
        if story.withdrawn is not None:
            return True
        revision += 1
    return False
