"""Polls that one record cannot stop: what the client library fails to unpack is left behind.

aiokafka decodes header names as UTF-8 inside `getmany` and fails the whole poll where one is not;
the framework would then poll the same record for ever. Such a record is found by polling one by
one, and becomes a dead letter that names its place: its bytes stay on the topic.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiokafka import AIOKafkaConsumer, TopicPartition

log = structlog.get_logger()

PROBE_MS: Final = 500  # Long enough to fetch one record of a partition that has any.
CAREFUL_POLLS: Final = 1_000  # Single records after a failed poll: more than a batch and its twin.


class Polls:
    """Stands in the place of a consumer's `getmany`."""

    def __init__(
        self,
        client: AIOKafkaConsumer,
        rewind: Callable[[], Awaitable[None]],
        leave_behind: Callable[[TopicPartition], Awaitable[None]],
    ) -> None:
        self._client = client
        self._getmany: Callable[..., Awaitable[dict[Any, Any]]] = client.getmany
        self._rewind = rewind
        self._leave_behind = leave_behind
        self._careful = 0
        self.polled_at = time.monotonic()

    async def getmany(self, *partitions: TopicPartition, **options: Any) -> dict[Any, Any]:
        """As the consumer's own; nothing where a record could not be unpacked: it comes again."""
        self.polled_at = time.monotonic()
        if self._careful:
            self._careful -= 1
            options["max_records"] = 1
        try:
            return await self._getmany(*partitions, **options)
        except KafkaError:
            raise  # An outage, or a partition that moved: the framework waits and polls again.
        except ValueError as problem:  # UnicodeDecodeError is one.
            log.warning("a poll could not be unpacked", error=repr(problem))
            if self._careful:
                await self._find()
            self._careful = CAREFUL_POLLS
            await self._rewind()
            return {}

    async def _find(self) -> None:
        """Poll each partition for the record it stands at; leave behind the one that fails."""
        await self._rewind()
        for partition in sorted(self._client.assignment()):
            try:
                await self._getmany(partition, timeout_ms=PROBE_MS, max_records=1)
            except ValueError:
                await self._leave_behind(partition)
