"""Master data, each kind on a compacted topic of its own: the newest record per key holds.

The key is `company/identifier`; rates are keyed `from-to/date`.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field

from contracts.budget import Control
from contracts.envelope import Event, event
from contracts.values import Code, Money, Period, Rate, Text, Value

Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Percent = Annotated[int, Field(ge=1, le=1000)]


class _Master(Event):
    """A record of master data; its key is derived from its fields."""

    @property
    def key(self) -> str:
        """`company/identifier`, from the fields that `@event(key=...)` names."""
        return "/".join(str(getattr(self, field)) for field in self.key_field.split("/"))


@event("masterdata.company-defined.v1", topic="masterdata.companies", key="company")
class CompanyDefined(_Master):
    """A legal entity: its functional currency, its ledger, what it does with unbudgeted money."""

    company: Code
    name: Text
    currency: Currency
    ledger: Code = "embedded"
    unbudgeted: Control = Control.NONE
    claim_age_days: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="older expenses are refused; no limit if absent"
    )
    bank_accounts: list[Code] = Field(default_factory=list)


@event("masterdata.employee-defined.v1", topic="masterdata.employees", key="company/employee")
class EmployeeDefined(_Master):
    """A person (or a purchase card that stands for one) who may claim and approve."""

    company: Code
    employee: Code
    name: Text = ""
    grade: Code = "staff"
    manager: Code | None = None
    cost_center: Code | None = None
    active: bool = True


@event(
    "masterdata.cost-center-defined.v1", topic="masterdata.cost-centers", key="company/cost_center"
)
class CostCenterDefined(_Master):
    """Where costs are collected, and who answers for them."""

    company: Code
    cost_center: Code
    name: Text = ""
    owner: Code | None = None
    active: bool = True


@event("masterdata.project-defined.v1", topic="masterdata.projects", key="company/project")
class ProjectDefined(_Master):
    """A project and its owner."""

    company: Code
    project: Code
    name: Text = ""
    owner: Code | None = None
    active: bool = True


@event("masterdata.category-defined.v1", topic="masterdata.categories", key="company/category")
class CategoryDefined(_Master):
    """A kind of expense; `input_vat` says whether its tax may be deducted."""

    company: Code
    category: Code
    name: Text = ""
    input_vat: Literal["deductible", "not_deductible"] = "deductible"
    active: bool = True


@event(
    "masterdata.account-mapped.v1",
    topic="masterdata.accounts",
    key="company/purpose/valid_from",
)
class AccountMapped(_Master):
    """Which account serves a purpose from a day on.

    Purposes: `expense:<category>`, `input_vat`, `payable:employee`, `payable:company_card`,
    `payable:supplier_invoice`. `expense:*` serves every category without a mapping of its own.
    """

    company: Code
    purpose: Code
    account: Code
    name: Text = ""
    valid_from: dt.date


@event("masterdata.period-defined.v1", topic="masterdata.periods", key="company/period")
class PeriodDefined(_Master):
    """An accounting period (a month) and whether entries may still be posted in it."""

    company: Code
    period: Period
    status: Literal["open", "closed"]


@event("masterdata.budget-defined.v1", topic="masterdata.budgets", key="company/budget")
class BudgetDefined(_Master):
    """A node in the tree of budgets: absent dimensions mean any; `starts_on`..`ends_on` inclusive.

    An expense is carried by the most specific budget whose dimensions and dates fit it, and by all
    of that budget's ancestors.
    """

    company: Code
    budget: Code
    parent: Code | None = None
    cost_center: Code | None = None
    project: Code | None = None
    category: Code | None = None
    starts_on: dt.date
    ends_on: dt.date
    limit: Money
    control: Control = Control.HARD
    thresholds: list[Percent] = Field(default_factory=lambda: [80, 100])


@event("masterdata.rate-fixed.v1", topic="masterdata.rates", key="original/functional/date")
class RateFixed(_Master):
    """One unit of `original` in units of `functional`, on a day."""

    original: Currency
    functional: Currency
    date: dt.date
    rate: Rate


class Condition(Value):
    """`field operator value`, all as text; `in` takes a comma-separated list.

    `total` compares with a decimal amount of the functional currency; `category`, `project` and
    `cost_center` hold if any line's does; `budget` is the outcome of the check.
    """

    field: Literal[
        "total", "grade", "category", "project", "cost_center", "paid_by", "budget", "employee"
    ]
    operator: Literal["=", "!=", "<", "<=", ">", ">=", "in"]
    value: Text


class ApprovalStep(Value):
    """One step: who is asked (`manager`, `cost_center_owner`, `project_owner`, `employee:<id>`)."""

    name: Text
    approvers: Annotated[list[Code], Field(min_length=1)]
    quorum: Literal["any", "all"] = "any"


@event(
    "masterdata.approval-rule-defined.v1",
    topic="masterdata.approval-rules",
    key="company/rule/version",
)
class ApprovalRuleDefined(_Master):
    """WHEN all conditions hold THEN these steps; no steps means automatic approval.

    The active rule with the lowest priority number that holds decides. A company needs one
    fallback: a rule without conditions. Versions are never changed, only superseded.
    """

    company: Code
    rule: Code
    version: Annotated[int, Field(ge=1)]
    priority: int
    conditions: list[Condition] = Field(default_factory=list)
    steps: list[ApprovalStep] = Field(default_factory=list)
    valid_from: dt.date
    active: bool = True
