"""`ledgerbus derive organisation`: the master data that a file of claims takes for granted.

Whoever has only the file gets everything the chain asks for: employees, cost centres, categories,
accounts, periods, budgets that are large enough, and a rule that approves.
"""

from __future__ import annotations

import calendar
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads it
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from contracts.budget import Control
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
from contracts.values import Money, total
from ledgerbus.claimfile import ClaimFile
from ledgerbus.errors import CommandError, Exit
from ledgerbus.layout import Layout, load_layout
from ledgerbus.organisation import SECTION_OF, SECTIONS, written_organisation
from ledgerbus.program import command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contracts.claims import SubmitClaim
    from contracts.envelope import Event

FINANCE: Final = "FINANCE"  # The invented person who answers for what the file names nobody for.
ROOT: Final = "ROOT"
ROUND_TO: Final = 1_000  # Major units: limits people can read, and a little room.
FIXED_ACCOUNTS: Final = (
    ("input_vat", "1300", "Input VAT"),
    ("payable:employee", "2100", "Owed to employees"),
    ("payable:company_card", "2110", "Owed to card issuers"),
    ("payable:supplier_invoice", "2120", "Owed to suppliers"),
    ("expense:*", "6999", "Other expenses"),
)

app = typer.Typer(help="Derive what a file takes for granted.", no_args_is_help=True)


@dataclass(slots=True)
class Findings:
    """What the claims of the files mention; budgets by cost centre and quarter."""

    employees: set[str] = field(default_factory=set)
    cost_centers: set[str] = field(default_factory=set)
    categories: set[str] = field(default_factory=set)
    months: set[tuple[int, int]] = field(default_factory=set)
    spent: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    largest_minor: int = 0
    names: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, claim: SubmitClaim, until: date) -> None:
        """Enter one claim; what lies after `until` will be refused anyway."""
        self.employees.add(claim.employee)
        self.largest_minor = max(self.largest_minor, abs(claim.total.minor))
        for line in claim.lines:
            self.cost_centers.add(line.cost_center)
            self.categories.add(line.category)
            if line.date <= until:
                self.months.add((line.date.year, line.date.month))
                quarter = line.cost_center, line.date.year, (line.date.month + 2) // 3
                self.spent[quarter] += max(0, line.gross.minor)


@app.command("organisation")
def organisation_command(
    files: Annotated[list[Path], typer.Argument(help="CSV files of one layout")],
    layout: Annotated[
        str, typer.Option(help="what their columns mean: a layout, or a path to one")
    ],
    company: Annotated[str, typer.Option(help="the company's code, if not the layout's")] = "",
    currency: Annotated[str, typer.Option(help="its currency, if not the layout's")] = "",
    output: Annotated[Path | None, typer.Option(help="write here, not to standard output")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="counts per section as JSON")] = False,
) -> None:
    """Write the organisation that the claims of these files need, ready for `load organisation`.

    Example: `ledgerbus derive organisation cards.csv --layout birmingham --output cards.yaml`.
    """
    known = load_layout(layout)
    events = derived(files, known, company or known.company, currency or known.currency)
    names = ", ".join(file.name for file in files)
    text = written_organisation(events, f"The organisation that {names} needs, as {known.name}.")
    out = Console(highlight=False)
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    counts = Counter(SECTION_OF[type(event)] for event in events)
    if as_json:
        out.print_json(data={"output": str(output), "records": dict(counts)})
        return
    for section in SECTIONS:
        if counts[section]:
            out.print(f"  {section:<15} {counts[section]:>6,}")
    following = command(f"load organisation {quote(str(output))}")
    out.print(f"next: {following}", markup=False, soft_wrap=True)


def derived(files: Sequence[Path], layout: Layout, company: str, currency: str) -> list[Event]:
    """Every record of master data that the sound claims of the files mention."""
    if currency != layout.currency and not layout.currency_column:
        raise CommandError(
            f"the layout '{layout.name}' reads amounts in {layout.currency}",
            why=f"{currency} was asked for, and the files name no currency",
            fix=f"leave --currency away, or set `currency: {currency}` in a layout of your own",
            code=Exit.USAGE,
        )
    today = date(*time.gmtime()[:3])
    found = Findings()
    for file in files:
        claims = ClaimFile(file, layout, company, keep_names=True)
        for claim in claims:
            if claim.fault is None:
                found.take(claim.command(), today)
        found.names |= claims.names
    if not found.months:
        raise CommandError(
            "nothing can be derived",
            why="the files hold no sound claim",
            fix="see `ledgerbus import claims FILE --layout NAME --dry-run`",
            code=Exit.INVALID,
        )
    return list(_records(found, layout, company, currency))


def _records(found: Findings, layout: Layout, company: str, currency: str) -> Iterator[Event]:
    since = date(min(found.months)[0], 1, 1)
    yield CompanyDefined(
        company=company,
        name=layout.company_name or company,
        currency=currency,
        bank_accounts=[f"BANK-{company}-1"],
    )
    yield EmployeeDefined(company=company, employee=FINANCE, name="Finance", grade="director")
    for employee in sorted(found.employees):
        yield EmployeeDefined(company=company, employee=employee, manager=FINANCE)
    for code in sorted(found.cost_centers):
        name = found.names.get(("cost_center", code), "")
        yield CostCenterDefined(company=company, cost_center=code, name=name, owner=FINANCE)
    for code in sorted(found.categories):
        name = found.names.get(("category", code), "")
        yield CategoryDefined(company=company, category=code, name=name)
    yield from _accounts(found, layout, company, since)
    for year, month in sorted(found.months):
        yield PeriodDefined(company=company, period=f"{year}-{month:02}", status="open")
    yield from _budgets(found, company, currency)
    yield from _rules(found, company, currency, since)


def _accounts(found: Findings, layout: Layout, company: str, since: date) -> Iterator[Event]:
    for code in sorted(found.categories):
        yield AccountMapped(
            company=company,
            purpose=f"expense:{code}",
            account=layout.accounts.get(code, code),
            name=found.names.get(("category", code), ""),
            valid_from=since,
        )
    for purpose, account, name in FIXED_ACCOUNTS:
        yield AccountMapped(
            company=company, purpose=purpose, account=account, name=name, valid_from=since
        )


def _budgets(found: Findings, company: str, currency: str) -> Iterator[Event]:
    limits = {quarter: _limit(minor, currency) for quarter, minor in sorted(found.spent.items())}
    years = [year for _, year, _ in limits]
    yield BudgetDefined(
        company=company,
        budget=ROOT,
        starts_on=date(min(years), 1, 1),
        ends_on=date(max(years), 12, 31),
        limit=total(limits.values(), currency),
        control=Control.SOFT,
    )
    for (cost_center, year, quarter), limit in limits.items():
        last = quarter * 3
        yield BudgetDefined(
            company=company,
            budget=f"{cost_center}-{year}Q{quarter}",
            parent=ROOT,
            cost_center=cost_center,
            starts_on=date(year, last - 2, 1),
            ends_on=date(year, last, calendar.monthrange(year, last)[1]),
            limit=limit,
        )


def _limit(minor: int, currency: str) -> Money:
    """The amount, rounded up; nothing hard is refused for what the file itself spends."""
    step = Money.rounded(Decimal(ROUND_TO), currency).minor
    return Money(max(1, -(-minor // step)) * step, currency)


def _rules(found: Findings, company: str, currency: str, since: date) -> Iterator[Event]:
    ceiling = _limit(found.largest_minor, currency).amount
    yield ApprovalRuleDefined(
        company=company,
        rule="company-cards",
        version=1,
        priority=10,
        conditions=[Condition(field="paid_by", operator="=", value="company_card")],
        valid_from=since,
    )
    yield ApprovalRuleDefined(
        company=company,
        rule="up-to-limit",
        version=1,
        priority=20,
        conditions=[Condition(field="total", operator="<=", value=ceiling)],
        valid_from=since,
    )
    yield ApprovalRuleDefined(
        company=company,
        rule="manager",
        version=1,
        priority=90,
        steps=[ApprovalStep(name="manager", approvers=["manager"])],
        valid_from=since,
    )
