"""After a restore: a database that is older than its own topics takes back what was said since.

Each record that a service publishes carries the number of its outbox row. A number on the service's
own topics that its database has not given yet says that the database was set back. What was read
since then comes again from the stored offsets, but not everything that was decided: a number that
was given, a person's word, a claim taken over HTTP. So before anything is read, decided or said,
the service's own facts are handed to its `own` handlers, and the numbers go on after the last one.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import AIOKafkaConsumer

from chassis.errors import Halted
from chassis.handlers import Incoming, stages
from contracts.codec import Unreadable, decode
from contracts.envelope import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import ConsumerRecord, TopicPartition

    from chassis.db import Database
    from chassis.handlers import Handlers

log = structlog.get_logger()

PAGE: Final = 500
LOOK_BACK: Final = 20  # Records per partition: one somebody else sent again does not hide the rest.
OVERLAP: Final = 100_000  # A backup made under load counts a little further than it has kept.
_NEXT: Final = "pg_get_serial_sequence('outbox', 'id')"
_LOCK: Final = 7_004  # The advisory lock that lets one replica recall while the others wait.


class _Own:
    """A service's own topics, from their first records to where they end now."""

    def __init__(self, client: AIOKafkaConsumer, source: str) -> None:
        self._client = client
        self._source = source.encode()
        self.begins: dict[TopicPartition, int] = {}
        self.ends: dict[TopicPartition, int] = {}

    async def measure(self) -> None:
        parts = list(self._client.assignment())
        self.begins = await self._client.beginning_offsets(parts)
        self.ends = await self._client.end_offsets(parts)

    async def pages(self, starts: dict[TopicPartition, int]) -> AsyncIterator[list[Any]]:
        """All records from some offsets up to the ends; of each partition in order."""
        for part, offset in starts.items():
            self._client.seek(part, offset)
        waiting = {part for part, end in self.ends.items() if starts[part] < end}
        while waiting:
            self._client.pause(*(self._client.assignment() - waiting))
            found = await self._client.getmany(timeout_ms=500, max_records=PAGE)
            for records in found.values():
                yield records
            waiting = {p for p in waiting if await self._client.position(p) < self.ends[p]}
        self._client.resume(*self._client.assignment())

    def number_of(self, record: ConsumerRecord[Any, Any]) -> int:
        """The outbox number of a record of ours; 0 for what others have put there."""
        headers = dict(record.headers)
        number = headers.get("ce_sequence") or b""
        return int(number) if headers.get("ce_source") == self._source and number.isdigit() else 0


async def recall(database: Database, handlers: Handlers, servers: str) -> int:
    """Take back what the service said after its database was saved; how many facts that were.

    Raises Halted when it cannot: the service must then not go on.
    """
    own_kinds = [kind for kind in KINDS if kind.startswith(f"{database.service}.")]
    topics = {KINDS[kind].topic for kind in own_kinds} - handlers.by_topic.keys()
    names = {database.topic_prefix + topic for topic in topics}
    async with _opened(servers, names) as client:
        if client is None:
            return 0
        own = _Own(client, f"/{database.service}")
        await own.measure()
        last = await _last_said(own)
        lock = await database.connect()
        try:
            await lock.execute("SELECT pg_advisory_lock($1)", _LOCK)
            given = int(await lock.fetchval("SELECT last_value FROM outbox_id_seq"))
            if last <= given:
                return 0
            log.warning("the database was restored", given=given, said=last)
            count = await _take_back(database, handlers, own, given)
            await lock.execute(f"SELECT setval({_NEXT}, $1)", last)
        finally:
            await lock.close()
    log.warning("took back what was said after the backup", facts=count)
    return count


@asynccontextmanager
async def _opened(servers: str, names: set[str]) -> AsyncIterator[AIOKafkaConsumer | None]:
    """A client on all partitions of those topics that exist; None if there are none."""
    client = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await client.start()
    try:
        there = sorted(names & await client.topics())
        if there:
            client.subscribe(there)  # Without a group: every partition is its own.
        while there and not client.assignment():
            await client.getmany(timeout_ms=100)
        yield client if there else None
    finally:
        await client.stop()


async def _last_said(own: _Own) -> int:
    starts = {p: max(own.begins[p], end - LOOK_BACK) for p, end in own.ends.items()}
    last = 0
    async for records in own.pages(starts):
        last = max(last, *map(own.number_of, records))
    return last


async def _take_back(database: Database, handlers: Handlers, own: _Own, given: int) -> int:
    if not handlers.by_own:
        msg = f"the database is older than what {database.service} has said since: see restore"
        raise Halted(msg)
    count = 0
    begun: set[tuple[str, int]] = set()
    async for records in own.pages(own.begins):
        part = (records[0].topic, records[0].partition)
        if part not in begun and records[0].offset > 0 and own.number_of(records[0]) > given:
            msg = f"{records[0].topic} no longer holds all that was said after the backup"
            raise Halted(msg)
        begun.add(part)
        fresh = [record for record in records if own.number_of(record) > given - OVERLAP]
        events = [item for record in fresh if (item := _read(handlers, record))]
        async with database.transaction() as tx:
            for stage in stages(events):
                for kind, group in stage.items():
                    await handlers.by_own[kind]([item.event for item in group], tx)
        count += len(events)
    return count


def _read(handlers: Handlers, record: ConsumerRecord[Any, Any]) -> Incoming | None:
    try:
        event = decode(record.headers, record.value)
    except Unreadable:
        return None
    return Incoming(record, event.kind, event) if event.kind in handlers.by_own else None
