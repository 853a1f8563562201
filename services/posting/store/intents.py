"""Intents: entries on their way to other ledgers, each committed before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from services.posting.domain import CaseKey, Intent, IntentState, JournalEntry
from services.posting.store.cases import cause_of, stored_cause

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from chassis.db import Reader, Tx
    from services.posting.domain import Recorded

_ENTRY: Final = TypeAdapter(JournalEntry)


@dataclass(frozen=True, slots=True)
class IntentStatus:
    """How an intent stands, for people."""

    key: str
    claim_id: UUID
    revision: int
    kind: str
    ledger: str
    state: IntentState
    attempts: int
    due_at: datetime
    made_at: datetime
    number: str | None
    detail: str


async def add_intents(tx: Tx, intents: Sequence[Intent]) -> None:
    """Add intents that may be taken as soon as this transaction commits."""
    entries = [intent.entry for intent in intents]
    causes = [cause_of(intent.cause) for intent in intents]
    columns = (
        "key, claim_id, revision, kind, ledger, entry, "
        "cause_id, correlation_id, traceparent, tracestate"
    )
    await tx.execute(
        f"INSERT INTO intents (state, due_at, made_at, {columns}) "
        f"SELECT 'intended', $1, $1, {columns} FROM unnest($2::text[], $3::uuid[], $4::int[], "
        "$5::text[], $6::text[], $7::bytea[], $8::uuid[], $9::text[], $10::text[], $11::text[]) "
        f"AS t ({columns})",
        tx.now,
        [intent.key for intent in intents],
        [entry.claim_id for entry in entries],
        [entry.revision for entry in entries],
        [entry.kind for entry in entries],
        [entry.ledger for entry in entries],
        [_ENTRY.dump_json(entry) for entry in entries],
        [cause.event_id for cause in causes],
        [cause.correlation_id for cause in causes],
        [cause.traceparent for cause in causes],
        [cause.tracestate for cause in causes],
    )


async def take_intents(
    tx: Tx, ledgers: Sequence[str], *, lease: timedelta, limit: int
) -> list[Intent]:
    """Take what is due for these ledgers; after `lease` the taker counts as dead.

    Whatever was taken before must be asked for before it is sent.
    """
    rows = await tx.fetch(
        "UPDATE intents SET state = 'calling', attempts = intents.attempts + 1, due_at = $1 "
        "FROM (SELECT key, state FROM intents WHERE state IN ('intended', 'calling', 'unknown') "
        "AND due_at <= $2 AND ledger = ANY($3::text[]) ORDER BY due_at LIMIT $4 "
        "FOR UPDATE SKIP LOCKED) AS due WHERE intents.key = due.key "
        "RETURNING intents.entry, intents.attempts, intents.cause_id, intents.correlation_id, "
        "intents.traceparent, intents.tracestate, due.state <> 'intended' AS must_ask, "
        "EXISTS (SELECT FROM cases WHERE cases.claim_id = intents.claim_id "
        "AND cases.revision = intents.revision AND cases.stage = 'recalled') AS recalled",
        tx.now + lease,
        tx.now,
        list(ledgers),
        limit,
    )
    return [
        Intent(
            entry=_ENTRY.validate_json(row["entry"]),
            cause=stored_cause(row),
            attempts=row["attempts"],
            must_ask=row["must_ask"],
            recalled=row["recalled"],
        )
        for row in rows
    ]


async def close_intent(
    tx: Tx, intent: Intent, state: IntentState, *, number: str | None = None, detail: str = ""
) -> bool:
    """End an intent; false if its lease has passed to another, who will say what became of it."""
    closed = await tx.fetchval(
        "UPDATE intents SET state = $3, number = $4, detail = $5 "
        "WHERE key = $1 AND attempts = $2 AND state = 'calling' RETURNING true",
        intent.key,
        intent.attempts,
        state,
        number,
        detail,
    )
    return closed is True


async def leave_unknown(tx: Tx, intent: Intent, detail: str, *, due_at: datetime) -> None:
    """Note that nobody knows whether the other ledger has the entry, and when to ask it."""
    await tx.execute(
        "UPDATE intents SET state = 'unknown', detail = $3, due_at = $4 "
        "WHERE key = $1 AND attempts = $2 AND state = 'calling'",
        intent.key,
        intent.attempts,
        detail,
        due_at,
    )


async def cancel_intents(tx: Tx, keys: Sequence[CaseKey]) -> set[CaseKey]:
    """Cancel postings that no call has been made for; which ones were."""
    rows = await tx.fetch(
        "UPDATE intents SET state = 'cancelled' WHERE kind = 'post' AND state = 'intended' "
        "AND (claim_id, revision) IN (SELECT c, r FROM unnest($1::uuid[], $2::int[]) AS t (c, r)) "
        "RETURNING claim_id, revision",
        [claim_id for claim_id, _ in keys],
        [revision for _, revision in keys],
    )
    return {(row["claim_id"], row["revision"]) for row in rows}


async def note_posted(tx: Tx, recorded: Sequence[Recorded]) -> None:
    """Close the intents of entries that are in the books already; none is sent again."""
    await tx.execute(
        "UPDATE intents SET state = 'posted', number = n.number, detail = 'taken back' "
        "FROM unnest($1::text[], $2::text[]) AS n (key, number) WHERE intents.key = n.key "
        "AND state IN ('intended', 'calling', 'unknown')",
        [taken.entry.key for taken in recorded],
        [taken.number for taken in recorded],
    )


async def send_again(tx: Tx, key: str, *, by: str, because: str) -> bool:
    """Let a refused reversal be sent once more; a refused posting has failed for good."""
    sent = await tx.fetchval(
        "UPDATE intents SET state = 'intended', due_at = $2, detail = $3 "
        "WHERE key = $1 AND state = 'refused' AND kind = 'reverse' RETURNING true",
        key,
        tx.now,
        f"sent again by {by}: {because}",
    )
    return sent is True


async def list_intents(
    reader: Reader, state: str | None, *, after: str | None, limit: int
) -> list[IntentStatus]:
    """Intents by key, of one state if given, after a given one."""
    rows = await reader.fetch(
        "SELECT key, claim_id, revision, kind, ledger, state, attempts, due_at, made_at, number, "
        "detail FROM intents WHERE ($1::text IS NULL OR state = $1) "
        "AND ($2::text IS NULL OR key > $2) ORDER BY key LIMIT $3",
        state,
        after,
        limit,
    )
    return [IntentStatus(**row) for row in rows]
