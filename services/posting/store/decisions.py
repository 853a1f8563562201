"""What decisions are made from, and what they write: states, entries, intents and holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.posting.domain import EMBEDDED, Intent, Recorded, Stage, outside_reference
from services.posting.policy import Grounds, needs_of
from services.posting.store.cases import cause_of, update_cases
from services.posting.store.chart import chart_for
from services.posting.store.holds import hold, reasons_held
from services.posting.store.intents import add_intents
from services.posting.store.journal import number_entries, postings_of, record_entries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from chassis.db import Tx
    from services.posting.domain import Case, Move


async def load_grounds(tx: Tx, due: Sequence[Case]) -> Grounds:
    """The master data and earlier postings that decisions about these cases depend on."""
    reversing = [case.key for case in due if case.stage is Stage.REVERSING]
    blocked = [case.key for case in due if case.stage is Stage.BLOCKED]
    return Grounds(
        chart=await chart_for(tx, needs_of(due)),
        postings=await postings_of(tx, reversing) if reversing else {},
        held=await reasons_held(tx, blocked) if blocked else {},
    )


async def save(tx: Tx, moves: Sequence[Move]) -> dict[UUID, Recorded]:
    """Write decisions about locked cases; returns the entries that are now in a ledger."""
    own = [move.entry for move in moves if move.entry and move.entry.ledger == EMBEDDED]
    recorded = await number_entries(tx, own) if own else []
    intended = []
    for move in moves:
        if move.entry is None or move.entry.ledger == EMBEDDED:
            continue
        if move.number is None:
            intended.append(Intent(move.entry, cause_of(move.because)))
        else:
            recorded.append(Recorded(move.entry, move.number, outside_reference(move.entry)))
    if recorded:
        await record_entries(tx, recorded)
    if intended:
        await add_intents(tx, intended)
    held = [move for move in moves if move.reasons and move.case.stage is Stage.HELD]
    if held:
        await hold(tx, held)
    await update_cases(tx, [move.case for move in moves])
    return {taken.entry.entry_id: taken for taken in recorded}
