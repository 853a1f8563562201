"""Jobs every service has: measure the outbox, forget what is no longer needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chassis import metrics
from chassis.idempotency import KEEP_HOURS

if TYPE_CHECKING:
    from chassis.db import Database

INBOX_DAYS: Final = 40  # Longer than any event topic keeps (7 days) plus a month-end's replays.
CHUNK: Final = 20_000  # Rows per delete: short locks, small transactions.


async def measure_outbox(database: Database) -> None:
    """How much waits to be published and since when; how many keys wait behind dead letters."""
    async with database.reader() as reader:
        row = await reader.fetchrow(
            "SELECT count(*) AS rows, "
            "coalesce(extract(epoch FROM now() - min(created_at)), 0)::bigint AS age, "
            "(SELECT count(DISTINCT key) FROM dead_letters WHERE blocks_key AND state = 'open') "
            "AS parked FROM outbox"
        )
    if row is not None:
        metrics.OUTBOX_ROWS.set(row["rows"])
        metrics.OUTBOX_AGE.set(row["age"])
        metrics.PARKED_NOW.set(row["parked"])


async def sweep(database: Database) -> None:
    """Delete inbox ids beyond any replay and idempotency keys beyond their day, chunk by chunk."""
    for sql in (
        f"DELETE FROM inbox WHERE ctid IN (SELECT ctid FROM inbox WHERE received_at < "
        f"now() - interval '{INBOX_DAYS} days' LIMIT {CHUNK})",
        f"DELETE FROM idempotency_keys WHERE ctid IN (SELECT ctid FROM idempotency_keys WHERE "
        f"created_at < now() - interval '{KEEP_HOURS} hours' LIMIT {CHUNK})",
    ):
        while True:
            async with database.transaction() as tx:
                tag = await tx.execute(sql)
            if int(tag.split()[-1]) < CHUNK:
                break
