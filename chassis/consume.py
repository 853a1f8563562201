"""One consumer: poll, decode, stage, one transaction, commit; retry outages, isolate defects."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from chassis import metrics, telemetry
from chassis.errors import Fenced, Halted, code_of, is_outage
from chassis.handlers import Handlers, Incoming, UnreadableRecord, stages
from chassis.inbox import admit, blocked_keys, bury, fence, park, stored_offsets
from contracts.envelope import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from aiokafka import AIOKafkaConsumer, ConsumerRecord

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
        self._defects = 0  # Records of the batch in flight that failed in a handler …
        self._carried = 0  # … and all that are committed, dead letters included.
        self.find_client: Callable[[], AIOKafkaConsumer | None] = lambda: None
        self.joined = False
        self.halted = ""

    @property
    def client(self) -> AIOKafkaConsumer | None:
        """The aiokafka consumer behind the subscriber, once it is started."""
        return self.find_client()

    async def on_partitions_revoked(self, _: list[TopicPartition]) -> None:
        """Wait for the batch in flight before giving partitions away."""
        async with self._gate:
            self._known.clear()

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Read on where the database says, whatever the group's committed offsets are."""
        metrics.REBALANCES.inc()
        async for attempt in _patiently():
            with attempt:
                await self._rewind(list(assigned))
        self.joined = True

    async def _rewind(self, partitions: list[TopicPartition]) -> None:
        client = self.client
        if client is None or not partitions:
            return
        offsets = await stored_offsets(self._database, partitions)
        for partition, offset in offsets.items():
            client.seek(partition, offset)
        self._known.update(offsets)
        self._sought.update(offsets)

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
                self.halted = str(problem)
                metrics.HALTED.set(1)
                log.critical("consumer halted", reason=self.halted)
                await self._rewind_all()
            except Exception as problem:  # noqa: BLE001 - the one place where the unforeseen ends
                metrics.FENCED.inc() if isinstance(problem, Fenced) else metrics.RETRIES.inc()
                log.warning("batch given back", error=repr(problem), records=len(records))
                await self._rewind_all()
            metrics.BATCH_RECORDS.observe(len(records))
            metrics.BATCH_SECONDS.observe(time.perf_counter() - started)

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
                self._count_defect()
                await self._transact(records, incoming, problem)
                return
            middle = len(records) // 2
            await self._process(records[:middle], incoming[:middle])
            await self._process(records[middle:], incoming[middle:])

    def _count_defect(self) -> None:
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
        readable = [item for item in items if item.event and not item.problem]
        blocked = await blocked_keys(tx, readable)
        if blocked:
            await park(tx, [item for item in readable if item.key in blocked])
            readable = [item for item in readable if item.key not in blocked]
        if readable:
            fresh = await admit(tx, readable)
            for stage in stages(fresh):
                for kind, group in stage.items():
                    await self._handlers.by_kind[kind]([item.event for item in group], tx)
            for kind in (item.kind for item in fresh):
                metrics.HANDLED.labels(kind).inc()
        await self._answer_unreadable(tx, [item for item in items if item.problem])

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
            else:
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
