"""Edits: a person puts other bytes in the place of a dead letter's; its own stay, its id stays."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import jsonpatch

from chassis.deadletters import store
from chassis.deadletters.views import document_of
from chassis.problems import Problem
from contracts.codec import MAX_BYTES

if TYPE_CHECKING:
    from uuid import UUID

    from chassis.db import Tx
    from chassis.deadletters.store import Letter
    from chassis.effect import Effect

_REPLACED: Final = "replace"


async def edit(
    tx: Tx, effect: Effect, letter: Letter, changes: dict[str, Any], *, by: str, reason: str
) -> Letter:
    """Let `value` or `key` among the changes count from now on; what is no event is refused."""
    key, value = letter.valid_key, letter.valid_value
    if "key" in changes:
        key = None if changes["key"] is None else str(changes["key"]).encode()
    if "value" in changes:
        value = body_of(changes["value"])
    if (key, value) == (letter.valid_key, letter.valid_value):
        raise Problem(422, "EDIT_INVALID", "nothing would change; name a new value or key")
    edited = replace(letter, edited_key=key, edited_value=value, edited_by=by)
    event_id = _judged(effect, edited)
    if not _keeps_its_id(letter, edited):
        raise Problem(422, "EDIT_INVALID", "an edit keeps the event's id; this one changes it")
    await store.put_in_place(tx, letter.id, key=key, value=value, by=by, event_id=event_id)
    await store.write_down(
        tx,
        letter,
        run_id=tx.new_id(),
        action="edit",
        outcome="edited",
        acted_by=by,
        reason=reason,
        state_after=letter.state,
        key_after=key,
        value_after=value,
        patch=patch_between(letter.valid_value, value),
    )
    return edited


def body_of(document: Any) -> bytes:
    """A JSON document as the body of a record."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    body = text.encode("utf-8", "surrogatepass")  # The codec refuses a lone surrogate by its code.
    if len(body) > MAX_BYTES:
        raise Problem(413, "TOO_LARGE", f"{len(body)} bytes; at most {MAX_BYTES} are carried")
    return body


def patch_between(before: bytes | None, after: bytes | None) -> str:
    """The RFC 6902 patch that makes one body of the other; all of it where there was no JSON."""
    new = document_of(after)
    old = document_of(before)
    if old is None:
        return json.dumps([{"op": _REPLACED, "path": "", "value": new}])
    return str(jsonpatch.make_patch(old, new).to_string())


def _judged(effect: Effect, edited: Letter) -> UUID:
    judged = effect.judge(edited.record())
    problem = judged.problem if judged else None
    if judged is None or problem or judged.event is None:
        detail = problem.detail if problem else "nobody here listens to this kind"
        code = problem.code if problem else "TYPE_UNKNOWN"
        pointer = (problem.pointer if problem else None) or ""
        raise Problem(
            422,
            "EDIT_INVALID",
            f"it would still be no event: {code}: {detail}",
            errors=[{"pointer": pointer, "code": code, "detail": detail}],
        )
    return judged.event.meta.id


def _keeps_its_id(letter: Letter, edited: Letter) -> bool:
    """In binary mode the id is a header, which stays; in structured mode it is in the body."""
    old, new = document_of(letter.value), document_of(edited.valid_value)
    content = [raw or b"" for name, raw in letter.headers if name == "content-type"]
    if not any(b"cloudevents" in each for each in content) or not isinstance(old, dict):
        return True
    return isinstance(new, dict) and old.get("id") in {None, new.get("id")}
