"""A machine whose clock is wrong: its services follow the database's, and forget nothing early."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from chassis import clock
from chassis.upkeep import sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database

CLOSE = timedelta(seconds=5)


@pytest.mark.parametrize("days", [-1, 0, 400])
async def test_a_transaction_has_the_databases_time_whatever_the_machine_believes(
    database_of: Callable[[str], Awaitable[Database]], monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    monkeypatch.setattr(clock, "SHIFT", timedelta(days=days))
    database = await database_of("budget")
    for _ in range(2):
        async with database.transaction() as tx:
            assert abs(await tx.fetchval("SELECT clock_timestamp()") - tx.now) < CLOSE


async def test_a_machine_four_hundred_days_ahead_forgets_no_event_it_has_handled(
    database_of: Callable[[str], Awaitable[Database]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "SHIFT", timedelta(days=400))
    database = await database_of("budget")
    known, old = UUID(int=1), UUID(int=2)
    async with database.transaction() as tx:
        await tx.execute("INSERT INTO inbox (event_id, digest) VALUES ($1, 0)", known)
        await tx.execute(
            "INSERT INTO inbox (event_id, digest, received_at) "
            "VALUES ($1, 0, now() - interval '41 days')",
            old,
        )
    await sweep(database)
    async with database.reader() as reader:
        left = await reader.fetch("SELECT event_id FROM inbox")
    assert [row["event_id"] for row in left] == [known]
