"""A batch and its failures, on real PostgreSQL with records handed over directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition

from chassis.consume import BREAKER_MIN, Consumer
from chassis.inbox import stored_offsets
from tests.support import given, said
from tests.support.toy import POISONED, TOY_SQL, a_release, raw_record, record_of, toy_handlers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database

PARTITION = TopicPartition("budget.events", 0)


class Assigned:
    """Stands where aiokafka's consumer stands: has partitions, remembers seeks and commits."""

    def __init__(self) -> None:
        self.sought: dict[TopicPartition, int] = {}
        self.committed: dict[TopicPartition, int] = {}

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset

    async def commit(self, ends: dict[TopicPartition, int]) -> None:
        self.committed.update(ends)


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    database = await database_of("budget")
    async with database.transaction() as tx:
        await tx.execute(TOY_SQL)
    return database


async def a_consumer(database: Database) -> tuple[Consumer, Assigned]:
    consumer, client = Consumer(database, toy_handlers()), Assigned()
    consumer.find_client = lambda: client
    await consumer.on_partitions_assigned([PARTITION])
    return consumer, client


async def notes(database: Database) -> list[tuple[str, str]]:
    async with database.reader() as reader:
        rows = await reader.fetch("SELECT key, note FROM toy_notes ORDER BY at")
    return [(row["key"], row["note"]) for row in rows]


async def dead(database: Database) -> list[tuple[int, str, bool]]:
    async with database.reader() as reader:
        rows = await reader.fetch('SELECT "offset", code, blocks_key FROM dead_letters ORDER BY 1')
    return [(row["offset"], row["code"], row["blocks_key"]) for row in rows]


async def test_a_batch_and_its_offsets_commit_together(database: Database) -> None:
    consumer, client = await a_consumer(database)
    await consumer.consume([record_of(a_release(f"k{i}"), offset=i) for i in range(10)])
    assert len(await notes(database)) == 10
    assert len(await said(database)) == 10
    assert (await stored_offsets(database, [PARTITION]))[PARTITION] == 10
    assert client.committed[PARTITION] == 10


async def test_a_redelivery_has_no_second_effect(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    batch = [record_of(a_release("k"), offset=0)]
    await consumer.consume(batch)
    await consumer.consume(batch)
    again, _ = await a_consumer(database)
    await again.consume(batch)
    assert len(await notes(database)) == 1


async def test_the_same_id_twice_in_one_batch_counts_once(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    event = given(a_release("k"))
    await consumer.consume([record_of(event, offset=0), record_of(event, offset=1)])
    assert len(await notes(database)) == 1


async def test_the_same_id_with_other_bytes_is_a_dead_letter_that_blocks_nothing(
    database: Database,
) -> None:
    consumer, _ = await a_consumer(database)
    event = given(a_release("k"))
    other = a_release("k", because="OTHER").with_meta(event.meta)
    await consumer.consume([record_of(event, offset=0)])
    await consumer.consume([record_of(other, offset=1)])
    await consumer.consume([record_of(a_release("k", because="LATER"), offset=2)])
    assert [note for _, note in await notes(database)] == ["TEST", "LATER"]
    assert await dead(database) == [(1, "ID_COLLISION", False)]


async def test_a_zombie_changes_nothing(database: Database) -> None:
    zombie, _ = await a_consumer(database)
    heir, _ = await a_consumer(database)
    await heir.consume([record_of(a_release("a"), offset=0)])
    await zombie.consume([record_of(a_release("b"), offset=0)])
    assert [key for key, _ in await notes(database)] == [a_release("a").key]


async def test_after_a_lost_race_the_zombie_reads_on_from_the_stored_offset(
    database: Database,
) -> None:
    zombie, client = await a_consumer(database)
    heir, _ = await a_consumer(database)
    await heir.consume([record_of(a_release("a"), offset=0)])
    await zombie.consume([record_of(a_release("b"), offset=0)])
    assert client.sought[PARTITION] == 1
    await zombie.consume([record_of(a_release("c"), offset=1)])
    assert len(await notes(database)) == 2


async def test_one_poisoned_record_does_not_hold_up_the_others(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    batch = [record_of(a_release(f"k{i}"), offset=i) for i in range(7)]
    batch[3] = record_of(a_release("k3", because=POISONED), offset=3)
    await consumer.consume(batch)
    assert len(await notes(database)) == 6
    assert await dead(database) == [(3, "TOY_POISON", True)]


async def test_later_events_of_a_poisoned_key_are_parked_in_order(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    await consumer.consume(
        [
            record_of(a_release("k", because=POISONED), offset=0),
            record_of(a_release("k", because="SECOND"), offset=1),
            record_of(a_release("other"), offset=2),
        ]
    )
    await consumer.consume([record_of(a_release("k", because="THIRD"), offset=3)])
    assert [key for key, _ in await notes(database)] == [a_release("other").key]
    async with database.reader() as reader:
        parked = await reader.fetch('SELECT "offset" FROM parked ORDER BY 1')
    assert [row["offset"] for row in parked] == [1, 3]


async def test_a_dead_letter_keeps_every_byte(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    headers = [("ce_type", b"budget.funds-released.v1"), ("odd", b"\xff\x00"), ("none", None)]
    await consumer.consume([raw_record(b"{nonsense", headers, key=b"\xfe", offset=0)])
    async with database.transaction() as tx:
        row = await tx.fetchrow("SELECT topic, key, headers, payload FROM outbox")
    assert row is not None
    from chassis.outbox import unpack  # noqa: PLC0415

    assert row["topic"] == "dlq.budget"
    assert row["key"] == b"\xfe"
    assert row["payload"] == b"{nonsense"
    assert unpack(row["headers"])[-3:] == headers


async def test_the_breaker_halts_before_it_buries_a_topic(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    batch = [record_of(a_release(f"k{i}", because=POISONED), offset=i) for i in range(50)]
    await consumer.consume(batch)
    assert consumer.halted
    assert len(await dead(database)) < BREAKER_MIN


async def test_a_batch_lost_on_its_way_is_read_again(database: Database) -> None:
    consumer, client = await a_consumer(database)
    await consumer.consume([record_of(a_release("a"), offset=0)])
    late = [record_of(a_release("c"), offset=2)]
    await consumer.consume(late)  # Offset 1 never came.
    assert len(await notes(database)) == 1
    assert client.sought[PARTITION] == 1
    await consumer.consume([record_of(a_release("b"), offset=1), *late])
    assert len(await notes(database)) == 3


async def test_a_gap_that_compaction_left_is_read_over(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    await consumer.consume([record_of(a_release("a"), offset=0)])
    late = [record_of(a_release("c"), offset=7)]
    await consumer.consume(late)
    await consumer.consume(late)  # After seeking to 1, Kafka still has nothing before 7.
    assert len(await notes(database)) == 2


async def test_partitions_that_were_never_assigned_are_not_touched(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    await consumer.consume([record_of(a_release("k"), partition=4, offset=0)])
    assert await notes(database) == []
    async with database.reader() as reader:
        assert await reader.fetchval("SELECT count(*) FROM offsets WHERE partition = 4") == 0


async def test_what_is_caused_names_its_cause_and_its_trace(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    event = given(a_release("k"))
    await consumer.consume([record_of(event, offset=0)])
    (fact,) = await said(database)
    assert fact.meta.causation_id == event.meta.id
    assert fact.meta.correlation_id == event.meta.correlation_id
    assert fact.meta.traceparent.split("-")[1] == event.meta.traceparent.split("-")[1]
