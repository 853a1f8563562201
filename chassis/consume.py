"""One consumer: poll, decode, stage, one transaction, commit; retry outages, isolate defects."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from opentelemetry import trace
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from chassis import metrics, telemetry
from chassis.effect import Effect
from chassis.errors import Fenced, Halted, code_of, is_outage
from chassis.handlers import Handlers, Incoming
from chassis.inbox import fence, stored_offsets
from chassis.polling import Polls
from contracts.codec import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaConsumer

    from chassis.db import Database

log = structlog.get_logger()

OUTAGE_S: Final = 120  # Below max.poll.interval (300 s): then rewind and poll again, never lost.
BREAKER_MIN: Final = 20  # Fewer defects than this say nothing about the handler.


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types.
    """Carries records of one group through the handlers, exactly once in their effect."""

    def __init__(self, database: Database, handlers: Handlers) -> None:
        self._database = database
        self.effect = Effect(database, handlers)
        self._gate = asyncio.Lock()  # Held while a batch is in flight.
        self._known: dict[TopicPartition, int] = {}  # The next offset, as this member last saw it.
        self._sought: dict[TopicPartition, int] = {}  # Where the last seek went, until read from.
        self._defects = self._carried = 0  # Of the batch in flight: failed, and committed in all.
        self._in_a_row = 0  # Defects since a handler last took an event, across batches.
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
        incoming = [self.effect.read(record, batch) for record in records]
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
        self._in_a_row += 1
        if self._in_a_row >= BREAKER_MIN:
            msg = f"{self._in_a_row} records in a row failed, and none was handled between them"
            raise Halted(msg)
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
        handled = 0
        async for attempt in _patiently():
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    metrics.RETRIES.inc()
                async with self._database.transaction() as tx:
                    await fence(tx, self._known, ends)
                    if items:
                        handled = await self.effect.handle(tx, items, defect)
        if handled:
            self._in_a_row = 0  # The handlers work: what failed before was about its records.
        self._known.update(ends)
        self._carried += len(records)

    async def release_parked(self) -> int:
        """Handle the oldest parked event of each key whose dead letters are settled; how many."""
        return await self.effect.release_parked()

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
