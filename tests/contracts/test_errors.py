"""Every code that is used is explained, in both languages, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from chassis.errors import catalogue
from contracts.values import Who

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|[A-Z0-9]{4,}")
WHO = {*get_args(Who), "operator"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")

COMPOSER = "services/claims/policy/validation.py"  # From what an entry is, and what is wrong.
COMPOSED = {
    f"{kind}_{wrong}"
    for kind in ("EMPLOYEE", "COST_CENTER", "PROJECT", "CATEGORY")
    for wrong in ("UNKNOWN", "INACTIVE")
}
NO_CODES = {
    "its parts": {"UNKNOWN", "INACTIVE"},
    "HTTP": {"GET", "HEAD", "POST", "PUT", "OPTIONS"},
    "ISO 20022": {"BOOK", "CLBD", "CRDT", "DBIT", "OPBD", "PRCD", "RPCR", "RRTN"},
    "what banks write instead of a reference": {"N0NREF", "N0TPR0VIDED"},
    "names of Python and Unicode": {"UUID", "NFC", "NFKC"},
    "settings": {
        "INFO",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "LEDGERBUS_LEDGERS",
        "LEDGERBUS_CLOCK_SHIFT_S",
    },
}


@cache
def trees() -> dict[str, ast.Module]:
    """The code that may use codes, parsed."""
    paths = [
        path
        for name in ("contracts", "chassis", "services")
        for path in (ROOT / name).rglob("*.py")
    ]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in paths}


@cache
def used() -> dict[str, set[str]]:
    """The codes in the code, and where they stand."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees().items():
        for node in ast.walk(tree):
            match node:
                case ast.Constant(value=str(text)) if CODE.fullmatch(text):
                    found[text].add(f"{name}:{node.lineno}")
                case _:
                    pass
    for code in COMPOSED:
        found[code].add(COMPOSER)
    others = set().union(*NO_CODES.values())
    return {code: places for code, places in found.items() if code not in others}


def test_every_code_that_is_used_is_explained() -> None:
    unexplained = {code: places for code, places in used().items() if code not in catalogue()}
    assert unexplained == {}


def test_every_code_that_is_explained_is_used() -> None:
    assert set(catalogue()) - set(used()) == set()


def test_composed_codes_are_composed_as_this_test_believes() -> None:
    text = (ROOT / COMPOSER).read_text("utf-8")
    assert 'f"{entry.kind.upper()}_{wrong}"' in text


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_an_explanation_is_complete(code: str) -> None:
    entry: dict[str, Any] = catalogue()[code]
    assert CODE.fullmatch(code)
    assert set(entry) - {"status"} == {"retryable", "who", "en", "zh"}
    assert 400 <= entry.get("status", 400) < 600
    assert isinstance(entry["retryable"], bool)
    assert entry["who"] in WHO
    for language in ("en", "zh"):
        assert set(entry[language]) == {"title", "fix"}
        assert bool(CHINESE.search(entry[language]["title"])) is (language == "zh")
        assert bool(CHINESE.search(entry[language]["fix"])) is (language == "zh")
    assert not entry["en"]["title"].endswith(".")
    assert entry["en"]["fix"].endswith(".")
    assert entry["zh"]["fix"].endswith("。")


def statuses_in(node: ast.AST) -> Iterator[tuple[str, int]]:
    """The codes that are answered with a status: `Problem(404, "X")`, or `{"X": 404}`."""
    match node:
        case ast.Call(
            func=ast.Name(id="Problem"),
            args=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), *_],
        ):
            yield code, status
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                match key, value:
                    case ast.Constant(value=str(code)), ast.Constant(value=int(status)):
                        if CODE.fullmatch(code) and 400 <= status < 600:
                            yield code, status
                    case _:
                        pass
        case _:
            pass


def test_the_status_is_the_one_that_is_answered() -> None:
    answered: dict[str, set[int]] = defaultdict(set)
    for tree in trees().values():
        for node in ast.walk(tree):
            for code, status in statuses_in(node):
                answered[code].add(status)
    assert len(answered) > 20
    for code, statuses in answered.items():
        assert catalogue()[code].get("status") in statuses, (code, statuses)
