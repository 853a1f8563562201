"""What budget listens to: claims, decisions, entries, and the definitions of budgets.

Every fact about a claim takes the same four steps. The loop decides one fact at a time against what
the former one left, so the second claim of a batch sees what the first has reserved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.handlers import Handlers
from contracts.approval import ClaimApproved, ClaimRejected
from contracts.claims import ClaimSubmitted, ClaimWithdrawn
from contracts.masterdata import BudgetDefined, CompanyDefined
from contracts.posting import EntryFailed, EntryPosted, EntryReversed
from services.budget import store
from services.budget.matching import define
from services.budget.rules import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Tx
    from services.budget.domain import Fact
    from services.budget.matching import Node

handlers = Handlers()


async def _move_money(facts: Sequence[Fact], tx: Tx) -> None:
    desk = await store.load(tx, facts)  # load: cases and budgets, locked in one order
    for fact in facts:
        outcome = take(desk, fact)  # decide: pure, one fact at a time
        desk.put(outcome)
        for consequence in outcome.facts:
            tx.emit(consequence, because=fact)  # say: outbox row, causation, trace
    await store.save(tx, desk)  # save: what changed


@handlers.on(ClaimSubmitted)
async def check_funds(claims: list[ClaimSubmitted], tx: Tx) -> None:
    """Say what is left in each budget that a claim touches, before people are asked."""
    await _move_money(claims, tx)


@handlers.on(ClaimApproved)
async def reserve_funds(approvals: list[ClaimApproved], tx: Tx) -> None:
    """Hold the money in every budget from leaf to root, or refuse with the figures."""
    await _move_money(approvals, tx)


@handlers.on(ClaimRejected)
async def forget_rejected(rejections: list[ClaimRejected], tx: Tx) -> None:
    """Close cases for which nothing will ever be held."""
    await _move_money(rejections, tx)


@handlers.on(ClaimWithdrawn)
async def release_withdrawn(withdrawals: list[ClaimWithdrawn], tx: Tx) -> None:
    """Release what was held for a claim that its owner took back."""
    await _move_money(withdrawals, tx)


@handlers.on(EntryPosted)
async def spend_funds(entries: list[EntryPosted], tx: Tx) -> None:
    """Turn what was held into spending."""
    await _move_money(entries, tx)


@handlers.on(EntryFailed)
async def release_failed(entries: list[EntryFailed], tx: Tx) -> None:
    """Release what was held for an entry that cannot be posted."""
    await _move_money(entries, tx)


@handlers.on(EntryReversed)
async def give_back_reversed(entries: list[EntryReversed], tx: Tx) -> None:
    """Give back what was spent for an entry that was turned back."""
    await _move_money(entries, tx)


@handlers.on(CompanyDefined)
async def define_companies(definitions: list[CompanyDefined], tx: Tx) -> None:
    """Know what each company does with unbudgeted money."""
    await store.define_companies(tx, definitions)


@handlers.on(BudgetDefined)
async def define_budgets(definitions: list[BudgetDefined], tx: Tx) -> None:
    """Grow, change or cut the trees of budgets; what is held or spent stays where it is."""
    forests = await store.lock_forests(tx, {definition.company for definition in definitions})
    changes: dict[tuple[str, str], Node] = {}
    for definition in definitions:
        forest = forests[definition.company]
        changed = define(forest, definition)
        forest |= changed
        changes |= {(definition.company, code): node for code, node in changed.items()}
    await store.save_definitions(tx, changes)
