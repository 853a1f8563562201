"""Work by the clock: each job runs in one replica at a time and outlives its failures."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from chassis import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database

    Job = Callable[[Database], Awaitable[None]]

log = structlog.get_logger()
_LOCK_CLASS: Final = 7_003  # The advisory lock space of jobs.


@dataclass(slots=True)
class Jobs:
    """The table of jobs a service hands over."""

    table: list[tuple[float, Job]] = field(default_factory=list)

    def every(self, *, seconds: float) -> Callable[[Job], Job]:
        """Let a function run again and again, so many seconds after it ended."""

        def register(job: Job) -> Job:
            self.table.append((seconds, job))
            return job

        return register


async def run_job(database: Database, job: Job, seconds: float, stopping: asyncio.Event) -> None:
    """Run one job until the service stops; a failure is logged, counted and survived."""
    name = getattr(job, "__name__", "job")
    while not stopping.is_set():
        try:
            outcome = await _run_alone(database, job, name)
        except Exception as problem:  # noqa: BLE001 - a job must never take its service down
            outcome = "failed"
            log.warning("job failed", job=name, error=repr(problem))
        metrics.JOB_RUNS.labels(name, outcome).inc()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), seconds)


async def _run_alone(database: Database, job: Job, name: str) -> str:
    connection = await database.connect()
    try:
        lock = zlib.crc32(name.encode()) & 0x7FFFFFFF
        mine = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _LOCK_CLASS, lock)
        if not mine:
            return "elsewhere"
        await job(database)
        return "done"
    finally:
        await connection.close()
