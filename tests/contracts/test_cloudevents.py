"""The official CloudEvents SDK reads what we write, and we read what it writes."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    from_binary_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from contracts.codec import (
    CONTENT_TYPE,
    MAX_BYTES,
    MAX_HEADER_BYTES,
    STRUCTURED,
    Unreadable,
    decode,
    encode,
    kind_of,
)
from contracts.envelope import KINDS, Event, Meta

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
kinds = pytest.mark.parametrize("kind", sorted(KINDS))
KIND = "claims.claim-withdrawn.v1"


def an_event(kind: str = KIND) -> tuple[Event, dict[str, Any]]:
    document = json.loads((EXAMPLES / f"{kind}.json").read_text("utf-8"))
    headers = [(name, text.encode()) for name, text in document["headers"].items()]
    return decode(headers, json.dumps(document["body"]).encode()), document["body"]


def as_official(event: Event, body: dict[str, Any]) -> CloudEvent:
    """The same event, built with the SDK."""
    meta = event.meta
    attributes: dict[str, Any] = {
        "id": str(meta.id),
        "source": meta.source,
        "type": meta.type,
        "specversion": "1.0",
        "subject": meta.subject,
        "time": meta.time,
        "datacontenttype": CONTENT_TYPE,
        "correlationid": meta.correlation_id,
    }
    if meta.causation_id:
        attributes["causationid"] = str(meta.causation_id)
    if meta.traceparent:
        attributes["traceparent"] = meta.traceparent
    return CloudEvent(attributes=attributes, data=body)


@kinds
def test_the_sdk_reads_what_we_write(kind: str) -> None:
    event, body = an_event(kind)
    headers, value = encode(event, event.meta)
    read = from_binary_event(KafkaMessage(headers=dict(headers), key=event.key, value=value))
    assert read.get_data() == body
    assert (read.get_id(), read.get_type()) == (str(event.meta.id), kind)
    assert (read.get_source(), read.get_subject()) == (event.meta.source, event.key)
    assert (read.get_time(), read.get_specversion()) == (event.meta.time, "1.0")
    assert read.get_datacontenttype() == CONTENT_TYPE
    assert read.get_extension("correlationid") == event.meta.correlation_id


@kinds
def test_we_read_what_the_sdk_writes_in_structured_mode(kind: str) -> None:
    event, body = an_event(kind)
    message = to_structured_event(as_official(event, body))
    assert message.headers["content-type"].decode().startswith(STRUCTURED)
    read = decode(list(message.headers.items()), message.value)
    assert read == event
    assert read.meta == event.meta


@kinds
def test_we_read_what_the_sdk_writes_in_binary_mode(kind: str) -> None:
    event, body = an_event(kind)
    message = to_binary_event(as_official(event, body))
    traceless = {"ce_traceparent": "traceparent"}  # The SDK has no plain trace headers.
    headers = [(traceless.get(name, name), value) for name, value in message.headers.items()]
    read = decode(headers, message.value)
    assert read == event
    assert read.meta == event.meta


def headers_with(**changes: bytes | None) -> list[tuple[str, bytes | None]]:
    """The example's headers, some replaced, or left out where None."""
    event, _ = an_event()
    names = {name.replace("-", "_"): (name, value) for name, value in encode(event, event.meta)[0]}
    kept = [pair for name, pair in names.items() if name not in changes]
    return [*kept, *((name, value) for name, value in changes.items() if value is not None)]


def body() -> bytes:
    event, _ = an_event()
    return encode(event, event.meta)[1]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ce_id": None}, "ENVELOPE"),
        ({"ce_id": b"42"}, "ENVELOPE"),
        ({"ce_type": None}, "ENVELOPE"),
        ({"ce_source": b""}, "ENVELOPE"),
        ({"ce_specversion": b"0.3"}, "ENVELOPE"),
        ({"ce_time": None}, "ENVELOPE"),
        ({"ce_time": b"2026-10-12T01:30:00"}, "ENVELOPE"),
        ({"ce_time": b"yesterday"}, "ENVELOPE"),
        ({"ce_causationid": b"42"}, "ENVELOPE"),
        ({"ce_type": b"claims.claim-lost.v1"}, "TYPE_UNKNOWN"),
        ({"ce_subject": b"\xff"}, "HEADER"),
        ({"ce_subject": b"x" * (MAX_HEADER_BYTES + 1)}, "HEADER"),
    ],
)
def test_an_envelope_that_is_none_is_refused(changes: dict[str, bytes | None], code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode(headers_with(**changes), body())
    assert caught.value.code == code


def test_a_repeated_header_is_refused() -> None:
    with pytest.raises(Unreadable) as caught:
        decode([*headers_with(), ("ce_id", b"again")], body())
    assert caught.value.code == "HEADER"
    assert kind_of([("ce_type", b"a"), ("ce_type", b"b")]) is None


def test_a_foreign_header_may_hold_anything() -> None:
    event, _ = an_event()
    strange: list[tuple[str, bytes | None]] = [("x-blob", b"\xff\xfe"), ("x-none", None)]
    assert decode([*headers_with(), *strange, ("x-blob", b"twice")], body()) == event


@pytest.mark.parametrize("traceparent", [b"", b"junk", b"00-" + b"0" * 32 + b"-" + b"0" * 16])
def test_a_malformed_trace_begins_a_new_one(traceparent: bytes) -> None:
    assert decode(headers_with(traceparent=traceparent), body()).meta.traceparent == ""


@pytest.mark.parametrize(
    ("content_type", "value", "code"),
    [
        (b"application/json", None, "TOMBSTONE"),
        (b"application/json", b" " * (MAX_BYTES + 1), "TOO_LARGE"),
        (b"application/avro", b"{}", "CONTENT_TYPE"),
        (STRUCTURED.encode(), b"[]", "ENVELOPE"),
        (STRUCTURED.encode(), b"{}", "ENVELOPE"),
        (STRUCTURED.encode(), b"{", "JSON_MALFORMED"),
        (STRUCTURED.encode(), b'{"id": "1", "id": "2"}', "DUPLICATE_KEY"),
    ],
)
def test_a_body_that_is_none_is_refused(
    content_type: bytes, value: bytes | None, code: str
) -> None:
    plain = [pair for pair in headers_with() if pair[0] != "content-type"]
    if content_type == STRUCTURED.encode():
        plain = []
    with pytest.raises(Unreadable) as caught:
        decode([*plain, ("content-type", content_type)], value)
    assert caught.value.code == code


names = st.sampled_from(
    ["ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion", "content-type", "traceparent"]
)
values = st.none() | st.binary(max_size=40) | st.sampled_from(
    [b"1.0", b"application/json", STRUCTURED.encode(), KIND.encode(), b"2026-10-12T01:30:00Z"]
)  # fmt: skip


@given(
    headers=st.lists(st.tuples(names, values), max_size=9),
    value=st.none() | st.binary(max_size=200) | st.text(max_size=50).map(str.encode),
)
def test_whatever_comes_is_an_event_or_unreadable(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    with suppress(Unreadable):
        assert isinstance(decode(headers, value), Event)


def test_an_event_built_here_has_no_envelope_until_it_was_read() -> None:
    event, _ = an_event()
    built = event.model_copy()
    fresh = type(event).model_validate(event.model_dump())
    assert fresh == event == built
    with pytest.raises(LookupError, match="was built here"):
        _ = fresh.meta
    meta = Meta(UUID(int=1), KIND, "/tests", fresh.key, datetime(2026, 10, 1, tzinfo=UTC))
    assert fresh.with_meta(meta).meta.cause.correlation_id == fresh.key
