"""Bad JSON, J1 to J14: each has its code, on every way in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.claims import SubmitClaim
from contracts.codec import MAX_DEPTH, Unreadable, read, strict_json

EXAMPLE = Path(__file__).parents[2] / "contracts" / "examples" / "claims.submit-claim.v1.json"


def a_body() -> dict[str, Any]:
    """A sound command to take a claim."""
    body: dict[str, Any] = json.loads(EXAMPLE.read_text("utf-8"))["body"]
    return body


def refusal(body: bytes) -> str:
    """The code with which strict reading refuses."""
    with pytest.raises(Unreadable) as caught:
        strict_json(body)
    return caught.value.code


def refusal_as_claim(body: bytes) -> str:
    """The code with which the body is refused as a claim."""
    with pytest.raises(Unreadable) as caught:
        read(SubmitClaim, body)
    return caught.value.code


BAD = [
    ("J1 nothing", b"", "BODY_EMPTY"),
    ("J1 blanks", b" \r\n\t ", "BODY_EMPTY"),
    ("J2 cut off", b'{"total": {"amount": "1.0', "JSON_MALFORMED"),
    ("J2 cut off after a comma", b'{"total": 1,', "JSON_MALFORMED"),
    ("J3 more after the end", b'{"a": 1} {"b": 2}', "JSON_MALFORMED"),
    ("J3 a trailing comma", b'{"a": 1,}', "JSON_MALFORMED"),
    ("J3 a comment", b'{"a": 1} // yes', "JSON_MALFORMED"),
    ("J4 NaN", b'{"a": NaN}', "JSON_MALFORMED"),
    ("J4 Infinity", b'{"a": Infinity}', "JSON_MALFORMED"),
    ("J4 minus Infinity", b'[-Infinity, {"a": 1}]', "JSON_MALFORMED"),
    ("J5 a name twice", b'{"total": 1, "total": 2}', "DUPLICATE_KEY"),
    ("J5 twice further down", b'[{"a": {"b": 1, "b": 1}}]', "DUPLICATE_KEY"),
    ("J5 twice when escaped", b'{"a": 1, "\\u0061": 2}', "DUPLICATE_KEY"),
    ("J6 100,000 lists", b"[" * 100_000, "DEPTH"),
    ("J6 100,000 closed lists", b"[" * 100_000 + b"]" * 100_000, "DEPTH"),
    ("J6 100,000 objects", b'{"a":' * 100_000, "DEPTH"),
    ("J6 one too deep", b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "DEPTH"),
    ("J7 a lone surrogate", b'{"a": "\\ud800"}', "ENCODING"),
    ("J7 surrogates in the wrong order", b'{"a": "\\udc00\\ud800"}', "ENCODING"),
    ("J7 a lone surrogate as a name", b'{"\\udfff": 1}', "ENCODING"),
    ("J8 UTF-16", '{"a": 1}'.encode("utf-16"), "ENCODING"),
    ("J8 UTF-16 without its mark", '{"a": 1}'.encode("utf-16-le"), "JSON_MALFORMED"),
    ("J8 Latin-1", '{"a": "Zürich"}'.encode("latin-1"), "ENCODING"),
    ("J8 GBK", '{"a": "差旅费"}'.encode("gbk"), "ENCODING"),
    ("J8 an overlong slash", b'{"a": "\xc0\xaf"}', "ENCODING"),
    ("J8 a surrogate in UTF-8", b'{"a": "\xed\xa0\x80"}', "ENCODING"),
    ("J10 an integer of 5,000 digits", b'{"a": ' + b"9" * 5_000 + b"}", "JSON_MALFORMED"),
    ("J11 U+0000 as it is", b'{"a": "\x00"}', "JSON_MALFORMED"),
    ("J11 U+0000 escaped", b'{"a": "\\u0000"}', "ENCODING"),
    ("J11 U+0000 in a name", b'{"\\u0000": 1}', "ENCODING"),
    ("J14 a byte order mark", b'\xef\xbb\xbf{"a": 1}', "ENCODING"),
]


@pytest.mark.parametrize(("body", "code"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad_json_is_refused_with_its_code(body: bytes, code: str) -> None:
    assert refusal(body) == code
    assert refusal_as_claim(body) == code


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[]", id="J12 a list"),
        pytest.param(b'"claim"', id="J12 a text"),
        pytest.param(b"null", id="J12 null"),
        pytest.param(b"1e999", id="J9 a number without end"),
        pytest.param(b"{}", id="nothing in it"),
    ],
)
def test_json_that_is_no_claim_is_refused_by_its_schema(body: bytes) -> None:
    strict_json(body)
    assert refusal_as_claim(body) == "SCHEMA_INVALID"


@pytest.mark.parametrize("number", ["1e999", "1.0", "9" * 4_000, "true", '"1"', "null"])
def test_no_number_is_bent_into_a_field(number: str) -> None:
    body = json.dumps(a_body() | {"revision": 0}).replace('"revision": 0', f'"revision": {number}')
    assert refusal_as_claim(body.encode()) in {"SCHEMA_INVALID", "JSON_MALFORMED"}


def test_ten_thousand_lines_are_refused() -> None:
    body = a_body()
    body["lines"] = body["lines"][:1] * 10_000
    assert refusal_as_claim(json.dumps(body).encode()) == "SCHEMA_INVALID"


def test_ten_thousand_unknown_names_change_nothing() -> None:
    body = a_body()
    strange = {f"unknown_{number}": number for number in range(10_000)}
    assert read(SubmitClaim, json.dumps(strange | body).encode()) == read(
        SubmitClaim, json.dumps(body).encode()
    )


@pytest.mark.parametrize("name", ["__proto__", "$ref", "constructor", "x" * 10_000])
def test_a_strange_name_is_an_unknown_name(name: str) -> None:
    plain = read(SubmitClaim, json.dumps(a_body()).encode())
    assert read(SubmitClaim, json.dumps({name: {"a": 1}} | a_body()).encode()) == plain


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"total": {"amount": "1", "currency": "CNY"}}, "/total", "SCALE"),
        ({"total": {"amount": "1.00", "currency": "XXX"}}, "/total", "CURRENCY_UNKNOWN"),
        ({"total": {"amount": "1,00", "currency": "CNY"}}, "/total", "AMOUNT_FORMAT"),
        ({"total": {"amount": 1.0, "currency": "CNY"}}, "/total/amount", "SCHEMA_INVALID"),
        ({"lines": []}, "/lines", "SCHEMA_INVALID"),
        ({"paid_by": "nobody"}, "/paid_by", "SCHEMA_INVALID"),
        ({"employee": "E\u202e1"}, "/employee", "SCHEMA_INVALID"),
        ({"source_key": "x" * 129}, "/source_key", "SCHEMA_INVALID"),
    ],
)
def test_a_fault_has_its_place(change: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(SubmitClaim, json.dumps(a_body() | change).encode())
    assert (caught.value.pointer, caught.value.code) == (pointer, code)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(documents)
def test_plain_json_reads_as_it_was_meant(document: Any) -> None:
    for ascii_only in (True, False):
        assert strict_json(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@given(st.binary(max_size=300))
def test_any_bytes_are_json_or_unreadable(body: bytes) -> None:
    try:
        strict_json(body)
    except Unreadable as problem:
        known = {"BODY_EMPTY", "JSON_MALFORMED", "DUPLICATE_KEY", "DEPTH", "ENCODING"}
        assert problem.code in known  # noqa: PT017 - either is right, nothing else is
