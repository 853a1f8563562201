"""Every kind ever released has a golden example that still reads; strict out, tolerant in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from contracts.codec import Unreadable, decode, encode
from contracts.envelope import KINDS

if TYPE_CHECKING:
    from contracts.codec import Headers

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
kinds = pytest.mark.parametrize("kind", sorted(KINDS))


def example(kind: str) -> tuple[Headers, dict[str, Any]]:
    """The headers as on the wire, and the body."""
    document = json.loads((EXAMPLES / f"{kind}.json").read_text(encoding="utf-8"))
    assert set(document) == {"headers", "body"}
    headers = [(name, text.encode()) for name, text in document["headers"].items()]
    return headers, document["body"]


def wire(body: object) -> bytes:
    """The body as it travels."""
    return json.dumps(body, ensure_ascii=False).encode()


def test_there_is_an_example_for_each_kind_and_for_nothing_else() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(KINDS)


@kinds
def test_an_example_reads_and_is_written_as_it_stands(kind: str) -> None:
    headers, body = example(kind)
    event = decode(headers, wire(body))
    assert type(event) is KINDS[kind]
    assert event.meta.subject == event.key
    written_headers, written_body = encode(event, event.meta)
    assert dict(written_headers) == dict(headers)
    assert json.loads(written_body) == body
    assert decode(written_headers, written_body) == event
    assert decode(written_headers, written_body).meta == event.meta


@kinds
def test_unknown_fields_are_ignored_on_reading_and_refused_on_building(kind: str) -> None:
    headers, body = example(kind)
    assert decode(headers, wire({**body, "not_yet_known": {"deep": [1]}})) == decode(
        headers, wire(body)
    )
    with pytest.raises(ValidationError, match="not_yet_known"):
        KINDS[kind].model_validate_json(wire({**body, "not_yet_known": 1}))


@kinds
def test_a_missing_field_is_named(kind: str) -> None:
    headers, body = example(kind)
    for field, described in KINDS[kind].model_fields.items():
        if described.is_required():
            shorter = {name: value for name, value in body.items() if name != field}
            with pytest.raises(Unreadable) as caught:
                decode(headers, wire(shorter))
            assert (caught.value.code, caught.value.pointer) == ("SCHEMA_INVALID", f"/{field}")


@kinds
def test_what_may_be_missing_reads_without_it(kind: str) -> None:
    headers, body = example(kind)
    needed = {name for name, field in KINDS[kind].model_fields.items() if field.is_required()}
    shortest = {name: value for name, value in body.items() if name in needed}
    assert isinstance(decode(headers, wire(shortest)), KINDS[kind])


@kinds
def test_no_type_is_guessed(kind: str) -> None:
    headers, body = example(kind)
    for field, described in KINDS[kind].model_fields.items():
        for wrong in (1.5, {"unheard": "of"}, "true" if described.annotation is bool else True):
            with pytest.raises(Unreadable) as caught:
                decode(headers, wire({**body, field: wrong}))
            assert caught.value.code == "SCHEMA_INVALID"


def test_a_deep_unknown_field_is_ignored_as_well() -> None:
    headers, body = example("claims.claim-submitted.v1")
    plain = decode(headers, wire(body))
    body["lines"][0]["carbon_kg"] = "12.5"
    assert decode(headers, wire(body)) == plain
