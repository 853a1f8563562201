"""Burial: a record becomes a dead letter, catalogued, published on dlq.<service>, its key held."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from chassis import metrics
from chassis.deadletters.words import class_of, detail_of, fingerprint
from chassis.errors import catalogue, code_of
from chassis.inbox import digest_of
from chassis.outbox import OutboxRow, pack
from contracts.codec import MAX_BYTES

if TYPE_CHECKING:
    from chassis.db import Tx
    from chassis.handlers import Incoming

# The story of the key is complete without these: what they say was said before, or says nothing.
_HARMLESS: Final = frozenset({"ID_COLLISION", "TOMBSTONE", "TOPIC_MISMATCH"})


def blocks_key(incoming: Incoming, code: str) -> bool:
    """Whether later events of the record's key must wait for this dead letter to be settled."""
    return incoming.record.key is not None and code not in _HARMLESS


async def bury(
    tx: Tx, incoming: Incoming, problem: BaseException, *, handler: str, service: str
) -> None:
    """Turn a record into a dead letter; its bytes stay as they came, in the table and outside."""
    record = incoming.record
    code = code_of(problem)
    letter = tx.new_id()
    await tx.execute(
        'INSERT INTO dead_letters (id, topic, partition, "offset", key, headers, value, kind, '
        "code, detail, handler, blocks_key, error_class, record_ms, event_id, digest) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        letter,
        record.topic,
        record.partition,
        record.offset,
        record.key,
        pack(record.headers),
        record.value,
        incoming.kind,
        code,
        detail_of(problem),
        handler,
        blocks_key(incoming, code),
        class_of(problem),
        record.timestamp,
        incoming.event.meta.id if incoming.event else None,
        digest_of(record.value),
    )
    topic = f"{tx.topic_prefix}dlq.{service}"
    own = [("dlq-letter-id", str(letter).encode())]
    own += headers_of(tx, incoming, problem, handler=handler, service=service)
    size = len(record.value or b"") + sum(len(name) + len(v or b"") for name, v in record.headers)
    if size > MAX_BYTES:  # With our headers it may be more than a broker takes; the table has all.
        tx.send_raw(OutboxRow.of(topic, record.key, [*own, ("dlq-bytes-left-out", b"true")], b""))
    else:
        value = record.value if record.key is not None else record.value or b""  # Kafka needs one.
        tx.send_raw(OutboxRow.of(topic, record.key, [*own, *record.headers], value))
    tx.after_commit(lambda: metrics.DEAD_LETTERS.labels(code).inc())


def headers_of(
    tx: Tx, incoming: Incoming, problem: BaseException, *, handler: str, service: str
) -> list[tuple[str, bytes]]:
    """What a dead letter says of itself, before the headers of the record it keeps."""
    record = incoming.record
    code = code_of(problem)
    failed_at = tx.now.isoformat()
    told = {
        "original-topic": record.topic,
        "original-partition": str(record.partition),
        "original-offset": str(record.offset),
        "original-timestamp": str(record.timestamp),
        "consumer-group": f"{tx.topic_prefix}{service}",
        "service-version": _version(),
        "handler": handler,
        "error-class": class_of(problem),
        "error-code": code,
        "error-message": json.dumps(detail_of(problem), ensure_ascii=False),
        "attempts": "1",
        "first-failed-at": failed_at,
        "failed-at": failed_at,
        "retryable": str(bool(catalogue().get(code, {}).get("retryable"))).lower(),
        "replay-count": "0",
        "fingerprint": fingerprint(code, handler, incoming.kind),
    }
    return [(f"dlq-{name}", text.encode()) for name, text in told.items()]


@cache
def _version() -> str:
    try:
        return version("ledgerbus")
    except PackageNotFoundError:
        return "unpackaged"
