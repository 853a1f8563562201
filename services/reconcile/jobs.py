"""By the clock: waiting lines are judged again when the books around them have changed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from chassis.jobs import Jobs
from services.reconcile.matching import settle
from services.reconcile.store import boards, settlements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from chassis.db import Database

jobs = Jobs()

OVERLAP: Final = timedelta(minutes=2)  # Longer than any transaction that could add an item unseen.
LINES: Final = 2_000  # In one transaction.


@jobs.every(seconds=20)
async def judge_again(database: Database) -> None:
    """Settle waiting lines whose entry arrived, or whose payment came back, since they were judged.

    The handler settles what an arriving entry finds by reference. This finds the rest: entries that
    arrived while the statement was being imported, and those that only amount and payee name.
    """
    async with database.transaction() as tx:
        began = tx.now
        stale = await boards.stale(tx, await boards.judged_until(tx) - OVERLAP)
    for start in range(0, len(stale), LINES):
        await _judge(database, stale[start : start + LINES])
    async with database.transaction() as tx:
        await boards.judge_until(tx, began)


async def _judge(database: Database, waiting: Sequence[tuple[UUID, str]]) -> None:
    async with database.transaction() as tx:
        await boards.lock(tx, {company for _, company in waiting})
        board, lines = await boards.load(tx, [], [line_id for line_id, _ in waiting])
        settlement = settle(board, lines, new_id=tx.new_id)
        await settlements.save(tx, settlement, fresh={})
        for fact, cause in settlement.facts:
            tx.emit(fact, because=cause)
