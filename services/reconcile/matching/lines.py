"""Who a bank line is: the same one on every statement that shows it, and never two of them one."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.reconcile.domain import TEXT_CHARS, Booking, Line, Statement
from services.reconcile.matching.keys import exact_keys, text_keys

if TYPE_CHECKING:
    from collections.abc import Hashable

_RUNNING_NUMBER_CHARS: Final = 6  # A shorter reference of the bank counts lines and names none.


def line_ids(statement: Statement) -> list[UUID]:
    """Each booking's identity: the bank's id where it names one line, else content and occurrence.

    Two equal bookings of one statement are two; the same booking on two statements is one.
    """
    times = Counter(booking.bank_id for booking in statement.bookings)
    seen: Counter[Hashable] = Counter()
    ids = []
    for booking in statement.bookings:
        content = _content(booking, named=times[booking.bank_id] == 1)
        seen[content] += 1
        mark = "\x1f".join(map(str, (statement.account, *content, seen[content])))
        ids.append(UUID(bytes=hashlib.sha256(mark.encode()).digest()[:16]))
    return ids


def _content(booking: Booking, *, named: bool) -> tuple[object, ...]:
    facts = (booking.booked_on, booking.amount_minor, booking.currency)
    if named and len(booking.bank_id) >= _RUNNING_NUMBER_CHARS:
        return (*facts, "id", booking.bank_id)
    return (*facts, "text", *booking.references, booking.text, booking.party)


def digest_of(statement: Statement) -> bytes:
    """Equal for equal content, whatever the file around it looks like."""
    balances = f"{statement.opening_minor}|{statement.closing_minor}|{statement.currency}"
    lines = sorted(line_id.hex for line_id in line_ids(statement))
    return hashlib.sha256("\n".join([balances, *lines]).encode()).digest()


def lines_of(statement: Statement, company: str) -> list[Line]:
    """A statement's bookings as lines of a company."""
    named = zip(line_ids(statement), statement.bookings, strict=True)
    return [
        _line(statement, company, position, line_id, booking)
        for position, (line_id, booking) in enumerate(named, 1)
    ]


def _line(
    statement: Statement, company: str, position: int, line_id: UUID, booking: Booking
) -> Line:
    return Line(
        line_id=line_id,
        company=company,
        account=statement.account,
        statement=statement.reference,
        position=position,
        currency=booking.currency,
        booked_on=booking.booked_on,
        amount_minor=booking.amount_minor,
        exact_keys=exact_keys(booking.references),
        text_keys=text_keys((booking.text, *booking.texts)),
        reference=next(iter(booking.references), "")[:TEXT_CHARS],
        text=booking.text[:TEXT_CHARS],
        party=booking.party[:TEXT_CHARS],
        charges_minor=booking.charges_minor,
        foreign=booking.foreign,
        returned=booking.returned,
        because=booking.because[:TEXT_CHARS],
        batch_size=booking.batch_size,
        batch_gap_minor=booking.batch_gap_minor,
    )
