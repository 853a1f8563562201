"""One claim followed while it moves: a line for every fact about it, as it reaches its topic."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.console import Console  # noqa: TC002 - a field's type
from rich.text import Text

from contracts.codec import kind_of
from contracts.envelope import KINDS
from ledgerbus.kafka import reader
from ledgerbus.reading import FOLD
from ledgerbus.sending import topic_name
from ledgerbus.telling import sentence, service_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaConsumer, ConsumerRecord

    from ledgerbus.addresses import Addresses

PAGE_MS: Final = 200
COLOURS: Final = {
    "claims": "cyan",
    "budget": "yellow",
    "approval": "magenta",
    "posting": "green",
    "reconcile": "blue",
}


@dataclass(slots=True)
class Followed:
    """The claim, and what has been told of it so far."""

    claim: str
    screen: Console
    began: datetime | None = None
    told: list[str] = field(default_factory=list)

    def tell(self, kind: str, body: dict[str, Any], at: datetime) -> None:
        """One line: how long after the first fact, who said it, what it says."""
        self.began = self.began or at
        self.told.append(kind)
        self.screen.print(line_of(kind, body, at - self.began), soft_wrap=True)


def line_of(kind: str, body: dict[str, Any], after: timedelta) -> Text:
    """A fact as one line of a claim's path."""
    service = service_of(kind)
    elapsed = f"+{after / timedelta(milliseconds=1):,.0f} ms"
    return Text.assemble(
        f"  {elapsed:>12}  ", (f"{service:<10}", COLOURS.get(service, "")), sentence(kind, body)
    )


@asynccontextmanager
async def following(where: Addresses, claim: str, screen: Console) -> AsyncIterator[Followed]:
    """Print the claim's facts while the block runs; what came before the block is not printed."""
    followed = Followed(claim, screen)
    topics = [topic_name(topic) for topic in FOLD if topic != "posting.entries"]
    async with reader(where.kafka, topics) as consumer:
        await consumer.seek_to_end()
        for part in consumer.assignment():
            await consumer.position(part)
        consumer.resume(*consumer.assignment())
        task = asyncio.create_task(_follow(consumer, followed))
        try:
            yield followed
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _follow(consumer: AIOKafkaConsumer, followed: Followed) -> None:
    key = followed.claim.encode()
    while True:
        pages = await consumer.getmany(timeout_ms=PAGE_MS)
        mine = [record for page in pages.values() for record in page if record.key == key]
        for record in sorted(mine, key=_moment):
            kind = kind_of(record.headers)
            if kind in KINDS:
                followed.tell(kind, orjson.loads(record.value), _moment(record))


def _moment(record: ConsumerRecord) -> datetime:
    """When the fact was said; when it was published, should its header be unreadable."""
    try:
        return datetime.fromisoformat(dict(record.headers)["ce_time"].decode())
    except (KeyError, ValueError):
        return datetime.fromtimestamp(record.timestamp / 1_000, tz=UTC)
