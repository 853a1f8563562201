"""Values for claims: commands, master data, and what the chain tells of one claim."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.approval import ClaimApproved, ClaimRejected, Decision, StepOpened
from contracts.budget import (
    Allocation,
    BudgetFigures,
    Control,
    FundsChecked,
    FundsRefused,
    FundsReleased,
    FundsReserved,
    FundsSpent,
)
from contracts.claims import ClaimLine, SubmitClaim, WithdrawClaim
from contracts.masterdata import (
    CategoryDefined,
    CompanyDefined,
    CostCenterDefined,
    EmployeeDefined,
    ProjectDefined,
)
from contracts.posting import EntryFailed, EntryHeld, EntryPosted, EntryReversed
from contracts.reconcile import BankLine, PaymentMatched, PaymentReturned, PaymentUnmatched
from contracts.values import Money, PaidBy, Reason, claim_id
from services.claims.handlers import handlers
from services.claims.policy.validation import Company, Entry, MasterData
from tests.support import given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Database
    from contracts.envelope import Event

NOON = datetime(2024, 3, 16, 12, tzinfo=UTC)
DAY = date(2024, 3, 10)
ENTRY = UUID(int=0xE1)
REASON = Reason(code="NO_BUDGET", detail="nothing is left", who="finance")


def cny(amount: str) -> Money:
    """An amount of the company's functional currency."""
    return Money.parse(amount, "CNY")


def a_line(number: int = 1, **fields: Any) -> ClaimLine:
    """A taxi ride of 106.00, tax included."""
    usual: dict[str, Any] = {
        "line": number,
        "category": "travel",
        "date": DAY,
        "net": cny("100.00"),
        "tax": cny("6.00"),
        "gross": cny("106.00"),
        "cost_center": "CC1",
        "merchant": "Taxi",
    }
    return ClaimLine(**(usual | fields))


def a_claim(key: str = "K1", *lines: ClaimLine, **fields: Any) -> SubmitClaim:
    """A sound claim of E1 for what its lines (one taxi ride if none is given) add up to."""
    lines = lines or (a_line(),)
    usual: dict[str, Any] = {
        "source": "tests",
        "source_key": key,
        "company": "C1",
        "employee": "E1",
        "paid_by": PaidBy.EMPLOYEE,
        "lines": list(lines),
        "total": Money(sum(line.gross.minor for line in lines), lines[0].gross.currency),
    }
    return SubmitClaim(**(usual | fields))


def a_withdrawal(key: str = "K1", *, by: str = "E1") -> WithdrawClaim:
    """The owner's wish to take a claim back."""
    return WithdrawClaim(source="tests", source_key=key, by=by, reason="a mistake")


def master_data() -> MasterData:
    """Company C1 with two people (one has left), two cost centres, a project and two categories."""
    names = {
        ("employee", "E1"): True,
        ("employee", "E2"): True,
        ("employee", "GONE"): False,
        ("cost_center", "CC1"): True,
        ("cost_center", "CC-OLD"): False,
        ("project", "P1"): True,
        ("category", "travel"): True,
        ("category", "meals"): True,
    }
    return MasterData(
        {"C1": Company("CNY", 180)},
        {Entry("C1", kind, code): active for (kind, code), active in names.items()},
    )


def definitions() -> dict[type[Event], Sequence[Event]]:
    """The same master data as its topics carry it, by kind."""
    return {
        CompanyDefined: [CompanyDefined(company="C1", name="One", currency="CNY")],
        EmployeeDefined: [
            EmployeeDefined(company="C1", employee="E1"),
            EmployeeDefined(company="C1", employee="E2"),
            EmployeeDefined(company="C1", employee="GONE", active=False),
        ],
        CostCenterDefined: [
            CostCenterDefined(company="C1", cost_center="CC1"),
            CostCenterDefined(company="C1", cost_center="CC-OLD", active=False),
        ],
        ProjectDefined: [ProjectDefined(company="C1", project="P1")],
        CategoryDefined: [
            CategoryDefined(company="C1", category="travel"),
            CategoryDefined(company="C1", category="meals"),
        ],
    }


def about(key: str = "K1", *, minor: int = 10600, revision: int = 1) -> dict[str, Any]:
    """What every fact about the claim of a key carries."""
    return {
        "claim_id": claim_id("tests", key),
        "revision": revision,
        "company": "C1",
        "total": Money(minor, "CNY"),
    }


def checked(**of: Any) -> FundsChecked:
    figures = BudgetFigures(
        budget="B1",
        control=Control.HARD,
        limit=cny("1000.00"),
        reserved=cny("0.00"),
        spent=cny("0.00"),
        available=cny("1000.00"),
        requested=cny("106.00"),
    )
    return FundsChecked(**about(**of), outcome="within", budgets=[figures])


def asked(step: int = 1, **of: Any) -> StepOpened:
    return StepOpened(
        **about(**of),
        task_id=UUID(int=step),
        step=step,
        name="manager",
        approvers=["M1"],
        quorum="any",
        rule="standard",
        rule_version=1,
    )


def approved(**of: Any) -> ClaimApproved:
    decision = Decision(step=1, by="M1", at=NOON, rule="standard", rule_version=1)
    return ClaimApproved(
        **about(**of), route="people", rule="standard", rule_version=1, decisions=[decision]
    )


def rejected(**of: Any) -> ClaimRejected:
    reason = Reason(code="NOT_BUSINESS", detail="a private trip", who="claimant")
    return ClaimRejected(**about(**of), by="M1", reasons=[reason])


def reserved(**of: Any) -> FundsReserved:
    return FundsReserved(**about(**of), allocations=[Allocation(budget="B1", amount=cny("106.00"))])


def funds_refused(**of: Any) -> FundsRefused:
    return FundsRefused(**about(**of), reasons=[REASON], budgets=[])


def spent(**of: Any) -> FundsSpent:
    return FundsSpent(**about(**of), allocations=[Allocation(budget="B1", amount=cny("106.00"))])


def released(**of: Any) -> FundsReleased:
    return FundsReleased(**about(**of), was="reserved", because="CLAIM_WITHDRAWN", allocations=[])


def posted(**of: Any) -> EntryPosted:
    return EntryPosted(
        **about(**of),
        entry_id=ENTRY,
        entry_number="C1-2024-0000001",
        ledger="embedded",
        posting_date=DAY,
        document_date=DAY,
        employee="E1",
        paid_by=PaidBy.EMPLOYEE,
        payee="E1",
        reference="C1-2024-0000001",
    )


def failed(**of: Any) -> EntryFailed:
    return EntryFailed(**about(**of), reasons=[REASON])


def held_back(**of: Any) -> EntryHeld:
    return EntryHeld(**about(**of), reasons=[REASON])


def turned_back(**of: Any) -> EntryReversed:
    return EntryReversed(
        **about(**of),
        entry_id=UUID(int=0xE2),
        entry_number="C1-2024-0000002",
        reverses=ENTRY,
        posting_date=DAY,
        because="CLAIM_WITHDRAWN",
    )


def bank_line(minor: int = -10600, *, day: date = date(2024, 3, 20)) -> BankLine:
    return BankLine(
        account="CN01",
        statement="S1",
        line_id=UUID(int=0xB1),
        booked_on=day,
        amount=Money(minor, "CNY"),
    )


def matched(
    match: int = 1, *, paid: int = 10600, rest: int = 0, day: date = date(2024, 3, 20), **of: Any
) -> PaymentMatched:
    return PaymentMatched(
        **about(**of),
        entry_id=ENTRY,
        match_id=UUID(int=match),
        paid=Money(paid, "CNY"),
        open=Money(rest, "CNY"),
        bank_line=bank_line(-paid, day=day),
        differences=[],
        rule="reference",
        score=100,
        evidence=["own reference"],
    )


def returned(match: int = 1, *, back: int = 10600, rest: int = 10600, **of: Any) -> PaymentReturned:
    return PaymentReturned(
        **about(**of),
        entry_id=ENTRY,
        match_id=UUID(int=match),
        returned=Money(back, "CNY"),
        open=Money(rest, "CNY"),
        bank_line=bank_line(back),
    )


def unmatched(match: int = 1, *, rest: int = 10600, **of: Any) -> PaymentUnmatched:
    return PaymentUnmatched(
        **about(**of),
        entry_id=ENTRY,
        match_id=UUID(int=match),
        released=Money(10600, "CNY"),
        open=Money(rest, "CNY"),
        by="F1",
        because="another claim's",
    )


async def define_all(database: Database) -> None:
    """Let a database know the master data."""
    async with database.transaction() as tx:
        for kind, events in definitions().items():
            await handlers.by_kind[kind.kind]([given(event) for event in events], tx)
