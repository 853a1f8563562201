"""What cannot be read is refused under its own name if it has one, and never raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from contracts.claims import SubmitClaim
from contracts.codec import MAX_BYTES
from contracts.values import claim_id
from services.claims.policy.reading import read_strictly, refusal_of, unreadable
from tests.support.claims_values import a_claim, cny

PLACE = "claims.intake/3@17"
REASON = unreadable("SCHEMA_INVALID", "not readable", "/company", record=PLACE)


def body(**fields: Any) -> dict[str, Any]:
    document = json.loads(a_claim().model_dump_json())
    return {name: value for name, value in (document | fields).items() if value != "(absent)"}


def test_a_record_that_names_its_key_is_refused_under_it() -> None:
    fact = refusal_of(json.dumps(body(company=7)).encode(), PLACE, REASON)
    assert (fact.source, fact.source_key) == ("tests", "K1")
    assert fact.claim_id == claim_id("tests", "K1")
    assert fact.total == cny("106.00")


def test_a_record_without_a_key_is_refused_under_its_place() -> None:
    fact = refusal_of(json.dumps(body(source_key="(absent)")).encode(), PLACE, REASON)
    assert (fact.source, fact.source_key, fact.claim_id) == ("tests", PLACE, None)


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b'{"source": "a", "source": "b"}', b"[1]", b'"x"', b"null", b"\xff\xfe{}"],
)
def test_what_is_no_json_object_is_refused_under_its_place(value: bytes | None) -> None:
    fact = refusal_of(value, PLACE, REASON)
    assert (fact.source, fact.source_key) == ("unknown", PLACE)
    assert fact.reasons == [REASON]


def test_every_faulty_field_gets_a_reason() -> None:
    faulty = body(company=7, employee="", unknown_field=1)
    faulty["lines"][0]["net"] = {"amount": "1.5", "currency": "CNY"}
    fact = refusal_of(json.dumps(faulty).encode(), PLACE, REASON)
    assert [(reason.code, reason.pointer) for reason in fact.reasons] == [
        ("SCHEMA_INVALID", "/company"),
        ("SCHEMA_INVALID", "/employee"),
        ("SCALE", "/lines/0/net"),
    ]


def test_a_structured_event_is_read_through_its_envelope() -> None:
    document = {"specversion": "1.0", "type": "x", "data": body(company=7)}
    assert refusal_of(json.dumps(document).encode(), PLACE, REASON).source_key == "K1"


@pytest.mark.parametrize("total", [None, 5, {}, {"amount": "1.5", "currency": "CNY"}, [], "1.00"])
def test_a_total_that_cannot_be_read_is_left_out(total: Any) -> None:
    fact = refusal_of(json.dumps(body(total=total)).encode(), PLACE, REASON)
    assert fact.total is None


def test_texts_that_no_record_can_carry_are_made_plain() -> None:
    reason = unreadable("DUPLICATE_KEY", "the name '\ud800\x00' stands twice", None)
    assert reason.detail == "the name '?' stands twice"


def test_an_unknown_field_is_refused_over_http() -> None:
    reasons = read_strictly(SubmitClaim, body(status="approved"))
    assert isinstance(reasons, list)
    assert [(reason.code, reason.pointer) for reason in reasons] == [("SCHEMA_INVALID", "/status")]


def test_a_sound_document_is_the_claim_it_describes() -> None:
    assert read_strictly(SubmitClaim, body()) == a_claim()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@for_all(
    st.dictionaries(
        st.sampled_from(["source", "source_key", "revision", "company", "total", "lines"]),
        json_values,
    )
)
def test_whatever_a_body_says_its_refusal_can_be_carried(document: dict[str, Any]) -> None:
    fact = refusal_of(json.dumps(document).encode(), PLACE, REASON)
    assert len(fact.model_dump_json().encode()) < MAX_BYTES
    assert fact.key


@settings(max_examples=60, deadline=None)
@for_all(st.binary(max_size=200))
def test_whatever_bytes_come_their_refusal_can_be_carried(value: bytes) -> None:
    assert refusal_of(value, PLACE, REASON).source_key == PLACE
