"""Which dead letters are a fault that nobody else tells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiokafka import ConsumerRecord

from contracts.codec import STRUCTURED
from contracts.posting import EntryPosted
from ledgerbus.deadletters import first_headers, leaves_undone, told

Headers = dict[str, bytes]
POSTED: Headers = {"ce_type": EntryPosted.kind.encode()}


def a_dead_letter(
    code: str, headers: Headers, *, key: bytes | None, topic: str = "posting.events"
) -> ConsumerRecord[bytes | None, bytes | None]:
    """A record on a dead letter topic, as a service writes it: its own headers first."""
    own = {
        "dlq-original-topic": topic.encode(),
        "dlq-original-partition": b"3",
        "dlq-original-offset": b"17",
        "dlq-error-code": code.encode(),
        "dlq-error-message": b'"total is missing"',
    }
    return ConsumerRecord(
        topic="dlq.budget",
        partition=0,
        offset=0,
        timestamp=0,
        timestamp_type=0,
        key=key,
        value=b"{}",
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=2,
        headers=(*own.items(), *headers.items()),
    )


UNDONE: list[tuple[str, Headers, bytes | None]] = [
    ("SCHEMA_INVALID", POSTED, None),
    ("HANDLER_DEFECT", POSTED, None),
    ("ID_COLLISION", POSTED, b"k"),
    ("TOPIC_MISMATCH", POSTED, b"k"),
    ("SCHEMA_INVALID", {"content-type": STRUCTURED.encode()}, None),
]


@pytest.mark.parametrize(("code", "headers", "key"), UNDONE)
def test_an_event_of_ours_that_nobody_took_is_left_undone(
    code: str, headers: Headers, key: bytes | None
) -> None:
    record = a_dead_letter(code, headers, key=key)
    assert leaves_undone(record, first_headers(record))
    letter = told("budget", first_headers(record))
    assert letter == ("budget", "posting.events/3@17", code, "total is missing")


ACCOUNTED: list[tuple[str, str, Headers, bytes | None, str]] = [
    ("its service names it while it is open", "SCHEMA_INVALID", POSTED, b"k", "posting.events"),
    ("claims refuses it", "ID_COLLISION", POSTED, b"k", "claims.intake"),
    ("it says nothing", "TOMBSTONE", POSTED, b"k", "posting.events"),
    ("it names no kind", "ENVELOPE", {}, None, "posting.events"),
    ("it is no kind of ours", "TYPE_UNKNOWN", {"ce_type": b"no.kind.v1"}, None, "posting.events"),
]


@pytest.mark.parametrize(("why", "code", "headers", "key", "topic"), ACCOUNTED)
def test_what_others_account_for_is_not_told_twice(
    why: str, code: str, headers: Headers, key: bytes | None, topic: str
) -> None:
    record = a_dead_letter(code, headers, key=key, topic=topic)
    assert not leaves_undone(record, first_headers(record)), why


def test_a_record_cannot_speak_for_the_service_that_buried_it() -> None:
    forged = POSTED | {"dlq-original-topic": b"claims.intake", "dlq-error-code": b"TOMBSTONE"}
    record = a_dead_letter("ID_COLLISION", {}, key=b"k")
    record = replace(record, headers=(*record.headers, *forged.items()))
    assert leaves_undone(record, first_headers(record))
