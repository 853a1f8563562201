"""The books over HTTP: trial balance, entries, intents for other ledgers, and what is held."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from chassis.http import PageArgs, Paged, Problem, Reading, Writing, router
from contracts.posting import EntryLine
from contracts.values import Code, Money, Reason, Text, total
from services.posting.domain import DateRule, IntentState, Kind, Recorded, Stage
from services.posting.policy import give_up
from services.posting.rules import facts_of
from services.posting.store import cases, decisions, holds, intents, journal

routes = router()

_CODE: Final = TypeAdapter[str](Code)
_REVISION_MAX: Final = 2**31 - 1  # What the column holds; a cursor beyond it is forged.
From = Annotated[date, Query(alias="from", description="first posting date")]
To = Annotated[date, Query(alias="to", description="last posting date")]


class AccountView(BaseModel):
    """One account's debits and credits; `balance` is debit minus credit."""

    account: str
    name: str
    debit: Money
    credit: Money
    balance: Money


class TrialBalance(BaseModel):
    """All accounts that moved, and the sums per currency, which are equal on both sides."""

    company: str
    first: date
    last: date
    accounts: list[AccountView]
    totals: list[AccountView]


class EntryView(BaseModel):
    """One journal entry as it is in the books; `date_rule` says how its posting date was chosen."""

    entry_id: UUID
    claim_id: UUID
    revision: int
    kind: Kind
    company: str
    ledger: str
    entry_number: str
    reference: str
    fiscal_year: int
    period: str
    posting_date: date
    document_date: date
    date_rule: DateRule
    total: Money
    employee: str
    paid_by: str
    payee: str
    text: str
    reverses: UUID | None
    lines: list[EntryLine]


class IntentView(BaseModel):
    """An entry on its way to another ledger; `due_at` is when it is called next, or given up on."""

    key: str
    claim_id: UUID
    revision: int
    kind: Kind
    ledger: str
    state: IntentState
    attempts: int
    due_at: datetime
    made_at: datetime
    entry_number: str | None
    detail: str


class HoldView(BaseModel):
    """A claim whose entry waits for master data or an open period, and what it lacks."""

    claim_id: UUID
    revision: int
    company: str
    total: Money
    since: datetime
    reasons: list[Reason]


class LackView(BaseModel):
    """One thing that is missing: a purpose, a category, a period; and what waits for it."""

    code: str
    company: str
    missing: str
    claims: int
    total: Money
    since: datetime


class Lacking(BaseModel):
    """Everything that is missing, what holds the most money first."""

    items: list[LackView]


class GiveUp(BaseModel):
    """Which held claim is not to be posted any more, by whose word, and why."""

    model_config = ConfigDict(extra="forbid")

    claim_id: UUID
    revision: int = Field(default=1, ge=1, le=_REVISION_MAX)
    by: Code
    because: Text = Field(min_length=1)


class GivenUp(BaseModel):
    """The claim has failed; its money is given back."""

    claim_id: UUID
    revision: int
    reasons: list[Reason]


class SendAgain(BaseModel):
    """Who asks for a refused reversal to be sent once more, and what was put right."""

    model_config = ConfigDict(extra="forbid")

    key: Code
    by: Code
    because: Text = ""


class Sent(BaseModel):
    """The intent is due again."""

    key: str
    state: IntentState


@routes.get("/trial-balance")
async def show_trial_balance(reader: Reading, company: Code, first: From, last: To) -> TrialBalance:
    """Per account what was debited and credited between two posting dates, both included."""
    found = await journal.trial_balance(reader, company, first, last)
    sums = []
    for currency in sorted({row.debit.currency for row in found}):
        same = [row for row in found if row.debit.currency == currency]
        debit = total((row.debit for row in same), currency)
        credit = total((row.credit for row in same), currency)
        sums.append(_account("", "", debit, credit))
    return TrialBalance(
        company=company,
        first=first,
        last=last,
        accounts=[_account(row.account, row.name, row.debit, row.credit) for row in found],
        totals=sums,
    )


@routes.get("/entries")
async def list_entries(
    reader: Reading,
    page: PageArgs,
    company: Code | None = None,
    claim_id: UUID | None = None,
    first: From = date.min,
    last: To = date.max,
) -> Paged[EntryView]:
    """Entries with their lines: of one claim, or of a company by posting date."""
    if claim_id is not None:
        entries = await journal.entries_of_claim(reader, claim_id)
        kept = [
            taken
            for taken in entries
            if company in {None, taken.entry.company} and first <= taken.entry.posting_date <= last
        ]
        return Paged(items=[_entry(taken) for taken in kept])
    if company is None:
        raise Problem(422, "SCHEMA_INVALID", "name a company or a claim_id")
    entries = await journal.entries_between(
        reader, company, first, last, after=_after(page.after), limit=page.limit + 1
    )
    return Paged[EntryView].of(
        [_entry(taken) for taken in entries],
        page,
        key=lambda entry: [entry.posting_date, entry.entry_id],
    )


@routes.get("/entries/{entry_id}")
async def show_entry(reader: Reading, entry_id: UUID) -> EntryView:
    """One entry with its lines."""
    found = await journal.entry_with(reader, entry_id)
    if found is None:
        raise Problem(404, "ENTRY_NOT_FOUND", f"no entry has the id {entry_id}")
    return _entry(found)


@routes.get("/intents")
async def list_intents(
    reader: Reading, page: PageArgs, state: IntentState | None = None
) -> Paged[IntentView]:
    """Entries for other ledgers, all or those in one state."""
    found = await intents.list_intents(
        reader, state, after=_after_key(page.after), limit=page.limit + 1
    )
    views = [
        IntentView(
            key=intent.key,
            claim_id=intent.claim_id,
            revision=intent.revision,
            kind=Kind(intent.kind),
            ledger=intent.ledger,
            state=intent.state,
            attempts=intent.attempts,
            due_at=intent.due_at,
            made_at=intent.made_at,
            entry_number=intent.number,
            detail=intent.detail,
        )
        for intent in found
    ]
    return Paged[IntentView].of(views, page, key=lambda intent: [intent.key])


@routes.post("/intents/send-again")
async def send_again(body: SendAgain, tx: Writing) -> Sent:
    """Send a refused reversal once more, after a person has put right why it was refused."""
    if not await intents.send_again(tx, body.key, by=body.by, because=body.because):
        raise Problem(409, "INTENT_NOT_REFUSED", f"{body.key} is no refused reversal")
    return Sent(key=body.key, state="intended")


@routes.get("/holds")
async def list_holds(
    reader: Reading, page: PageArgs, company: Code | None = None
) -> Paged[HoldView]:
    """The claims whose entries wait, with all that each of them lacks."""
    found = await holds.list_holds(
        reader, company, after=_after_case(page.after), limit=page.limit + 1
    )
    views = [
        HoldView(
            claim_id=held.claim_id,
            revision=held.revision,
            company=held.company,
            total=held.total,
            since=held.since,
            reasons=list(held.reasons),
        )
        for held in found
    ]
    return Paged[HoldView].of(views, page, key=lambda held: [held.claim_id, held.revision])


@routes.get("/holds/causes")
async def list_causes(reader: Reading, company: Code | None = None) -> Lacking:
    """What is missing, with the number of claims and the money that each lack holds up."""
    found = await holds.list_lacks(reader, company)
    return Lacking(
        items=[
            LackView(
                code=lack.code,
                company=lack.company,
                missing=lack.missing,
                claims=lack.claims,
                total=lack.total,
                since=lack.since,
            )
            for lack in found
        ]
    )


@routes.post("/holds/give-up")
async def give_up_posting(body: GiveUp, tx: Writing) -> GivenUp:
    """End a held claim: it fails with what held it, and its budget gets the money back."""
    key = (body.claim_id, body.revision)
    case = (await cases.lock_cases(tx, [key])).get(key)
    reasons = (await holds.reasons_held(tx, [key])).get(key)
    if case is None or case.stage not in {Stage.HELD, Stage.BLOCKED} or reasons is None:
        raise Problem(409, "CLAIM_NOT_HELD", f"{body.claim_id} is not held at posting")
    move = give_up(case, reasons, by=body.by, why=body.because)
    await decisions.save(tx, [move])
    for fact, because in facts_of([move], {}):
        tx.emit(fact, because=because)
    return GivenUp(claim_id=body.claim_id, revision=body.revision, reasons=list(move.reasons))


def _after_case(parts: list[str] | None) -> tuple[UUID, int] | None:
    if parts is None:
        return None
    try:
        claim_id, revision = UUID(parts[0]), int(parts[1])
    except (IndexError, ValueError):
        raise _forged() from None
    if not 0 <= revision <= _REVISION_MAX:
        raise _forged()
    return claim_id, revision


def _after(parts: list[str] | None) -> tuple[date, UUID] | None:
    if parts is None:
        return None
    try:
        posting_date, entry_id = parts
        return date.fromisoformat(posting_date), UUID(entry_id)
    except ValueError:
        raise _forged() from None


def _after_key(parts: list[str] | None) -> str | None:
    if parts is None:
        return None
    try:
        return _CODE.validate_python(parts[0])
    except (IndexError, ValueError):
        raise _forged() from None


def _forged() -> Problem:
    return Problem(422, "CURSOR_INVALID", "use the `next` of the page before, unchanged")


def _account(account: str, name: str, debit: Money, credit: Money) -> AccountView:
    return AccountView(
        account=account, name=name, debit=debit, credit=credit, balance=debit - credit
    )


def _entry(taken: Recorded) -> EntryView:
    entry = taken.entry
    return EntryView(
        entry_id=entry.entry_id,
        claim_id=entry.claim_id,
        revision=entry.revision,
        kind=entry.kind,
        company=entry.company,
        ledger=entry.ledger,
        entry_number=taken.number,
        reference=taken.reference,
        fiscal_year=entry.fiscal_year,
        period=entry.period,
        posting_date=entry.posting_date,
        document_date=entry.document_date,
        date_rule=entry.date_rule,
        total=entry.total,
        employee=entry.employee,
        paid_by=entry.paid_by,
        payee=entry.payee,
        text=entry.text,
        reverses=entry.reverses,
        lines=list(entry.lines),
    )
