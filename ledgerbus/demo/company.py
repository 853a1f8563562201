"""The demo's company: an invented maker of instruments with its people, budgets and rules.

Everybody in it is invented. What the month of claims needs to go wrong is prepared here as well: an
entertainment budget that is too small, a category without an account, a closed month.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

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
    ProjectDefined,
    RateFixed,
)
from contracts.values import Money

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.envelope import Event

COMPANY: Final = "QHCK"
CURRENCY: Final = "CNY"
SINCE: Final = date(2026, 1, 1)
QUARTER: Final = date(2026, 10, 1)
UNTIL: Final = date(2026, 12, 31)


class Person(NamedTuple):
    """One line of the staff list."""

    id: str
    name: str
    grade: str
    manager: str | None
    cost_center: str


class Category(NamedTuple):
    """A kind of expense: its name, its account (if any), the tax in its price."""

    name: str
    account: str | None
    percent: str | None
    deductible: bool = True


PEOPLE: Final = (
    Person("E1001", "沈若川", "executive", None, "GM"),
    Person("E1002", "顾明漪", "director", "E1001", "FIN"),
    Person("E1003", "陆怀瑾", "director", "E1001", "SALES"),
    Person("E1004", "方知远", "director", "E1001", "RND"),
    Person("E1005", "苏念秋", "director", "E1001", "OPS"),
    Person("E1006", "程晚舟", "lead", "E1002", "HR"),
    Person("E1011", "韩书屿", "lead", "E1003", "SALES"),
    Person("E1012", "贺兰舟", "staff", "E1011", "SALES"),
    Person("E1013", "宋云栖", "staff", "E1011", "SALES"),
    Person("E1014", "罗青禾", "staff", "E1011", "SALES"),
    Person("E1015", "叶初霁", "staff", "E1011", "SALES"),
    Person("E1016", "白一川", "staff", "E1003", "SALES"),
    Person("E1021", "林砚清", "lead", "E1004", "RND"),
    Person("E1022", "周望舒", "staff", "E1021", "RND"),
    Person("E1023", "许星阑", "staff", "E1021", "RND"),
    Person("E1024", "江予安", "staff", "E1021", "RND"),
    Person("E1031", "唐既白", "lead", "E1005", "OPS"),
    Person("E1032", "孟春山", "staff", "E1031", "OPS"),
    Person("E1033", "秦予墨", "staff", "E1031", "OPS"),
    Person("E1041", "温知夏", "staff", "E1006", "HR"),
    Person("E1051", "裴言蹊", "staff", "E1002", "FIN"),
)
CARDS: Final = (
    Person("CARD-8801", "公司卡 8801", "card", "E1003", "SALES"),
    Person("CARD-8802", "公司卡 8802", "card", "E1004", "RND"),
    Person("CARD-8803", "公司卡 8803", "card", "E1006", "HR"),
)
COST_CENTERS: Final = {
    "GM": ("总经办", "E1001"),
    "FIN": ("财务部", "E1002"),
    "SALES": ("销售部", "E1003"),
    "RND": ("研发部", "E1004"),
    "OPS": ("生产部", "E1005"),
    "HR": ("人力行政部", "E1006"),
}
PROJECTS: Final = {"P-2601": ("海上风电监测", "E1004"), "P-2604": ("华东渠道拓展", "E1003")}
CATEGORIES: Final = {
    "travel": Category("差旅费-城际交通", "66020101", "9"),
    "lodging": Category("差旅费-住宿", "66020102", "6"),
    "allowance": Category("差旅费-补贴", "66020103", None),
    "local-transport": Category("市内交通费", "66020104", "3"),
    "entertainment": Category("业务招待费", "66020200", "6", deductible=False),
    "office": Category("办公费", "66020300", "13"),
    "phone": Category("通讯费", "66020400", "6"),
    "training": Category("培训费", "66020500", "6"),
    "courier": Category("快递费", "66020600", "6"),
    "conference": Category("会议费", "66020700", "6"),
    "donation": Category("捐赠支出", None, None),
}
FIXED_ACCOUNTS: Final = (
    ("input_vat", "22210101", "应交税费-进项税额"),
    ("payable:employee", "22410100", "其他应付款-员工报销"),
    ("payable:company_card", "22410200", "其他应付款-公司卡"),
    ("payable:supplier_invoice", "22020100", "应付账款"),
)
RATES: Final = {"USD": "7.0935", "EUR": "8.2310", "JPY": "0.0479", "HKD": "0.9112"}
LIMITS: Final = {
    "GM": (20_000, Control.HARD),
    "FIN": (80_000, Control.HARD),
    "SALES": (330_000, Control.HARD),
    "RND": (560_000, Control.HARD),
    "OPS": (90_000, Control.SOFT),  # Too small, and soft: exceeded with a warning, not refused.
    "HR": (190_000, Control.HARD),
}
ENTERTAINMENT: Final = 36_000  # Of sales; the month asks for more, so the last claims are refused.


def organisation() -> list[Event]:
    """Every record of the company's master data."""
    return [*_people(), *_ledger(), *_budgets(), *_rates(), *_rules()]


def _people() -> Iterator[Event]:
    yield CompanyDefined(
        company=COMPANY,
        name="青禾测控有限公司",
        currency=CURRENCY,
        bank_accounts=["QHCK-CNY-0001"],
    )
    for person in (*PEOPLE, *CARDS):
        yield EmployeeDefined(
            company=COMPANY,
            employee=person.id,
            name=person.name,
            grade=person.grade,
            manager=person.manager,
            cost_center=person.cost_center,
        )
    for code, (name, owner) in COST_CENTERS.items():
        yield CostCenterDefined(company=COMPANY, cost_center=code, name=name, owner=owner)
    for code, (name, owner) in PROJECTS.items():
        yield ProjectDefined(company=COMPANY, project=code, name=name, owner=owner)


def _ledger() -> Iterator[Event]:
    for code, category in CATEGORIES.items():
        yield CategoryDefined(
            company=COMPANY,
            category=code,
            name=category.name,
            input_vat="deductible" if category.deductible else "not_deductible",
        )
    accounts = [
        (f"expense:{code}", category.account, category.name)
        for code, category in CATEGORIES.items()
        if category.account
    ]
    for purpose, account, name in (*accounts, *FIXED_ACCOUNTS):
        yield AccountMapped(
            company=COMPANY, purpose=purpose, account=account, name=name, valid_from=SINCE
        )
    yield PeriodDefined(company=COMPANY, period="2026-09", status="closed")
    for month in (10, 11, 12):
        yield PeriodDefined(company=COMPANY, period=f"2026-{month}", status="open")


def _budgets() -> Iterator[Event]:
    root = f"{COMPANY}-2026"
    yield BudgetDefined(
        company=COMPANY,
        budget=root,
        starts_on=SINCE,
        ends_on=UNTIL,
        limit=Money(200_000_000, CURRENCY),
        control=Control.SOFT,
    )
    for code, (limit, control) in LIMITS.items():
        yield BudgetDefined(
            company=COMPANY,
            budget=f"{code}-2026Q4",
            parent=root,
            cost_center=code,
            limit=Money(limit * 100, CURRENCY),
            control=control,
            starts_on=QUARTER,
            ends_on=UNTIL,
        )
    yield BudgetDefined(
        company=COMPANY,
        budget="SALES-2026Q4-entertainment",
        parent="SALES-2026Q4",
        cost_center="SALES",
        category="entertainment",
        limit=Money(ENTERTAINMENT * 100, CURRENCY),
        starts_on=QUARTER,
        ends_on=UNTIL,
    )


def _rates() -> Iterator[Event]:
    for original, rate in RATES.items():
        yield RateFixed(original=original, functional=CURRENCY, date=date(2026, 10, 1), rate=rate)


def _rules() -> Iterator[Event]:
    manager = ApprovalStep(name="直属上级", approvers=["manager"])
    owner = ApprovalStep(name="成本中心负责人", approvers=["cost_center_owner"])
    chief = ApprovalStep(name="总经理", approvers=["employee:E1001"])
    table: tuple[tuple[str, list[str], list[ApprovalStep]], ...] = (
        ("large", ["total > 20000"], [manager, owner, chief]),
        ("entertainment", ["category = entertainment"], [manager, owner]),
        ("over-budget", ["budget = over"], [manager, owner]),
        ("company-cards", ["paid_by = company_card"], []),
        ("small", ["total <= 3000"], []),
        ("manager", [], [manager]),
    )
    for place, (rule, conditions, steps) in enumerate(table, start=1):
        yield ApprovalRuleDefined(
            company=COMPANY,
            rule=rule,
            version=1,
            priority=place * 10,
            conditions=[_condition(each) for each in conditions],
            steps=steps,
            valid_from=SINCE,
        )


def _condition(written: str) -> Condition:
    return Condition.model_validate(
        dict(zip(("field", "operator", "value"), written.split(None, 2), strict=True))
    )
