"""What can be told of a command that cannot be read: whose it is, and why it is refused; pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from contracts.claims import ClaimRefused, SubmitClaim
from contracts.codec import Unreadable, code_of, pointer_of, strict_json
from contracts.values import Money, Reason, claim_id
from services.claims.policy.intake import bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M", bound=BaseModel)

TEXT_CHARS: Final = 500  # What a Text holds.
KEY_CHARS: Final = 128  # What a Code holds.
REVISION_MAX: Final = 1000
UNKNOWN_SOURCE: Final = "unknown"


def refusal_of(body: bytes | None, place: str, reason: Reason) -> ClaimRefused:
    """The refusal of an unreadable record that came from a place (`topic/partition@offset`).

    Where the body is a claim but for some fields, each of them gets a reason.
    """
    document = _document(body)
    reasons = [reason]
    if "lines" in document and reason.pointer is not None:
        reasons = _faults_in(document) or reasons
    return refused(document, place, reasons)


def refused(document: object, place: str, reasons: list[Reason]) -> ClaimRefused:
    """The refusal of a document under its own key, or under its place if it does not name one."""
    fields: Mapping[str, Any] = document if isinstance(document, dict) else {}
    source, key = _text(fields, "source", KEY_CHARS), _text(fields, "source_key", KEY_CHARS)
    named = bool(source and key)
    return ClaimRefused(
        source=source or UNKNOWN_SOURCE,
        source_key=key or place,
        revision=_revision(fields),
        claim_id=claim_id(source, key) if named else None,
        company=_text(fields, "company", TEXT_CHARS),
        reasons=bounded(reasons),
        total=_total(fields),
    )


def read_strictly(cls: type[M], document: object) -> M | list[Reason]:
    """A parsed JSON document as a value, or everything wrong with it; unknown fields are wrong."""
    try:
        return cls.model_validate_json(json.dumps(document), extra="forbid")
    except ValidationError as problem:
        return _faults(problem)


def plain(text: str) -> str:
    """A text that any record and any column can carry."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:TEXT_CHARS]


def unreadable(code: str, detail: str, pointer: str | None, **figures: str) -> Reason:
    """The reason for refusing what was sent in a form that cannot be read."""
    return Reason(
        code=code,
        detail=plain(detail),
        who="engineer",
        pointer=None if pointer is None else plain(pointer),
        figures=figures,
    )


def _document(body: bytes | None) -> dict[str, Any]:
    """The command in a body, in binary or structured mode, or nothing at all."""
    try:
        document = strict_json(body or b"")
    except Unreadable:
        return {}
    if isinstance(document, dict) and "specversion" in document:
        document = document.get("data")
    return document if isinstance(document, dict) else {}


def _faults_in(claim: dict[str, Any]) -> list[Reason]:
    try:
        SubmitClaim.model_validate_json(json.dumps(claim), extra="ignore")
    except ValidationError as problem:
        return _faults(problem)
    return []


def _faults(problem: ValidationError) -> list[Reason]:
    errors = problem.errors(include_url=False, include_context=True, include_input=False)
    return [unreadable(code_of(error), error["msg"], pointer_of(error)) for error in errors]


def _text(fields: Mapping[str, Any], name: str, limit: int) -> str:
    text = fields.get(name)
    return text if isinstance(text, str) and len(text) <= limit else ""


def _revision(fields: Mapping[str, Any]) -> int:
    revision = fields.get("revision", 1)
    fits = type(revision) is int and 1 <= revision <= REVISION_MAX
    return revision if fits else 1


def _total(fields: Mapping[str, Any]) -> Money | None:
    match fields.get("total"):
        case {"amount": str(amount), "currency": str(currency)}:
            try:
                return Money.parse(amount, currency)
            except PydanticCustomError:
                return None
    return None
