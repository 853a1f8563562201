"""Waiting until nothing is under way: every consumer has read everything, and nobody says more."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from ledgerbus.errors import CommandError, Exit
from ledgerbus.kafka import committed, reader, stretches
from ledgerbus.reading import ENDS
from ledgerbus.sending import topic_name

if TYPE_CHECKING:
    from ledgerbus.addresses import Addresses

LOOK_S: Final = 1  # Longer than a relay sleeps: what waits in an outbox is out by the next look.
WITHIN_S: Final = 180

Ends = dict[tuple[str, int], int]


async def quiet(where: Addresses, *, within_s: float = WITHIN_S) -> None:
    """Return when two looks in a row find the same ends and no lag; an error names who lags."""
    deadline = time.monotonic() + within_s
    topics = [topic_name(topic) for topic in ENDS]
    before: Ends = {}
    async with reader(where.kafka, topics) as consumer:
        while True:
            found = await stretches(consumer, topics)
            ends = {(part.topic, part.partition): part_of.end for part, part_of in found.items()}
            behind = await lags(where, ends)
            if ends == before and not behind:
                return
            if time.monotonic() > deadline:
                who = ", ".join(f"{group} by {count} records" for group, count in behind.items())
                raise CommandError(
                    f"the system was not quiet within {within_s:.0f} s",
                    why=f"behind: {who}" if who else "new events kept coming",
                    fix="see `ledgerbus status`, the services' logs, or `ledgerbus tail --follow`",
                    code=Exit.FAILED,
                )
            before = ends
            await asyncio.sleep(LOOK_S)


async def lags(where: Addresses, ends: Ends) -> dict[str, int]:
    """By service, how many records of the topics it reads it has not committed yet."""
    behind: dict[str, int] = {}
    for service in where.services:
        marks = await committed(where.kafka, topic_name(service))
        lag = sum(max(0, ends[part] - mark) for part, mark in marks.items() if part in ends)
        if lag:
            behind[service] = lag
    return behind
