"""Jobs every service has: measure the outbox, forget what is no longer needed."""

from __future__ import annotations

from datetime import timedelta
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
            "AS parked, (SELECT count(*) FROM parked) AS waiting FROM outbox"
        )
        letters = await reader.fetch(
            "SELECT code, count(*) AS open, extract(epoch FROM now() - min(failed_at))::bigint "
            "AS age FROM dead_letters WHERE state = 'open' GROUP BY code"
        )
    metrics.DEAD_LETTERS_OPEN.clear()
    for letter in letters:
        metrics.DEAD_LETTERS_OPEN.labels(letter["code"]).set(letter["open"])
    metrics.DEAD_LETTERS_AGE.set(max((letter["age"] for letter in letters), default=0))
    if row is not None:
        metrics.OUTBOX_ROWS.set(row["rows"])
        metrics.OUTBOX_AGE.set(row["age"])
        metrics.PARKED_NOW.set(row["parked"])
        metrics.PARKED_EVENTS.set(row["waiting"])


async def sweep(database: Database) -> None:
    """Delete inbox ids beyond any replay and idempotency keys beyond their day, chunk by chunk."""
    for kept, sql in (
        (
            timedelta(days=INBOX_DAYS),
            """DELETE FROM inbox WHERE ctid IN (
           SELECT ctid FROM inbox WHERE received_at < $1 LIMIT $2)""",
        ),
        (
            timedelta(hours=KEEP_HOURS),
            """DELETE FROM idempotency_keys WHERE ctid IN (
           SELECT ctid FROM idempotency_keys WHERE created_at < $1 LIMIT $2)""",
        ),
    ):
        while True:
            async with database.transaction() as tx:
                tag = await tx.execute(sql, tx.now - kept, CHUNK)
            if int(tag.split()[-1]) < CHUNK:
                break
