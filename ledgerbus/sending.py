"""Publishing as any outside system would: acknowledged, never twice, never silently lost.

Events leave in CloudEvents binary mode, each with a span of its own, so that one trace begins here.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from uuid_utils.compat import uuid7

from chassis import telemetry
from contracts.codec import headers_of
from contracts.envelope import Meta
from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from aiokafka.producer.message_accumulator import BatchBuilder

    from contracts.codec import Headers

SOURCE: Final = "/ledgerbus/cli"
PREFIX: Final = "LEDGERBUS_TOPIC_PREFIX"
BREATH: Final = 100  # Records between two chances for the network to work beside the reading.
BATCH_BYTES: Final = 131_072
_PARTITIONER: Final = DefaultPartitioner()  # As every Kafka client spreads keys (murmur2).


def topic_name(topic: str) -> str:
    """The topic as it is called on this broker: LEDGERBUS_TOPIC_PREFIX sets environments apart."""
    return os.environ.get(PREFIX, "") + topic


def now() -> datetime:
    """This instant, UTC."""
    return datetime.fromtimestamp(time.time(), tz=UTC)


def meta_of(kind: str, topic: str, *, key: str, subject: str, source: str = SOURCE) -> Meta:
    """The envelope of a new story: a fresh id, this instant, and the trace that begins with it."""
    traceparent, tracestate = telemetry.producer_context(topic, key, None)
    return Meta(
        id=new_id(),
        type=kind,
        source=source,
        subject=subject,
        time=now(),
        correlation_id=subject,
        traceparent=traceparent,
        tracestate=tracestate,
    )


def new_id() -> UUID:
    """An id that sorts by time (UUIDv7)."""
    return uuid7()


class Sender:
    """Fills one batch per partition and hands each over when it is full; made by `sending`.

    Building batches here, and not record by record in the client, makes an import twice as fast.
    """

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._partitions: dict[str, list[int]] = {}
        self._batches: dict[tuple[str, int], BatchBuilder] = {}
        self._waiting: set[asyncio.Future[object]] = set()
        self._failed: BaseException | None = None
        self.sent = 0
        self.acknowledged = 0

    async def send(self, topic: str, key: str, meta: Meta, body: bytes) -> None:
        """Hand one event over; waits only while its partition's former batch has not left."""
        await self.send_raw(topic, key.encode(), headers_of(meta), body)

    async def send_raw(
        self, topic: str, key: bytes | None, headers: Headers, body: bytes | None
    ) -> None:
        """Hand over one record as it is."""
        place = await self._place(topic_name(topic), key)
        while (
            self._batch(place).append(timestamp=None, key=key, value=body, headers=headers) is None
        ):
            await self._dispatch(place)
        self.sent += 1
        if self.sent % BREATH == 0:
            await asyncio.sleep(0)
            self._check()

    async def flush(self) -> None:
        """Wait until everything sent so far is acknowledged; an error if any of it is not."""
        for place in list(self._batches):
            await self._dispatch(place)
        while self._waiting:
            await asyncio.wait(self._waiting)
        self._check()

    async def _place(self, topic: str, key: bytes | None) -> tuple[str, int]:
        partitions = self._partitions.get(topic)
        if partitions is None:
            partitions = sorted(await self._known(topic))
            self._partitions[topic] = partitions
        return topic, _PARTITIONER(key, partitions, partitions)

    async def _known(self, topic: str) -> set[int]:
        try:
            return set(await self._producer.partitions_for(topic))
        except KafkaError as problem:
            raise CommandError(
                f"the topic {topic} cannot be written to",
                why=str(problem) or repr(problem),
                fix="`ledgerbus up` creates the topics of deploy/topics.yaml",
                code=Exit.NOT_FOUND,
            ) from problem

    def _batch(self, place: tuple[str, int]) -> BatchBuilder:
        if place not in self._batches:
            self._batches[place] = self._producer.create_batch()
        return self._batches[place]

    async def _dispatch(self, place: tuple[str, int]) -> None:
        batch = self._batches.pop(place)
        batch.close()
        count = batch.record_count()
        try:
            future = await self._producer.send_batch(batch, place[0], partition=place[1])
        except KafkaError as problem:
            self._failed = self._failed or problem
            self._check()
            return
        self._waiting.add(future)
        future.add_done_callback(partial(self._acknowledge, count))

    def _acknowledge(self, count: int, future: asyncio.Future[object]) -> None:
        self._waiting.discard(future)
        problem = None if future.cancelled() else future.exception()
        if problem is None:
            self.acknowledged += count
        else:
            self._failed = self._failed or problem

    def _check(self) -> None:
        if self._failed is not None:
            raise CommandError(
                f"Kafka acknowledged only {self.acknowledged} of {self.sent} records",
                why=str(self._failed) or repr(self._failed),
                fix="run the same command again: what has arrived already has no second effect",
                code=Exit.UNREACHABLE,
            ) from self._failed


@asynccontextmanager
async def sending(servers: str) -> AsyncIterator[Sender]:
    """A sender; when the block ends well, everything sent is acknowledged."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
    )
    try:
        await producer.start()
    except (KafkaError, OSError) as problem:
        await producer.stop()
        raise CommandError(
            f"Kafka at {servers} does not answer",
            why=str(problem) or repr(problem),
            fix="see `ledgerbus status`; `ledgerbus up` starts what is missing",
            code=Exit.UNREACHABLE,
        ) from problem
    try:
        sender = Sender(producer)
        yield sender
        await sender.flush()
    finally:
        await producer.stop()
