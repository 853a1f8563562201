"""What decisions make true for others: the facts that posting states about an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.posting import (
    EntryFailed,
    EntryHeld,
    EntryPosted,
    EntryReversed,
    JournalEntryRecorded,
)
from services.posting.domain import (
    EMBEDDED,
    DateRule,
    JournalEntry,
    Kind,
    Recorded,
    Stage,
    Unbalanced,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from contracts.envelope import Event
    from services.posting.domain import Move, Origin

WITHDRAWN: Final = "CLAIM_WITHDRAWN"  # Why an entry is turned back.


def facts_of(
    moves: Iterable[Move], recorded: Mapping[UUID, Recorded]
) -> Iterator[tuple[Event, Origin]]:
    """What decisions make true for others, and from what it follows; `recorded` by entry id."""
    for move in moves:
        if move.reasons:
            yield _unposted(move), move.because
        elif move.entry and move.entry.entry_id in recorded:
            taken = recorded[move.entry.entry_id]
            turned = taken.entry.kind is Kind.REVERSE
            yield (_reversed(taken) if turned else _posted(taken)), move.because
            yield _public(taken), move.because


def recorded_of(fact: JournalEntryRecorded) -> Recorded:
    """The entry that a public record tells of, as it stood in the journal.

    A record does not say which rule dated its entry; the dates tell.
    """
    kind = Kind.REVERSE if fact.reverses else Kind.POST
    own = DateRule.ORIGINAL_DATE if fact.reverses else DateRule.DOCUMENT_DATE
    moved = fact.posting_date != fact.document_date and fact.posting_date.day == 1
    entry = JournalEntry(
        entry_id=fact.entry_id,
        claim_id=fact.claim_id,
        revision=fact.revision,
        kind=kind,
        company=fact.company,
        ledger=fact.ledger,
        posting_date=fact.posting_date,
        document_date=fact.document_date,
        date_rule=DateRule.NEXT_OPEN_PERIOD if moved else own,
        total=fact.total,
        employee=fact.employee,
        paid_by=fact.paid_by,
        payee=fact.payee,
        text=fact.text,
        lines=tuple(fact.lines),
        reverses=fact.reverses,
    )
    counted = int(fact.entry_number.rpartition("-")[2]) if fact.ledger == EMBEDDED else None
    return Recorded(entry, fact.entry_number, fact.reference, counted)


def _unposted(move: Move) -> EntryFailed | EntryHeld:
    fact = EntryHeld if move.case.stage is Stage.HELD else EntryFailed
    return fact(
        claim_id=move.case.claim_id,
        revision=move.case.revision,
        company=move.case.company,
        total=move.case.total,
        reasons=list(move.reasons),
    )


def _posted(recorded: Recorded) -> EntryPosted:
    entry = recorded.entry
    return EntryPosted(
        claim_id=entry.claim_id,
        revision=entry.revision,
        company=entry.company,
        total=entry.total,
        entry_id=entry.entry_id,
        entry_number=recorded.number,
        ledger=entry.ledger,
        posting_date=entry.posting_date,
        document_date=entry.document_date,
        employee=entry.employee,
        paid_by=entry.paid_by,
        payee=entry.payee,
        reference=recorded.reference,
    )


def _reversed(recorded: Recorded) -> EntryReversed:
    entry = recorded.entry
    if entry.reverses is None:
        msg = f"{entry.key} reverses nothing"
        raise Unbalanced(msg)
    return EntryReversed(
        claim_id=entry.claim_id,
        revision=entry.revision,
        company=entry.company,
        total=entry.total,
        entry_id=entry.entry_id,
        entry_number=recorded.number,
        reverses=entry.reverses,
        posting_date=entry.posting_date,
        because=WITHDRAWN,
    )


def _public(recorded: Recorded) -> JournalEntryRecorded:
    entry = recorded.entry
    return JournalEntryRecorded(
        claim_id=entry.claim_id,
        revision=entry.revision,
        company=entry.company,
        total=entry.total,
        entry_id=entry.entry_id,
        entry_number=recorded.number,
        ledger=entry.ledger,
        fiscal_year=entry.fiscal_year,
        period=entry.period,
        posting_date=entry.posting_date,
        document_date=entry.document_date,
        employee=entry.employee,
        paid_by=entry.paid_by,
        payee=entry.payee,
        reference=recorded.reference,
        text=entry.text,
        lines=list(entry.lines),
        reverses=entry.reverses,
    )
