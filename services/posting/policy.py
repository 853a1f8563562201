"""Which accounts, date and number an entry gets, and what is decided for a case; all of it pure."""

from __future__ import annotations

import re
from base64 import b32encode
from bisect import bisect_left
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal

from contracts.posting import EntryLine
from contracts.values import Money, Reason
from services.posting.domain import (
    EMBEDDED,
    Case,
    CaseKey,
    DateRule,
    Intent,
    JournalEntry,
    Kind,
    Move,
    Origin,
    Posted,
    Recorded,
    Refused,
    Stage,
    dropped,
    period_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from services.posting.domain import Claim, Expense

# Master data comes on topics of its own and may arrive after the claim that needs it: what is
# missing is looked for again this long before the claim is said to be held.
GRACE: Final = timedelta(seconds=10)
BACK_OFF_MAX_S: Final = 300  # A ledger that is down for hours is asked every five minutes.
COMPANY_PART_MAX: Final = 16  # With year and eight digits it makes 30 characters, a bank's limit.
ANY_EXPENSE: Final = "expense:*"  # The purpose that serves where a category has no own account.
_PLAIN: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9.-]{{0,{COMPANY_PART_MAX - 1}}}")
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Account:
    """An account and the day from which it serves its purpose."""

    account: str
    name: str
    valid_from: date


@dataclass(frozen=True, slots=True)
class Chart:
    """The master data a batch needs: ledgers, accounts by purpose (newest first), open periods."""

    ledgers: Mapping[str, str]
    accounts: Mapping[tuple[str, str], tuple[Account, ...]]
    deductible: Mapping[tuple[str, str], bool]
    open_periods: Mapping[str, tuple[str, ...]]

    def account(self, company: str, purposes: Iterable[str], on: date) -> Account | None:
        """The newest account that serves the first purpose for which there is one on a day."""
        for purpose in purposes:
            for account in self.accounts.get((company, purpose), ()):
                if account.valid_from <= on:
                    return account
        return None


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be looked up before a batch can be decided."""

    companies: frozenset[str]
    purposes: frozenset[tuple[str, str]]
    categories: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Grounds:
    """What decisions are made from: master data, postings to be turned back, what was held for."""

    chart: Chart
    postings: Mapping[CaseKey, Recorded]
    held: Mapping[CaseKey, tuple[Reason, ...]]


def needs_of(cases: Iterable[Case]) -> Needs:
    """The master data that decisions about these cases depend on."""
    companies, purposes, categories = set(), set(), set()
    for case in cases:
        companies.add(case.company)
        if case.claim is None:
            continue
        purposes |= {
            (case.company, purpose)
            for purpose in (ANY_EXPENSE, "input_vat", f"payable:{case.claim.paid_by}")
        }
        for expense in case.claim.expenses:
            purposes.add((case.company, f"expense:{expense.category}"))
            categories.add((case.company, expense.category))
    return Needs(frozenset(companies), frozenset(purposes), frozenset(categories))


def date_for(
    chart: Chart, company: str, wanted: date, rule: DateRule
) -> tuple[date, DateRule] | None:
    """The wanted day if its period is open, else the first day of the next open one, else none."""
    periods = chart.open_periods.get(company, ())
    period = period_of(wanted)
    index = bisect_left(periods, period)
    if index == len(periods):
        return None
    if periods[index] == period:
        return wanted, rule
    year, month = periods[index].split("-")
    return date(int(year), int(month), 1), DateRule.NEXT_OPEN_PERIOD


def draft(
    case: Case, claim: Claim, chart: Chart, entry_id: UUID
) -> JournalEntry | tuple[Reason, ...]:
    """The entry that a case's claim makes, or every reason why it makes none."""
    company, document_date = case.company, claim.document_date
    ledger = chart.ledgers.get(company)
    dated = date_for(chart, company, document_date, DateRule.DOCUMENT_DATE)
    lines, reasons = _lines(case, claim, chart, dated[0] if dated else document_date)
    if ledger is None:
        reasons.insert(0, _company_unknown(company))
    if dated is None:
        reasons.append(_period_closed(company, document_date))
    if reasons or ledger is None or dated is None:
        return tuple(reasons)
    return JournalEntry(
        entry_id=entry_id,
        claim_id=case.claim_id,
        revision=case.revision,
        kind=Kind.POST,
        company=company,
        ledger=ledger,
        posting_date=dated[0],
        document_date=document_date,
        date_rule=dated[1],
        total=case.total,
        employee=claim.employee,
        paid_by=claim.paid_by,
        payee=claim.payee,
        text=claim.purpose,
        lines=lines,
    )


def _lines(
    case: Case, claim: Claim, chart: Chart, on: date
) -> tuple[tuple[EntryLine, ...], list[Reason]]:
    """Debit expense and input tax line by line, credit the payee; a refund turns its sides."""
    company, currency = case.company, case.total.currency
    lines: list[EntryLine] = []
    reasons: dict[str, Reason] = {}

    def put(purposes: tuple[str, ...], minor: int, source: Expense | None) -> None:
        account = chart.account(company, purposes, on)
        if account is None:
            reasons.setdefault(purposes[0], _mapping_missing(company, purposes[0], on))
        elif minor:
            amount = Money(minor, currency)
            lines.append(_line(len(lines) + 1, account, amount, source, claim.payee))

    for expense in claim.expenses:
        deducted_minor = 0
        if expense.tax_minor:
            deductible = chart.deductible.get((company, expense.category))
            if deductible is None:
                unknown = _category_unknown(company, expense.category)
                reasons.setdefault(f"category {expense.category}", unknown)
            elif deductible:
                deducted_minor = expense.tax_minor
        spent_minor = expense.net_minor if deducted_minor else expense.gross_minor
        put((f"expense:{expense.category}", ANY_EXPENSE), spent_minor, expense)
        if deducted_minor:
            put(("input_vat",), deducted_minor, expense)
    put((f"payable:{claim.paid_by}",), -case.total.minor, None)
    return tuple(lines), list(reasons.values())


def _line(
    number: int, account: Account, amount: Money, source: Expense | None, payee: str
) -> EntryLine:
    """One side: positive amounts are debits; the payee's line has a party, others dimensions."""
    side: Literal["debit", "credit"] = "debit" if amount.minor > 0 else "credit"
    return EntryLine(
        line=number,
        account=account.account,
        account_name=account.name,
        side=side,
        amount=abs(amount),
        cost_center=source.cost_center if source else None,
        project=source.project if source else None,
        party=None if source else payee,
        text=source.text if source else "",
    )


def advance(case: Case, grounds: Grounds, *, entry_id: UUID, now: datetime) -> Move:
    """Decide a case that is due: post its claim, or turn back what was posted for it."""
    if case.stage is Stage.REVERSING:
        return turn_back(case, grounds.postings[case.key], grounds.chart, entry_id=entry_id)
    return decide(case, grounds, entry_id=entry_id, now=now)


def decide(case: Case, grounds: Grounds, *, entry_id: UUID, now: datetime) -> Move:
    """Post a complete case, or block it; it is held if its master data is missing after GRACE."""
    claim, because = case.claim, _because(case)
    if claim is None:
        return Move(case, because)
    found = draft(case, claim, grounds.chart, entry_id)
    if isinstance(found, JournalEntry):
        stage = Stage.POSTED if found.ledger == EMBEDDED else Stage.INTENDED
        return Move(replace(case, stage=stage, claim=None, cause=None), because, entry=found)
    if case.stage is Stage.WAITING:
        return Move(replace(case, stage=Stage.BLOCKED, since=now), because)
    if case.stage is Stage.HELD or now - case.since < GRACE:
        return Move(case, because)
    said = grounds.held.get(case.key) == found
    held = replace(case, stage=Stage.HELD, since=now)
    return Move(held, because, reasons=() if said else found)


def give_up(case: Case, reasons: tuple[Reason, ...], *, by: str, why: str) -> Move:
    """A person ends a held case: it fails for what held it, and by whose word."""
    word = Reason(
        code="POSTING_GIVEN_UP",
        detail=f"{by} no longer waits for it: {why}",
        who="finance",
        figures={"by": by},
    )
    failed = replace(case, stage=Stage.FAILED, claim=None, cause=None)
    return Move(failed, _because(case), reasons=(word, *reasons))


def lacks(reason: Reason) -> tuple[str, ...]:
    """What would have to come for a reason to vanish, as `supply` names it when it comes."""
    figures = reason.figures
    match reason.code:
        case "ACCOUNT_MAPPING_MISSING":
            purpose = figures["purpose"]
            others = (ANY_EXPENSE,) if purpose.startswith("expense:") else ()
            return tuple(supply("account", figures["company"], p) for p in (purpose, *others))
        case "CATEGORY_UNKNOWN":
            return (supply("category", figures["company"], figures["category"]),)
        case "PERIOD_CLOSED":
            return (supply("period", figures["company"]),)
        case _:
            return (supply("company", figures["company"]),)


def supply(what: str, *names: str) -> str:
    """The name of a piece of master data that a case may be held for."""
    return "\x1f".join((what, *names))


def turn_back(case: Case, first: Recorded, chart: Chart, *, entry_id: UUID) -> Move:
    """Reverse what was posted, on its own date if that period is open, else in the next open one.

    While no period is open the case keeps waiting: the entry is in the books and must come out.
    """
    because, entry = _because(case), first.entry
    dated = date_for(chart, case.company, entry.posting_date, DateRule.ORIGINAL_DATE)
    if dated is None:
        return Move(case, because)
    reversal = replace(
        entry,
        entry_id=entry_id,
        kind=Kind.REVERSE,
        posting_date=dated[0],
        date_rule=dated[1],
        lines=tuple(_turned(line) for line in entry.lines),
        reverses=entry.entry_id,
        reverses_number=first.number,
    )
    stage = Stage.REVERSED if entry.ledger == EMBEDDED else Stage.REVERSING
    return Move(replace(case, stage=stage, cause=None), because, entry=reversal)


def _turned(line: EntryLine) -> EntryLine:
    other = "credit" if line.side == "debit" else "debit"
    return line.model_copy(update={"side": other})


def conclude(case: Case, intent: Intent, outcome: Posted | Refused, *, now: datetime) -> Move:
    """What another ledger's answer makes of a case; one withdrawn meanwhile is then reversed."""
    if isinstance(outcome, Posted):
        if intent.entry.kind is Kind.REVERSE:
            after = replace(case, stage=Stage.REVERSED)
        elif case.stage is Stage.RECALLED:
            after = replace(
                case, stage=Stage.REVERSING, since=now
            )  # The reversal is due as of now.
        else:
            after = replace(case, stage=Stage.POSTED)
        return Move(after, intent.cause, entry=intent.entry, number=outcome.number)
    if intent.entry.kind is Kind.REVERSE:
        return Move(case, intent.cause)  # The entry stays in the books until a person has acted.
    if case.stage is Stage.RECALLED:
        return Move(dropped(case), intent.cause)
    return Move(replace(case, stage=Stage.FAILED), intent.cause, reasons=outcome.reasons)


def back_off(attempts: int, *, settle_s: int) -> timedelta:
    """How long to leave an unanswered ledger alone: at least until a late call must have ended."""
    return timedelta(seconds=max(settle_s, min(2 ** min(attempts, 16), BACK_OFF_MAX_S)))


def entry_number(company: str, fiscal_year: int, sequence: int) -> str:
    """The embedded ledger's number: company, year and count, at most 30 characters."""
    return f"{company_part(company)}-{fiscal_year:04}-{sequence:07}"


def company_part(company: str) -> str:
    """The company's code as any bank can carry it: itself if short and plain, else shortened.

    A shortened code ends in a digest, so that two long codes do not become one.
    """
    if _PLAIN.fullmatch(company):
        return company
    digest = b32encode(blake2b(company.encode(), digest_size=5).digest()).decode()
    return f"{_NOT_PLAIN.sub('', company)[: COMPANY_PART_MAX - 9]}.{digest}".lstrip(".")


def _because(case: Case) -> Origin:
    if case.cause is None:
        msg = f"nothing is to be decided for {case.claim_id} revision {case.revision}"
        raise LookupError(msg)
    return case.cause


def _mapping_missing(company: str, purpose: str, on: date) -> Reason:
    return Reason(
        code="ACCOUNT_MAPPING_MISSING",
        detail=f"no account of {company} serves {purpose} on {on}",
        who="masterdata",
        figures={"company": company, "purpose": purpose, "date": str(on)},
    )


def _period_closed(company: str, document_date: date) -> Reason:
    return Reason(
        code="PERIOD_CLOSED",
        detail=f"no period of {company} is open on {document_date} or later",
        who="finance",
        figures={
            "company": company,
            "document_date": str(document_date),
            "period": period_of(document_date),
        },
    )


def _company_unknown(company: str) -> Reason:
    return Reason(
        code="COMPANY_UNKNOWN",
        detail=f"no company is called {company}",
        who="masterdata",
        figures={"company": company},
    )


def _category_unknown(company: str, category: str) -> Reason:
    return Reason(
        code="CATEGORY_UNKNOWN",
        detail=f"{company} has no category {category}: is its tax deductible?",
        who="masterdata",
        figures={"company": company, "category": category},
    )
