"""Work by the clock: claims that came before their company was defined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chassis.jobs import Jobs
from services.budget import store
from services.budget.rules import resume

if TYPE_CHECKING:
    from chassis.db import Database

jobs = Jobs()

CASES_AT_ONCE: Final = (
    500  # As many as one poll brings, so that locks are held no longer than usual.
)


@jobs.every(seconds=1)
async def resume_waiting(database: Database) -> None:
    """Check and reserve for claims whose company has been defined since they came."""
    found = CASES_AT_ONCE
    while found == CASES_AT_ONCE:
        async with database.transaction() as tx:
            desk = await store.load_waiting(tx, CASES_AT_ONCE)
            found = len(desk.stored)
            for key, case in desk.stored.items():
                outcome = resume(desk, key)
                desk.put(outcome)
                for consequence in outcome.facts:
                    tx.emit(consequence, because=case.cause)
            await store.save(tx, desk)
