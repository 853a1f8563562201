"""How references, party codes and names are recognised however a bank has written them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from contracts.posting import EntryPosted

_TOKEN: Final = re.compile(r"[^\W_]+")
_TOKENS_MAX: Final = 80  # Of one text; a bank's text has four lines of 35 characters.
_RUN_CHARS_MIN: Final = 6
_RUN_CHARS_MAX: Final = 40  # A reference has at most 30, and may be glued to a tag of the bank.
_RUN_DIGITS_MIN: Final = 4  # A run of text without four digits is a word, not a reference.
_RUN_TOKENS_MAX: Final = 6  # A reference of three parts, with spaces strewn in.
_RUN_WORDS_MAX: Final = 2  # Parts without a digit: a company's code, perhaps of two words.
_CODE_CHARS_MIN: Final = 3
_NAME_TOKENS_MAX: Final = 4
_NAME_WIDTH_MIN: Final = 4  # Two Chinese characters, or four letters: less proves nothing.
_NO_REFERENCE: Final = frozenset({"", "N0TPR0VIDED", "N0NREF"})


def key_of(text: str) -> str:
    """A reference as all its spellings have it: letters and digits, upper case, O read as 0."""
    return "".join(_tokens(text)).replace("O", "0")


def mentioned(entries: Iterable[EntryPosted]) -> set[tuple[str, str]]:
    """The company and keys under which waiting lines may mention these entries."""
    keys = {
        (entry.company, key_of(name))
        for entry in entries
        for name in (entry.reference, entry.entry_number)
    }
    return {(company, key) for company, key in keys if key}


def exact_keys(references: Iterable[str]) -> frozenset[str]:
    """The keys of references that stand in fields of their own."""
    return frozenset(map(key_of, references)) - _NO_REFERENCE


def text_keys(texts: Iterable[str]) -> frozenset[str]:
    """Every run of neighbouring words that could be a reference, spaces and punctuation ignored.

    It ends in a digit, as numbers do, and has no more than two parts without one.
    """
    found: set[str] = set()
    for text in texts:
        tokens = [token.replace("O", "0") for token in _tokens(text)]
        digits = [sum(map(str.isdigit, token)) for token in tokens]
        for start in range(len(tokens)):
            found.update(_references(tokens[start:], digits[start:]))
    return frozenset(found)


def _references(tokens: Sequence[str], digits: Sequence[int]) -> Iterator[str]:
    """The runs from the first token on that could be a reference."""
    run, marks, words = "", 0, 0
    for token, count in zip(tokens[:_RUN_TOKENS_MAX], digits, strict=False):
        run += token
        marks += count
        words += count == 0
        if len(run) > _RUN_CHARS_MAX or words > _RUN_WORDS_MAX:
            return
        if marks >= _RUN_DIGITS_MIN and len(run) >= _RUN_CHARS_MIN and token[-1].isdigit():
            yield run


def party_keys(texts: Iterable[str]) -> frozenset[str]:
    """Every run of words that could be a party's code or its name, names in any order of words."""
    found: set[str] = set()
    for text in texts:
        tokens = _tokens(text)
        found.update(run.replace("O", "0") for run in _runs(tokens, _CODE_CHARS_MIN))
        for start in range(len(tokens)):
            for stop in range(start + 1, min(start + _NAME_TOKENS_MAX, len(tokens)) + 1):
                found.add(_name(tokens[start:stop]))
    return frozenset(found - {""})


def name_key(name: str) -> str:
    """A party's name as `party_keys` finds it; empty for one too short to prove anything."""
    return _name(_tokens(name))


def shape_of(key: str) -> str:
    """The pattern of a key, its digits blurred: references of one kind share it."""
    return re.sub(r"[0-9]", "9", key)


def _name(tokens: Sequence[str]) -> str:
    name = " ".join(sorted(tokens))
    width = sum(1 + (unicodedata.east_asian_width(mark) == "W") for mark in name)
    return name if width >= _NAME_WIDTH_MIN else ""


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).upper())[:_TOKENS_MAX]


def _runs(tokens: Sequence[str], shortest: int) -> Iterator[str]:
    for start in range(len(tokens)):
        run = ""
        for token in tokens[start : start + _RUN_TOKENS_MAX]:
            run += token
            if len(run) > _RUN_CHARS_MAX:
                break
            if len(run) >= shortest:
                yield run
