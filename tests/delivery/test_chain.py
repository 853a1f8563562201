"""A whole service process's machinery on real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uuid_utils
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from chassis.jobs import Jobs
from chassis.outbox import Relay
from chassis.service import Service
from chassis.settings import Settings
from contracts.codec import decode, encode
from tests.support import eventually, given
from tests.support.toy import POISONED, TOY_SQL, a_release, a_spending, toy_handlers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database
    from contracts.envelope import Event


def joined(service: Service) -> Callable[[], bool]:
    return lambda: service.intake.consumer.joined


def partitions_of(service: Service) -> int:
    client = service.intake.consumer.client
    return len(client.assignment()) if client else 0


class Stage:
    """A database, topics of its own, and what it takes to start services on them."""

    def __init__(self, database: Database, kafka: str, prefix: str) -> None:
        self.database, self.kafka, self.prefix = database, kafka, prefix

    def a_service(self, replica: int = 0, **settings: Any) -> Service:
        return Service(
            "services.budget",
            toy_handlers(),
            Jobs(),
            Settings(
                kafka_bootstrap_servers=self.kafka,
                database_url=self.database.url,
                topic_prefix=self.prefix,
                replica=replica,
                session_timeout_ms=6_000,
                **settings,
            ),
        )

    @asynccontextmanager
    async def running(self, *services: Service) -> AsyncIterator[None]:
        await asyncio.gather(*(service.start() for service in services))
        try:
            for service in services:
                await eventually(joined(service), within=30)
            yield
        finally:
            await asyncio.gather(*(service.stop() for service in services))

    async def publish(self, *events: Event) -> None:
        records = [(event.key.encode(), *encode(event, given(event).meta)) for event in events]
        await self.publish_raw(*[(key, value, headers) for key, headers, value in records])

    async def publish_raw(self, *records: tuple[bytes | None, bytes | None, Any]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all")
        await producer.start()
        try:
            for key, value, headers in records:
                await producer.send_and_wait(
                    f"{self.prefix}budget.events", value, key=key, headers=headers
                )
        finally:
            await producer.stop()

    async def said(self, kind: str, topic: str = "budget.events") -> list[Event]:
        """Events of a kind on a topic, up to its present end."""
        client = AIOKafkaConsumer(
            f"{self.prefix}{topic}", bootstrap_servers=self.kafka, auto_offset_reset="earliest"
        )
        await client.start()
        try:
            ends = await client.end_offsets(client.assignment())
            found = []
            while any([await client.position(tp) < end for tp, end in ends.items()]):
                for records in (await client.getmany(timeout_ms=200)).values():
                    found += [decode(record.headers, record.value) for record in records]
        finally:
            await client.stop()
        return [event for event in found if event.kind == kind]

    async def notes(self) -> list[str]:
        async with self.database.reader() as reader:
            rows = await reader.fetch("SELECT note FROM toy_notes ORDER BY at")
        return [row["note"] for row in rows]


@pytest.fixture
async def stage(
    kafka: str, database_of: Callable[[str], Awaitable[Database]]
) -> AsyncIterator[Stage]:
    database = await database_of("budget")
    async with database.transaction() as tx:
        await tx.execute(TOY_SQL)
    prefix = f"t{uuid_utils.uuid7().hex[-10:]}."
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    topics = [
        NewTopic(f"{prefix}budget.events", 4, 1),
        NewTopic(f"{prefix}dlq.budget", 1, 1),
    ]
    await admin.create_topics(topics)
    yield Stage(database, kafka, prefix)
    await admin.delete_topics([topic.name for topic in topics])
    await admin.close()


async def unsaid(stage: Stage) -> int:
    async with stage.database.reader() as reader:
        return int(await reader.fetchval("SELECT count(*) FROM outbox"))


async def noted(stage: Stage, count: int) -> None:
    async def enough() -> bool:
        return len(await stage.notes()) >= count

    await eventually(enough, within=30)


async def test_what_goes_in_comes_out_once_and_in_order(stage: Stage) -> None:
    events = [a_release(f"k{i % 20}", because=f"N{i:04}") for i in range(400)]
    async with stage.running(stage.a_service()):
        await stage.publish(*events)
        await noted(stage, 400)
    spent = await stage.said("budget.funds-spent.v1")
    assert len(spent) == 400
    assert sorted(await stage.notes()) == [f"N{i:04}" for i in range(400)]
    for key in {event.key for event in events}:
        sequences = [event.meta.sequence for event in spent if event.key == key]
        assert sequences == sorted(sequences)


async def test_a_restart_reads_on_where_the_database_says(stage: Stage) -> None:
    async with stage.running(stage.a_service()):
        await stage.publish(*[a_release(f"k{i}") for i in range(30)])
        await noted(stage, 30)
    async with stage.database.transaction() as tx:  # As if an older backup had been restored.
        await tx.execute("UPDATE offsets SET next_offset = 0")
        await tx.execute("TRUNCATE inbox, toy_notes")
    async with stage.running(stage.a_service()):
        await noted(stage, 30)
    assert len(await stage.notes()) == 30


async def test_two_replicas_share_the_work_and_neither_repeats_it(stage: Stage) -> None:
    first, second = stage.a_service(0), stage.a_service(1)
    async with stage.running(first, second):
        await stage.publish(*[a_release(f"k{i}", because=f"N{i}") for i in range(300)])
        await noted(stage, 300)
        await eventually(lambda: partitions_of(first) == partitions_of(second) == 2, within=30)
    assert len(await stage.notes()) == 300
    assert len(await stage.said("budget.funds-spent.v1")) == 300


async def test_replicas_that_stop_together_leave_an_empty_outbox(stage: Stage) -> None:
    for turn in range(3):
        async with stage.running(stage.a_service(0), stage.a_service(1)):
            await stage.publish(*[a_release(f"k{i}", because=f"{turn}.{i}") for i in range(200)])
            await noted(stage, 200 * (turn + 1))
        assert await unsaid(stage) == 0
    assert len(await stage.said("budget.funds-spent.v1")) == 600


async def test_a_relay_that_stops_takes_over_what_another_leaves_behind(stage: Stage) -> None:
    database = stage.a_service().database
    other = await database.connect()
    await other.execute("SELECT pg_advisory_lock(7001, shard) FROM generate_series(0, 7) AS shard")
    relay = Relay(database, stage.kafka)
    running = asyncio.create_task(relay.run())
    async with database.transaction() as tx:
        for number in range(20):
            tx.emit(a_spending(a_release(f"k{number}")), because=None)
    await relay.stop()
    done, _ = await asyncio.wait([running], timeout=1)
    assert (done, await unsaid(stage)) == (set(), 20)
    await other.close()  # As the other relay frees its shards when it ends.
    await asyncio.wait_for(running, 10)
    await database.close()
    assert await unsaid(stage) == 0
    assert len(await stage.said("budget.funds-spent.v1")) == 20


async def test_a_replica_that_goes_leaves_no_gap_and_no_double(stage: Stage) -> None:
    survivor, leaver = stage.a_service(0), stage.a_service(1)
    async with stage.running(survivor):
        async with stage.running(leaver):
            await stage.publish(*[a_release(f"k{i}", because=f"A{i}") for i in range(200)])
        await stage.publish(*[a_release(f"k{i}", because=f"B{i}") for i in range(200)])
        await noted(stage, 400)
    assert len(set(await stage.notes())) == len(await stage.notes()) == 400


async def test_records_that_are_no_events_become_dead_letters_and_stop_nothing(
    stage: Stage,
) -> None:
    good = a_release("good")
    async with stage.running(stage.a_service()):
        await stage.publish_raw(
            (b"k", b"{", [("ce_type", b"budget.funds-released.v1"), ("bin", b"\xff\xfe")]),
            (b"k1", None, []),
            (b"k2", b"", [("ce_type", b"\xff")]),
            (b"k3", b"{}", [("ce_type", b"somebody.else.v9"), ("ce_id", b"1")]),
        )
        await stage.publish(good)
        await noted(stage, 1)

        async def buried() -> int:
            async with stage.database.reader() as reader:
                return int(await reader.fetchval("SELECT count(*) FROM dead_letters"))

        await eventually(buried, within=10)
    async with stage.database.reader() as reader:
        rows = await reader.fetch("SELECT code FROM dead_letters ORDER BY code")
    assert [row["code"] for row in rows] == ["ENVELOPE", "HEADER", "TOMBSTONE"]


async def test_a_poisoned_key_waits_while_others_go_on(stage: Stage) -> None:
    async with stage.running(stage.a_service()):
        await stage.publish(a_release("bad", because=POISONED))
        await stage.publish(a_release("bad", because="LATER"), a_release("good", because="GOOD"))
        await noted(stage, 1)

        async def parked() -> int:
            async with stage.database.reader() as reader:
                return int(await reader.fetchval("SELECT count(*) FROM parked"))

        await eventually(parked, within=10)
    assert await stage.notes() == ["GOOD"]
    assert await parked() == 1


async def test_a_service_started_before_postgres_comes_up_with_it(stage: Stage) -> None:
    service = stage.a_service()
    there, service.database.url = service.database.url, "postgresql://127.0.0.1:1/nowhere"
    starting = asyncio.create_task(service.start())
    await eventually(lambda: service_waits(service), within=10)
    assert (await service.checks())["start"] == "waiting for PostgreSQL"
    service.database.url = there
    await asyncio.wait_for(starting, 30)
    await eventually(lambda: service.intake.consumer.joined, within=30)
    assert not any((await service.checks()).values())
    await service.stop()


async def a_free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


async def test_a_service_started_before_kafka_comes_up_with_it(stage: Stage) -> None:
    port = await a_free_port()
    host, _, there = stage.kafka.rpartition(":")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection(host, int(there))
        await asyncio.gather(
            pipe(reader, onward[1]), pipe(onward[0], writer), return_exceptions=True
        )

    late = Stage(stage.database, f"127.0.0.1:{port}", stage.prefix)
    service = late.a_service()
    starting = asyncio.create_task(service.start())

    async def waits() -> bool:
        found = await service.checks()
        return found["kafka"] == "does not answer" and not found["database"]

    await eventually(waits, within=15)
    door = await asyncio.start_server(forward, "127.0.0.1", port)
    await asyncio.wait_for(starting, 60)
    await eventually(joined(service), within=30)
    await stage.publish(a_release("k"))
    await noted(stage, 1)
    assert not any((await service.checks()).values())
    await service.stop()
    door.close()


async def service_waits(service: Service) -> bool:
    return (await service.checks())["start"] == "waiting for PostgreSQL"
