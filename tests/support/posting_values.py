"""Values for tests of posting: claims, reservations, withdrawals, master data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from contracts.approval import ClaimRejected
from contracts.budget import FundsRefused, FundsReserved
from contracts.claims import ClaimLine, ClaimSubmitted, ClaimWithdrawn
from contracts.masterdata import AccountMapped, CategoryDefined, CompanyDefined, PeriodDefined
from contracts.posting import EntryLine, EntryPosted, JournalEntryRecorded
from contracts.values import Money, PaidBy, Reason
from services.posting import handlers
from services.posting.domain import case_of
from services.posting.policy import Account, Chart, draft
from tests.support import given, new_id, said

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from chassis.db import Database
    from contracts.envelope import Event
    from services.posting.domain import Fact, JournalEntry

COMPANY = "HUAXIN"
DAY = date(2026, 10, 12)
ACCOUNTS = {
    "expense:travel": ("660201", "Travel"),
    "expense:meals": ("660202", "Entertainment"),
    "expense:*": ("660299", "Other expenses"),
    "input_vat": ("22210101", "Input VAT"),
    "payable:employee": ("224101", "Payable to employees"),
    "payable:company_card": ("224102", "Payable on cards"),
    "payable:supplier_invoice": ("220201", "Payable to suppliers"),
}


def cny(minor: int) -> Money:
    """An amount of the company's currency, in fen."""
    return Money(minor, "CNY")


def a_line(number: int = 1, net: int = 10000, tax: int = 0, **fields: Any) -> ClaimLine:
    """One expense: net and tax in fen."""
    known: dict[str, Any] = {
        "line": number,
        "category": "travel",
        "date": DAY,
        "net": cny(net),
        "tax": cny(tax),
        "gross": cny(net + tax),
        "cost_center": "CC-1",
        "merchant": "China Railway",
    }
    return ClaimLine(**known | fields)


def a_claim(*lines: ClaimLine, **fields: Any) -> ClaimSubmitted:
    """A submitted claim of 100.00 CNY, or of the given lines."""
    lines = lines or (a_line(),)
    claim_id = fields.get("claim_id") or new_id()
    known: dict[str, Any] = {
        "claim_id": claim_id,
        "revision": 1,
        "source": "tests",
        "source_key": str(claim_id),
        "company": COMPANY,
        "employee": "E-1",
        "paid_by": PaidBy.EMPLOYEE,
        "payee": "E-1",
        "purpose": "Shanghai and back",
        "lines": list(lines),
        "total": cny(sum(line.gross.minor for line in lines)),
    }
    return ClaimSubmitted(**known | fields)


def about(claim: Fact) -> dict[str, Any]:
    """What every later fact repeats of a claim."""
    return {
        "claim_id": claim.claim_id,
        "revision": claim.revision,
        "company": claim.company,
        "total": claim.total,
    }


def reserved(claim: Fact, **fields: Any) -> FundsReserved:
    """The claim's money is held."""
    return FundsReserved(**about(claim) | {"allocations": []} | fields)


def withdrawn(claim: Fact) -> ClaimWithdrawn:
    """The claim was taken back by its owner."""
    return ClaimWithdrawn(**about(claim), by="E-1")


def rejected(claim: Fact) -> ClaimRejected:
    """An approver said no."""
    return ClaimRejected(**about(claim), by="E-2", reasons=[])


def unfunded(claim: Fact) -> FundsRefused:
    """The budget said no."""
    return FundsRefused(**about(claim), reasons=[], budgets=[])


def a_company(company: str = COMPANY, **fields: Any) -> CompanyDefined:
    """A company with its books here."""
    known: dict[str, Any] = {"company": company, "name": company, "currency": "CNY"}
    return CompanyDefined(**known | fields)


def a_category(category: str, **fields: Any) -> CategoryDefined:
    """A category whose tax may be deducted."""
    known: dict[str, Any] = {"company": COMPANY, "category": category}
    return CategoryDefined(**known | fields)


def a_mapping(purpose: str, account: str, **fields: Any) -> AccountMapped:
    """An account that has served its purpose since 2020."""
    known: dict[str, Any] = {
        "company": COMPANY,
        "purpose": purpose,
        "account": account,
        "valid_from": date(2020, 1, 1),
    }
    return AccountMapped(**known | fields)


def a_period(period: str = "2026-10", status: str = "open", **fields: Any) -> PeriodDefined:
    """A period that is open."""
    known: dict[str, Any] = {"company": COMPANY, "period": period, "status": status}
    return PeriodDefined(**known | fields)


def mappings(**fields: Any) -> list[AccountMapped]:
    """A mapping for every purpose."""
    return [
        a_mapping(purpose, account, name=name, **fields)
        for purpose, (account, name) in ACCOUNTS.items()
    ]


def a_chart(**fields: Any) -> Chart:
    """The same organisation as decisions see it: books here, two open periods."""
    accounts = {
        (COMPANY, purpose): (Account(account, name, date(2020, 1, 1)),)
        for purpose, (account, name) in ACCOUNTS.items()
    }
    chart = Chart(
        ledgers={COMPANY: "embedded"},
        accounts=accounts,
        deductible={(COMPANY, "travel"): True, (COMPANY, "meals"): False, (COMPANY, "gift"): True},
        open_periods={COMPANY: ("2026-10", "2026-11")},
    )
    return replace(chart, **fields)


def drafted(claim: ClaimSubmitted, chart: Chart) -> JournalEntry | tuple[Reason, ...]:
    """What the claim becomes with this chart."""
    case = case_of(claim, now=datetime(2026, 11, 2, tzinfo=UTC))
    assert case.claim is not None
    return draft(case, case.claim, chart, new_id())


async def tell(database: Database, *facts: Event) -> None:
    """Hand facts over, each in a transaction of its own, as if read from their topics."""
    for fact in facts:
        await tell_batch(database, [fact])


async def tell_batch(database: Database, facts: Sequence[Event]) -> None:
    """Hand over facts of one kind in one transaction."""
    handler = handlers.handlers.by_kind[facts[0].kind]
    async with database.transaction() as tx:
        await handler([given(fact) for fact in facts], tx)


async def organised(database: Database, **company: Any) -> Database:
    """The database with a company, its categories, accounts and one open period."""
    await tell(database, a_company(**company), a_category("travel"))
    await tell(database, a_category("meals", input_vat="not_deductible"))
    await tell_batch(database, mappings())
    await tell(database, a_period())
    return database


async def posted(database: Database, claim: ClaimSubmitted) -> JournalEntryRecorded:
    """The claim's entry, after claim and reservation were handled."""
    await tell(database, claim, reserved(claim))
    entry, record = await said(database)
    assert isinstance(entry, EntryPosted)
    assert isinstance(record, JournalEntryRecorded)
    return record


def sides(lines: Sequence[EntryLine]) -> list[tuple[str, str, int]]:
    """Side, account and fen of each line."""
    return [(line.side, line.account, line.amount.minor) for line in lines]


async def stages(database: Database) -> dict[UUID, str]:
    """The stage of every case, by claim."""
    async with database.reader() as reader:
        rows = await reader.fetch("SELECT claim_id, stage FROM cases")
    return {row["claim_id"]: row["stage"] for row in rows}
