"""What one transaction does around the handlers: fence, inbox, parking, dead letters."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from aiokafka import ConsumerRecord

from chassis import metrics
from chassis.errors import Fenced
from chassis.outbox import OutboxRow, pack, unpack
from contracts.codec import MAX_BYTES, Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import TopicPartition

    from chassis.db import Database, Tx
    from chassis.handlers import Incoming

DETAIL_CHARS: Final = 1_000
RELEASE_MAX: Final = 500


async def stored_offsets(
    database: Database, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """Where to read on, from the service's own database; new partitions begin at 0."""
    ordered = sorted(partitions)
    topics = [tp.topic for tp in ordered]
    numbers = [tp.partition for tp in ordered]
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO offsets (topic, partition, next_offset) "
            "SELECT t, p, 0 FROM unnest($1::text[], $2::int[]) AS n (t, p) ON CONFLICT DO NOTHING",
            topics,
            numbers,
        )
        rows = await tx.fetch(
            "SELECT topic, partition, next_offset FROM offsets "
            "JOIN unnest($1::text[], $2::int[]) AS n (t, p) ON topic = t AND partition = p",
            topics,
            numbers,
        )
    stored = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return {tp: stored[tp.topic, tp.partition] for tp in ordered}


async def fence(
    tx: Tx, expected: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> None:
    """Advance the stored offsets from what this member knows; Fenced if another moved them."""
    tag = await tx.execute(
        "UPDATE offsets SET next_offset = n.ending "
        "FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS n (t, p, known, ending) "
        "WHERE topic = n.t AND partition = n.p AND next_offset = n.known",
        [tp.topic for tp in ends],
        [tp.partition for tp in ends],
        [expected[tp] for tp in ends],
        list(ends.values()),
    )
    if tag != f"UPDATE {len(ends)}":
        msg = f"the stored offsets of {len(ends)} partitions were moved by another member"
        raise Fenced(msg)


def digest_of(value: bytes | None) -> int:
    """Eight bytes that tell the same event from another one under the same id."""
    return int.from_bytes(hashlib.blake2b(value or b"", digest_size=8).digest(), "big", signed=True)


async def admit(tx: Tx, batch: Sequence[Incoming]) -> list[Incoming]:
    """The events seen for the first time; a known id with other bytes becomes a problem."""
    ids = [incoming.event.meta.id for incoming in batch if incoming.event]
    digests = [digest_of(incoming.record.value) for incoming in batch if incoming.event]
    rows = await tx.fetch(
        "INSERT INTO inbox (event_id, digest) "
        "SELECT DISTINCT ON (i) i, d FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY "
        "AS n (i, d, o) ORDER BY i, o ON CONFLICT DO NOTHING RETURNING event_id",
        ids,
        digests,
    )
    fresh = {row["event_id"] for row in rows}
    admitted: list[Incoming] = []
    repeated: list[Incoming] = []
    for incoming in batch:
        if incoming.event and incoming.event.meta.id in fresh:
            fresh.discard(incoming.event.meta.id)
            admitted.append(incoming)
        else:
            repeated.append(incoming)
    if repeated:
        await _judge_repeats(tx, repeated)
    return admitted


async def _judge_repeats(tx: Tx, repeated: Sequence[Incoming]) -> None:
    rows = await tx.fetch(
        "SELECT event_id, digest FROM inbox WHERE event_id = ANY($1::uuid[])",
        [incoming.event.meta.id for incoming in repeated if incoming.event],
    )
    known = {row["event_id"]: row["digest"] for row in rows}
    for incoming in repeated:
        if incoming.event and known.get(incoming.event.meta.id) != digest_of(incoming.record.value):
            incoming.problem = Unreadable("ID_COLLISION", "this id came with other bytes before")
        else:
            metrics.DUPLICATES.inc()


async def blocked_keys(tx: Tx, batch: Sequence[Incoming]) -> set[bytes]:
    """The keys in this batch that wait: behind an open dead letter, or behind parked events."""
    rows = await tx.fetch(
        "SELECT key FROM dead_letters "
        "WHERE blocks_key AND state = 'open' AND key = ANY($1::bytea[]) "
        "UNION SELECT key FROM parked WHERE key = ANY($1::bytea[])",
        list({incoming.key for incoming in batch if incoming.key is not None}),
    )
    return {row["key"] for row in rows}


async def park(tx: Tx, batch: Sequence[Incoming]) -> None:
    """Keep events in the order they came until the dead letter of their key is settled."""
    records = [incoming.record for incoming in batch]
    await tx.execute(
        'INSERT INTO parked (topic, partition, "offset", key, headers, value) '
        "SELECT * FROM unnest("
        "$1::text[], $2::int[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[]) "
        "ON CONFLICT DO NOTHING",
        [record.topic for record in records],
        [record.partition for record in records],
        [record.offset for record in records],
        [record.key for record in records],
        [pack(record.headers) for record in records],
        [record.value for record in records],
    )
    tx.after_commit(lambda: metrics.PARKED.inc(len(records)))


async def parked_heads(database: Database) -> list[ConsumerRecord[bytes | None, bytes | None]]:
    """The oldest parked record of each key that no open dead letter holds up any more."""
    async with database.reader() as reader:
        rows = await reader.fetch(
            'SELECT DISTINCT ON (p.key) p.topic, p.partition, p."offset", p.key, p.headers, '
            "p.value FROM parked p WHERE NOT EXISTS (SELECT 1 FROM dead_letters d "
            "WHERE d.key = p.key AND d.blocks_key AND d.state = 'open') "
            'ORDER BY p.key, p.parked_at, p.topic, p.partition, p."offset" LIMIT $1',
            RELEASE_MAX,
        )
    return [
        ConsumerRecord(
            row["topic"], row["partition"], row["offset"], 0, 0, row["key"], row["value"], None,
            0, 0, tuple(unpack(row["headers"])),
        )
        for row in rows
    ]  # fmt: skip


async def unpark(tx: Tx, record: ConsumerRecord[bytes | None, bytes | None]) -> bool:
    """Take a record out of the parking place; False if another replica has done so."""
    tag = await tx.execute(
        'DELETE FROM parked WHERE topic = $1 AND partition = $2 AND "offset" = $3',
        record.topic,
        record.partition,
        record.offset,
    )
    return tag == "DELETE 1"


def blocks_key(incoming: Incoming, code: str) -> bool:
    """Whether later events of the record's key must wait for this dead letter to be settled."""
    return incoming.record.key is not None and code not in _HARMLESS


async def bury(
    tx: Tx, incoming: Incoming, *, code: str, detail: str, handler: str, service: str
) -> None:
    """Turn a record into a dead letter: catalogued, published on dlq.<service>, key blocked."""
    record = incoming.record
    detail = detail.encode("utf-8", "replace").decode().replace("\x00", "")[:DETAIL_CHARS]
    await tx.execute(
        'INSERT INTO dead_letters (id, topic, partition, "offset", key, headers, value, kind, '
        "code, detail, handler, blocks_key) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tx.new_id(),
        record.topic,
        record.partition,
        record.offset,
        record.key,
        pack(record.headers),
        record.value,
        incoming.kind,
        code,
        detail,
        handler,
        blocks_key(incoming, code),
    )
    headers = {
        "dlq-original-topic": record.topic,
        "dlq-original-partition": str(record.partition),
        "dlq-original-offset": str(record.offset),
        "dlq-original-timestamp": str(record.timestamp),
        "dlq-consumer-group": service,
        "dlq-handler": handler,
        "dlq-error-code": code,
        "dlq-error-message": json.dumps(detail),
        "dlq-failed-at": tx.now.isoformat(),
    }
    own = [(name, text.encode()) for name, text in headers.items()]
    topic = f"{tx.topic_prefix}dlq.{service}"
    size = len(record.value or b"") + sum(len(name) + len(v or b"") for name, v in record.headers)
    if size > MAX_BYTES:  # With our headers it may be more than a broker takes; the table has all.
        tx.send_raw(OutboxRow.of(topic, record.key, [*own, ("dlq-bytes-left-out", b"true")], b""))
    else:
        value = record.value if record.key is not None else record.value or b""  # Kafka needs one.
        tx.send_raw(OutboxRow.of(topic, record.key, [*own, *record.headers], value))
    tx.after_commit(lambda: metrics.DEAD_LETTERS.labels(code).inc())


# The story of the key is complete without these: what they say was said before, or says nothing.
_HARMLESS: Final = frozenset({"ID_COLLISION", "TOMBSTONE", "TOPIC_MISMATCH"})
