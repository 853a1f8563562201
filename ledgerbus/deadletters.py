"""Dead letters in a proof: which of them a service has left undone, and nobody has settled.

One that holds up its key is not judged here: while it is open its service's invariants name it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from contracts.claims import SubmitClaim
from contracts.envelope import KINDS
from ledgerbus.kafka import stretches
from ledgerbus.sending import topic_name

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

    from ledgerbus.calls import Services

Document = dict[str, Any]


class DeadLetter(NamedTuple):
    """A record that a service could not handle: who, where it lies, and why."""

    service: str
    position: str
    code: str
    detail: str


async def buried(consumer: AIOKafkaConsumer, topic: str) -> int:
    """How many dead letters a service has ever published, as far as its topic reaches back."""
    return sum(part.end - part.start for part in (await stretches(consumer, [topic])).values())


async def left_undone(running: Services, service: str) -> list[DeadLetter]:
    """The open dead letters by which something said was left undone; settled ones are done with."""
    return [
        DeadLetter(service, item["position"], item["code"], item["detail"])
        async for item in running.items(service, "/v1/dead-letters", state="open")
        if leaves_undone(item)
    ]


def leaves_undone(letter: Document) -> bool:
    """Whether it was an event of ours that nobody else accounts for.

    What comes in on the intake topic is answered with a refusal, a tombstone says nothing, and what
    names no kind of ours is no fact of ours.
    """
    if letter["blocks_key"] or letter["code"] == "TOMBSTONE":
        return False
    if letter["topic"] == topic_name(SubmitClaim.topic):
        return False
    return bool(letter["structured"] or letter["kind"] in KINDS)
