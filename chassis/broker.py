"""FastStream on aiokafka, with every default that loses messages changed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaAckableMessage

from chassis.consume import Consumer

if TYPE_CHECKING:
    from chassis.db import Database
    from chassis.handlers import Handlers
    from chassis.settings import Settings

log = structlog.get_logger()

RETRY_S: Final = 1.0
STOP_S: Final = 20.0  # Longer than the slowest batch; the process ends anyway after it.


class Intake:
    """The service's place in its consumer group: one subscriber on all the topics it listens to."""

    def __init__(self, database: Database, handlers: Handlers, settings: Settings) -> None:
        self._settings = settings
        self._database = database
        self._topics = [settings.topic_prefix + topic for topic in handlers.topics]
        self._handlers = handlers
        self._broker: KafkaBroker | None = None
        self.consumer = Consumer(database, handlers)

    async def start(self) -> None:
        """Join the group, however long Kafka takes to come up."""
        while self._topics:
            broker = self._subscribe()
            try:
                await broker.start()
            except (KafkaError, OSError) as problem:
                log.warning("Kafka does not answer yet", error=repr(problem))
                with suppress(KafkaError, OSError, TimeoutError):
                    await asyncio.wait_for(broker.stop(), 5)
                await asyncio.sleep(RETRY_S)
            else:
                self._broker = broker
                self.consumer.guard()
                return

    def _subscribe(self) -> KafkaBroker:
        settings = self._settings
        broker = KafkaBroker(
            settings.kafka_bootstrap_servers,
            apply_types=False,
            acks="all",
            enable_idempotence=True,
            allow_auto_create_topics=False,
            graceful_timeout=STOP_S,
            metadata_max_age_ms=10_000,  # A topic made after the service is found this soon.
            logger=logging.getLogger("ledgerbus.broker"),  # Its own logger writes in colour.
            log_level=logging.DEBUG,
        )
        group = settings.topic_prefix + self._database.service
        consumer = self.consumer = Consumer(self._database, self._handlers)

        subscriber = broker.subscriber(
            *self._topics,
            group_id=group,
            group_instance_id=f"{group}-{settings.replica}",
            batch=True,
            max_records=settings.batch_records,
            batch_timeout_ms=settings.batch_wait_ms,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            parser=_as_they_are,
            decoder=_unchanged,
            listener=consumer,
            rebalance_timeout_ms=30_000,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.session_timeout_ms // 5,
        )

        consumer.find_client = lambda: subscriber.consumer

        @subscriber
        async def consume(message: KafkaAckableMessage) -> None:
            await consumer.consume(message.raw_message)

        return broker

    async def stop(self) -> None:
        """Finish the batch in flight and leave; bounded."""
        if self._broker is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._broker.stop(), STOP_S)
            self._broker = None


async def _as_they_are(records: tuple[Any, ...]) -> KafkaAckableMessage:
    """In place of the default parser, which decodes headers and drops a batch where it cannot."""
    first = records[0]
    return KafkaAckableMessage(
        raw_message=records,
        body=[],
        headers={},
        correlation_id="-",
        consumer=FAKE_CONSUMER,  # Nobody acknowledges through the message.
        message_id=f"{first.topic}:{first.partition}:{first.offset}",
    )


async def _unchanged(message: KafkaAckableMessage) -> KafkaAckableMessage:
    return message
