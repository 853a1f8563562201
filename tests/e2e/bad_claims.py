"""Intake records that are wrong in one way each, with the code each is to be refused with.

Named after the groups of the reliability catalogue: J encoding and JSON, S schema and envelope,
M money, D dates, T texts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from contracts.codec import MAX_BYTES
from tests.e2e.world import a_claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.codec import Headers

COMPANY = "BAD"
Document = dict[str, Any]


def good(key: str) -> Document:
    """A sound claim, as a document that a case may spoil."""
    return a_claim(COMPANY, key).model_dump(mode="json")


def told(document: Any) -> bytes:
    """A document as a body."""
    return json.dumps(document, ensure_ascii=False).encode()


def head(**changes: Any) -> Callable[[str], bytes]:
    """A sound claim with other fields of its own."""
    return lambda key: told(good(key) | changes)


def line(**changes: Any) -> Callable[[str], bytes]:
    """A sound claim with another first line."""

    def make(key: str) -> bytes:
        document = good(key)
        document["lines"][0] |= changes
        return told(document)

    return make


def total(text: Any, currency: str = "GBP") -> Callable[[str], bytes]:
    """A sound claim with another total."""
    return head(total=amount(text, currency))


def amount(text: Any, currency: str = "GBP") -> Document:
    """An amount as somebody writes it."""
    return {"amount": text, "currency": currency}


def text(old: str, new: str) -> Callable[[str], bytes]:
    """A sound claim with a piece of its text replaced."""

    def make(key: str) -> bytes:
        body = told(good(key)).decode()
        assert old in body
        return body.replace(old, new, 1).encode()

    return make


def taxed(net: str, tax: str) -> Callable[[str], bytes]:
    """A sound claim whose line is divided otherwise."""
    return line(net=amount(net), tax=amount(tax))


BODIES: dict[str, tuple[Callable[[str], bytes], str]] = {
    "J1 empty": (lambda _: b"", "BODY_EMPTY"),
    "J2 cut short": (lambda key: told(good(key))[:-20], "JSON_MALFORMED"),
    "J3 more behind": (lambda key: told(good(key)) + b"{}", "JSON_MALFORMED"),
    "J4 NaN": (text('"revision": 1', '"revision": NaN'), "JSON_MALFORMED"),
    "J5 twice": (text('"total"', '"total": null, "total"'), "DUPLICATE_KEY"),
    "J6 deep": (text("{", '{"x": ' + "[" * 100_000 + "]" * 100_000 + ", "), "DEPTH"),
    "J7 surrogate": (text('"purpose": ""', '"purpose": "\\ud800"'), "ENCODING"),
    "J8 UTF-16": (lambda key: told(good(key)).decode().encode("utf-16"), "ENCODING"),
    "J8 Latin-1": (
        lambda key: head(purpose="Müller")(key).decode().encode("latin-1"),
        "ENCODING",
    ),
    "J10 digits": (text('"revision": 1', f'"revision": {"1" * 5000}'), "JSON_MALFORMED"),
    "J11 U+0000": (head(purpose="a\x00b"), "ENCODING"),
    "J12 list": (lambda key: told([good(key)]), "SCHEMA_INVALID"),
    "J12 text": (lambda _: b'"text"', "SCHEMA_INVALID"),
    "J12 null": (lambda _: b"null", "SCHEMA_INVALID"),
    "J14 mark": (lambda key: b"\xef\xbb\xbf" + told(good(key)), "ENCODING"),
    "J17 large": (head(x="x" * MAX_BYTES), "TOO_LARGE"),
    "S2 missing": (text('"employee"', '"somebody"'), "SCHEMA_INVALID"),
    "S3 type": (head(revision="1"), "SCHEMA_INVALID"),
    "M1 zero": (lambda key: told(spoilt(key, "0.00")), "AMOUNT_ZERO"),
    "M2 digits": (total("12.345"), "SCALE"),
    "M3 number": (total(12), "SCHEMA_INVALID"),
    "M4 beyond": (total("9" * 15 + ".00"), "AMOUNT_RANGE"),
    "M5 NaN": (total("NaN"), "AMOUNT_FORMAT"),
    "M5 underscore": (total("1_000.00"), "AMOUNT_FORMAT"),
    "M5 full width": (total("\uff11\uff12.34"), "AMOUNT_FORMAT"),
    "M5 padded": (total(" 12.34"), "AMOUNT_FORMAT"),
    "M5 comma": (total("1.000,00"), "AMOUNT_FORMAT"),
    "M6 unknown": (total("12.34", "ABC"), "CURRENCY_UNKNOWN"),
    "M6 lower case": (total("12.34", "gbp"), "CURRENCY_UNKNOWN"),
    "M6 historic": (total("12.34", "DEM"), "CURRENCY_UNKNOWN"),
    "M7 mixed": (total("12.34", "EUR"), "CURRENCY_NOT_FUNCTIONAL"),
    "M8 sums": (total("12.35"), "SUM_MISMATCH"),
    "M9 tax": (taxed("2.34", "10.00"), "TAX_EXCEEDS_NET"),
    "M9 signs": (taxed("22.34", "-10.00"), "SIGN_MISMATCH"),
    "M10 no lines": (head(lines=[]), "SCHEMA_INVALID"),
    "M12 no rate": (line(original=amount("10.00", "USD")), "FX_INCOMPLETE"),
    "M12 rate": (line(original=amount("10.00", "USD"), rate="9.9"), "FX_MISMATCH"),
    "D1 30 February": (line(date="2026-02-30"), "SCHEMA_INVALID"),
    "D2 year 1": (line(date="0001-01-01"), "DATE_IMPLAUSIBLE"),
    "D2 year 20266": (line(date="20266-01-01"), "SCHEMA_INVALID"),
    "D3 week": (line(date="2026-W03-1"), "SCHEMA_INVALID"),
    "D5 far ahead": (line(date="9999-12-31"), "DATE_IMPLAUSIBLE"),
    "T7 invisible": (head(employee="E\u200b1"), "SCHEMA_INVALID"),
    "who": (head(company="NOBODY"), "COMPANY_UNKNOWN"),
    "whose": (head(employee="NOBODY"), "EMPLOYEE_UNKNOWN"),
    "where": (line(cost_center="NOWHERE"), "COST_CENTER_UNKNOWN"),
    "what": (line(category="nothing"), "CATEGORY_UNKNOWN"),
}


def spoilt(key: str, figure: str) -> Document:
    """A claim over another figure, all its sums agreeing."""
    document = good(key)
    document["lines"][0] |= {"net": amount(figure), "gross": amount(figure)}
    return document | {"total": amount(figure)}


def without(name: str) -> Callable[[Headers], Headers]:
    """The headers but one."""
    return lambda headers: [header for header in headers if header[0] != name]


def with_(name: str, value: bytes) -> Callable[[Headers], Headers]:
    """The headers with another value of one."""
    return lambda headers: [*without(name)(headers), (name, value)]


HEADERS: dict[str, tuple[Callable[[Headers], Headers], str]] = {
    "J16 content type": (with_("content-type", b"text/plain"), "CONTENT_TYPE"),
    "S4 unknown kind": (with_("ce_type", b"claims.nonsense.v1"), "TYPE_UNKNOWN"),
    "S4 strange kind": (with_("ce_type", b"budget.funds-spent.v1"), "SCHEMA_INVALID"),
    "S8 id": (with_("ce_id", b"17"), "ENVELOPE"),
    "S11 missing": (without("ce_id"), "ENVELOPE"),
    "S11 repeated": (lambda headers: [*headers, headers[1]], "HEADER"),
    "S11 not UTF-8": (with_("ce_source", b"\xff"), "HEADER"),
    "S11 too long": (with_("ce_source", b"x" * 9_000), "HEADER"),
    "D4 no zone": (with_("ce_time", b"2026-09-15T12:00:00"), "ENVELOPE"),
}
