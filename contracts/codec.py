"""CloudEvents 1.0 on Kafka: binary mode out, binary and structured mode in."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pydantic import ValidationError

from contracts import approval, budget, claims, masterdata, posting, reconcile
from contracts.envelope import KINDS, E, Event, Meta

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

PUBLISHERS: Final = (claims, approval, budget, posting, reconcile, masterdata)
MAX_BYTES: Final = 900_000  # Below the broker's default limit of one MiB, headers included.
MAX_HEADER_BYTES: Final = 8_192
MAX_DEPTH: Final = 40
CONTENT_TYPE: Final = "application/json"
STRUCTURED: Final = "application/cloudevents+json"
Headers = list[tuple[str, bytes]]
TRACEPARENT: Final = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")


class Unreadable(Exception):  # noqa: N818 - named for what the record is
    """A record that is no event; `code` is from errors.yaml, `detail` is safe to show."""

    def __init__(self, code: str, detail: str, pointer: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.pointer = pointer


def encode(event: Event, meta: Meta) -> tuple[Headers, bytes]:
    """The headers and the body of an event in binary mode."""
    return headers_of(meta), event.model_dump_json(exclude_defaults=False).encode()


def headers_of(meta: Meta) -> Headers:
    """The attributes as Kafka headers."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(meta.id).encode()),
        ("ce_type", meta.type.encode()),
        ("ce_source", meta.source.encode()),
        ("ce_subject", meta.subject.encode()),
        ("ce_time", meta.time.isoformat().replace("+00:00", "Z").encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]
    if meta.correlation_id:
        headers.append(("ce_correlationid", meta.correlation_id.encode()))
    if meta.causation_id:
        headers.append(("ce_causationid", str(meta.causation_id).encode()))
    if meta.sequence:
        headers.append(("ce_sequence", meta.sequence.encode()))
    if meta.traceparent:
        headers.append(("traceparent", meta.traceparent.encode()))
    if meta.tracestate:
        headers.append(("tracestate", meta.tracestate.encode()))
    return headers


def kind_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The kind by header alone, without decoding; None if absent, repeated or not text."""
    found = [value for name, value in headers if name == "ce_type"]
    if len(found) != 1 or found[0] is None:
        return None
    try:
        return found[0].decode("ascii")
    except UnicodeDecodeError:
        return None


def decode(headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> Event:
    """The event in a record, with its attributes; raises Unreadable, and nothing else."""
    texts = _texts(headers)
    if value is None:
        raise Unreadable("TOMBSTONE", "a record without a value on a topic that is not compacted")
    if len(value) > MAX_BYTES:
        raise Unreadable("TOO_LARGE", f"{len(value)} bytes; at most {MAX_BYTES} are read")
    if texts.get("content-type", "").startswith(STRUCTURED):
        attributes, body = _structured(value)
        texts |= attributes
    else:
        body = value
        if texts.get("content-type", CONTENT_TYPE).partition(";")[0].strip() != CONTENT_TYPE:
            raise Unreadable("CONTENT_TYPE", "the body must be application/json")
        texts = {name.removeprefix("ce_"): text for name, text in texts.items()}
    meta = _meta(texts)
    cls = KINDS.get(meta.type)
    if cls is None:
        raise Unreadable("TYPE_UNKNOWN", f"no kind is called '{meta.type[:100]}'")
    return read(cls, body).with_meta(meta)


def read(cls: type[E], body: bytes) -> E:
    """The body as an event of a kind, unknown fields ignored; raises Unreadable."""
    try:
        return cls.model_validate_json(body, extra="ignore")
    except ValidationError as problem:
        strict_json(body)
        first = problem.errors(include_url=False, include_context=True, include_input=False)[0]
        raise Unreadable(code_of(first), first["msg"], pointer_of(first)) from None


def code_of(problem: ErrorDetails) -> str:
    """The stable code of one validation error: its own where it has one, else SCHEMA_INVALID."""
    kind = problem["type"]
    return kind if kind.isupper() else "SCHEMA_INVALID"


def pointer_of(problem: ErrorDetails) -> str:
    """The JSON pointer (RFC 6901) to the value at fault."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in problem["loc"])


def strict_json(body: bytes) -> Any:
    """Parse JSON as RFC 8259 means it; raises Unreadable on everything Python lets through.

    That is: an empty body, other encodings than UTF-8 (a byte order mark included), NaN and
    Infinity, duplicate names, lone surrogates, U+0000, and nesting deeper than MAX_DEPTH.
    """
    if not body.strip():
        raise Unreadable("BODY_EMPTY", "the body is empty")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise Unreadable("ENCODING", f"the body is not UTF-8 at byte {problem.start}") from None
    if text.startswith("\ufeff"):
        raise Unreadable("ENCODING", "the body starts with a byte order mark; send plain UTF-8")
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise Unreadable("DEPTH", f"the body is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as problem:
        detail = f"the body is not JSON: {getattr(problem, 'msg', 'a number is too long')}"
        raise Unreadable("JSON_MALFORMED", detail) from None
    if b"\\u" in body or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _judge(document, 0)  # Only an escape can hide a bad character, only brackets can nest.
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise Unreadable("DUPLICATE_KEY", f"the name '{twice[:60]}' stands twice in one object")
    return names


def _no_constant(name: str) -> None:
    raise Unreadable("JSON_MALFORMED", f"{name} is not JSON")


def _judge(document: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Unreadable("DEPTH", f"the body is nested deeper than {MAX_DEPTH} levels")
    if isinstance(document, str):
        if "\x00" in document or any("\ud800" <= mark <= "\udfff" for mark in document):
            raise Unreadable("ENCODING", "a text holds U+0000 or a lone surrogate")
    elif isinstance(document, dict):
        for name, value in document.items():
            _judge(name, depth)
            _judge(value, depth + 1)
    elif isinstance(document, list):
        for value in document:
            _judge(value, depth + 1)


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """The headers we know, as text; others may hold anything."""
    texts: dict[str, str] = {}
    for name, raw in headers:
        if not name.startswith("ce_") and name not in _PLAIN:
            continue
        if raw is None or len(raw) > MAX_HEADER_BYTES or name in texts:
            raise Unreadable("HEADER", f"the header '{name[:60]}' is empty, too long or repeated")
        try:
            texts[name] = raw.decode()
        except UnicodeDecodeError:
            raise Unreadable("HEADER", f"the header '{name[:60]}' is not UTF-8") from None
    return texts


_PLAIN: Final = frozenset({"content-type", "traceparent", "tracestate"})


def _structured(value: bytes) -> tuple[dict[str, str], bytes]:
    document = strict_json(value)
    if not isinstance(document, dict):
        raise Unreadable("ENVELOPE", "a structured event is a JSON object")
    attributes = {name: text for name, text in document.items() if isinstance(text, str)}
    return attributes, json.dumps(document.get("data")).encode()


def _meta(texts: Mapping[str, str]) -> Meta:
    missing = [name for name in ("specversion", "id", "type", "source") if not texts.get(name)]
    if missing:
        raise Unreadable("ENVELOPE", f"the attribute '{missing[0]}' is missing")
    if texts["specversion"] != "1.0":
        raise Unreadable("ENVELOPE", "only CloudEvents 1.0 is read")
    traceparent = texts.get("traceparent", "")
    try:
        return Meta(
            id=UUID(texts["id"]),
            type=texts["type"],
            source=texts["source"],
            subject=texts.get("subject", ""),
            time=_time(texts.get("time")),
            sequence=texts.get("sequence", ""),
            correlation_id=texts.get("correlationid", ""),
            causation_id=UUID(texts["causationid"]) if texts.get("causationid") else None,
            traceparent=traceparent if TRACEPARENT.match(traceparent) else "",
            tracestate=texts.get("tracestate", ""),
        )
    except ValueError:
        raise Unreadable("ENVELOPE", "id and causationid are UUIDs, time is RFC 3339") from None


def _time(text: str | None) -> datetime:
    if text is None:
        raise Unreadable("ENVELOPE", "the attribute 'time' is missing")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise Unreadable("ENVELOPE", "the attribute 'time' lacks its zone")
    return moment
