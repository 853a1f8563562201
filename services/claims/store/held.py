"""Commands that wait a few seconds for master data."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from chassis.db import columns
from services.claims.domain import Held
from services.claims.policy.intake import id_of
from services.claims.store.rows import cause_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from chassis.db import Tx
    from contracts.envelope import Cause
    from services.claims.policy.intake import Command

_CAUSE: Final = attrgetter("event_id", "correlation_id", "traceparent", "tracestate")


async def hold(tx: Tx, commands: Sequence[tuple[Command, Cause]]) -> None:
    """Keep commands, in order, until master data has come or patience is over."""
    if not commands:
        return
    await tx.execute(
        """
        INSERT INTO held (claim_id, kind, body, cause_id, correlation_id, traceparent, tracestate,
            since)
        SELECT n.*, $8
        FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[], $5::text[], $6::text[],
            $7::text[]) AS n
        """,
        *columns(
            (
                (id_of(one), one.kind, one.model_dump_json().encode(), *_CAUSE(cause))
                for one, cause in commands
            ),
            7,
        ),
        tx.now,
    )


async def held_after(tx: Tx, number: int, limit: int) -> list[Held]:
    """The next commands that wait, locked, the oldest first."""
    rows = await tx.fetch(
        """
        SELECT h.number, h.kind, h.body, h.since, h.cause_id, h.correlation_id, h.traceparent,
            h.tracestate
        FROM held h WHERE h.number > $1 ORDER BY h.number LIMIT $2 FOR UPDATE
        """,
        number,
        limit,
    )
    return [
        Held(row["number"], row["kind"], row["body"], row["since"], cause_of(row)) for row in rows
    ]


async def let_go(tx: Tx, numbers: Sequence[int]) -> None:
    """Forget commands that wait no longer."""
    await tx.execute("DELETE FROM held WHERE number = ANY($1::bigint[])", numbers)


async def waiting(tx: Tx, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these claims have a command that waits."""
    rows = await tx.fetch("SELECT claim_id FROM held WHERE claim_id = ANY($1::uuid[])", ids)
    return {row["claim_id"] for row in rows}
