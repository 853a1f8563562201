"""Records that come again, late and out of order: what a publisher's restart does, on purpose."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ledgerbus.errors import CommandError
from ledgerbus.kafka import Stretch, reader, records, stretches

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from chaos.system import System

FAR: Final = 400  # Records back from the end of a partition.
MANY: Final = 40


class Republish:
    """Records of a service's stream published again as they are: old ones, after newer ones."""

    def __init__(self, system: System, service: str, variant: int) -> None:
        self._system, self._topic = system, f"{service}.events"
        self._random = Random(f"again {service} {variant}")

    async def inject(self) -> None:
        """Read some, and publish them once more in another order."""
        with suppress(CommandError, KafkaError, OSError):
            found = await self._some()
            producer: Any = AIOKafkaProducer(bootstrap_servers=self._system.kafka, acks="all")
            try:
                await producer.start()
                for record in found:
                    await producer.send_and_wait(
                        self._topic, record.value, key=record.key, headers=list(record.headers)
                    )
                    self._system.tally["records republished"] += 1
            finally:
                await producer.stop()

    async def heal(self) -> None:
        """Nothing to do: whoever reads them again has to know them."""

    async def _some(self) -> list[ConsumerRecord]:
        found: list[ConsumerRecord] = []
        async with reader(self._system.kafka, [self._topic]) as consumer:
            whole = await stretches(consumer, [self._topic])
            wanted = {
                part: Stretch(max(each.start, each.end - FAR), each.end)
                for part, each in whole.items()
            }
            async for page in records(consumer, wanted):
                found += page
        return self._random.sample(found, min(MANY, len(found)))
