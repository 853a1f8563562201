"""Producers of others compress as they like; what they send can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local import ensure_topics
from deploy.topics import TopicPlan
from tests.stack.conftest import PLAN, a_topic

if TYPE_CHECKING:
    from deploy.local import Stack


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_a_compressed_record_is_read(stack: Stack, codec: str) -> None:
    kafka = (await stack.up(PLAN)).kafka
    partition = TopicPartition(f"tests.{codec}", 0)
    await ensure_topics(kafka, TopicPlan(topics=(a_topic(partition.topic, partitions=1),)))
    value = b'{"total": 100}' * 100  # Large enough to be smaller in every codec.
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka, compression_type=codec) as producer,
        AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer,
    ):
        await producer.send_and_wait(partition.topic, value, partition=0)
        consumer.assign([partition])
        assert (await consumer.getone(partition)).value == value
