"""What budget tells over HTTP: how budgets stand, and what a claim holds where."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from chassis.http import PageArgs, Paged, Problem, Reading, router
from contracts.budget import Allocation, Control
from contracts.values import Code, Money
from services.budget import store
from services.budget.domain import Entry, State
from services.budget.matching import Standing  # noqa: TC001 - FastAPI reads it

routes = router()

_CODE: Final = TypeAdapter[str](Code)
_FIRST: Final = (UUID(int=0), 0)
_REVISION_MAX: Final = 2**31 - 1  # What the column holds; a cursor beyond it is forged.


class BudgetView(BaseModel):
    """A budget as it stands; one that is only named as a parent has no limit and no dates."""

    company: str
    budget: str
    parent: str | None
    cost_center: str | None
    project: str | None
    category: str | None
    starts_on: date | None
    ends_on: date | None
    defined: bool
    control: Control
    limit: Money
    reserved: Money
    spent: Money
    available: Money
    thresholds: list[int]


class ReservationView(BaseModel):
    """The part of an approved claim that a budget holds until the claim is posted."""

    claim_id: UUID
    revision: int
    amount: Money
    since: datetime


class BudgetDetail(BaseModel):
    """A budget and its open reservations."""

    budget: BudgetView
    reservations: Paged[ReservationView]


class CaseView(BaseModel):
    """Where the money of one revision stands; `state` says what became of its `parts`."""

    revision: int
    company: str
    total: Money
    state: State
    approved: bool
    rejected: bool
    withdrawn: bool
    entry: Entry | None
    parts: list[Allocation]
    changed_at: datetime


class ClaimView(BaseModel):
    """What a claim holds where, by revision."""

    claim_id: UUID
    revisions: list[CaseView]


@routes.get("/budgets")
async def list_budgets(
    reader: Reading,
    page: PageArgs,
    company: Code | None = None,
    cost_center: Code | None = None,
    project: Code | None = None,
    on: date | None = None,
) -> Paged[BudgetView]:
    """Budgets by company and code; `on` keeps those whose span includes a day."""
    where = {"company": company, "cost_center": cost_center, "project": project, "on": on}
    after = ("", "") if page.after is None else _after_budget(page.after)
    found = await store.standings(reader, where, after, page.limit + 1)
    return Paged.of([_view(one) for one in found], page, key=lambda one: [one.company, one.budget])


@routes.get("/budgets/{company}/{budget:path}")
async def show_budget(reader: Reading, page: PageArgs, company: Code, budget: Code) -> BudgetDetail:
    """One budget's figures and, by page, what it holds for claims that are not posted yet."""
    where = {"company": company, "budget": budget}
    found = await store.standings(reader, where, ("", ""), 1)
    if not found:
        raise Problem(404, "BUDGET_NOT_FOUND", f"{company} has no budget '{budget}'")
    after = _FIRST if page.after is None else _after_claim(page.after)
    held = await store.reservations(reader, found[0], after, page.limit + 1)
    items = [ReservationView.model_validate(one._asdict()) for one in held]
    reservations = Paged.of(items, page, key=lambda one: [one.claim_id, one.revision])
    return BudgetDetail(budget=_view(found[0]), reservations=reservations)


@routes.get("/claims/{claim_id}")
async def show_claim(reader: Reading, claim_id: UUID) -> ClaimView:
    """What each revision of a claim holds, has spent or has given back, and in which budgets."""
    found = await store.holdings(reader, claim_id)
    if not found:
        raise Problem(404, "CLAIM_NOT_FOUND", f"no claim {claim_id} has come this far")
    return ClaimView(
        claim_id=claim_id,
        revisions=[
            CaseView(
                revision=case.revision,
                company=case.company,
                total=case.total,
                state=case.state,
                approved=case.approved,
                rejected=case.rejected,
                withdrawn=case.withdrawn,
                entry=case.entry,
                parts=[
                    Allocation(budget=codes[number], amount=Money(amount, case.total.currency))
                    for number, amount in case.held.items()
                ],
                changed_at=changed_at,
            )
            for case, codes, changed_at in found
        ],
    )


def _view(standing: Standing) -> BudgetView:
    company, node, figures = standing
    currency = node.currency
    return BudgetView(
        company=company,
        budget=node.code,
        parent=node.parent or None,
        cost_center=node.cost_center or None,
        project=node.project or None,
        category=node.category or None,
        starts_on=node.starts_on if node.defined else None,
        ends_on=node.ends_on if node.defined else None,
        defined=node.defined,
        control=node.control,
        limit=Money(figures.limit, currency),
        reserved=Money(figures.reserved, currency),
        spent=Money(figures.spent, currency),
        available=Money(figures.available, currency),
        thresholds=list(node.thresholds),
    )


def _after_budget(after: list[str]) -> tuple[str, str]:
    try:
        company, budget = map(_CODE.validate_python, after)
    except ValueError:
        raise _forged() from None
    return company, budget


def _after_claim(after: list[str]) -> tuple[UUID, int]:
    try:
        claim_id, revision = UUID(after[0]), int(after[1])
    except (IndexError, ValueError):
        raise _forged() from None
    if not 0 <= revision <= _REVISION_MAX:
        raise _forged()
    return claim_id, revision


def _forged() -> Problem:
    return Problem(422, "CURSOR_INVALID", "use the `next` of the page before, unchanged")
