"""What all readers share: exact amounts from text, safe names, banks' words for returns."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticCustomError

from contracts.currencies import DIGITS
from contracts.values import Money

if TYPE_CHECKING:
    from collections.abc import Iterable

LINES_MAX: Final = 100_000  # Of one file; a bank splits far earlier.
FAULTS_MAX: Final = 100  # A person mends the first hundred and sends the file again.
_NAME_CHARS: Final = 120  # A name travels in events as a Code, which takes 128.
_PLAIN: Final = re.compile(r"^[0-9]{1,18}(\.[0-9]{0,12})?$")
_RETURNED: Final = re.compile(
    r"\b(RETURN|RETURNED|RETOUR|RETOURE|REVERSAL|REVERSED|RÜCKGABE|RÜCKÜBERWEISUNG"
    r"|RUECKGABE|RUECKUEBERWEISUNG)\b|退汇|退票|退回|冲正",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a file: a stable code, words, and the place."""

    code: str
    detail: str
    where: str


class Unreadable(Exception):  # noqa: N818 - named for what the file is
    """A file that is no statement; carries all that was found wrong, nothing of it was used."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)[:FAULTS_MAX]
        super().__init__("; ".join(f"{fault.code} at {fault.where}" for fault in self.faults))

    @classmethod
    def because(cls, code: str, detail: str, where: str = "the file") -> Unreadable:
        """One fault."""
        return cls([Fault(code, detail, where)])


def minor_of(text: str, currency: str, where: str) -> int:
    """An unsigned decimal as minor units; raises on any digit the currency does not have.

    Banks write `8.850`, `200000` or `3.1` for amounts of two digits: zeros may be added or missing.
    """
    if not _PLAIN.match(text):
        raise Unreadable.because("AMOUNT_FORMAT", f"'{text[:40]}' is not an amount", where)
    if currency not in DIGITS:
        raise Unreadable.because("CURRENCY_UNKNOWN", f"'{currency[:16]}' is no currency", where)
    digits = DIGITS[currency]
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(digits, "0")
    figures = f"{int(whole)}.{fraction}" if fraction else str(int(whole))
    try:
        return Money.parse(figures, currency).minor
    except PydanticCustomError as problem:
        raise Unreadable.because(problem.type, problem.message(), where) from None


def safe_name(text: str) -> str:
    """A text as a name of ours: printable, trimmed, not too long; possibly empty."""
    plain = unicodedata.normalize("NFC", text)
    kept = "".join(mark if mark.isprintable() else " " for mark in plain)
    return " ".join(kept.split())[:_NAME_CHARS].strip()


def account_of(text: str) -> str:
    """An account's number as everybody writes it: no spaces, upper case."""
    return safe_name("".join(text.split())).upper()


def plain_text(parts: Iterable[str | None]) -> str:
    """Texts joined into one line, without what cannot be stored."""
    joined = " ".join(part for part in parts if part)
    return " ".join(joined.replace("\x00", "").split())


def says_returned(text: str) -> bool:
    """Whether a text carries one of the words for a payment that came back."""
    return bool(_RETURNED.search(text))
