"""Work by the clock: cases that wait for master data, and calls to ledgers outside this service."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import httpx

from chassis.jobs import Jobs
from services.posting.domain import Absent, Posted, Unknown, dropped
from services.posting.erp.http_journal import HttpJournal
from services.posting.erp.port import LedgerSettings
from services.posting.policy import advance, back_off, conclude
from services.posting.rules import facts_of
from services.posting.store import cases, decisions, intents

if TYPE_CHECKING:
    from chassis.db import Database, Tx
    from services.posting.domain import Case, Intent, Outcome
    from services.posting.erp.port import Ledger

jobs = Jobs()

PAGE: Final = 500  # Cases per transaction: short locks beside the consumer.
CALLS_AT_ONCE: Final = 20  # More would wait for the ledger and for connections anyway.
_FIRST: Final = (UUID(int=0), 0)


@jobs.every(seconds=3)
async def decide_again(database: Database) -> None:
    """Decide the cases that lacked master data or an open period, and say what became of them."""
    after = _FIRST
    while True:
        async with database.transaction() as tx:
            due = await cases.lock_due(tx, after=after, limit=PAGE)
            if due:
                await _decide(tx, due)
        if len(due) < PAGE:
            return
        after = due[-1].key


async def _decide(tx: Tx, due: list[Case]) -> None:
    grounds = await decisions.load_grounds(tx, due)
    moves = [advance(case, grounds, entry_id=tx.new_id(), now=tx.now) for case in due]
    moves = [move for move, case in zip(moves, due, strict=True) if move.case is not case]
    if moves:
        recorded = await decisions.save(tx, moves)
        for fact, because in facts_of(moves, recorded):
            tx.emit(fact, because=because)


@jobs.every(seconds=2)
async def call_ledgers(database: Database) -> None:
    """Carry out what is intended for the ledgers whose addresses are known here."""
    settings = LedgerSettings()
    if not settings.ledgers:
        return
    async with httpx.AsyncClient(timeout=settings.ledger_timeout_s) as client:
        ledgers: dict[str, Ledger] = {
            name: HttpJournal(
                client, name=name, address=address, timeout_s=settings.ledger_timeout_s
            )
            for name, address in settings.ledgers.items()
        }
        while await carry_out(database, ledgers, settings) == CALLS_AT_ONCE:
            pass


async def carry_out(
    database: Database, ledgers: dict[str, Ledger], settings: LedgerSettings
) -> int:
    """Take due intents, call their ledgers outside any transaction, record each outcome in its own.

    A crash in between leaves an intent that is asked for, not sent, once its lease has ended.
    """
    latest = asyncio.get_running_loop().time() + 2 * settings.ledger_timeout_s
    lease = timedelta(seconds=3 * settings.ledger_timeout_s + settings.ledger_settle_s)
    async with database.transaction() as tx:
        taken = await intents.take_intents(tx, list(ledgers), lease=lease, limit=CALLS_AT_ONCE)
    results = await asyncio.gather(
        *(
            _carry_out(database, _Call(ledgers[intent.entry.ledger], intent, latest), settings)
            for intent in taken
        ),
        return_exceptions=True,  # One that fails must not cut off the others' calls.
    )
    failures = [result for result in results if isinstance(result, Exception)]
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(taken)} intents", failures)
    return len(taken)


@dataclass(frozen=True, slots=True)
class _Call:
    """One intent in hand; nothing is sent later than `latest`, long before the lease ends."""

    ledger: Ledger
    intent: Intent
    latest: float

    async def make(self) -> Outcome | Absent:
        """Ask before sending what may have been sent; Absent ends a withdrawn claim's entry."""
        if self.intent.must_ask:
            found = await self.ledger.find(self.intent.key)
            if not isinstance(found, Absent) or self.intent.recalled:
                return found
        if asyncio.get_running_loop().time() > self.latest:
            return Unknown("not sent: this process stood still, another may have taken over")
        return await self.ledger.post(self.intent.entry)


async def _carry_out(database: Database, call: _Call, settings: LedgerSettings) -> None:
    outcome = await call.make()
    async with database.transaction() as tx:
        await _record(tx, call.intent, outcome, settings)


async def _record(
    tx: Tx, intent: Intent, outcome: Outcome | Absent, settings: LedgerSettings
) -> None:
    if isinstance(outcome, Unknown):
        wait = back_off(intent.attempts, settle_s=settings.ledger_settle_s)
        await intents.leave_unknown(tx, intent, outcome.detail, due_at=tx.now + wait)
        return
    key = (intent.entry.claim_id, intent.entry.revision)
    case = (await cases.lock_cases(tx, [key]))[key]
    if isinstance(outcome, Absent):
        if await intents.close_intent(tx, intent, "cancelled", detail="withdrawn, never posted"):
            await cases.update_cases(tx, [dropped(case)])
        return
    if isinstance(outcome, Posted):
        closed = await intents.close_intent(tx, intent, "posted", number=outcome.number)
    else:
        detail = "; ".join(reason.detail for reason in outcome.reasons)
        closed = await intents.close_intent(tx, intent, "refused", detail=detail)
    if closed:
        moves = [conclude(case, intent, outcome, now=tx.now)]
        recorded = await decisions.save(tx, moves)
        for fact, because in facts_of(moves, recorded):
            tx.emit(fact, because=because)
