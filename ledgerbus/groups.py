"""Consumer groups from the outside: who listens to which topics, and how far behind it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka import TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient


class Behind(NamedTuple):
    """A group that has records of a topic still to apply."""

    group: str
    topic: str
    records: int


async def subscriptions(admin: AIOKafkaAdminClient, group: str) -> set[str]:
    """The topics that the living members of a group listen to; none while it has no members."""
    topics: set[str] = set()
    for response in await admin.describe_consumer_groups([group]):
        for _, _, _, _, _, members, *_ in response.groups:
            for _, _, _, metadata, _ in members:
                if metadata:
                    member = ConsumerProtocolMemberMetadata.decode(bytes(metadata))
                    topics |= set(member.subscription)
    return topics


async def behind(
    admin: AIOKafkaAdminClient,
    group: str,
    ends: Mapping[TopicPartition, int],
    topics: Iterable[str],
) -> list[Behind]:
    """What of these topics, up to these ends, a group has not committed yet."""
    committed = await admin.list_consumer_group_offsets(group)
    left = []
    for topic in sorted(topics):
        missing = 0
        for part, end in ends.items():
            if part.topic == topic:
                mark = committed.get(part)
                missing += max(0, end - (mark.offset if mark else 0))
        if missing:
            left.append(Behind(group, topic, missing))
    return left
