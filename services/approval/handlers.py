"""What approval does with each fact it hears: load, decide, save, say."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from chassis.handlers import Handlers
from contracts.budget import FundsChecked
from contracts.claims import ClaimSubmitted, ClaimWithdrawn
from contracts.masterdata import (
    ApprovalRuleDefined,
    CompanyDefined,
    CostCenterDefined,
    EmployeeDefined,
    ProjectDefined,
)
from services.approval.domain import (
    Case,
    Organisation,
    State,
    claim_of,
    named_in,
    note_check,
    version_of,
    withdraw,
)
from services.approval.policy import Moment, hand_over, rule_on, take_back
from services.approval.rules import compile_rule, ensure_unchanged
from services.approval.store import cases, organisation, tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chassis.db import Tx
    from contracts.envelope import Cause, Event
    from services.approval.domain import Key, Place
    from services.approval.policy import Ruling

F = TypeVar("F", ClaimSubmitted, ClaimWithdrawn, FundsChecked)
handlers = Handlers()


@handlers.on(ClaimSubmitted)
async def note_claims(claims: list[ClaimSubmitted], tx: Tx) -> None:
    """Remember each claim, and decide those whose check has come before them."""
    facts = _first(claims)
    new = await cases.insert(tx, [Case(*key, claim=claim_of(one)) for key, one in facts.items()])
    late = [key for key in facts if key not in new]
    await cases.fill_in(tx, [Case(*key, claim=claim_of(facts[key])) for key in late])
    known = await cases.lock(tx, late)
    await _decide(tx, facts, [case for case in known if case.ready])


@handlers.on(FundsChecked)
async def decide_checked_claims(checks: list[FundsChecked], tx: Tx) -> None:
    """Remember each check, and decide those whose claim is here."""
    facts = _first(checks)
    known = await cases.lock(tx, facts)  # The claim is usually here already.
    early = facts.keys() - {case.key for case in known}
    new = await cases.insert(tx, [Case(*key, outcome=facts[key].outcome) for key in early])
    known += await cases.lock(tx, early - new)
    checked = [note_check(case, facts[case.key].outcome) for case in known]
    await _decide(tx, facts, [case for case in checked if case.state is State.WAITING])


@handlers.on(ClaimWithdrawn)
async def take_back_claims(withdrawals: list[ClaimWithdrawn], tx: Tx) -> None:
    """Ask nobody about these claims any more."""
    keys = _first(withdrawals).keys()
    new = await cases.insert(tx, [withdraw(Case(*key)) for key in keys])
    known = await cases.lock(tx, keys - new)
    asking = [case.key for case in known if case.state is State.OPEN]
    moment = Moment(tx.now, Organisation(), tx.new_id)
    rulings = [take_back(file, moment) for file in await tasks.lock_files(tx, asking)]
    await cases.save(tx, [withdraw(case) for case in known])
    await tasks.save_tasks(tx, [(one, one.file.cause) for one in rulings if one.file.cause])


@handlers.on(ApprovalRuleDefined)
async def publish_rules(defined: list[ApprovalRuleDefined], tx: Tx) -> None:
    """Store new versions; one that makes no sense or changes a published version is a defect."""
    versions = {version_of(one): one for one in reversed(defined)}
    versions |= await organisation.published(tx, versions)
    for one in defined:
        compile_rule(one)
        ensure_unchanged(versions[version_of(one)], one)
    await organisation.publish(tx, versions.values())


@handlers.on(EmployeeDefined)
async def define_employees(defined: list[EmployeeDefined], tx: Tx) -> None:
    """Remember people; whoever has left hands what is open over to the next manager up."""
    newest = {(one.company, one.employee): one for one in defined}
    await organisation.define_employees(tx, [newest[place] for place in sorted(newest)])
    leavers = {place for place, one in newest.items() if not one.active}
    if leavers:
        await _hand_over(tx, leavers)


@handlers.on(CompanyDefined)
async def define_companies(defined: list[CompanyDefined], tx: Tx) -> None:
    """Remember companies."""
    newest = {one.company: one for one in defined}
    await organisation.define_companies(tx, [newest[company] for company in sorted(newest)])


@handlers.on(CostCenterDefined)
async def define_cost_centers(defined: list[CostCenterDefined], tx: Tx) -> None:
    """Remember who owns cost centres."""
    newest = {(one.company, one.cost_center): one.owner for one in defined}
    await organisation.define_owners(tx, "cost_center", newest)


@handlers.on(ProjectDefined)
async def define_projects(defined: list[ProjectDefined], tx: Tx) -> None:
    """Remember who owns projects."""
    newest = {(one.company, one.project): one.owner for one in defined}
    await organisation.define_owners(tx, "project", newest)


def _first(facts: Iterable[F]) -> dict[Key, F]:
    """What was said first about each case; the same fact again changes nothing."""
    first: dict[Key, F] = {}
    for fact in facts:
        first.setdefault((fact.claim_id, fact.revision), fact)
    return first


async def _decide(tx: Tx, facts: Mapping[Key, Event], waiting: Sequence[Case]) -> None:
    """Decide the cases that are complete, and say so; what lacks master data is held."""
    ready = [case for case in waiting if case.ready]
    desk = await organisation.open_desk(tx, ready, tx.now.date())
    moment = Moment(tx.now, desk.organisation, tx.new_id)
    rulings = [rule_on(case, rule, moment) for case, rule in desk.chosen]
    said = [
        (ruling, tx.emit(ruling.fact, because=facts[ruling.case.key]))
        for ruling in rulings
        if ruling.fact
    ]
    after = {case.key: case for case in waiting} | {one.case.key: one.case for one in rulings}
    await cases.save(tx, after.values())
    held = [ruling.case for ruling in rulings if not ruling.fact]
    await cases.hold(tx, [(case, facts[case.key].meta.cause) for case in held])
    await tasks.save_tasks(tx, said)


async def _hand_over(tx: Tx, leavers: set[Place]) -> None:
    """Let the next manager up decide wherever one of these people is asked."""
    keys = await tasks.keys_asking(tx, leavers)
    if not keys:
        return
    files = await tasks.lock_files(tx, keys)
    claims = [file.case.known for file in files]
    named = (named_in(file.steps, file.case.known.company) for file in files)
    people = await organisation.load(tx, claims, leavers.union(*named))
    moment = Moment(tx.now, people, tx.new_id)
    said: list[tuple[Ruling, Cause]] = []
    for file in files:
        company = file.case.known.company
        gone = frozenset(person for place, person in leavers if place == company)
        ruling = hand_over(file, gone, moment)
        if ruling and ruling.fact and file.cause:
            said.append((ruling, tx.emit_after_wait(ruling.fact, because=file.cause)))
    await cases.save(tx, [ruling.case for ruling, _ in said])
    await tasks.save_tasks(tx, said)
