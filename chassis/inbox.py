"""What one transaction does before the handlers: the fence of the offsets, and the inbox."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from chassis import metrics
from chassis.errors import Fenced
from contracts.codec import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from aiokafka import TopicPartition

    from chassis.db import Database, Reader, Tx
    from chassis.handlers import Incoming


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
    ids = [incoming.event.meta.id for incoming in repeated if incoming.event]
    rows = await tx.fetch(
        "SELECT event_id, digest FROM inbox WHERE event_id = ANY($1::uuid[])", ids
    )
    known = {(row["event_id"], row["digest"]) for row in rows}
    others = [
        incoming
        for incoming in repeated
        if incoming.event
        and (incoming.event.meta.id, digest_of(incoming.record.value)) not in known
    ]
    repaired = await _repaired(tx, others) if others else set()
    metrics.DUPLICATES.inc(len(repeated) - len(others) + len(repaired))
    for incoming in others:
        if incoming.event and (incoming.event.meta.id, digest_of(incoming.record.value)) not in (
            repaired
        ):
            incoming.problem = Unreadable("ID_COLLISION", "this id came with other bytes before")


async def _repaired(reader: Reader, others: Sequence[Incoming]) -> set[tuple[UUID, int]]:
    """The bytes among these that a person has replaced: they come again, and say nothing new."""
    rows = await reader.fetch(
        "SELECT event_id, digest FROM dead_letters WHERE edited_by IS NOT NULL "
        "AND state = 'replayed' AND event_id = ANY($1::uuid[])",
        [incoming.event.meta.id for incoming in others if incoming.event],
    )
    return {(row["event_id"], row["digest"]) for row in rows}


async def admit_edited(tx: Tx, batch: Sequence[Incoming]) -> list[Incoming]:
    """All of them: bytes that a person has put in the place of others may change a known id."""
    events = [(each.event.meta.id, digest_of(each.record.value)) for each in batch if each.event]
    await tx.execute(
        "INSERT INTO inbox (event_id, digest) SELECT i, d "
        "FROM unnest($1::uuid[], $2::bigint[]) AS n (i, d) "
        "ON CONFLICT (event_id) DO UPDATE SET digest = excluded.digest",
        [event_id for event_id, _ in events],
        [digest for _, digest in events],
    )
    return list(batch)
