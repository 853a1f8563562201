"""What may be said of a failure: scrubbed of secrets, short, and the same for the same cause."""

from __future__ import annotations

import hashlib
import re
from typing import Final

MESSAGE_BYTES: Final = 1_000  # With its quotes a header's message stays below one KiB.
FINGERPRINT_CHARS: Final = 12  # As the generated column of the table cuts it.

_SECRETS: Final = (
    (re.compile(r"(\w+://)[^\s/@]+@"), r"\1***@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
    (
        re.compile(r"(?i)\b(password|passwd|secret|token|api[_-]?key)(\W{1,3})[^\s,;\"']+"),
        r"\1\2***",
    ),
    (re.compile(r"\b[\w.+-]+@[\w-]+(\.[\w-]+)+"), "***@***"),
    (re.compile(r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b"), "***"),  # Account numbers (IBAN).
    (re.compile(r"(?<![\w-])\d{13,19}(?![\w-])"), "***"),  # Card numbers.
)


def scrub(text: str) -> str:
    """A failure's message without passwords, tokens, addresses and account numbers, cut short."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    plain = text.encode("utf-8", "replace").replace(b"\x00", b"")
    return plain[:MESSAGE_BYTES].decode("utf-8", "ignore")


def fingerprint(code: str, handler: str, kind: str) -> str:
    """The group of a dead letter: the same code, handler and kind, whatever the record."""
    together = f"{code}\n{handler}\n{kind}".encode()
    return hashlib.md5(together, usedforsecurity=False).hexdigest()[:FINGERPRINT_CHARS]


def class_of(problem: BaseException) -> str:
    """The name of a failure's class, as its headers and the catalogue give it."""
    return type(problem).__name__


def detail_of(problem: BaseException) -> str:
    """What a failure says, scrubbed."""
    own = str(getattr(problem, "detail", "") or "")
    return scrub(own or f"{class_of(problem)}: {problem}")
