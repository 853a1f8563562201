"""Work by the clock: commands that wait for master data are judged again until patience is over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from chassis.jobs import Jobs
from contracts.claims import SubmitClaim, WithdrawClaim
from contracts.codec import read
from services.claims.policy.intake import Outcome, judge
from services.claims.store import door, held

if TYPE_CHECKING:
    from uuid import UUID

    from chassis.db import Database, Tx
    from services.claims.domain import Held
    from services.claims.policy.intake import Command

PAGE: Final = 500  # As many as a batch from Kafka.

jobs = Jobs()


@jobs.every(seconds=1)
async def judge_held(database: Database) -> None:
    """Judge every waiting command once, in the order they came."""
    after: int | None = 0
    stuck: set[UUID] = set()  # No command overtakes another one of its claim.
    while after is not None:
        async with database.transaction() as tx:
            after = await _judge_page(tx, after, stuck)


async def _judge_page(tx: Tx, after: int, stuck: set[UUID]) -> int | None:
    """Judge the commands that follow; the number of the last one, None if there was none."""
    waiting = await held.held_after(tx, after, PAGE)
    if not waiting:
        return None
    commands = [_command(one) for one in waiting]
    desk = replace(await door.open_desk(tx, commands, patient=True), held=stuck)
    verdicts = judge([(c, w.since) for c, w in zip(commands, waiting, strict=True)], desk)
    judged = list(zip(waiting, verdicts, strict=True))
    said = [
        (fact, tx.emit(fact, because=one.cause))
        for one, verdict in judged
        for fact in verdict.facts
    ]
    await door.save_verdicts(tx, verdicts, said)
    await held.let_go(tx, [w.number for w, v in judged if v.outcome is not Outcome.HELD])
    return waiting[-1].number


def _command(waiting: Held) -> Command:
    if waiting.kind == WithdrawClaim.kind:
        return read(WithdrawClaim, waiting.body)
    return read(SubmitClaim, waiting.body)
