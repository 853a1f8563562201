"""What budget listens to: claims, decisions, entries, and the definitions of budgets.

Every fact about a claim takes the same four steps. The loop decides one fact at a time against what
the former one left, so the second claim of a batch sees what the first has reserved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.handlers import Handlers
from contracts.approval import ClaimApproved, ClaimRejected
from contracts.budget import FundsChecked, FundsRefused, FundsReleased, FundsReserved, FundsSpent
from contracts.claims import ClaimSubmitted, ClaimWithdrawn
from contracts.masterdata import BudgetDefined, CompanyDefined
from contracts.posting import EntryFailed, EntryPosted, EntryReversed
from services.budget import store
from services.budget.domain import opened, recalled
from services.budget.matching import Node, define
from services.budget.rules import Outcome, take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Tx
    from services.budget.domain import Fact, Said

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


async def _take_back(facts: Sequence[Said], tx: Tx) -> None:
    """After a restore: move cases and budgets to where they were once these facts were said."""
    parts = {
        fact.meta.id: () if isinstance(fact, FundsChecked | FundsRefused) else fact.allocations
        for fact in facts
    }
    places = {
        (fact.company, part.budget): part.amount.currency
        for fact in facts
        for part in parts[fact.meta.id]
    }
    if places:  # A budget that was defined after the backup is there without a limit until it is.
        forests = await store.lock_forests(tx, {company for company, _ in places})
        new = {
            (company, code): Node(code, currency)
            for (company, code), currency in places.items()
            if code not in forests[company]
        }
        await store.save_definitions(tx, new)
    keys = {(fact.claim_id, fact.revision) for fact in facts}
    desk, numbers = await store.load_said(tx, keys, places)
    for fact in facts:
        case = desk.cases.get((fact.claim_id, fact.revision)) or opened(fact)
        held = {numbers[fact.company, p.budget]: p.amount.minor for p in parts[fact.meta.id]}
        desk.put(Outcome(*recalled(case, fact, held, desk.budgets), []))
    await store.save(tx, desk)


@handlers.own(FundsChecked)
async def take_checks_back(facts: list[FundsChecked], tx: Tx) -> None:
    """What was checked is not checked again."""
    await _take_back(facts, tx)


@handlers.own(FundsReserved)
async def take_reservations_back(facts: list[FundsReserved], tx: Tx) -> None:
    """What was reserved is held again, before anybody else asks for it."""
    await _take_back(facts, tx)


@handlers.own(FundsRefused)
async def take_refusals_back(facts: list[FundsRefused], tx: Tx) -> None:
    """What was refused stays refused."""
    await _take_back(facts, tx)


@handlers.own(FundsReleased)
async def take_releases_back(facts: list[FundsReleased], tx: Tx) -> None:
    """What was given back is available again."""
    await _take_back(facts, tx)


@handlers.own(FundsSpent)
async def take_spending_back(facts: list[FundsSpent], tx: Tx) -> None:
    """What was spent is spent."""
    await _take_back(facts, tx)


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
