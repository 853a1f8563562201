"""run(package, handlers, routes, jobs): everything a service is besides its three tables."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn
import uvloop
from aiokafka.errors import KafkaError

from chassis import metrics, telemetry
from chassis.broker import Intake
from chassis.db import Database
from chassis.errors import Halted, is_outage
from chassis.http import build
from chassis.invariants import Invariants
from chassis.jobs import Jobs, run_job
from chassis.migrate import migrate
from chassis.outbox import Relay
from chassis.recall import recall
from chassis.settings import Settings
from chassis.upkeep import measure_outbox, sweep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import FrameType

    from fastapi import APIRouter, FastAPI

    from chassis.consume import Consumer
    from chassis.handlers import Handlers

log = structlog.get_logger()

RETRY_S: Final = 1.0
SILENT_S: Final = 30  # A batch takes seconds; no poll for longer means it cannot go on.
DRAIN_S: Final = (
    10.0  # For the relay to publish what is committed; what is left waits in the table.
)
JOBS_S: Final = 3.0  # For jobs under way to end; what they do is done again after a cut.
OUTBOX_STUCK_S: Final = 30  # An outbox row older than this means nobody relays it.


class Service:
    """One service process: it starts in any order with its servers, and ends within a bound."""

    def __init__(self, package: str, handlers: Handlers, jobs: Jobs, settings: Settings) -> None:
        self.name = package.rpartition(".")[2]
        self.package = package
        self.settings = settings
        self.database = Database(
            settings.database_url,
            service=self.name,
            topic_prefix=settings.topic_prefix,
            pool_size=settings.pool_size,
        )
        self.invariants = Invariants(package)
        self.handlers = handlers
        self.intake = Intake(self.database, handlers, settings)
        self.relay = Relay(self.database, settings.kafka_bootstrap_servers)
        self._jobs = jobs
        self._handlers = handlers
        self._stopping = asyncio.Event()
        self._leaving = False
        self._migrated = False
        self._trouble = "starting"
        self._tasks: list[asyncio.Task[None]] = []  # The relay first, then the jobs.

    async def start(self) -> None:
        """Migrate, then consume, relay and run jobs; waits for servers that are not up yet."""
        while not self._migrated:
            try:
                await migrate(self.database, self.package)
                self._migrated = True
                self._trouble = ""
            except Exception as problem:  # noqa: BLE001 - /health/ready says it until it works
                away = is_outage(problem) or is_outage(problem.__cause__ or problem)
                self._trouble = "waiting for PostgreSQL" if away else f"cannot migrate: {problem}"
                (log.warning if away else log.error)(self._trouble, error=repr(problem))
                await asyncio.sleep(RETRY_S)
        if not await self._recalled():
            return
        self._tasks.append(asyncio.create_task(self.relay.run()))
        upkeep = Jobs()
        upkeep.every(seconds=self.settings.invariants_every_s)(self._ask_invariants)
        upkeep.every(seconds=600)(sweep)
        upkeep.every(seconds=5)(measure_outbox)
        upkeep.every(seconds=5)(self._release_parked)
        for seconds, job in [*self._jobs.table, *upkeep.table]:
            task = run_job(self.database, job, seconds, self._stopping)
            self._tasks.append(asyncio.create_task(task))
        await self.intake.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        log.info("service started")

    async def _recalled(self) -> bool:
        """Take back what was said after a backup that was restored; False if that cannot be."""
        self._trouble = "asking its own topics what was said last"
        while self._trouble:
            try:
                await recall(self.database, self._handlers, self.settings.kafka_bootstrap_servers)
            except Halted as problem:
                self._trouble = str(problem)
                metrics.HALTED.set(1)
                log.critical("service halted", reason=self._trouble)
                return False
            except Exception as problem:
                if not (isinstance(problem, KafkaError | OSError) or is_outage(problem)):
                    raise
                log.warning("cannot ask the own topics yet", error=repr(problem))
                await asyncio.sleep(RETRY_S)
            else:
                self._trouble = ""
        return True

    async def _ask_invariants(self, database: Database) -> None:
        async with database.reader() as reader:
            for violation in (await self.invariants.ask(reader))["violations"]:
                log.error("invariant violated", **violation)

    async def _release_parked(self, _: Database) -> None:
        while await self.intake.consumer.release_parked():
            pass

    def leave(self) -> None:
        """Say not ready from now on, while everything still works: balancers take this one out."""
        self._leaving = True

    async def stop(self) -> None:
        """Finish the batch, drain the relay, close the pool; each step is bounded."""
        self._stopping.set()
        await self.intake.stop()
        await _end(self._tasks[1:], JOBS_S)  # Before the relay: a job that ends may still speak.
        await self.relay.stop()
        await _end(self._tasks[:1], DRAIN_S)
        await self.database.close()
        log.info("service stopped")

    async def checks(self) -> dict[str, str]:
        """What keeps the service from being ready; an empty text means well."""
        if self._leaving:
            return {"start": "stopping"}
        consumer = self.intake.consumer
        return {
            "start": self._trouble,
            "kafka": await self._check_kafka(),
            "database": await self._check_database() if self._migrated else "",
            "consumers": consumer.halted or _check_polls(consumer),
        }

    async def _check_kafka(self) -> str:
        """Whether a broker listens; the client library would go on trying without a word."""
        servers = self.settings.kafka_bootstrap_servers.split(",")
        for host, _, port in (server.strip().rpartition(":") for server in servers):
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                return ""
        return "does not answer"

    async def _check_database(self) -> str:
        try:
            async with asyncio.timeout(2), self.database.reader() as reader:
                age = await reader.fetchval(
                    "SELECT extract(epoch FROM now() - created_at)::int FROM outbox "
                    "ORDER BY id LIMIT 1"
                )
        except Exception as problem:  # noqa: BLE001 - whatever it is, the answer is: not ready
            return f"does not answer: {type(problem).__name__}"
        stuck = age is not None and age > OUTBOX_STUCK_S
        return f"the outbox has not moved for {age} s" if stuck else ""


async def _end(tasks: list[asyncio.Task[None]], within_s: float) -> None:
    """Wait for tasks that have been told to end; cut off those that are late."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=within_s)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=1)


def _check_polls(consumer: Consumer) -> str:
    if not consumer.joined or consumer.polls is None:
        return "joining the group"
    silent = time.monotonic() - consumer.polls.polled_at
    return f"no poll for {silent:.0f} s" if silent > SILENT_S else ""


def application(service: Service, routes: APIRouter) -> FastAPI:
    """The service as an ASGI application whose lifespan starts and stops the machinery."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(service.start())
        starting.add_done_callback(_report)
        try:
            yield
        finally:
            starting.cancel()
            await asyncio.wait([starting])
            await service.stop()
            telemetry.stop()

    return build(
        service.name,
        routes,
        database=service.database,
        invariants=service.invariants,
        checks=service.checks,
        lifespan=lifespan,
        handlers=service.handlers,
    )


class _Server(uvicorn.Server):
    """Serves on for a moment after the first signal, so that no request meets a closed door."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._ends_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave; a second signal ends at once what the first one would have ended."""
        if self._ends_at is None:
            self._service.leave()
            self._ends_at = time.monotonic() + self._service.settings.leave_ms / 1000
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether to end now; asked ten times a second."""
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            self.should_exit = True
        return await super().on_tick(counter)


def _report(starting: asyncio.Task[None]) -> None:
    if not starting.cancelled() and (problem := starting.exception()):
        log.critical("service could not start", exc_info=problem)


def run(package: str, handlers: Handlers, routes: APIRouter, jobs: Jobs) -> None:
    """Run a service until SIGTERM; `package` (services.budget) names it and holds its SQL."""
    settings = Settings()
    name = package.rpartition(".")[2]
    telemetry.start_logs(name, replica=settings.replica, level=settings.log_level)
    telemetry.start(name, replica=settings.replica, spans_dir=settings.spans_dir)
    with suppress(PackageNotFoundError):
        metrics.BUILD.labels(name, version("ledgerbus")).set(1)

    async def serve() -> None:
        service = Service(package, handlers, jobs, settings)
        app = application(service, routes)
        config = uvicorn.Config(
            app,
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        await _Server(config, service).serve()

    uvloop.run(serve())
