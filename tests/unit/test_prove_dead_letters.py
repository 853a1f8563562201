"""Which dead letters are a fault that nobody else tells."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.posting import EntryPosted
from ledgerbus.deadletters import leaves_undone

POSTED = EntryPosted.kind


def a_letter(code: str, **fields: Any) -> dict[str, Any]:
    """A dead letter as its service tells of it."""
    letter = {
        "code": code,
        "kind": POSTED,
        "topic": "posting.events",
        "structured": False,
        "blocks_key": False,
    }
    return letter | fields


UNDONE = [
    a_letter("SCHEMA_INVALID"),
    a_letter("HANDLER_DEFECT"),
    a_letter("ID_COLLISION"),
    a_letter("TOPIC_MISMATCH"),
    a_letter("SCHEMA_INVALID", kind="", structured=True),
]


@pytest.mark.parametrize("letter", UNDONE)
def test_an_event_of_ours_that_nobody_took_is_left_undone(letter: dict[str, Any]) -> None:
    assert leaves_undone(letter)


ACCOUNTED = [
    ("its service names it while it is open", a_letter("SCHEMA_INVALID", blocks_key=True)),
    ("claims refuses it", a_letter("ID_COLLISION", topic="claims.intake")),
    ("it says nothing", a_letter("TOMBSTONE")),
    ("it names no kind", a_letter("ENVELOPE", kind="")),
    ("it is no kind of ours", a_letter("TYPE_UNKNOWN", kind="no.kind.v1")),
]


@pytest.mark.parametrize(("why", "letter"), ACCOUNTED)
def test_what_others_account_for_is_not_told_twice(why: str, letter: dict[str, Any]) -> None:
    assert not leaves_undone(letter), why
