"""Dead letters as answers: texts where bytes are text, base64 beside them where they are not."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel

from contracts.codec import STRUCTURED, Unreadable, strict_json

if TYPE_CHECKING:
    from chassis.db import Row
    from chassis.deadletters.store import Letter
    from chassis.handlers import Incoming


class LetterView(BaseModel):
    """One line of the catalogue."""

    id: UUID
    state: str
    code: str
    detail: str
    kind: str
    handler: str
    fingerprint: str
    key: str | None
    position: str
    topic: str
    structured: bool
    blocks_key: bool
    edited_by: str | None
    attempts: int
    failed_at: datetime
    last_failed_at: datetime


class HeaderView(BaseModel):
    """A header: its text, or its bytes where it has none."""

    name: str
    text: str | None
    base64: str | None = None


class Verdict(BaseModel):
    """Whether the record could be read by what runs today, and if not, why."""

    readable: bool
    code: str | None = None
    detail: str | None = None
    pointer: str | None = None


class ActView(BaseModel):
    """What a person did to it."""

    run: UUID
    action: str
    outcome: str
    by: str
    approved_by: str | None
    reason: str
    state_before: str
    state_after: str
    code: str | None
    detail: str | None
    patch: list[dict[str, Any]] | None
    at: datetime


class LetterDetail(LetterView):
    """Everything about one dead letter; `value` is the one that counts, `original` what came."""

    key_base64: str | None
    value: Any
    value_text: str | None
    value_base64: str | None
    original_base64: str | None
    headers: list[HeaderView]
    error_class: str
    record_time: datetime | None
    trace_id: str | None
    validation: Verdict
    waiting: int
    actions: list[ActView]


class GroupView(BaseModel):
    """Dead letters of one cause."""

    fingerprint: str
    code: str
    handler: str
    kind: str
    count: int
    open: int
    first_seen: datetime
    last_seen: datetime
    oldest_open_s: int | None
    example: UUID


class ParkedView(BaseModel):
    """A key whose events wait; nothing holds it up any more where `behind` is null."""

    key: str
    key_base64: str
    count: int
    since: datetime
    behind: UUID | None


def text_of(raw: bytes | None) -> str | None:
    """Bytes as text where they are UTF-8."""
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None


def encoded(raw: bytes | None) -> str | None:
    """Bytes as base64."""
    return None if raw is None else base64.b64encode(raw).decode()


def document_of(raw: bytes | None) -> Any:
    """The JSON document in a body, or None."""
    try:
        return None if raw is None else strict_json(raw)
    except Unreadable:
        return None


def line(letter: Letter) -> LetterView:
    """A dead letter as a line of the list."""
    return LetterView(**_line(letter))


def _line(letter: Letter) -> dict[str, Any]:
    key = letter.key
    content = [value or b"" for name, value in letter.headers if name == "content-type"]
    return {
        "id": letter.id,
        "state": letter.state,
        "code": letter.code,
        "detail": letter.detail,
        "kind": letter.kind,
        "handler": letter.handler,
        "fingerprint": letter.fingerprint,
        "key": None if key is None else key.decode("utf-8", "replace"),
        "position": letter.position,
        "topic": letter.topic,
        "structured": any(each.startswith(STRUCTURED.encode()) for each in content),
        "blocks_key": letter.blocks_key,
        "edited_by": letter.edited_by,
        "attempts": letter.attempts,
        "failed_at": letter.failed_at,
        "last_failed_at": letter.last_failed_at,
    }


def whole(letter: Letter, judged: Incoming | None, waiting: int, acts: list[Row]) -> LetterDetail:
    """A dead letter with its bytes, its verdict of today and its history."""
    value = letter.valid_value
    moment = datetime.fromtimestamp(letter.record_ms / 1000, UTC) if letter.record_ms > 0 else None
    return LetterDetail(
        **_line(letter),
        key_base64=encoded(letter.valid_key),
        value=document_of(value),
        value_text=text_of(value),
        value_base64=encoded(value),
        original_base64=encoded(letter.value),
        headers=[_header(name, raw) for name, raw in letter.headers],
        error_class=letter.error_class,
        record_time=moment,
        trace_id=_trace_id(letter),
        validation=verdict(judged),
        waiting=waiting,
        actions=[_act(row) for row in acts],
    )


def _header(name: str, raw: bytes | None) -> HeaderView:
    text = text_of(raw)
    return HeaderView(name=name, text=text, base64=encoded(raw) if text is None else None)


def verdict(judged: Incoming | None) -> Verdict:
    """What reading a record has shown."""
    if judged is None:
        detail = "nobody here listens to this kind"
        return Verdict(readable=False, code="TYPE_UNKNOWN", detail=detail)
    problem = judged.problem
    if problem is None:
        return Verdict(readable=True)
    return Verdict(
        readable=False, code=problem.code, detail=problem.detail, pointer=problem.pointer
    )


def _trace_id(letter: Letter) -> str | None:
    for name, raw in letter.headers:
        parts = (text_of(raw) or "").split("-")
        if name == "traceparent" and len(parts) == 4:
            return parts[1]
    return None


def _act(row: Row) -> ActView:
    return ActView(
        run=row["run_id"],
        action=row["action"],
        outcome=row["outcome"],
        by=row["acted_by"],
        approved_by=row["approved_by"],
        reason=row["reason"],
        state_before=row["state_before"],
        state_after=row["state_after"],
        code=row["code"],
        detail=row["detail"],
        patch=json.loads(row["patch"]) if row["patch"] else None,
        at=row["acted_at"],
    )


def group(row: Row) -> GroupView:
    """One group of the catalogue."""
    return GroupView(**dict(row.items()))


def waiting_key(row: Row) -> ParkedView:
    """One key whose events wait."""
    key: bytes = row["key"]
    return ParkedView(
        key=key.decode("utf-8", "replace"),
        key_base64=base64.b64encode(key).decode(),
        count=row["count"],
        since=row["since"],
        behind=row["behind"],
    )
