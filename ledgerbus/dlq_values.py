"""What `dlq edit` makes of a value: fields set by their JSON pointer, or a whole file."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import jsonpointer

from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def changed(value: Any, changes: Sequence[str]) -> Any:
    """The value with fields set: `/path=JSON`, or `/path=text` where that is no JSON.

    A text replaces a text as it is written, so that `/amount=12.00` stays "12.00".
    """
    if value is None:
        raise _invalid("the letter's value is no JSON", "give the whole value with --file")
    made = deepcopy(value)
    for change in changes:
        path, sign, text = change.partition("=")
        if not sign or not path.startswith("/"):
            raise _invalid(f"'{change}' is not PATH=VALUE", "as in --set /total/amount=12.00")
        try:
            old = jsonpointer.resolve_pointer(made, path, None)
            new = text if isinstance(old, str) else _parsed(text)
            made = jsonpointer.set_pointer(made, path, new, inplace=False)
        except (jsonpointer.JsonPointerException, TypeError) as problem:
            raise _invalid(
                f"{path}: {problem}", "see the value with `ledgerbus dlq show`"
            ) from None
    return made


def document_in(file: Path) -> Any:
    """The JSON document in a file."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise _invalid(f"{file}: {problem}", "name a file that holds one JSON document") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _invalid(why: str, fix: str) -> CommandError:
    return CommandError("the edit cannot be made", why=why, fix=fix, code=Exit.INVALID)
