"""What posting says: an entry was posted, failed or reversed; and the public entry record."""

from __future__ import annotations

from datetime import date
from typing import Literal
from uuid import UUID

from contracts.envelope import Event, event
from contracts.values import ClaimId, Code, Money, PaidBy, Period, Reason, Text, Value


class _ClaimFact(Event):
    """What every fact about one claim carries."""

    claim_id: ClaimId
    revision: int
    company: Code
    total: Money


@event("posting.entry-posted.v1")
class EntryPosted(_ClaimFact):
    """The target ledger confirmed the entry.

    `reference` (at most 30 characters, the strictest bank's limit) is what the payment must carry;
    `total` is what is owed to `payee`, negative when the payee owes it.
    """

    entry_id: UUID
    entry_number: Code
    ledger: Code
    posting_date: date
    document_date: date
    employee: Code
    paid_by: PaidBy
    payee: Code
    reference: Code


@event("posting.entry-failed.v1")
class EntryFailed(_ClaimFact):
    """The entry cannot be posted; the reservation is to be released."""

    reasons: list[Reason]


@event("posting.entry-held.v1")
class EntryHeld(_ClaimFact):
    """The entry waits for master data or an open period; it is posted when they come.

    The money stays reserved. Said again only when other reasons than before hold it.
    """

    reasons: list[Reason]


@event("posting.entry-reversed.v1")
class EntryReversed(_ClaimFact):
    """A posted entry was turned back by a second one; `total` is the amount of the first."""

    entry_id: UUID
    entry_number: Code
    reverses: UUID
    posting_date: date
    because: Code


class EntryLine(Value):
    """One side of an entry: a positive amount on one account, with its dimensions."""

    line: int
    account: Code
    account_name: Text = ""
    side: Literal["debit", "credit"]
    amount: Money
    cost_center: Code | None = None
    project: Code | None = None
    party: Code | None = None
    text: Text = ""


@event("posting.journal-entry-recorded.v1", topic="posting.entries")
class JournalEntryRecorded(_ClaimFact):
    """The public record for finance: one journal entry, its lines with debits equal to credits."""

    entry_id: UUID
    entry_number: Code
    ledger: Code
    fiscal_year: int
    period: Period
    posting_date: date
    document_date: date
    employee: Code
    paid_by: PaidBy
    payee: Code
    reference: Code
    text: Text = ""
    lines: list[EntryLine]
    reverses: UUID | None = None
