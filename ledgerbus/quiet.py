"""Waiting until nothing is under way: every consumer has read everything, and nobody says more."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from aiokafka.admin import AIOKafkaAdminClient

from ledgerbus.errors import CommandError, Exit
from ledgerbus.groups import Behind, behind, subscriptions
from ledgerbus.kafka import reader, stretches
from ledgerbus.reading import ENDS
from ledgerbus.sending import topic_name

if TYPE_CHECKING:
    from aiokafka import TopicPartition

    from ledgerbus.addresses import Addresses

LOOK_S: Final = 1  # Longer than a relay sleeps: what waits in an outbox is out by the next look.
WITHIN_S: Final = 180

Ends = dict["TopicPartition", int]


async def quiet(where: Addresses, *, within_s: float = WITHIN_S) -> None:
    """Return when two looks in a row find the same ends and no lag; an error names who lags."""
    deadline = time.monotonic() + within_s
    topics = [topic_name(topic) for topic in ENDS]
    before: Ends = {}
    admin = AIOKafkaAdminClient(bootstrap_servers=where.kafka)
    async with reader(where.kafka, topics) as consumer:
        await admin.start()
        try:
            while True:
                found = await stretches(consumer, topics)
                ends = {part: stretch.end for part, stretch in found.items()}
                lags = await _lags(admin, where, ends)
                if ends == before and not lags:
                    return
                if time.monotonic() > deadline:
                    raise _restless(lags, within_s)
                before = ends
                await asyncio.sleep(LOOK_S)
        finally:
            await admin.close()


async def _lags(admin: AIOKafkaAdminClient, where: Addresses, ends: Ends) -> list[Behind]:
    """What any service has still to read, by the topics it listens to."""
    lags: list[Behind] = []
    for service in where.services:
        group = topic_name(service)
        lags += await behind(admin, group, ends, await subscriptions(admin, group))
    return lags


def _restless(lags: list[Behind], within_s: float) -> CommandError:
    who = ", ".join(f"{each.group} by {each.records} records of {each.topic}" for each in lags)
    return CommandError(
        f"the system was not quiet within {within_s:.0f} s",
        why=f"behind: {who}" if who else "new events kept coming",
        fix="see `ledgerbus status` and the services' logs, or `ledgerbus tail --follow`",
        code=Exit.FAILED,
    )
