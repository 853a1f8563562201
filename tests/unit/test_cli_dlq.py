"""What `dlq edit` makes of a value, and how a code is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ledgerbus.dlq_show import explained
from ledgerbus.dlq_values import changed, document_in
from ledgerbus.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path

VALUE: dict[str, Any] = {"total": {"amount": "12.3", "currency": "CNY"}, "revision": 1, "lines": []}
CHANGES = [
    ("/total/amount=12.30", {**VALUE, "total": {"amount": "12.30", "currency": "CNY"}}),
    ("/revision=2", {**VALUE, "revision": 2}),
    ("/purpose=a trip = a cost", {**VALUE, "purpose": "a trip = a cost"}),
    ('/lines=[{"n": 1}]', {**VALUE, "lines": [{"n": 1}]}),
]


@pytest.mark.parametrize(("change", "made"), CHANGES)
def test_a_field_is_set_as_it_is_written(change: str, made: dict[str, Any]) -> None:
    before = {**VALUE, "total": dict(VALUE["total"])}
    assert changed(VALUE, [change]) == made
    assert before == VALUE


@pytest.mark.parametrize("change", ["no-path=1", "/revision", "/revision/x/y=1"])
def test_a_change_that_cannot_be_made_is_refused(change: str) -> None:
    with pytest.raises(CommandError):
        changed(VALUE, [change])


def test_what_is_no_json_has_no_fields() -> None:
    with pytest.raises(CommandError, match="no JSON"):
        changed(None, ["/revision=2"])


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "new.json"
    file.write_text("{")
    with pytest.raises(CommandError):
        document_in(file)
    file.write_text('{"a": "1.00"}')
    assert document_in(file) == {"a": "1.00"}


@pytest.mark.parametrize(("language", "title"), [("en_GB.UTF-8", "handler"), ("zh_CN", "处理程序")])
def test_a_code_is_explained_in_the_terminals_language(
    monkeypatch: pytest.MonkeyPatch, language: str, title: str
) -> None:
    monkeypatch.setenv("LC_ALL", language)
    assert title in explained("HANDLER_DEFECT")[0]
    assert explained("NEVER_HEARD")[0] == "NEVER_HEARD"
