"""Topics on a broker: made as the plan says, never deleted, drift reported.

"Ready" for Kafka means more than an open port: every topic has leaders and groups can be joined.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from deploy.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from deploy.topics import Topic, TopicPlan

READY_S = 60
ASK_EVERY = 30  # Turns: a broker that is creating the topic complains about every further call.
OFFSETS = "__consumer_offsets"
TOPIC_EXISTS = 36  # Kafka's error code; somebody else was quicker, which is what was wanted.


async def ensure_topics(bootstrap_servers: str, plan: TopicPlan) -> list[str]:
    """Make the broker match the plan where that loses nothing; say where it still differs."""
    async with _admin(bootstrap_servers) as admin:
        standing = await _partitions(admin)
        await _create(admin, [topic for topic in plan.topics if topic.name not in standing])
        kept = [topic for topic in plan.topics if topic.name in standing]
        await _widen(admin, [topic for topic in kept if topic.partitions > standing[topic.name]])
        await _until_ready(admin, plan.names)
        return _narrower(kept, standing) + await _differing(admin, kept)


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[Any]:
    admin = await reach(bootstrap_servers)
    try:
        yield admin
    except KafkaError as fault:
        raise StackError(
            f"Kafka at {bootstrap_servers} refused to show or change its topics",
            why=f"{type(fault).__name__}: {fault}",
            fix="see that the broker is up and its user may manage topics, then start again",
        ) from fault
    finally:
        await admin.close()


async def reach(bootstrap_servers: str, *, within_s: int = READY_S) -> Any:
    """A connected client; a broker that has just begun to listen is given time to answer."""
    fault: Exception | None = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
                try:
                    await admin.start()
                except (KafkaError, OSError) as refused:
                    fault = refused
                    await admin.close()
                    await asyncio.sleep(0.2)
                else:
                    return admin
    except TimeoutError:
        raise StackError(
            f"Kafka at {bootstrap_servers} does not answer",
            why=str(fault or f"no reply within {within_s} s"),
            fix="see that the address is right and the broker is up, then start again",
        ) from fault


async def _partitions(admin: Any) -> dict[str, int]:
    described = await admin.describe_topics()
    return {each["topic"]: len(each["partitions"]) for each in described}


async def _create(admin: Any, missing: list[Topic]) -> None:
    if not missing:
        return
    wanted = [
        NewTopic(t.name, t.partitions, t.replication, topic_configs=t.settings()) for t in missing
    ]
    answer = await admin.create_topics(wanted)
    _check("created", (each[:3] for each in answer.topic_errors))


async def _widen(admin: Any, narrow: list[Topic]) -> None:
    if not narrow:
        return
    answer = await admin.create_partitions({t.name: NewPartitions(t.partitions) for t in narrow})
    _check("given more partitions", answer.topic_errors)


def _check(deed: str, answers: Iterable[tuple[str, int, str | None]]) -> None:
    for name, code, message in answers:
        if code not in (0, TOPIC_EXISTS):
            raise StackError(
                f"Topic {name} could not be {deed}",
                why=message or for_code(code).__name__,
                fix="correct deploy/topics.yaml or the broker's limits, then start again",
            )


async def _until_ready(admin: Any, names: tuple[str, ...]) -> None:
    waiting: list[str] = []
    try:
        async with asyncio.timeout(READY_S):
            for turn in count():
                if turn % ASK_EVERY == 0:
                    # Whoever asks first makes the broker create the topic of the groups' offsets.
                    await _coordinates(admin)
                waiting = await _leaderless(admin, (*names, OFFSETS))
                if not waiting:
                    break
                await asyncio.sleep(0.1)
            waiting = ["the group coordinator"]
            while not await _coordinates(admin):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise StackError(
            "Kafka is up but not ready",
            why=f"after {READY_S} s still waiting for {', '.join(waiting) or 'its answer'}",
            fix="read the broker's log; on a loaded machine start again",
        ) from None


async def _coordinates(admin: Any) -> bool:
    try:
        await admin.find_coordinator("ledgerbus-ready")
    except KafkaError:
        return False
    return True


async def _leaderless(admin: Any, names: tuple[str, ...]) -> list[str]:
    described = await admin.describe_topics(list(names))
    return [f"a leader of {each['topic']}" for each in described if not _is_led(each)]


def _is_led(described: dict[str, Any]) -> bool:
    partitions = described["partitions"]
    return (
        described["error_code"] == 0
        and bool(partitions)
        and all(each["error_code"] == 0 and each["leader"] >= 0 for each in partitions)
    )


def _narrower(kept: list[Topic], standing: dict[str, int]) -> list[str]:
    return [
        f"{t.name} has {standing[t.name]} partitions, the plan says {t.partitions}"
        for t in kept
        if t.partitions < standing[t.name]
    ]


async def _differing(admin: Any, kept: list[Topic]) -> list[str]:
    if not kept:
        return []
    keys = {t.name: t.settings() for t in kept}
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(s)) for name, s in keys.items()
    ]
    drift: list[str] = []
    for answer in await admin.describe_configs(resources):
        for _code, _message, _type, name, entries in answer.resources:
            standing = {entry[0]: entry[1] for entry in entries}
            drift += [
                f"{name} has {key}={standing.get(key)}, the plan says {wanted}"
                for key, wanted in keys[name].items()
                if standing.get(key) != wanted
            ]
    return drift
