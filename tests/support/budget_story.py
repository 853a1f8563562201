"""How tests tell budget what happened, and what it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.budget.handlers import handlers
from tests.support import given, said
from tests.support.budget_values import (
    a_budget,
    a_company,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from chassis.db import Database
    from contracts.envelope import Event


async def tell(database: Database, *facts: Event) -> list[Any]:
    """Hand facts of one kind to their handler in one transaction; what was said."""
    async with database.transaction() as tx:
        await handlers.by_kind[facts[0].kind]([given(fact) for fact in facts], tx)
    return await said(database)


async def tell_each(database: Database, *facts: Event) -> list[Any]:
    """Hand facts over one by one, each in a transaction of its own."""
    return [one for fact in facts for one in await tell(database, fact)]


def kinds(facts: Sequence[Any]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


async def a_small_company(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    """A company whose root has 100.00 and whose cost centre CC-1 has 60.00 of it."""
    database = await database_of("budget")
    await tell(database, a_company())
    await tell(
        database,
        a_budget("CC-1/Q4", 6_000, parent="ALL", cost_center="CC-1"),
        a_budget("ALL", 10_000, thresholds=[80]),
    )
    return database
