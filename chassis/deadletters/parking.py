"""Parking: what follows a dead letter of its key waits here, in the order it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka import ConsumerRecord

from chassis import metrics
from chassis.outbox import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Database, Tx
    from chassis.handlers import Incoming

RELEASE_MAX: Final = 500


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
        'INSERT INTO parked (topic, partition, "offset", key, headers, value, '
        "record_ms) SELECT t, p, o, k, h, v, m FROM unnest($1::text[], $2::int[], $3::bigint[], "
        "$4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[]) WITH ORDINALITY "
        "AS n (t, p, o, k, h, v, m, nth) ORDER BY nth ON CONFLICT DO NOTHING",
        [record.topic for record in records],
        [record.partition for record in records],
        [record.offset for record in records],
        [record.key for record in records],
        [pack(record.headers) for record in records],
        [record.value for record in records],
        [record.timestamp for record in records],
    )
    tx.after_commit(lambda: metrics.PARKED.inc(len(records)))


async def parked_heads(database: Database) -> list[ConsumerRecord[bytes | None, bytes | None]]:
    """The oldest parked record of each key that no open dead letter holds up any more."""
    async with database.reader() as reader:
        rows = await reader.fetch(
            'SELECT DISTINCT ON (p.key) p.topic, p.partition, p."offset", p.key, p.headers, '
            "p.value, p.record_ms FROM parked p WHERE NOT EXISTS (SELECT 1 FROM dead_letters d "
            "WHERE d.key = p.key AND d.blocks_key AND d.state = 'open') "
            "ORDER BY p.key, p.place LIMIT $1",
            RELEASE_MAX,
        )
    return [
        ConsumerRecord(
            row["topic"], row["partition"], row["offset"], row["record_ms"], 0, row["key"],
            row["value"], None, 0, 0, tuple(unpack(row["headers"])),
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
