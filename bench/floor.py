"""The floor: the chain's records and rows on the same servers, with no logic at all.

Eight hops stand for the eight consumptions on a claim's way from intake to its entry; a hop reads a
batch, commits an inbox row, a state row and an outbox row per record with its offsets, and relays.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local import Stack, provision_databases
from deploy.topics import TopicPlan

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event as Flag
    from pathlib import Path

HOPS: Final = 8
PROCESSES: Final = 5  # As many as there are services; each carries one or two hops.
PARTITIONS: Final = 6
BODY: Final = b'{"claim":"' + b"x" * 1_000 + b'"}'
HEADERS: Final = [("ce_id", b"0" * 36), ("ce_type", b"k" * 26), ("traceparent", b"t" * 55)]
TABLES: Final = """
CREATE TABLE IF NOT EXISTS inbox (event_id uuid PRIMARY KEY, at timestamptz DEFAULT now());
CREATE TABLE IF NOT EXISTS states (id uuid PRIMARY KEY, body bytea, hops int DEFAULT 1);
CREATE TABLE IF NOT EXISTS outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text,
    key bytea, payload bytea);
TRUNCATE inbox, states, outbox
"""


async def measure_floor(root: Path, claims: int) -> dict[str, Any]:
    """Claims a second that nothing but these records and rows would allow."""
    stack = Stack(root)
    endpoints = await stack.up(TopicPlan())
    try:
        run = f"floor-{uuid.uuid4().hex[:8]}."
        names = [f"floor{number}" for number in range(PROCESSES)]
        urls = await provision_databases(endpoints.postgres, names)
        admin = AIOKafkaAdminClient(bootstrap_servers=endpoints.kafka)
        await admin.start()
        topics = [NewTopic(f"{run}{hop}", PARTITIONS, 1) for hop in range(HOPS + 1)]
        await admin.create_topics(topics)
        seconds = await asyncio.to_thread(_race, endpoints.kafka, urls, run, claims)
        await admin.delete_topics([topic.name for topic in topics])
        await admin.close()
    finally:
        await stack.down()
    return {
        "claims": claims,
        "seconds": round(seconds, 2),
        "claims_per_s": round(claims / seconds, 1),
    }


def _race(kafka: str, urls: dict[str, str], run: str, claims: int) -> float:
    spawn = multiprocessing.get_context("spawn")
    flags = [spawn.Event() for _ in range(PROCESSES)]
    workers = [
        spawn.Process(target=_work, args=(kafka, url, run, number, claims, flag), daemon=True)
        for number, (url, flag) in enumerate(zip(urls.values(), flags, strict=True))
    ]
    for worker in workers:
        worker.start()
    for flag in flags:
        flag.wait(60)
    seconds = uvloop.run(_drive(kafka, run, claims))
    for worker in workers:
        worker.join(30)
        worker.terminate()
    return seconds


def _work(kafka: str, url: str, run: str, number: int, claims: int, flag: Flag) -> None:
    hops = [hop for hop in range(HOPS) if hop % PROCESSES == number]
    uvloop.run(_hops(kafka, url, run, hops, claims, flag))


async def _hops(kafka: str, url: str, run: str, hops: list[int], claims: int, flag: Flag) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(TABLES)
    await connection.close()
    ready = asyncio.Barrier(len(hops) + 1)
    tasks = [asyncio.create_task(_hop(kafka, url, run, hop, claims, ready)) for hop in hops]
    await ready.wait()
    flag.set()
    await asyncio.gather(*tasks)


async def _hop(
    kafka: str, url: str, run: str, hop: int, claims: int, ready: asyncio.Barrier
) -> None:
    writes, relays = await asyncpg.connect(url), await asyncpg.connect(url)
    producer = await _producer(kafka)
    consumer = AIOKafkaConsumer(
        f"{run}{hop}",
        bootstrap_servers=kafka,
        group_id=f"{run}{hop}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=500,
    )
    await consumer.start()
    await ready.wait()
    relaying = asyncio.create_task(_relay(relays, producer, f"{run}{hop + 1}", claims))
    done = 0
    while done < claims:
        batches = await consumer.getmany(timeout_ms=20, max_records=500)
        records = [record for batch in batches.values() for record in batch]
        if records:
            await _commit(writes, f"{run}{hop + 1}", records)
            await consumer.commit({tp: batch[-1].offset + 1 for tp, batch in batches.items()})
        done += len(records)
    await relaying
    await consumer.stop()
    await producer.stop()


async def _commit(connection: asyncpg.Connection, topic: str, records: list[Any]) -> None:
    keys = [record.key for record in records]
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO inbox (event_id) SELECT unnest($1::uuid[])", [uuid.uuid4() for _ in keys]
        )
        await connection.execute(
            "INSERT INTO states (id, body) SELECT DISTINCT ON (i) i, b FROM "
            "unnest($1::uuid[], $2::bytea[]) AS n (i, b) ORDER BY i "
            "ON CONFLICT (id) DO UPDATE SET hops = states.hops + 1",
            [uuid.UUID(bytes=key) for key in keys],
            [record.value[:200] for record in records],
        )
        await connection.execute(
            "INSERT INTO outbox (topic, key, payload) "
            "SELECT $1, k, p FROM unnest($2::bytea[], $3::bytea[]) AS n (k, p)",
            topic,
            keys,
            [record.value for record in records],
        )


async def _relay(
    connection: asyncpg.Connection, producer: AIOKafkaProducer, topic: str, claims: int
) -> None:
    sent = 0
    while sent < claims:
        rows = await connection.fetch(
            "SELECT id, key, payload FROM outbox WHERE topic = $1 ORDER BY id LIMIT 1000", topic
        )
        if not rows:
            await asyncio.sleep(0.005)
            continue
        pending = [
            await producer.send(topic, payload, key=key, headers=HEADERS)
            for _, key, payload in rows
        ]
        await asyncio.gather(*pending)
        await connection.execute(
            "DELETE FROM outbox WHERE id = ANY($1::bigint[])", [row["id"] for row in rows]
        )
        sent += len(rows)


async def _drive(kafka: str, run: str, claims: int) -> float:
    producer = await _producer(kafka)
    consumer = AIOKafkaConsumer(
        f"{run}{HOPS}", bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    started = time.perf_counter()

    async def feed() -> None:
        for begin in range(0, claims, 1_000):
            pending = [
                await producer.send(f"{run}0", BODY, key=uuid.uuid4().bytes, headers=HEADERS)
                for _ in range(begin, min(begin + 1_000, claims))
            ]
            await asyncio.gather(*pending)

    feeding = asyncio.create_task(feed())
    got = 0
    while got < claims:
        got += sum(map(len, (await consumer.getmany(timeout_ms=50)).values()))
    elapsed = time.perf_counter() - started
    await feeding
    await producer.stop()
    await consumer.stop()
    return elapsed


async def _producer(kafka: str) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=262_144,
    )
    await producer.start()
    return producer
