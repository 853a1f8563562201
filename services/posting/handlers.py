"""What posting listens to: claims, their reservations and ends, and master data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chassis.handlers import Handlers
from contracts.approval import ClaimRejected
from contracts.budget import FundsRefused, FundsReserved
from contracts.claims import ClaimSubmitted, ClaimWithdrawn
from contracts.masterdata import AccountMapped, CategoryDefined, CompanyDefined, PeriodDefined
from contracts.posting import EntryFailed, JournalEntryRecorded
from services.posting.domain import (
    Case,
    CaseKey,
    Fact,
    Stage,
    case_of,
    dropped,
    in_books,
    learn,
)
from services.posting.policy import advance, supply
from services.posting.rules import facts_of, recorded_of
from services.posting.store import cases, chart, decisions, holds, intents, journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Tx

handlers = Handlers()


@handlers.on(ClaimSubmitted)
async def keep_claims(claims: list[ClaimSubmitted], tx: Tx) -> None:
    """Keep what was claimed until its money is reserved; post what is reserved already."""
    await _decide(await _learn(claims, tx), tx)


@handlers.on(FundsReserved)
async def post_claims(reservations: list[FundsReserved], tx: Tx) -> None:
    """Post the claims whose money is reserved; keep the reservations of claims yet unknown."""
    await _decide(await _learn(reservations, tx), tx)


@handlers.on(ClaimWithdrawn)
async def turn_back_claims(withdrawals: list[ClaimWithdrawn], tx: Tx) -> None:
    """Never post a claim that was withdrawn; reverse one that was posted before."""
    changed = await _learn(withdrawals, tx)
    recalled = [case.key for case in changed if case.stage is Stage.RECALLED]
    cancelled = await intents.cancel_intents(tx, recalled) if recalled else set()
    ended = [dropped(case) if case.key in cancelled else case for case in changed if not case.due]
    if ended:
        await cases.update_cases(tx, ended)
    await _decide(changed, tx)


@handlers.on(ClaimRejected)
async def forget_rejected_claims(rejections: list[ClaimRejected], tx: Tx) -> None:
    """Keep nothing of what was claimed once an approver has said no."""
    await _forget(rejections, tx)


@handlers.on(FundsRefused)
async def forget_unfunded_claims(refusals: list[FundsRefused], tx: Tx) -> None:
    """Keep nothing of what was claimed once its budget has said no."""
    await _forget(refusals, tx)


async def _forget(ends: Sequence[Fact], tx: Tx) -> None:
    ended = await _learn(ends, tx)
    if ended:
        await cases.update_cases(tx, ended)


async def _learn(facts: Sequence[Fact], tx: Tx) -> list[Case]:
    """The cases that these facts change, locked; a case that is new is stored already."""
    known = await cases.open_cases(tx, [case_of(fact, now=tx.now) for fact in facts])
    after: dict[CaseKey, Case] = {}
    for fact in facts:
        key = (fact.claim_id, fact.revision)
        after[key] = learn(after.get(key, known[key]), fact, now=tx.now)
    return [case for key, case in after.items() if case is not known[key]]


async def _decide(changed: Sequence[Case], tx: Tx) -> None:
    due = [case for case in changed if case.due]
    if not due:
        return
    grounds = await decisions.load_grounds(tx, due)
    moves = [advance(case, grounds, entry_id=tx.new_id(), now=tx.now) for case in due]
    recorded = await decisions.save(tx, moves)
    for fact, because in facts_of(moves, recorded):
        tx.emit(fact, because=because)


@handlers.own(JournalEntryRecorded)
async def take_entries_back(records: list[JournalEntryRecorded], tx: Tx) -> None:
    """After a restore: the journal holds again what finance has seen, under the same numbers."""
    recorded = [recorded_of(record) for record in records]
    blank = [
        Case(fact.claim_id, fact.revision, fact.company, fact.total, tx.now) for fact in records
    ]
    cases_now = await cases.open_cases(tx, blank)
    for fact, taken in zip(records, recorded, strict=True):
        key = (fact.claim_id, fact.revision)
        cases_now[key] = in_books(cases_now[key], taken.entry.kind, now=tx.now)
    await cases.update_cases(tx, list(cases_now.values()))
    await intents.note_posted(tx, recorded)
    fresh = await journal.unknown_of(tx, recorded)
    if fresh:
        await journal.record_entries(tx, fresh)


@handlers.own(EntryFailed)
async def take_failures_back(failures: list[EntryFailed], tx: Tx) -> None:
    """After a restore: what could not be posted, and was said so, is not tried again."""
    blank = [
        Case(fact.claim_id, fact.revision, fact.company, fact.total, tx.now) for fact in failures
    ]
    known = await cases.open_cases(tx, blank)
    await cases.update_cases(
        tx, [replace(case, stage=Stage.FAILED, claim=None, cause=None) for case in known.values()]
    )


@handlers.on(CompanyDefined)
async def define_companies(defined: list[CompanyDefined], tx: Tx) -> None:
    """Keep each company's currency and ledger, and wake what was held for it."""
    await chart.define_companies(tx, defined)
    await holds.wake(tx, {supply("company", each.company) for each in defined})


@handlers.on(CategoryDefined)
async def define_categories(defined: list[CategoryDefined], tx: Tx) -> None:
    """Keep whether the tax of each category may be deducted, and wake what was held for it."""
    await chart.define_categories(tx, defined)
    await holds.wake(tx, {supply("category", each.company, each.category) for each in defined})


@handlers.on(AccountMapped)
async def map_accounts(mapped: list[AccountMapped], tx: Tx) -> None:
    """Keep which account serves each purpose and since when, and wake what was held for it."""
    await chart.map_accounts(tx, mapped)
    await holds.wake(tx, {supply("account", each.company, each.purpose) for each in mapped})


@handlers.on(PeriodDefined)
async def define_periods(defined: list[PeriodDefined], tx: Tx) -> None:
    """Keep which periods are open, and wake what was held for one."""
    await chart.define_periods(tx, defined)
    opened = {supply("period", each.company) for each in defined if each.status == "open"}
    await holds.wake(tx, opened)
