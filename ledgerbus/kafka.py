"""Topics as the command line sees them: where they end, and every record up to there.

Nothing here joins a consumer group or moves an offset of one; it reads beside the services.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from aiokafka import ConsumerRecord

FETCH_BYTES: Final = 4_194_304  # Per partition: fewer round trips, and still little memory.
PAGE: Final = 2_000
SILENCE_MAX: Final = 30  # Seconds; a broker silent for so long is reported, not waited for.


class Stretch(NamedTuple):
    """The part of one partition from `start` up to, not including, `end`."""

    start: int
    end: int


Stretches = dict[TopicPartition, Stretch]


@asynccontextmanager
async def reader(servers: str, topics: Iterable[str]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer outside every group, with all partitions of the topics assigned."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    try:
        await consumer.start()
        consumer.pause(*consumer.assignment())  # Nothing is fetched before it is asked for.
        yield consumer
    finally:
        await consumer.stop()


async def stretches(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> Stretches:
    """What each partition holds at this moment; the topics' ends are taken in the order given."""
    found: Stretches = {}
    for topic in topics:
        parts = [part for part in consumer.assignment() if part.topic == topic]
        starts = await consumer.beginning_offsets(parts)
        ends = await consumer.end_offsets(parts)
        found |= {part: Stretch(starts[part], ends[part]) for part in parts}
    return found


async def records(
    consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, Stretch]
) -> AsyncIterator[list[ConsumerRecord]]:
    """Pages of records of the wanted stretches; each partition in order, and each to its end."""
    left = {part: stretch for part, stretch in wanted.items() if stretch.start < stretch.end}
    consumer.pause(*(part for part in consumer.assignment() if part not in left))
    for part, stretch in left.items():
        consumer.seek(part, stretch.start)
        consumer.resume(part)
    silent = 0
    while left:
        pages = await consumer.getmany(timeout_ms=1_000, max_records=PAGE)
        for part in pages.keys() & left.keys():
            yield [record for record in pages[part] if record.offset < left[part].end]
        before = len(left)
        for part in [part for part in left if await consumer.position(part) >= left[part].end]:
            consumer.pause(part)
            del left[part]
        silent = 0 if pages or len(left) < before else silent + 1
        if silent > SILENCE_MAX:
            raise CommandError(
                f"{next(iter(left)).topic} cannot be read to its end",
                why=f"the broker has sent nothing for {SILENCE_MAX} s",
                fix="see `ledgerbus status` and the broker's log, then run this again",
                code=Exit.UNREACHABLE,
            )


async def committed(servers: str, group: str) -> dict[tuple[str, int], int]:
    """How far a consumer group has come, by topic and partition; nothing for an unknown group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        await admin.start()
        offsets = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return {(part.topic, part.partition): mark.offset for part, mark in offsets.items()}
