from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from contracts.claims import SubmitClaim
from contracts.codec import headers_of
from contracts.values import claim_id
from ledgerbus.errors import CommandError, Exit
from ledgerbus.publish import changed, kind_named, letter_of
from ledgerbus.sending import meta_of
from ledgerbus.tail import Wanted, line_of, moment

AT = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)


def a_body(**fields: Any) -> dict[str, Any]:
    price = {"amount": "10.00", "currency": "CNY"}
    line = {
        "line": 1,
        "category": "travel",
        "date": "2026-10-02",
        "net": price,
        "tax": {"amount": "0.00", "currency": "CNY"},
        "gross": price,
        "cost_center": "GM",
    }
    command = {
        "source": "made",
        "source_key": "M-1",
        "company": "QHCK",
        "employee": "E1001",
        "paid_by": "employee",
        "lines": [line],
        "total": price,
    }
    body: dict[str, Any] = json.loads(json.dumps(command | fields))
    return body


def a_record(
    body: bytes | None, *, key: bytes = b"M-1", more: dict[str, bytes] | None = None
) -> ConsumerRecord[bytes | None, bytes | None]:
    meta = meta_of(
        SubmitClaim.kind, "claims.intake", key="M-1", subject=str(claim_id("made", "M-1"))
    )
    marks = dict(headers_of(meta)) | (more or {})
    return ConsumerRecord(
        topic="claims.intake",
        partition=3,
        offset=120,
        timestamp=int(AT.timestamp() * 1000),
        timestamp_type=0,
        key=key,
        value=body,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(marks.items()),
    )


@pytest.mark.parametrize("name", ["claims.submit-claim.v1", "submit-claim", "submit-claim.v1"])
def test_a_kind_answers_to_its_short_names(name: str) -> None:
    assert kind_named(name) is SubmitClaim


def test_a_mistyped_kind_is_answered_with_its_neighbours() -> None:
    with pytest.raises(CommandError, match="submit-claim") as problem:
        kind_named("submit-clam")
    assert problem.value.code == Exit.NOT_FOUND


def test_a_letter_carries_the_contracts_key_and_the_claims_id() -> None:
    letter = letter_of(SubmitClaim, json.dumps(a_body()).encode(), key=None, raw=False)
    assert (letter.key, letter.claim) == ("M-1", str(claim_id("made", "M-1")))
    assert letter.meta.subject == letter.claim
    told = letter.plain(sent=True)
    assert told["event_id"] == str(letter.meta.id)
    assert "body" not in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("total.amount=12.5", "SCALE at /total"),
        ("total.currency=XXX", "CURRENCY_UNKNOWN at /total"),
        ("note=hello", "SCHEMA_INVALID at /note"),
        ("lines.0.date=tomorrow", "SCHEMA_INVALID at /lines/0/date"),
    ],
)
def test_a_body_that_breaks_the_contract_is_not_published(change: str, told: str) -> None:
    body = json.dumps(changed(a_body(), [change])).encode()
    with pytest.raises(CommandError, match=told) as problem:
        letter_of(SubmitClaim, body, key=None, raw=False)
    assert problem.value.code == Exit.INVALID


def test_a_name_that_stands_twice_is_not_published() -> None:
    body = json.dumps(a_body()).encode().replace(b'{"source"', b'{"source": "a", "source"')
    with pytest.raises(CommandError, match="DUPLICATE_KEY"):
        letter_of(SubmitClaim, body, key=None, raw=False)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", json.dumps({"a": 1}).encode()])
def test_raw_sends_whatever_it_is_given(body: bytes) -> None:
    letter = letter_of(SubmitClaim, body, key="any", raw=True)
    assert (letter.key, letter.body, letter.claim) == ("any", body, "")
    assert letter.plain(sent=False)["headers"]["ce_type"] == SubmitClaim.kind


def test_a_change_keeps_texts_texts_and_reads_everything_else_as_json() -> None:
    body = changed(
        a_body(revision=1),
        ["lines.0.gross.amount=12.50", "revision=2", "purpose=a=b", 'lines.0.original={"x": 1}'],
    )
    assert body["lines"][0]["gross"]["amount"] == "12.50"
    assert body["revision"] == 2
    assert body["purpose"] == "a=b"
    assert body["lines"][0]["original"] == {"x": 1}


@pytest.mark.parametrize("change", ["lines.7.date=x", "purpose", "total.amount.x=1", "lines.a=1"])
def test_a_change_to_nowhere_is_a_usage_error(change: str) -> None:
    with pytest.raises(CommandError, match="cannot be set") as problem:
        changed(a_body(), [change])
    assert problem.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("10m", datetime(2026, 10, 1, 11, 50, tzinfo=UTC)),
        ("90s", datetime(2026, 10, 1, 11, 58, 30, tzinfo=UTC)),
        ("2h", datetime(2026, 10, 1, 10, 0, tzinfo=UTC)),
        ("3d", datetime(2026, 9, 28, 12, 0, tzinfo=UTC)),
        ("2026-10-01T08:00:00Z", datetime(2026, 10, 1, 8, 0, tzinfo=UTC)),
        ("2026-10-01T08:00:00+08:00", datetime(2026, 10, 1, 0, 0, tzinfo=UTC)),
        ("2026-10-01", datetime(2026, 10, 1, 0, 0, tzinfo=UTC)),
    ],
)
def test_times_as_people_write_them(written: str, instant: datetime) -> None:
    assert moment(written, AT) == instant


def test_a_time_that_is_none_is_a_usage_error() -> None:
    with pytest.raises(CommandError, match="'yesterday' is no time") as problem:
        moment("yesterday", AT)
    assert problem.value.code == Exit.USAGE


def test_a_record_is_told_on_one_line_with_time_kind_and_place() -> None:
    line = line_of(a_record(json.dumps(a_body()).encode()))
    told = line.styled().plain
    assert told.startswith("12:00:00.000 claims.intake")
    assert "submit-claim" in told
    assert told.endswith("3@120")
    assert "\n" not in told
    plain = line.plain()
    assert plain["event"]["total"] == {"amount": "10.00", "currency": "CNY"}
    assert (plain["problem"], plain["raw"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", "JSON_MALFORMED"), (b"", "BODY_EMPTY"), (None, "TOMBSTONE"), (b"\xff\x00", "ENCODING")],
)
def test_an_undecodable_record_is_told_with_its_code(body: bytes | None, code: str) -> None:
    line = line_of(a_record(body))
    assert line.problem.startswith(code)
    assert code in line.styled().plain
    assert line.plain()["event"] is None
    json.dumps(line.plain())


def test_a_dead_letter_says_why() -> None:
    record = a_record(json.dumps(a_body()).encode(), more={"dlq-error-code": b"HANDLER_DEFECT"})
    assert "dead letter HANDLER_DEFECT" in line_of(record).styled().plain


def test_what_is_wanted_is_told_by_key_subject_or_body() -> None:
    claim = str(claim_id("made", "M-1"))
    record = a_record(json.dumps(a_body()).encode())
    assert Wanted(claim="M-1").takes(record)
    assert Wanted(claim=claim).takes(record)
    assert Wanted(kind="submit-claim").takes(record)
    assert not Wanted(kind="claim-refused").takes(record)
    assert not Wanted(claim="M-2").takes(record)


def a_structured_record() -> ConsumerRecord[bytes | None, bytes | None]:
    meta = dict(headers_of(meta_of(SubmitClaim.kind, "claims.intake", key="M-1", subject="s")))
    attributes = {
        name.removeprefix("ce_"): text.decode()
        for name, text in meta.items()
        if name.startswith("ce_")
    }
    record = a_record(json.dumps(attributes | {"data": a_body()}).encode())
    return replace(record, headers=(("content-type", b"application/cloudevents+json"),))


def test_a_structured_event_is_told_by_the_kind_inside() -> None:
    line = line_of(a_structured_record())
    assert line.kind == line.plain()["type"] == SubmitClaim.kind
    assert "submit-claim" in line.styled().plain


def test_a_structured_event_is_wanted_by_the_kind_inside() -> None:
    record = a_structured_record()
    assert Wanted(kind="submit-claim").takes(record)
    assert not Wanted(kind="claim-refused").takes(record)
    assert not Wanted(kind="submit-claim").takes(replace(record, value=b"{"))
