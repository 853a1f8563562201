"""Replay and discard: each letter in a transaction of its own, through the inbox, written down."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import structlog
from opentelemetry import trace

from chassis import metrics, telemetry
from chassis.deadletters import store
from chassis.deadletters.words import class_of, detail_of
from chassis.errors import Poison, code_of, is_outage
from chassis.inbox import admit, admit_edited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from chassis.db import Database, Tx
    from chassis.deadletters.store import Letter
    from chassis.effect import Effect

log = structlog.get_logger()

RUN_S: Final = 20  # One request; a run with more to do is continued by the next.
Outcome = Literal["replayed", "known", "discarded", "failed", "settled", "would-pass", "would-fail"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a person wants done, and who answers for it."""

    run: UUID
    action: Literal["replay", "discard"]
    by: str
    approved_by: str | None
    reason: str
    rehearsed: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one letter."""

    id: UUID
    outcome: Outcome
    code: str | None = None
    detail: str | None = None
    emits: tuple[str, ...] = ()


class _Rehearsed(Exception):  # noqa: N818 - named for what happened
    """A dry run has come to its end: everything is rolled back."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self.kinds = kinds


class Repair:
    """Settles dead letters of one service with its own handlers."""

    def __init__(self, database: Database, effect: Effect) -> None:
        self._database = database
        self._effect = effect

    async def run(
        self, order: Order, ids: Sequence[UUID], rate: int | None
    ) -> AsyncIterator[Result]:
        """Settle letters one after another, at most `rate` a second, for at most RUN_S."""
        started = time.monotonic()
        for nth, letter_id in enumerate(ids):
            if rate:
                await asyncio.sleep(max(0, started + nth / rate - time.monotonic()))
            if time.monotonic() - started > RUN_S:
                return
            with structlog.contextvars.bound_contextvars(run=str(order.run)):
                result = await self._settle(order, letter_id)
            metrics.REPAIRS.labels(order.action, result.outcome).inc()
            log.info(
                "dead letter repair", run=str(order.run), letter=str(letter_id), by=order.by,
                action=order.action, outcome=result.outcome, code=result.code,
            )  # fmt: skip
            yield result

    async def _settle(self, order: Order, letter_id: UUID) -> Result:
        try:
            return await self._settle_now(order, letter_id)
        except _Rehearsed as end:
            return Result(letter_id, "would-pass", emits=end.kinds)
        except Exception as problem:
            if is_outage(problem):
                raise
            code, detail = code_of(problem), detail_of(problem)
            if order.rehearsed:
                return Result(letter_id, "would-fail", code, detail)
            return await self._note_failure(order, letter_id, problem)

    async def _settle_now(self, order: Order, letter_id: UUID) -> Result:
        async with self._database.transaction() as tx:
            letter = await store.lock(tx, letter_id)
            if letter is None or letter.state != "open":
                return Result(letter_id, "settled")
            outcome: Outcome = "discarded"
            if order.action == "replay":
                outcome = "replayed" if await self._replay(tx, letter, order) else "known"
            state = "discarded" if order.action == "discard" else "replayed"
            await store.settle(tx, letter_id, state)
            await _write_down(tx, letter, order, outcome=outcome, state_after=state)
            kinds = tuple(tx.kinds_said())
            if order.rehearsed:
                raise _Rehearsed(kinds)
        return Result(letter_id, outcome, emits=kinds)

    async def _replay(self, tx: Tx, letter: Letter, order: Order) -> bool:
        """Hand the record to its handler; False if the inbox knows it already."""
        if await store.held_by_others(tx, letter):
            detail = "its key waits behind another dead letter; settle that one first"
            raise Poison("KEY_BLOCKED", detail)
        batch = telemetry.start_batch(self._database.service, 1)
        with trace.use_span(batch, end_on_exit=True, record_exception=False):
            item = self._effect.read(letter.record(), batch)
            if item is None:
                raise Poison("TYPE_UNKNOWN", "nobody here listens to this kind any more")
            try:
                if item.span:
                    item.span.set_attribute("ledgerbus.run", str(order.run))
                if item.problem:
                    raise item.problem
                admitting = admit if letter.edited_by is None else admit_edited
                fresh = await self._effect.dispatch(tx, [item], admitting)
                if item.problem:  # The inbox found the id with other bytes.
                    raise item.problem
            finally:
                if item.span:
                    item.span.end()
        return bool(fresh)

    async def _note_failure(self, order: Order, letter_id: UUID, problem: Exception) -> Result:
        code, detail = code_of(problem), detail_of(problem)
        async with self._database.transaction() as tx:
            letter = await store.lock(tx, letter_id)
            if letter is None or letter.state != "open":
                return Result(letter_id, "settled")
            if code != "KEY_BLOCKED":  # That is about another letter.
                await store.fail_again(
                    tx, letter_id, code=code, detail=detail, error_class=class_of(problem)
                )
            await _write_down(
                tx, letter, order, outcome="failed", state_after="open", code=code, detail=detail
            )
        if code == "HANDLER_DEFECT":
            log.error(
                "a replay failed", run=str(order.run), letter=str(letter_id), exc_info=problem
            )
        return Result(letter_id, "failed", code, detail)


async def _write_down(tx: Tx, letter: Letter, order: Order, **act: object) -> None:
    await store.write_down(
        tx,
        letter,
        run_id=order.run,
        action=order.action,
        acted_by=order.by,
        approved_by=order.approved_by,
        reason=order.reason,
        key_after=letter.valid_key,
        value_after=letter.valid_value,
        **act,
    )
