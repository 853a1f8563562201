"""One consumer: poll, decode, stage, one transaction, commit; retry outages, isolate defects."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from chassis import metrics, telemetry
from chassis.errors import Fenced, Halted, code_of, is_outage
from chassis.handlers import Handlers, Incoming, UnreadableRecord, stages
from chassis.inbox import (
    admit,
    blocked_keys,
    blocks_key,
    bury,
    fence,
    park,
    parked_heads,
    stored_offsets,
    unpark,
)
from chassis.polling import Polls
from contracts.codec import Unreadable
from contracts.envelope import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from aiokafka import AIOKafkaConsumer

    from chassis.db import Database, Tx

log = structlog.get_logger()

OUTAGE_S: Final = 120  # Below max.poll.interval (300 s): then rewind and poll again, never lost.
BREAKER_MIN: Final = 20  # Fewer defects than this in one batch say nothing about the handler.


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types.
    """Carries records of one group through the handlers, exactly once in their effect."""

    def __init__(self, database: Database, handlers: Handlers) -> None:
        self._database = database
        self._handlers = handlers
        self._prefix = database.topic_prefix
        self._gate = asyncio.Lock()  # Held while a batch is in flight.
        self._known: dict[TopicPartition, int] = {}  # The next offset, as this member last saw it.
        self._sought: dict[TopicPartition, int] = {}  # Where the last seek went, until read from.
        self._defects = self._carried = 0  # Of the batch in flight: failed, and committed in all.
        self.find_client: Callable[[], AIOKafkaConsumer | None] = lambda: None
        self.joined = False
        self.polls: Polls | None = None
        self.halted = ""

    @property
    def client(self) -> AIOKafkaConsumer | None:
        """The aiokafka consumer behind the subscriber, once it is started."""
        return self.find_client()

    async def on_partitions_revoked(self, _: list[TopicPartition]) -> None:
        """Wait for the batch in flight before giving partitions away."""
        async with self._gate:
            self._known.clear()
            self.joined = False

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Read on where the database says, and tell Kafka: a crash may come between them."""
        metrics.REBALANCES.inc()
        async for attempt in _patiently():
            with attempt:
                await self._rewind(list(assigned))
        await self._commit({part: self._known[part] for part in assigned if part in self._known})

    async def _rewind(self, partitions: list[TopicPartition]) -> None:
        client = self.client
        if client is None:
            return
        if partitions:
            offsets = await stored_offsets(self._database, partitions)
            self._halt_if_deleted(offsets, await client.beginning_offsets(partitions))
            for partition, offset in offsets.items():
                client.seek(partition, offset)
            self._known.update(offsets)
            self._sought.update(offsets)
        self.joined = True

    def _halt_if_deleted(
        self, stored: dict[TopicPartition, int], begins: dict[TopicPartition, int]
    ) -> None:
        """Stop where retention deleted records before they were read: a person must know."""
        for partition, offset in stored.items():
            if 0 < offset < begins[partition]:
                gone = begins[partition] - offset
                self._halt(f"{gone} records of {partition} were deleted before they were read")

    def _halt(self, reason: str) -> None:
        self.halted = reason
        metrics.HALTED.set(1)
        log.critical("consumer halted", reason=reason)

    async def consume(self, records: Sequence[ConsumerRecord[bytes | None, bytes | None]]) -> None:
        """Take one poll's records; on return their effect is committed, or they come again."""
        async with self._gate:
            if self.halted:
                await asyncio.sleep(1)  # The breaker is open: keep the membership, touch nothing.
                await self._rewind_all()
                return
            started = time.perf_counter()
            self._defects = self._carried = 0
            batch = telemetry.start_batch(self._database.service, len(records))
            try:
                with trace.use_span(batch, end_on_exit=True, record_exception=False):
                    await self._carry(records, batch)
            except Halted as problem:
                self._halt(str(problem))
                await self._rewind_all()
            except Exception as problem:  # noqa: BLE001 - the one place where the unforeseen ends
                metrics.FENCED.inc() if isinstance(problem, Fenced) else metrics.RETRIES.inc()
                log.warning("batch given back", error=repr(problem), records=len(records))
                await self._rewind_all()
            metrics.BATCH_RECORDS.observe(len(records))
            metrics.BATCH_SECONDS.observe(time.perf_counter() - started)

    def guard(self) -> None:
        """Let no record stop the polls of the consumer behind the subscriber."""
        client = self.client
        if client is not None:
            self.polls = Polls(client, self._rewind_all, self._leave_behind)
            client.getmany = self.polls.getmany

    async def _leave_behind(self, partition: TopicPartition) -> None:
        """Make a dead letter of the record a partition stands at, which nobody here can unpack."""
        record = ConsumerRecord(
            partition.topic, partition.partition, self._known[partition], 0, 0, None, None, None,
            0, 0, (),
        )  # fmt: skip
        problem = Unreadable("HEADER", "a header's name is not UTF-8; the bytes stay on the topic")
        async with self._gate:
            await self._transact([record], [Incoming(record, "", problem=problem)], problem)

    async def _rewind_all(self) -> None:
        """Read again from the stored offsets; until that works, all batches are given back."""
        self._known.clear()
        if self.client is None:
            return
        try:
            await self._rewind(list(self.client.assignment()))
        except Exception as problem:
            if not (isinstance(problem, KafkaError) or is_outage(problem)):
                raise
            log.warning("cannot rewind yet", error=repr(problem))
            await asyncio.sleep(1)

    async def _carry(self, records: Sequence[Any], batch: trace.Span) -> None:
        partitions = {TopicPartition(record.topic, record.partition) for record in records}
        if not partitions <= self._known.keys():
            msg = "partitions arrived before their stored offsets"
            raise Fenced(msg)
        self._refuse_gaps(records)
        incoming = [self._read(record, batch) for record in records]
        try:
            await self._process(records, incoming)
        finally:
            for item in incoming:
                if item and item.span:
                    item.span.end()
        await self._commit({tp: self._known[tp] for tp in partitions})

    def _refuse_gaps(self, records: Sequence[Any]) -> None:
        """Give back a batch that does not follow the one before: that one was lost on its way here.

        Compaction leaves gaps too; those are still there after seeking to the expected offset.
        """
        firsts: dict[TopicPartition, int] = {}
        for record in records:
            firsts.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        for partition, first in firsts.items():
            expected = self._known[partition]
            if first > expected and self._sought.get(partition) != expected:
                msg = f"{partition} goes on at {first}, expected {expected}"
                raise Fenced(msg)
        for partition in firsts:
            self._sought.pop(partition, None)

    def _read(self, record: Any, batch: trace.Span) -> Incoming | None:
        topic = record.topic.removeprefix(self._prefix)
        incoming = self._handlers.read(record, topic)
        if incoming is None:
            metrics.SKIPPED.inc()
        elif incoming.event:
            meta = incoming.event.meta
            attributes = {
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
                "messaging.consumer.group.name": self._database.service,
                "cloudevents.event_type": incoming.kind,
            }
            span = telemetry.start_process(
                topic, meta.subject or incoming.event.key, attributes, meta.cause, batch
            )
            incoming.span = span
            traceparent, tracestate = telemetry.header_of(span)
            incoming.event.with_meta(replace(meta, traceparent=traceparent, tracestate=tracestate))
            age = datetime.now(UTC) - meta.time
            metrics.EVENT_AGE.labels(topic).observe(max(age.total_seconds(), 0))
        return incoming

    async def _process(self, records: Sequence[Any], incoming: Sequence[Incoming | None]) -> None:
        """Commit a run of records; on a defect halve the run until the culprit is alone."""
        try:
            await self._transact(records, incoming, None)
        except Exception as problem:
            if isinstance(problem, Fenced) or is_outage(problem):
                raise
            if len(records) == 1:
                self._count_defect(problem)
                await self._transact(records, incoming, problem)
                return
            middle = len(records) // 2
            await self._process(records[:middle], incoming[:middle])
            await self._process(records[middle:], incoming[middle:])

    def _count_defect(self, problem: BaseException) -> None:
        """Count failures nobody has foreseen; a coded one is about the record, not about us."""
        if code_of(problem) != "HANDLER_DEFECT":
            return
        self._defects += 1
        if self._defects >= BREAKER_MIN and self._defects * 2 > self._carried:
            msg = f"{self._defects} of the first {self._carried} records of a batch failed"
            raise Halted(msg)

    async def _transact(
        self,
        records: Sequence[Any],
        incoming: Sequence[Incoming | None],
        defect: BaseException | None,
    ) -> None:
        ends = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}
        items = [item for item in incoming if item]
        async for attempt in _patiently():
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    metrics.RETRIES.inc()
                async with self._database.transaction() as tx:
                    await fence(tx, self._known, ends)
                    if items:
                        await self._handle(tx, items, defect)
        self._known.update(ends)
        self._carried += len(records)

    async def _handle(
        self, tx: Tx, items: Sequence[Incoming], defect: BaseException | None
    ) -> None:
        if defect is not None:
            for item in items:
                await self._bury(tx, item, defect)
            return
        readable = await self._park_blocked(tx, items)
        if readable:
            await self._dispatch(tx, readable)
        await self._answer_unreadable(tx, [item for item in items if item.problem])

    async def _dispatch(self, tx: Tx, readable: Sequence[Incoming]) -> None:
        """Hand what is fresh to the handlers, kind by kind, no key overtaking itself."""
        fresh = await admit(tx, readable)
        for stage in stages(fresh):
            for kind, group in stage.items():
                await self._handlers.by_kind[kind]([item.event for item in group], tx)
        tx.after_commit(partial(_count_handled, fresh))

    async def release_parked(self) -> int:
        """Handle the oldest parked event of each key whose dead letters are settled; how many."""
        heads = await parked_heads(self._database)
        for record in heads:
            batch = telemetry.start_batch(self._database.service, 1)
            with trace.use_span(batch, end_on_exit=True):
                await self._release(record, self._read(record, batch), None)
        return len(heads)

    async def _release(
        self, record: Any, item: Incoming | None, defect: BaseException | None
    ) -> None:
        try:
            async with self._database.transaction() as tx:
                if not await unpark(tx, record) or item is None:
                    return
                if defect is not None:
                    await self._bury(tx, item, defect)
                elif item.event and not item.problem:
                    await self._dispatch(tx, [item])
                await self._answer_unreadable(tx, [item] if item.problem else [])
        except Exception as problem:
            if is_outage(problem) or defect is not None:
                raise
            await self._release(record, item, problem)
        finally:
            if item and item.span:
                item.span.end()

    async def _park_blocked(self, tx: Tx, items: Sequence[Incoming]) -> list[Incoming]:
        """The readable events that may be handled; what follows a dead letter of its key waits."""
        blocked = await blocked_keys(tx, items)
        waiting: list[Incoming] = []
        readable: list[Incoming] = []
        for item in items:
            if item.problem:
                if not self._answers(item) and blocks_key(item, item.problem.code):
                    blocked.add(item.record.key)
            elif item.key in blocked:
                waiting.append(item)
            else:
                readable.append(item)
        if waiting:
            await park(tx, waiting)
        return readable

    def _answers(self, item: Incoming) -> bool:
        return item.record.topic.removeprefix(self._prefix) in self._handlers.by_topic

    async def _bury(self, tx: Tx, item: Incoming, defect: BaseException) -> None:
        detail = str(getattr(defect, "detail", "") or f"{type(defect).__name__}: {defect}")
        code = code_of(defect)
        if item.span:
            item.span.set_attribute("error.type", code)
            item.span.set_status(StatusCode.ERROR, detail)
        handler = "decode" if item.problem else item.kind
        service = self._database.service
        await bury(tx, item, code=code, detail=detail, handler=handler, service=service)
        log.error(
            "dead letter", code=code, detail=detail, topic=item.record.topic,
            partition=item.record.partition, offset=item.record.offset,
            key=(item.record.key or b"").decode("utf-8", "replace")[:100],
            exc_info=defect if code == "HANDLER_DEFECT" else None,
        )  # fmt: skip

    async def _answer_unreadable(self, tx: Tx, items: Sequence[Incoming]) -> None:
        """Let the topic's own handler answer what cannot be read; otherwise a dead letter."""
        for item in items:
            topic = item.record.topic.removeprefix(self._prefix)
            answer = self._handlers.by_topic.get(topic)
            problem = item.problem
            if problem is None:
                continue
            if answer is None or problem.code == "ID_COLLISION":
                await self._bury(tx, item, problem)
            if answer is not None:
                await answer([_unreadable(item, topic, problem, tx.new_id())], tx)

    async def _commit(self, ends: dict[TopicPartition, int]) -> None:
        """Commit to Kafka as well, for ordinary lag tools; the truth is in the database."""
        if self.client is None:
            return
        try:
            await self.client.commit(ends)
        except (IllegalStateError, CommitFailedError, KafkaError) as problem:
            metrics.COMMITS_LOST.inc()
            log.info("offset commit skipped", error=repr(problem))


def _count_handled(items: Sequence[Incoming]) -> None:
    for kind, count in Counter(item.kind for item in items).items():
        metrics.HANDLED.labels(kind).inc(count)


def _patiently() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(is_outage),
        wait=wait_random_exponential(multiplier=0.05, max=5),
        stop=stop_after_delay(OUTAGE_S),
        reraise=True,
    )


def _unreadable(item: Incoming, topic: str, problem: Any, event_id: UUID) -> UnreadableRecord:
    record = item.record
    cause = item.event.meta.cause if item.event else Cause(event_id, f"{topic}@{record.offset}")
    return UnreadableRecord(
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        code=problem.code,
        detail=problem.detail,
        pointer=problem.pointer,
        cause=cause,
    )
