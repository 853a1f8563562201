"""A service of the tests' own, for the machinery alone: it counts what it is told and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import ConsumerRecord

from chassis.handlers import Handlers
from contracts.budget import FundsReleased, FundsSpent
from contracts.codec import encode
from contracts.values import Money, claim_id
from tests.support import given

if TYPE_CHECKING:
    from chassis.db import Tx
    from contracts.envelope import Event

POISONED = "POISONED"  # A `because` that the toy's handler refuses by a code.
BROKEN = "BROKEN"  # A `because` that makes the toy's handler fail as a bug would.


class ToyPoison(Exception):  # noqa: N818
    """What the toy's handler raises on a poisoned event."""

    code = "TOY_POISON"


def a_release(key: str, *, because: str = "TEST", minor: int = 100) -> FundsReleased:
    """An event of one key; the toy copies it into its ledger."""
    return FundsReleased(
        claim_id=claim_id("toy", key),
        revision=1,
        company="C1",
        total=Money(minor, "CNY"),
        was="reserved",
        because=because,
        allocations=[],
    )


def a_spending(event: FundsReleased) -> FundsSpent:
    """What the toy says of an event: a kind it does not listen to."""
    return FundsSpent(
        claim_id=event.claim_id, revision=1, company="C1", total=event.total, allocations=[]
    )


def toy_handlers(*, repaired: bool = False) -> Handlers:
    """Handlers that note each event in `toy_notes` and repeat it on their own stream.

    Repaired ones refuse nothing and have no bug.
    """
    handlers = Handlers()

    @handlers.on(FundsReleased)
    async def note(events: list[FundsReleased], tx: Tx) -> None:
        for event in () if repaired else events:
            if event.because == POISONED:
                raise ToyPoison(str(event.claim_id))
            if event.because == BROKEN:
                raise ZeroDivisionError
        await tx.execute(
            "INSERT INTO toy_notes (key, note) SELECT * FROM unnest($1::text[], $2::text[])",
            [event.key for event in events],
            [event.because for event in events],
        )
        for event in events:
            tx.emit(a_spending(event), because=event)

    return handlers


TOY_SQL = """
CREATE TABLE IF NOT EXISTS toy_notes (
    at bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL, note text NOT NULL)
"""


def record_of(
    event: Event, *, topic: str = "budget.events", partition: int = 0, offset: int = 0
) -> ConsumerRecord[bytes | None, bytes | None]:
    """The event as Kafka would deliver it."""
    try:
        meta = event.meta
    except LookupError:
        meta = given(event).meta
    headers, value = encode(event, meta)
    return raw_record(
        value, headers, key=event.key.encode(), topic=topic, partition=partition, offset=offset
    )


def raw_record(
    value: bytes | None,
    headers: list[tuple[str, bytes | None]] | list[tuple[str, bytes]],
    *,
    key: bytes | None,
    topic: str = "budget.events",
    partition: int = 0,
    offset: int = 0,
) -> ConsumerRecord[bytes | None, bytes | None]:
    """Any record at all."""
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(headers),
    )
