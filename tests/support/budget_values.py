"""Values for tests of budget: claims, decisions, entries, budgets."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from contracts.approval import ClaimApproved, ClaimRejected, Decision
from contracts.budget import Control
from contracts.claims import ClaimLine, ClaimSubmitted, ClaimWithdrawn
from contracts.masterdata import BudgetDefined, CompanyDefined
from contracts.posting import EntryFailed, EntryPosted, EntryReversed
from contracts.values import Money, PaidBy, Reason
from tests.support import new_id

if TYPE_CHECKING:
    from uuid import UUID

    from chassis.db import Database
    from services.budget.domain import Fact

COMPANY = "HUAXIN"
DAY = date(2026, 10, 12)
YEAR = date(2026, 1, 1), date(2026, 12, 31)


def cny(minor: int) -> Money:
    """An amount of the company's currency, in fen."""
    return Money(minor, "CNY")


def a_line(number: int, minor: int, **fields: Any) -> ClaimLine:
    """One expense without tax."""
    usual: dict[str, Any] = {
        "line": number,
        "category": "travel",
        "date": DAY,
        "net": cny(minor),
        "tax": cny(0),
        "gross": cny(minor),
        "cost_center": "CC-1",
    }
    return ClaimLine(**usual | fields)


def a_claim(*lines: ClaimLine | int, claim_id: UUID | None = None, **fields: Any) -> ClaimSubmitted:
    """A submitted claim; a number stands for an expense of so many fen."""
    made = [
        a_line(number, line) if isinstance(line, int) else line
        for number, line in enumerate(lines, start=1)
    ]
    claim_id = claim_id or new_id()
    usual: dict[str, Any] = {
        "claim_id": claim_id,
        "revision": 1,
        "source": "tests",
        "source_key": str(claim_id),
        "company": COMPANY,
        "employee": "E-1",
        "paid_by": PaidBy.EMPLOYEE,
        "payee": "E-1",
        "lines": made,
        "total": cny(sum(line.gross.minor for line in made)),
    }
    return ClaimSubmitted(**usual | fields)


def about(claim: Fact) -> dict[str, Any]:
    """What every later fact repeats of a claim."""
    return {
        "claim_id": claim.claim_id,
        "revision": claim.revision,
        "company": claim.company,
        "total": claim.total,
    }


def approved(claim: Fact) -> ClaimApproved:
    """The claim was approved by its manager."""
    decision = Decision(
        step=1, by="E-9", at=datetime(2026, 10, 13, tzinfo=UTC), rule="any", rule_version=1
    )
    return ClaimApproved(
        **about(claim), route="people", rule="any", rule_version=1, decisions=[decision]
    )


def rejected(claim: Fact) -> ClaimRejected:
    """The claim was rejected by its manager."""
    reason = Reason(code="REJECTED", detail="not for work", who="claimant")
    return ClaimRejected(**about(claim), by="E-9", reasons=[reason])


def withdrawn(claim: Fact) -> ClaimWithdrawn:
    """The claim was taken back by its owner."""
    return ClaimWithdrawn(**about(claim), by="E-1")


def posted(claim: Fact) -> EntryPosted:
    """The claim is in the books."""
    return EntryPosted(
        **about(claim),
        entry_id=new_id(),
        entry_number="HUAXIN-2026-0000001",
        ledger="embedded",
        posting_date=DAY,
        document_date=DAY,
        employee="E-1",
        paid_by=PaidBy.EMPLOYEE,
        payee="E-1",
        reference="HUAXIN-2026-0000001",
    )


def failed(claim: Fact) -> EntryFailed:
    """The claim cannot be posted."""
    reason = Reason(code="PERIOD_CLOSED", detail="October is closed", who="finance")
    return EntryFailed(**about(claim), reasons=[reason])


def turned_back(claim: Fact) -> EntryReversed:
    """The claim's entry was reversed."""
    return EntryReversed(
        **about(claim),
        entry_id=new_id(),
        entry_number="HUAXIN-2026-0000002",
        reverses=new_id(),
        posting_date=DAY,
        because="CLAIM_WITHDRAWN",
    )


def a_company(company: str = COMPANY, **fields: Any) -> CompanyDefined:
    """A company that keeps its books in yuan and lets unbudgeted money pass."""
    usual: dict[str, Any] = {"name": company, "currency": "CNY", "unbudgeted": Control.NONE}
    return CompanyDefined(company=company, **usual | fields)


def a_budget(budget: str, limit: int | Money, **fields: Any) -> BudgetDefined:
    """A hard budget for the year without thresholds; without dimensions it carries everything."""
    usual: dict[str, Any] = {
        "company": COMPANY,
        "starts_on": YEAR[0],
        "ends_on": YEAR[1],
        "limit": cny(limit) if isinstance(limit, int) else limit,
        "thresholds": [],
    }
    return BudgetDefined(budget=budget, **usual | fields)


async def figures(database: Database) -> dict[str, tuple[int, int]]:
    """Reserved and spent of every budget, by code."""
    async with database.reader() as reader:
        rows = await reader.fetch("SELECT code, reserved_minor, spent_minor FROM budgets")
    return {row["code"]: (row["reserved_minor"], row["spent_minor"]) for row in rows}


async def states(database: Database) -> dict[UUID, str]:
    """The state of every case, by claim."""
    async with database.reader() as reader:
        rows = await reader.fetch("SELECT claim_id, state FROM cases")
    return {row["claim_id"]: row["state"] for row in rows}
