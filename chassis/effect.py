"""What records do inside a transaction: wait, reach their handlers, or become dead letters."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from chassis import metrics, telemetry
from chassis.clock import wall
from chassis.deadletters.burial import blocks_key, bury
from chassis.deadletters.parking import blocked_keys, park, parked_heads, unpark
from chassis.deadletters.words import detail_of
from chassis.errors import code_of, is_outage
from chassis.handlers import Handlers, Incoming, UnreadableRecord, stages
from chassis.inbox import admit
from contracts.envelope import Cause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from chassis.db import Database, Tx

log = structlog.get_logger()


class Effect:
    """The handlers of a service, and what surrounds them in each transaction."""

    def __init__(self, database: Database, handlers: Handlers) -> None:
        self._database = database
        self._handlers = handlers
        self._prefix = database.topic_prefix

    def judge(self, record: Any) -> Incoming | None:
        """The record as an event or a problem, and nothing more."""
        return self._handlers.read(record, record.topic.removeprefix(self._prefix))

    def read(self, record: Any, batch: trace.Span) -> Incoming | None:
        """The record as an event or a problem, with its span; None where nobody here listens."""
        topic = record.topic.removeprefix(self._prefix)
        incoming = self.judge(record)
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
            age = wall() - meta.time
            metrics.EVENT_AGE.labels(topic).observe(max(age.total_seconds(), 0))
        return incoming

    async def handle(self, tx: Tx, items: Sequence[Incoming], defect: BaseException | None) -> int:
        """Let items have their effect, or bury them for a defect; how many reached a handler."""
        if defect is not None:
            for item in items:
                await self._bury(tx, item, defect)
            return 0
        readable, waiting = await self._park_blocked(tx, items)
        fresh = await self.dispatch(tx, readable) if readable else []
        parked = {id(item) for item in waiting}
        problems = [item for item in items if item.problem and id(item) not in parked]
        await self._answer_unreadable(tx, problems)
        return len(fresh)

    async def dispatch(
        self,
        tx: Tx,
        readable: Sequence[Incoming],
        admitting: Callable[[Tx, Sequence[Incoming]], Awaitable[list[Incoming]]] = admit,
    ) -> list[Incoming]:
        """Hand what is fresh to the handlers, kind by kind, no key overtaking itself."""
        fresh = await admitting(tx, readable)
        for stage in stages(fresh):
            for kind, group in stage.items():
                await self._handlers.by_kind[kind]([item.event for item in group], tx)
        tx.after_commit(partial(_count_handled, fresh))
        return fresh

    async def release_parked(self) -> int:
        """Handle the oldest parked event of each key whose dead letters are settled; how many."""
        heads = await parked_heads(self._database)
        for record in heads:
            batch = telemetry.start_batch(self._database.service, 1)
            with trace.use_span(batch, end_on_exit=True):
                await self._release(record, self.read(record, batch), None)
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
                    await self.dispatch(tx, [item])
                await self._answer_unreadable(tx, [item] if item.problem else [])
        except Exception as problem:
            if is_outage(problem) or defect is not None:
                raise
            await self._release(record, item, problem)
        finally:
            if item and item.span:
                item.span.end()

    async def _park_blocked(
        self, tx: Tx, items: Sequence[Incoming]
    ) -> tuple[list[Incoming], list[Incoming]]:
        """The readable events that may be handled, and what waits behind a dead letter of its key.

        What cannot be read waits as well, or it would be judged before what came earlier.
        """
        blocked = await blocked_keys(tx, items)
        waiting: list[Incoming] = []
        readable: list[Incoming] = []
        for item in items:
            holds = item.problem and not self._answers(item)
            if holds and item.problem and not blocks_key(item, item.problem.code):
                continue
            if item.key in blocked and (holds or not item.problem):
                waiting.append(item)
            elif holds and item.key is not None:
                blocked.add(item.key)
            elif not item.problem:
                readable.append(item)
        if waiting:
            await park(tx, waiting)
        return readable, waiting

    def _answers(self, item: Incoming) -> bool:
        return item.record.topic.removeprefix(self._prefix) in self._handlers.by_topic

    async def _bury(self, tx: Tx, item: Incoming, defect: BaseException) -> None:
        code, detail = code_of(defect), detail_of(defect)
        if item.span:
            item.span.set_attribute("error.type", code)
            item.span.set_status(StatusCode.ERROR, detail)
        handler = "decode" if item.problem else item.kind
        await bury(tx, item, defect, handler=handler, service=self._database.service)
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


def _count_handled(items: Sequence[Incoming]) -> None:
    for kind, count in Counter(item.kind for item in items).items():
        metrics.HANDLED.labels(kind).inc(count)


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
