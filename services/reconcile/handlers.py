"""What reconcile listens to: posted and reversed entries, and who owns accounts and names.

An entry may be posted after its payment was seen at the bank: the lines that mention it wait, and
are settled the moment it arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.handlers import Handlers
from contracts.masterdata import CompanyDefined, EmployeeDefined
from contracts.posting import EntryPosted, EntryReversed
from services.reconcile.matching import settle
from services.reconcile.matching.keys import mentioned
from services.reconcile.matching.reversals import turn_back
from services.reconcile.store import boards, items, settlements

if TYPE_CHECKING:
    from chassis.db import Tx

handlers = Handlers()


@handlers.on(EntryPosted)
async def expect_payment(entries: list[EntryPosted], tx: Tx) -> None:
    """Open an item per entry; settle the bank lines that have been waiting for it."""
    await items.add_items(tx, entries)
    waiting = await boards.waiting_for(tx, mentioned(entries))
    if waiting:
        await boards.lock(tx, {entry.company for entry in entries})
        board, lines = await boards.load(tx, [], waiting)
        settlement = settle(board, lines, new_id=tx.new_id)
        await settlements.save(tx, settlement, fresh={})
        for fact, cause in settlement.facts:
            tx.emit(fact, because=cause)


@handlers.on(EntryReversed)
async def expect_nothing(reversals: list[EntryReversed], tx: Tx) -> None:
    """Close the items of reversed entries; one that has been paid needs a person."""
    await boards.lock(tx, {reversal.company for reversal in reversals})
    known, payments = await items.reversed_items(tx, reversals)
    closed, opened = turn_back(reversals, known, payments, new_id=tx.new_id)
    await items.save_reversals(tx, closed, opened)
    for paid in opened:
        tx.emit(paid.fact, because=paid.reversal)


@handlers.on(CompanyDefined)
async def learn_accounts(companies: list[CompanyDefined], tx: Tx) -> None:
    """Know which company a statement's account belongs to."""
    await items.set_accounts(tx, companies)


@handlers.on(EmployeeDefined)
async def learn_names(employees: list[EmployeeDefined], tx: Tx) -> None:
    """Know the people who are paid by the names that banks print."""
    await items.set_parties(tx, employees)
