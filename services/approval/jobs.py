"""Work by the clock: complete cases that wait for master data are decided when it is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chassis.jobs import Jobs
from services.approval.policy import Moment, rule_on
from services.approval.store import cases, organisation, tasks

if TYPE_CHECKING:
    from chassis.db import Database, Tx

jobs = Jobs()
CASES_AT_ONCE: Final = 500  # As many as a batch from Kafka.


@jobs.every(seconds=1)
async def decide_held(database: Database) -> None:
    """Try the rules again on every case that is held; what is still missing in time is refused."""
    decided = CASES_AT_ONCE
    while decided == CASES_AT_ONCE:
        async with database.transaction() as tx:
            decided = await _decide_some(tx)


async def _decide_some(tx: Tx) -> int:
    """How many cases could be decided now."""
    held = await cases.lock_held(tx, CASES_AT_ONCE)
    causes = {case.key: cause for case, cause in held.items()}
    desk = await organisation.open_desk(tx, list(held), tx.now.date())
    moment = Moment(tx.now, desk.organisation, tx.new_id)
    rulings = [rule_on(case, rule, moment) for case, rule in desk.chosen]
    said = [
        (ruling, tx.emit(ruling.fact, because=causes[ruling.case.key]))
        for ruling in rulings
        if ruling.fact
    ]
    await cases.save(tx, [ruling.case for ruling, _ in said])
    await tasks.save_tasks(tx, said)
    return len(said)
