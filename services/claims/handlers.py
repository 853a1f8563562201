"""What claims listens to: commands at the door, master data, and what the chain tells of claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.handlers import Handlers
from contracts.approval import ClaimApproved, ClaimRejected, StepOpened
from contracts.budget import FundsChecked, FundsRefused, FundsReleased, FundsReserved, FundsSpent
from contracts.claims import (
    ClaimRefused,
    ClaimSettled,
    ClaimSubmitted,
    ClaimWithdrawn,
    SubmitClaim,
    WithdrawClaim,
)
from contracts.masterdata import (
    CategoryDefined,
    CompanyDefined,
    CostCenterDefined,
    EmployeeDefined,
    ProjectDefined,
)
from contracts.posting import EntryFailed, EntryHeld, EntryPosted, EntryReversed
from contracts.reconcile import PaymentMatched, PaymentReturned, PaymentUnmatched
from services.claims.domain import hear, heard_step, recalled
from services.claims.policy.intake import Outcome, judge, taken_back
from services.claims.policy.reading import refusal_of, unreadable
from services.claims.policy.validation import Entry
from services.claims.store import chain, directory, door, held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Tx
    from chassis.handlers import UnreadableRecord
    from services.claims.domain import Ending, Remark, Said, Told
    from services.claims.policy.intake import Command

handlers = Handlers()


async def _judge(commands: Sequence[Command], tx: Tx) -> None:
    desk = await door.open_desk(tx, commands, patient=True)
    verdicts = judge([(command, tx.now) for command in commands], desk)
    judged = list(zip(commands, verdicts, strict=True))
    said = [
        (fact, tx.emit(fact, because=command))
        for command, verdict in judged
        for fact in verdict.facts
    ]
    await door.save_verdicts(tx, verdicts, said)
    waiting = [(c, c.meta.cause) for c, verdict in judged if verdict.outcome is Outcome.HELD]
    await held.hold(tx, waiting)


async def _follow(facts: Sequence[Told], tx: Tx) -> None:
    claims = await chain.lock(tx, facts)
    fresh = await chain.tell(tx, [heard_step(fact) for fact in facts])
    said: list[Said] = []
    after = dict(claims)
    for fact in (fact for fact in facts if fact.meta.id in fresh):
        key = fact.claim_id, fact.revision
        after[key], words = hear(after[key], fact)
        said += [(word, tx.emit(word, because=fact)) for word in words]
    await chain.save(tx, [claim for key, claim in after.items() if claim != claims[key]])
    await chain.tell_own(tx, said)


async def _remember(facts: Sequence[Remark], tx: Tx) -> None:
    await chain.tell(tx, [heard_step(fact) for fact in facts])


@handlers.on(SubmitClaim)
async def take_claims(commands: list[SubmitClaim], tx: Tx) -> None:
    """Accept claims, or refuse them with every reason; what was taken before changes nothing."""
    await _judge(commands, tx)


@handlers.on(WithdrawClaim)
async def take_claims_back(commands: list[WithdrawClaim], tx: Tx) -> None:
    """Let owners take claims back that are not posted yet."""
    await _judge(commands, tx)


@handlers.unreadable("claims.intake")
async def refuse_unreadable(records: list[UnreadableRecord], tx: Tx) -> None:
    """Refuse what cannot be read, under its own key where that much can be read."""
    said: list[Said] = []
    for record in records:
        place = f"{record.topic}/{record.partition}@{record.offset}"
        reason = unreadable(record.code, record.detail, record.pointer, record=place)
        fact = refusal_of(record.value, place, reason)
        said.append((fact, tx.emit(fact, because=record.cause)))
    await chain.tell_own(tx, said)


@handlers.on(StepOpened)
async def people_are_asked(facts: list[StepOpened], tx: Tx) -> None:
    """A claim waits for people."""
    await _follow(facts, tx)


@handlers.on(ClaimApproved)
async def claims_are_approved(facts: list[ClaimApproved], tx: Tx) -> None:
    """A claim is approved."""
    await _follow(facts, tx)


@handlers.on(ClaimRejected)
async def claims_are_rejected(facts: list[ClaimRejected], tx: Tx) -> None:
    """A claim is rejected; its next revision may come."""
    await _follow(facts, tx)


@handlers.on(FundsReserved)
async def funds_are_reserved(facts: list[FundsReserved], tx: Tx) -> None:
    """The money for a claim is held."""
    await _follow(facts, tx)


@handlers.on(FundsRefused)
async def funds_are_refused(facts: list[FundsRefused], tx: Tx) -> None:
    """A budget cannot carry a claim; its next revision may come."""
    await _follow(facts, tx)


@handlers.on(EntryPosted)
async def entries_are_posted(facts: list[EntryPosted], tx: Tx) -> None:
    """A claim is in the books; if the bank was faster, it is settled."""
    await _follow(facts, tx)


@handlers.on(EntryFailed)
async def entries_fail(facts: list[EntryFailed], tx: Tx) -> None:
    """A claim cannot be posted; its next revision may come."""
    await _follow(facts, tx)


@handlers.on(EntryHeld)
async def entries_are_held(facts: list[EntryHeld], tx: Tx) -> None:
    """The posting of a claim waits for data that finance or master data owes."""
    await _follow(facts, tx)


@handlers.on(EntryReversed)
async def entries_are_reversed(facts: list[EntryReversed], tx: Tx) -> None:
    """The entry of a claim was turned back."""
    await _follow(facts, tx)


@handlers.on(PaymentMatched)
async def payments_are_matched(facts: list[PaymentMatched], tx: Tx) -> None:
    """The bank paid a claim, or part of it; with nothing left open it is settled."""
    await _follow(facts, tx)


@handlers.on(PaymentReturned)
async def payments_come_back(facts: list[PaymentReturned], tx: Tx) -> None:
    """A payment came back: the claim is posted, and unpaid again."""
    await _follow(facts, tx)


@handlers.on(PaymentUnmatched)
async def matches_are_undone(facts: list[PaymentUnmatched], tx: Tx) -> None:
    """A match was wrong: the claim is posted, and unpaid again."""
    await _follow(facts, tx)


@handlers.on(FundsChecked)
async def remember_checks(facts: list[FundsChecked], tx: Tx) -> None:
    """What was left in the budgets before people were asked."""
    await _remember(facts, tx)


@handlers.on(FundsReleased)
async def remember_releases(facts: list[FundsReleased], tx: Tx) -> None:
    """What a claim gave back to its budgets."""
    await _remember(facts, tx)


@handlers.on(FundsSpent)
async def remember_spending(facts: list[FundsSpent], tx: Tx) -> None:
    """What a claim took from its budgets for good."""
    await _remember(facts, tx)


@handlers.own(ClaimSubmitted)
async def take_claims_again(facts: list[ClaimSubmitted], tx: Tx) -> None:
    """After a restore: what was accepted stays accepted, whichever way it had come."""
    files = await door.lock_files(tx, sorted({fact.claim_id for fact in facts}))
    await chain.tell_again(tx, facts)
    verdicts = [taken_back(fact, files.setdefault(fact.claim_id, {})) for fact in facts]
    said = [(fact, fact.meta.cause) for fact in facts]
    await door.save_verdicts(tx, [verdict for verdict in verdicts if verdict], said)


@handlers.own(ClaimRefused)
async def remember_refusals(facts: list[ClaimRefused], tx: Tx) -> None:
    """After a restore: what was refused is told in the stories."""
    await chain.tell_again(tx, facts)


@handlers.own(ClaimWithdrawn)
async def take_withdrawals_again(facts: list[ClaimWithdrawn], tx: Tx) -> None:
    """After a restore: what was withdrawn stays withdrawn."""
    await _end_again(facts, tx)


@handlers.own(ClaimSettled)
async def settle_again(facts: list[ClaimSettled], tx: Tx) -> None:
    """After a restore: what was settled is settled, and not said so again."""
    await _end_again(facts, tx)


async def _end_again(facts: Sequence[Ending], tx: Tx) -> None:
    claims = await chain.lock(tx, facts)
    lacking = await chain.tell_again(tx, facts)
    after = dict(claims)
    for fact in (fact for fact in facts if fact.meta.id in lacking):
        key = fact.claim_id, fact.revision
        after[key] = recalled(after[key], fact)
    await chain.save(tx, [claim for key, claim in after.items() if claim != claims[key]])


@handlers.on(CompanyDefined)
async def define_companies(definitions: list[CompanyDefined], tx: Tx) -> None:
    """Know a company's currency and how old its claims may be."""
    await directory.define_companies(tx, definitions)


@handlers.on(EmployeeDefined)
async def define_employees(definitions: list[EmployeeDefined], tx: Tx) -> None:
    """Know who may claim."""
    entries = [(Entry(d.company, "employee", d.employee), d.active) for d in definitions]
    await directory.define_entries(tx, entries)


@handlers.on(CostCenterDefined)
async def define_cost_centers(definitions: list[CostCenterDefined], tx: Tx) -> None:
    """Know the cost centres."""
    entries = [(Entry(d.company, "cost_center", d.cost_center), d.active) for d in definitions]
    await directory.define_entries(tx, entries)


@handlers.on(ProjectDefined)
async def define_projects(definitions: list[ProjectDefined], tx: Tx) -> None:
    """Know the projects."""
    entries = [(Entry(d.company, "project", d.project), d.active) for d in definitions]
    await directory.define_entries(tx, entries)


@handlers.on(CategoryDefined)
async def define_categories(definitions: list[CategoryDefined], tx: Tx) -> None:
    """Know the kinds of expenses."""
    entries = [(Entry(d.company, "category", d.category), d.active) for d in definitions]
    await directory.define_entries(tx, entries)
