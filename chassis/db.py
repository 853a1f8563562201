"""One service's database: transactions that carry what they say, and plain reads."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import uuid_utils

from chassis import metrics, telemetry
from chassis.clock import Clock
from chassis.errors import Poison
from chassis.outbox import OutboxRow, insert_rows, unpack
from contracts.codec import MAX_BYTES, headers_of, kind_of
from contracts.envelope import Cause, Event, Meta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from datetime import datetime

    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection | PoolConnectionProxy

Row = asyncpg.Record
STATEMENT_TIMEOUT_S: Final = 60  # Longer than any batch; a query beyond it hangs.
ACQUIRE_S: Final = 30  # A pool that is empty for longer is held by something that hangs.
LOCK_TIMEOUT_S: Final = 20  # Shorter than the statement's, so that the cause is named.


def columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as one list per column, as unnest takes them: `width` of them, rows or not."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


class Reader:
    """Questions to the database; each method takes SQL and its arguments as asyncpg does."""

    def __init__(self, connection: asyncpg.Connection | PoolConnectionProxy) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """All rows."""
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """The first row, if any."""
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row, if any."""
        return await self._connection.fetchval(sql, *args)


class Tx(Reader):
    """One transaction: what it writes and what it says commit together, or neither does."""

    def __init__(
        self,
        connection: asyncpg.Connection | PoolConnectionProxy,
        *,
        now: datetime,
        source: str,
        topic_prefix: str,
    ) -> None:
        super().__init__(connection)
        self.now = now
        self._source = source
        self.topic_prefix = topic_prefix
        self._said: list[OutboxRow] = []
        self._then: list[Callable[[], None]] = []

    def after_commit(self, act: Callable[[], None]) -> None:
        """Do something (count, mostly) once this transaction has committed; not if it does not."""
        self._then.append(act)

    def committed(self) -> None:
        """Do what waited for the commit."""
        for act in self._then:
            act()

    async def execute(self, sql: str, *args: object) -> str:
        """Run a statement; returns the command tag."""
        return await self._connection.execute(sql, *args)

    def new_id(self) -> UUID:
        """A new UUIDv7: unique, and ordered by time so that indexes grow at their end."""
        return UUID(int=uuid_utils.uuid7().int)

    def emit(self, fact: Event, *, because: Event | Cause | None) -> Cause:
        """Say a fact when this transaction commits; answers the cause for what follows from it.

        `because` an event in hand, or the stored cause of one that waited, continues its trace;
        None begins a story.
        """
        if isinstance(because, Event):
            cause: Cause | None = because.meta.cause
            trace = (because.meta.traceparent, because.meta.tracestate)
        else:
            cause = because
            trace = telemetry.producer_context(fact.topic, fact.key, cause)
        return self._say(fact, cause, trace)

    def emit_after_wait(self, fact: Event, *, because: Cause) -> Cause:
        """Say what a person decided: a new trace, linked to the one that had been waiting."""
        return self._say(fact, because, telemetry.linked_context(fact.topic, fact.key, because))

    def _say(self, fact: Event, cause: Cause | None, trace: tuple[str, str]) -> Cause:
        payload = fact.model_dump_json().encode()
        if len(payload) > MAX_BYTES:
            detail = f"{fact.kind} would have {len(payload)} bytes, at most {MAX_BYTES} are carried"
            raise Poison("TOO_LARGE", detail)
        key = fact.key
        meta = Meta(
            id=self.new_id(),
            type=fact.kind,
            source=self._source,
            subject=key,
            time=self.now,
            correlation_id=cause.correlation_id if cause else key,
            causation_id=cause.event_id if cause else None,
            traceparent=trace[0],
            tracestate=trace[1],
        )
        self._said.append(
            OutboxRow.of(self.topic_prefix + fact.topic, key.encode(), headers_of(meta), payload)
        )
        self.after_commit(metrics.EMITTED.labels(fact.kind).inc)
        return meta.cause

    def send_raw(self, row: OutboxRow) -> None:
        """Publish a record as it is (a dead letter) when this transaction commits."""
        self._said.append(row)

    def kinds_said(self) -> list[str]:
        """The kinds said so far, in order; a raw record goes by its topic."""
        return [kind_of(unpack(row.headers)) or row.topic for row in self._said]

    async def flush(self) -> int:
        """Write what was said into the outbox; the number of rows."""
        said, self._said = self._said, []
        if said:
            await insert_rows(self._connection, said)
        return len(said)


class Database:
    """A pool of connections to one service's database."""

    def __init__(
        self, url: str, *, service: str, topic_prefix: str = "", pool_size: int = 8
    ) -> None:
        self.url = url
        self.service = service
        self.topic_prefix = topic_prefix
        self._pool_size = pool_size
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._clock = Clock()
        self.on_said: Callable[[], None] = lambda: None
        """Called after a commit that said something; the relay sets it to wake up."""
        self.notify_others = True
        """Whether a commit must wake another process's relay; off while this has every shard."""

    async def pool(self) -> asyncpg.Pool:
        """The pool, opened when first needed; raises as asyncpg does while PostgreSQL is away."""
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self.url,
                    min_size=2,
                    max_size=self._pool_size,
                    max_inactive_connection_lifetime=300,
                    command_timeout=STATEMENT_TIMEOUT_S,
                    server_settings={
                        "application_name": f"ledgerbus-{self.service}",
                        "lock_timeout": f"{LOCK_TIMEOUT_S}s",
                        "timezone": "UTC",
                        "jit": "off",
                    },
                )
            return self._pool

    async def connect(self) -> asyncpg.Connection:
        """A connection of its own, for locks that outlive a transaction."""
        return await asyncpg.connect(self.url, command_timeout=STATEMENT_TIMEOUT_S)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One read-committed transaction; its outbox rows are written just before it commits."""
        pool = await self.pool()
        async with pool.acquire(timeout=ACQUIRE_S) as connection:
            now = await self._clock.now(connection)
            async with connection.transaction():
                tx = Tx(
                    connection,
                    now=now,
                    source=f"/{self.service}",
                    topic_prefix=self.topic_prefix,
                )
                yield tx
                said = await tx.flush()
                if said and self.notify_others:
                    await connection.execute("SELECT pg_notify('outbox', '')")
            tx.committed()
            if said:
                self.on_said()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """A connection for questions, each seeing what has committed before it."""
        pool = await self.pool()
        async with pool.acquire(timeout=ACQUIRE_S) as connection:
            yield Reader(connection)

    async def close(self) -> None:
        """Close all connections within five seconds, by force if need be."""
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()
        self._pool = None
