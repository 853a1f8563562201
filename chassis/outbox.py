"""The outbox: what a transaction said, and the relay that publishes it in order and deletes it."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from chassis import metrics
from chassis.errors import is_outage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from chassis.db import Database

log = structlog.get_logger()

SHARDS: Final = 8  # More than the replicas a service will ever have; each has one owner at a time.
PAGE: Final = 1_000
POLL_S: Final = 0.5  # A wake-up may get lost with its connection; the poll never does.
RETRY_S: Final = 1.0
DRAIN_POLL_S: Final = 0.05  # While stopping: how soon a shard that another relay frees is taken.
_LOCK_CLASS: Final = 7_001  # The advisory lock space of relay shards.

Header = tuple[str, bytes | None]


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record to be published: its shard follows its key, so one relay keeps its order."""

    shard: int
    topic: str
    key: bytes | None
    headers: bytes
    payload: bytes | None

    @classmethod
    def of(
        cls, topic: str, key: bytes | None, headers: Sequence[Header], payload: bytes | None
    ) -> OutboxRow:
        """A row for a record; header values are bytes and survive unchanged."""
        return cls(zlib.crc32(key or b"") % SHARDS, topic, key, pack(headers), payload)


def pack(headers: Sequence[Header]) -> bytes:
    """Headers as one value; every byte survives."""
    return orjson.dumps([(n, None if v is None else v.decode("latin-1")) for n, v in headers])


def unpack(packed: bytes) -> list[Header]:
    """The headers that `pack` packed."""
    return [(n, None if v is None else v.encode("latin-1")) for n, v in orjson.loads(packed)]


async def insert_rows(
    connection: asyncpg.Connection | PoolConnectionProxy, rows: Sequence[OutboxRow]
) -> None:
    """Add rows in the order they were said."""
    await connection.execute(
        "INSERT INTO outbox (shard, topic, key, headers, payload) SELECT * FROM unnest("
        "$1::smallint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])",
        [row.shard for row in rows],
        [row.topic for row in rows],
        [row.key for row in rows],
        [row.headers for row in rows],
        [row.payload for row in rows],
    )


class Relay:
    """Publishes outbox rows in id order and deletes them once Kafka has acknowledged them.

    Each shard has one owner, the holder of its advisory lock. A crash frees the lock, the next
    owner publishes again what was not deleted, and the readers' inboxes drop what they know.
    Who stops stays until all that was committed before is on Kafka, in whosever shard it lies:
    of replicas that stop together the last one publishes what the others have left.
    """

    def __init__(self, database: Database, bootstrap_servers: str) -> None:
        self._database = database
        self._servers = bootstrap_servers
        self._wake = asyncio.Event()
        self._connection: asyncpg.Connection | None = None
        self._producer: AIOKafkaProducer | None = None
        self._shards: set[int] = set()
        self._stopping = False
        self._last: int | None = None  # The newest row when the stop began.

    async def run(self) -> None:
        """Relay until stopped, through every outage of PostgreSQL or Kafka."""
        self._database.on_said = self._wake.set
        try:
            while not self._stopping:
                try:
                    await self._relay()
                except Exception as problem:  # noqa: BLE001 - whatever it was, the relay must go on
                    if not (isinstance(problem, KafkaError) or is_outage(problem)):
                        metrics.RELAY_FAILURES.inc()
                    log.warning("relay interrupted, starting again", error=repr(problem))
                    await self._drop()
                    await self._pause(RETRY_S)
        finally:  # Cancelled or not: a shard that stayed locked would wait for this process's end.
            await self._drop()

    async def stop(self) -> None:
        """Let the relay drain what is committed, then end; the caller bounds the wait."""
        self._stopping = True
        self._wake.set()

    async def _relay(self) -> None:
        connection = self._connection = await self._database.connect()
        await connection.add_listener("outbox", self._notified)
        self._producer = await start_producer(self._servers)
        while True:
            if len(self._shards) < SHARDS:
                await self._claim(connection)
            self._wake.clear()
            if await self._publish_page(connection) == PAGE:
                continue
            if self._stopping and await self._drained(connection):
                return
            await self._pause(DRAIN_POLL_S if self._stopping else POLL_S)

    async def _drained(self, connection: asyncpg.Connection) -> bool:
        """Whether all that was committed before the stop is published, by this relay or another."""
        if self._last is None:
            self._last = await connection.fetchval("SELECT coalesce(max(id), 0) FROM outbox")
        left = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM outbox WHERE id <= $1)", self._last
        )
        return not left

    async def _claim(self, connection: asyncpg.Connection) -> None:
        """Take every shard that nobody owns."""
        rows = await connection.fetch(
            "SELECT shard, pg_try_advisory_lock($1, shard) AS mine FROM unnest($2::int[]) AS shard",
            _LOCK_CLASS,
            [shard for shard in range(SHARDS) if shard not in self._shards],
        )
        self._shards |= {row["shard"] for row in rows if row["mine"]}
        self._database.notify_others = len(self._shards) < SHARDS

    async def _publish_page(self, connection: asyncpg.Connection) -> int:
        rows = await connection.fetch(
            "SELECT id, topic, key, headers, payload FROM outbox "
            "WHERE shard = ANY($1::smallint[]) ORDER BY id LIMIT $2",
            list(self._shards),
            PAGE,
        )
        if not rows:
            return 0
        producer = self._producer
        if producer is None:
            msg = "the relay has no producer"
            raise RuntimeError(msg)
        pending = [
            await producer.send(topic, payload, key=key, headers=_wire(row_id, headers))
            for row_id, topic, key, headers, payload in rows
        ]
        await asyncio.gather(*pending)
        await connection.execute(
            "DELETE FROM outbox WHERE id = ANY($1::bigint[])", [row["id"] for row in rows]
        )
        metrics.RELAYED.inc(len(rows))
        return len(rows)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    def _notified(self, *_: object) -> None:
        self._wake.set()

    async def _drop(self) -> None:
        """Give up the shards and both connections, whatever state they are in."""
        self._shards.clear()
        self._database.notify_others = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), 5)


def _wire(row_id: int, packed: bytes) -> list[Any]:
    """The headers of one row; an event of ours gets its sequence, a dead letter stays as it is."""
    headers = unpack(packed)
    if headers[0][0] == "ce_specversion":
        headers.append(("ce_sequence", b"%020d" % row_id))
    return headers


async def start_producer(bootstrap_servers: str) -> AIOKafkaProducer:
    """A started producer: acknowledged by all replicas, idempotent, batched."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=262_144,
    )
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer
