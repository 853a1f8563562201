"""A batch and its failures, on real PostgreSQL with records handed over directly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition

from chassis.consume import BREAKER_MIN, Consumer
from chassis.inbox import stored_offsets
from chassis.outbox import unpack
from tests.support import given, said
from tests.support.toy import (
    BROKEN,
    POISONED,
    TOY_SQL,
    a_release,
    raw_record,
    record_of,
    toy_handlers,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database

PARTITION = TopicPartition("budget.events", 0)


class Assigned:
    """Stands where aiokafka's consumer stands: has partitions, remembers seeks and commits."""

    def __init__(self) -> None:
        self.sought: dict[TopicPartition, int] = {}
        self.committed: dict[TopicPartition, int] = {}
        self.begin = 0

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    async def beginning_offsets(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begin)

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


async def test_what_a_crash_kept_from_kafka_is_committed_on_assignment(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    await consumer.consume([record_of(a_release("k"), offset=0)])
    _, heir = await a_consumer(database)
    assert heir.committed == {PARTITION: 1}


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
    assert row["topic"] == "dlq.budget"
    assert row["key"] == b"\xfe"
    assert row["payload"] == b"{nonsense"
    assert unpack(row["headers"])[-3:] == headers


DLQ_HEADERS = [
    "dlq-letter-id", "dlq-original-topic", "dlq-original-partition", "dlq-original-offset",
    "dlq-original-timestamp", "dlq-consumer-group", "dlq-service-version", "dlq-handler",
    "dlq-error-class", "dlq-error-code", "dlq-error-message", "dlq-attempts",
    "dlq-first-failed-at", "dlq-failed-at", "dlq-retryable", "dlq-replay-count",
    "dlq-fingerprint",
]  # fmt: skip


@pytest.mark.parametrize("key", [None, b"", b"\xfe\x00"])
async def test_a_dead_letter_says_all_of_its_failure_beside_the_record(
    database: Database, key: bytes | None
) -> None:
    consumer, _ = await a_consumer(database)
    headers: list[tuple[str, bytes | None]] = [
        ("ce_type", b"budget.funds-released.v1"), ("odd", b"\xff\x00"), ("odd", b"again"),
        ("dlq-error-code", b"FORGED"), ("none", None), ("odd", b""),
    ]  # fmt: skip
    record = replace(raw_record(b"\xff{", headers, key=key, offset=0), timestamp=1_700_000_000_123)
    await consumer.consume([record])
    async with database.reader() as reader:
        row = await reader.fetchrow("SELECT key, headers, payload FROM outbox")
        letter = await reader.fetchrow(
            "SELECT id, key, headers, value, fingerprint, record_ms FROM dead_letters"
        )
    assert row is not None
    assert letter is not None
    told = unpack(row["headers"])
    assert [name for name, _ in told[: len(DLQ_HEADERS)]] == DLQ_HEADERS
    assert told[len(DLQ_HEADERS) :] == headers == unpack(letter["headers"])
    assert (row["key"], row["payload"]) == (key, b"\xff{") == (letter["key"], letter["value"])
    own = dict(told[: len(DLQ_HEADERS)])
    assert own["dlq-original-timestamp"] == b"1700000000123"
    assert own["dlq-error-class"] == b"Unreadable"
    assert own["dlq-fingerprint"] == letter["fingerprint"].encode()
    assert own["dlq-letter-id"] == str(letter["id"]).encode()
    assert own["dlq-attempts"] == b"1"
    assert own["dlq-retryable"] == b"false"


async def test_the_breaker_halts_before_it_buries_a_topic(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    batch = [record_of(a_release(f"k{i}", because=BROKEN), offset=i) for i in range(50)]
    await consumer.consume(batch)
    assert consumer.halted
    assert len(await dead(database)) < BREAKER_MIN


async def test_many_records_that_are_themselves_at_fault_halt_nothing(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    batch = [record_of(a_release(f"k{i}", because=POISONED), offset=i) for i in range(50)]
    await consumer.consume([*batch, record_of(a_release("good"), offset=50)])
    assert not consumer.halted
    assert len(await dead(database)) == 50
    assert len(await notes(database)) == 1


async def test_what_follows_an_unreadable_event_of_its_key_is_parked_in_the_same_batch(
    database: Database,
) -> None:
    consumer, _ = await a_consumer(database)
    key = a_release("k").key.encode()
    headers = [("ce_type", b"budget.funds-released.v1")]
    await consumer.consume(
        [
            raw_record(b"{", headers, key=key, offset=0),
            record_of(a_release("k"), offset=1),
            record_of(a_release("other"), offset=2),
        ]
    )
    assert [key for key, _ in await notes(database)] == [a_release("other").key]


async def test_parked_events_are_handled_in_order_once_the_dead_letter_is_settled(
    database: Database,
) -> None:
    consumer, _ = await a_consumer(database)
    await consumer.consume([record_of(a_release("k", because=POISONED), offset=0)])
    later = [record_of(a_release("k", because=f"N{i}"), offset=i) for i in range(1, 5)]
    await consumer.consume(later)
    assert await consumer.release_parked() == 0
    async with database.transaction() as tx:
        await tx.execute("UPDATE dead_letters SET state = 'discarded'")
    await consumer.consume([record_of(a_release("k", because="N5"), offset=5)])
    while await consumer.release_parked():
        pass
    assert [note for _, note in await notes(database)] == ["N1", "N2", "N3", "N4", "N5"]


async def test_a_parked_event_that_fails_is_a_dead_letter_and_holds_up_the_rest(
    database: Database,
) -> None:
    consumer, _ = await a_consumer(database)
    await consumer.consume([record_of(a_release("k", because=POISONED), offset=0)])
    later = [a_release("k", because=POISONED), a_release("k", because="LAST")]
    await consumer.consume([record_of(each, offset=i) for i, each in enumerate(later, start=1)])
    async with database.transaction() as tx:
        await tx.execute("UPDATE dead_letters SET state = 'discarded'")
    while await consumer.release_parked():
        pass
    assert await notes(database) == []
    async with database.reader() as reader:
        assert await reader.fetchval("SELECT count(*) FROM parked") == 1
        assert await reader.fetchval("SELECT count(*) FROM dead_letters WHERE state = 'open'") == 1


async def test_records_that_retention_took_unread_halt_the_consumer(database: Database) -> None:
    consumer, client = await a_consumer(database)
    await consumer.consume([record_of(a_release("k"), offset=0)])
    client.begin = 40
    await consumer.on_partitions_assigned([PARTITION])
    assert "39 records" in consumer.halted


async def test_a_dead_letter_too_large_for_kafka_is_published_without_its_bytes(
    database: Database,
) -> None:
    consumer, _ = await a_consumer(database)
    headers = [("ce_type", b"budget.funds-released.v1"), ("bulk", b"x" * 100_000)]
    await consumer.consume([raw_record(b"{" + b" " * 890_000, headers, key=b"k", offset=0)])
    async with database.reader() as reader:
        sent = await reader.fetchval("SELECT length(payload) + length(headers) FROM outbox")
        kept = await reader.fetchval("SELECT length(value) FROM dead_letters")
    assert sent < 20_000
    assert kept == 890_001


class Jammed(Assigned):
    """A consumer whose library cannot unpack one of its records."""

    def __init__(self, records: list[Any], bad: int) -> None:
        super().__init__()
        self.records, self.bad, self.position = records, bad, 0

    def seek(self, partition: TopicPartition, offset: int) -> None:
        super().seek(partition, offset)
        self.position = offset

    async def getmany(
        self, *_: TopicPartition, max_records: int = 500, **__: int
    ) -> dict[TopicPartition, list[Any]]:
        taken = self.records[self.position : self.position + max_records]
        if any(record.offset == self.bad for record in taken):
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        self.position += len(taken)
        return {PARTITION: taken} if taken else {}


async def test_a_record_that_cannot_be_unpacked_is_left_behind(database: Database) -> None:
    records = [record_of(a_release(f"k{i}"), offset=i) for i in range(10)]
    consumer, client = Consumer(database, toy_handlers()), Jammed(records, bad=4)
    consumer.find_client = lambda: client
    await consumer.on_partitions_assigned([PARTITION])
    consumer.guard()
    for _ in range(20):
        for taken in (await client.getmany()).values():
            await consumer.consume(taken)
    assert len(await notes(database)) == 9
    assert await dead(database) == [(4, "HEADER", False)]


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


async def test_one_broken_record_a_poll_halts_as_well(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    for offset in range(30):
        key = f"k{offset}"
        await consumer.consume([record_of(a_release(key, because=BROKEN), offset=offset)])
    assert "20 records in a row" in consumer.halted
    assert len(await dead(database)) == BREAKER_MIN - 1


async def test_a_restart_closes_the_breaker_and_reads_on_where_it_halted(
    database: Database,
) -> None:
    consumer, _ = await a_consumer(database)
    batch = [record_of(a_release(f"k{i}", because=BROKEN), offset=i) for i in range(50)]
    await consumer.consume(batch)
    stood = (await stored_offsets(database, [PARTITION]))[PARTITION]
    assert consumer.halted
    heir, client = await a_consumer(database)
    assert client.sought[PARTITION] == stood < 50
    repaired = [record_of(a_release(f"k{i}"), offset=i) for i in range(stood, 50)]
    await heir.consume(repaired)
    assert not heir.halted
    assert len(await notes(database)) == 50 - stood


async def test_a_handler_that_works_in_between_is_not_broken(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    for offset in range(50):
        because = BROKEN if offset % 2 else "TEST"
        event = a_release(f"k{offset}", because=because)
        await consumer.consume([record_of(event, offset=offset)])
    assert not consumer.halted
    assert len(await dead(database)) == 25


async def test_an_unreadable_event_waits_behind_the_dead_letter_of_its_key(
    database: Database,
) -> None:
    consumer, _ = await a_consumer(database)
    key = a_release("k").key.encode()
    headers = [("ce_type", b"budget.funds-released.v1")]
    await consumer.consume(
        [
            record_of(a_release("k", because=POISONED), offset=0),
            record_of(a_release("k", because="SECOND"), offset=1),
            raw_record(b"{", headers, key=key, offset=2),
            record_of(a_release("k", because="FOURTH"), offset=3),
        ]
    )
    assert [code for _, code, _ in await dead(database)] == ["TOY_POISON"]
    async with database.transaction() as tx:
        await tx.execute("UPDATE dead_letters SET state = 'discarded'")
    while await consumer.release_parked():
        pass
    assert [note for _, note in await notes(database)] == ["SECOND"]
    assert [offset for offset, *_ in await dead(database)] == [0, 2]
    async with database.reader() as reader:
        assert await reader.fetchval('SELECT "offset" FROM parked') == 3


async def test_parked_events_keep_their_order_when_clocks_go_back(
    database: Database,
) -> None:
    consumer, _ = await a_consumer(database)
    await consumer.consume([record_of(a_release("k", because=POISONED), offset=5)])
    later = [a_release("k", because=f"N{i}") for i in range(3)]
    await consumer.consume([record_of(each, offset=6 + i) for i, each in enumerate(later)])
    async with database.transaction() as tx:
        await tx.execute("UPDATE parked SET parked_at = now() - (\"offset\" * interval '1 hour')")
        await tx.execute("UPDATE dead_letters SET state = 'discarded'")
    while await consumer.release_parked():
        pass
    assert [note for _, note in await notes(database)] == ["N0", "N1", "N2"]


async def test_what_is_caused_names_its_cause_and_its_trace(database: Database) -> None:
    consumer, _ = await a_consumer(database)
    event = given(a_release("k"))
    await consumer.consume([record_of(event, offset=0)])
    (fact,) = await said(database)
    assert fact.meta.causation_id == event.meta.id
    assert fact.meta.correlation_id == event.meta.correlation_id
    assert fact.meta.traceparent.split("-")[1] == event.meta.traceparent.split("-")[1]
