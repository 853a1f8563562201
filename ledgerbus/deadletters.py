"""Dead letters as the topics tell them: which of them a service has left undone for good.

One that holds up its key is not judged here: while it is open its service's invariants name it, and
only the service knows when a person has settled it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contracts.claims import SubmitClaim
from contracts.codec import STRUCTURED
from contracts.envelope import KINDS
from ledgerbus.kafka import records, stretches
from ledgerbus.sending import topic_name

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, ConsumerRecord

# The codes of dead letters that never hold up their key.
UNBLOCKING: Final = frozenset({"ID_COLLISION", "TOMBSTONE", "TOPIC_MISMATCH"})
SHOWN: Final = 200


class DeadLetter(NamedTuple):
    """A record that a service could not handle: who, where it lies, and why."""

    service: str
    position: str
    code: str
    detail: str


async def dead_letters(
    consumer: AIOKafkaConsumer, service: str, topic: str
) -> tuple[int, list[DeadLetter]]:
    """How many dead letters a service has, and those by which something said was left undone."""
    held = await stretches(consumer, [topic])
    undone = []
    async for page in records(consumer, held):
        for record in page:
            headers = first_headers(record)
            if leaves_undone(record, headers):
                undone.append(told(service, headers))
    return sum(part.end - part.start for part in held.values()), undone


def leaves_undone(record: ConsumerRecord, headers: dict[str, str]) -> bool:
    """Whether it was an event of ours that nobody else accounts for.

    What comes in on the intake topic is answered with a refusal, a tombstone says nothing, and what
    names no kind of ours is no fact of ours.
    """
    code = headers.get("dlq-error-code", "")
    if record.key is not None and code not in UNBLOCKING:
        return False
    if headers.get("dlq-original-topic") == topic_name(SubmitClaim.topic) or code == "TOMBSTONE":
        return False
    structured = headers.get("content-type", "").startswith(STRUCTURED)
    return structured or headers.get("ce_type") in KINDS


def told(service: str, headers: dict[str, str]) -> DeadLetter:
    """The dead letter in words."""
    names = ("topic", "partition", "offset")
    topic, partition, offset = (headers.get(f"dlq-original-{name}", "?") for name in names)
    detail = headers.get("dlq-error-message", "").strip('"')[:SHOWN]
    code = headers.get("dlq-error-code", "?")
    return DeadLetter(service, f"{topic}/{partition}@{offset}", code, detail)


def first_headers(record: ConsumerRecord) -> dict[str, str]:
    """The headers as text; a service's own stand before those of the record it could not handle."""
    headers: dict[str, str] = {}
    for name, value in record.headers:
        headers.setdefault(name, (value or b"").decode(errors="replace"))
    return headers
