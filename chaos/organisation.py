"""Four invented companies in three currencies; the books of one are kept in another house."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from contracts.masterdata import (
    AccountMapped,
    ApprovalRuleDefined,
    ApprovalStep,
    BudgetDefined,
    CategoryDefined,
    CompanyDefined,
    Condition,
    CostCenterDefined,
    EmployeeDefined,
    PeriodDefined,
)
from contracts.values import Money

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.envelope import Event

STAFF: Final = 12
SINCE, UNTIL = date(2026, 1, 1), date(2026, 12, 31)
LEDGER: Final = "elsewhere"
WIDE, NARROW = "WIDE", "NARROW"
SMALL: Final = 50_000  # In minor units: what nobody is asked about.
NARROW_LIMIT: Final = 60_000  # Two or three claims fit in, the others are refused.
PURPOSES: Final = {
    "expense:*": "6602",
    "input_vat": "2221",
    "payable:employee": "2241",
    "payable:company_card": "2242",
    "payable:supplier_invoice": "2202",
}


@dataclass(frozen=True, slots=True)
class Company:
    """A company as the workload sees it."""

    code: str
    currency: str
    account: str
    ledger: str = "embedded"

    def staff(self, number: int) -> str:
        """One of its employees."""
        return f"{self.code}-E{number % STAFF + 1}"

    @property
    def boss(self) -> str:
        """Who is asked."""
        return f"{self.code}-M1"


COMPANIES: Final = (
    Company("CX-CN", "CNY", "CX-CNY-0001"),
    Company("CX-DE", "EUR", "DE75512108001245126199"),
    Company("CX-JP", "JPY", "CX-JPY-0001"),
    Company("CX-FR", "EUR", "FR7630006000011234567890189", LEDGER),
)


def organisation(company: Company) -> Iterator[Event]:
    """Every record of one company's master data."""
    code = company.code
    yield CompanyDefined(
        company=code,
        name=f"{code} invented",
        currency=company.currency,
        bank_accounts=[company.account],
        ledger=company.ledger,
    )
    yield EmployeeDefined(company=code, employee=company.boss, name="Boss", grade="manager")
    for number in range(STAFF):
        each = company.staff(number)
        yield EmployeeDefined(company=code, employee=each, name=each, manager=company.boss)
    for center in (WIDE, NARROW):
        yield CostCenterDefined(company=code, cost_center=center, owner=company.boss)
    for name in ("travel", "meals"):
        yield CategoryDefined(company=code, category=name)
    for purpose, account in PURPOSES.items():
        yield AccountMapped(company=code, purpose=purpose, account=account, valid_from=SINCE)
    for month in range(1, 13):
        yield PeriodDefined(company=code, period=f"2026-{month:02}", status="open")
    yield from _budgets(company)
    yield from _rules(company)


def _budgets(company: Company) -> Iterator[Event]:
    for name, parent, center, limit in (
        ("ALL", None, None, 10**12),
        ("NARROW", "ALL", NARROW, NARROW_LIMIT),
    ):
        yield BudgetDefined(
            company=company.code,
            budget=name,
            parent=parent,
            cost_center=center,
            starts_on=SINCE,
            ends_on=UNTIL,
            limit=Money(limit, company.currency),
        )


def _rules(company: Company) -> Iterator[Event]:
    small = Money(SMALL, company.currency).amount
    yield ApprovalRuleDefined(
        company=company.code,
        rule="small",
        version=1,
        priority=10,
        conditions=[Condition(field="total", operator="<=", value=small)],
        valid_from=SINCE,
    )
    yield ApprovalRuleDefined(
        company=company.code,
        rule="others",
        version=1,
        priority=100,
        steps=[ApprovalStep(name="manager", approvers=["manager"])],
        valid_from=SINCE,
    )
