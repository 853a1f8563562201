"""An approval service that knows its organisation, and how tests speak to it."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from services.approval.handlers import (
    define_companies,
    define_cost_centers,
    define_employees,
    define_projects,
    handlers,
    publish_rules,
)
from services.approval.policy import GRACE
from tests.support import given
from tests.support.approval_values import (
    a_rule,
    a_step,
    master_records,
    when,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database, Tx
    from contracts.envelope import Event
    from contracts.masterdata import ApprovalRuleDefined

    Databases = Callable[[str], Awaitable[Database]]

AUTOMATIC = a_rule("A-SMALL", conditions=when("total <= 1000", "budget = within"), priority=10)
DIRECTOR = a_rule("B-LARGE", a_step("manager"), a_step("employee:zhao"), priority=20)


class Undone(Exception):  # noqa: N818 - named for what it does
    """Rolls a transaction back."""


@asynccontextmanager
async def undone(database: Database) -> AsyncIterator[Tx]:
    """A transaction that is rolled back at its end."""
    with suppress(Undone):
        async with database.transaction() as tx:
            yield tx
            raise Undone


async def hear(database: Database, *events: Event) -> None:
    """Let approval handle events, each kind in one transaction, in the order of their coming."""
    for event in events:
        async with database.transaction() as tx:
            await handlers.by_kind[event.kind]([given(event)], tx)


async def an_office(databases: Databases, *rules: ApprovalRuleDefined) -> Database:
    """A database that knows the organisation and its rules."""
    database = await databases("approval")
    records = master_records()
    by_kind: dict[str, list[Any]] = {}
    for record in records:
        by_kind.setdefault(type(record).__name__, []).append(given(record))
    async with database.transaction() as tx:
        await define_companies(by_kind["CompanyDefined"], tx)
        await define_employees(by_kind["EmployeeDefined"], tx)
        await define_cost_centers(by_kind["CostCenterDefined"], tx)
        await define_projects(by_kind["ProjectDefined"], tx)
        await publish_rules([given(rule) for rule in rules or (AUTOMATIC, DIRECTOR)], tx)
    return database


async def grow_old(database: Database) -> None:
    """Let the patience with missing master data run out."""
    async with database.transaction() as tx:
        await tx.execute("UPDATE cases SET received_at = received_at - $1::interval", GRACE)


async def the_state(database: Database, claim: Any) -> str:
    async with database.reader() as reader:
        return str(
            await reader.fetchval(
                "SELECT state FROM cases WHERE claim_id = $1 AND revision = $2",
                claim.claim_id,
                claim.revision,
            )
        )
