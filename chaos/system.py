"""The system under test: real servers, two replicas of every service, a link for each dependency.

A replica knows only its links. The kit itself reaches the servers directly, so that it can judge
what the weather hides from everybody else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from chaos.proxy import Link
from chaos.schedule import REPLICAS, SERVICES, Victim
from deploy.local import Stack, ports, processes, provision_databases
from deploy.local.broker import Door
from deploy.local.errors import StackError
from deploy.local.processes import ProcessMark
from deploy.local.state import read_state
from deploy.topics import load_plan
from ledgerbus.addresses import Addresses
from ledgerbus.fleet import ADMINISTRATION, PROJECT
from ledgerbus.reading import ENDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOORS: Final = 20_100  # Below the ports that the system lends to outgoing connections.
HTTP: Final = 18_100
STOP_S: Final = 45
SESSION_MS: Final = 6_000  # The shortest the broker allows: a pause is noticed within the run.
MINE: Final = (
    *("report.json", "evidence.json", "bank"),
    *("journal.jsonl", "ledger.jsonl", "faults.jsonl"),
)


@dataclass(slots=True)
class Replica:
    """One process of a service, with its links and its settings."""

    service: str
    number: int
    port: int
    kafka: Link
    postgres: Link
    settings: dict[str, str] = field(default_factory=dict)
    mark: ProcessMark | None = None
    starts: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by a fault as long as it lasts: a victim suffers one thing at a time."""

    @property
    def name(self) -> str:
        """As it is shown: `budget/1`."""
        return f"{self.service}/{self.number}"

    @property
    def url(self) -> str:
        """Where its HTTP face is."""
        return f"http://{ports.HOST}:{self.port}"

    def link(self, name: str) -> Link:
        """Its link to one of the servers."""
        return self.kafka if name == "kafka" else self.postgres


class System:
    """Servers, links and replicas under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.replicas: list[Replica] = []
        self.databases: dict[str, str] = {}
        self.kafka = ""
        self.servers = asyncio.Lock()
        """Held while a server is down on purpose."""
        self.tally: Counter[str] = Counter()
        """What the kit itself did and saw, by its name in the report."""
        self._stack = Stack(self.root, {})
        self._endpoints = ""
        self._watcher: AIOKafkaConsumer | None = None

    async def up(self, settings: dict[str, dict[str, str]]) -> None:
        """Everything from nothing; `settings` are what single services get beside their links."""
        doors = await self._make_links()
        self._stack = Stack(self.root, {}, doors)
        await self.servers_up()
        self.databases = await provision_databases(self._endpoints, SERVICES)
        for replica in self.replicas:
            replica.settings = self._settings(replica) | settings.get(replica.service, {})
            self.start(replica)

    async def down(self) -> None:
        """End every replica, every link and both servers; what they wrote stays."""
        await asyncio.gather(*(asyncio.to_thread(_end, each.mark) for each in self.replicas))
        if self._watcher is not None:
            await self._watcher.stop()
        for replica in self.replicas:
            await replica.kafka.close()
            await replica.postgres.close()
        await self._stack.down()

    async def servers_up(self) -> None:
        """Have both servers answer; those that run are left alone."""
        endpoints = await self._stack.up(load_plan())
        self.kafka, self._endpoints = endpoints.kafka, endpoints.postgres
        port = urlsplit(endpoints.postgres).port or 0
        for replica in self.replicas:
            replica.postgres.upstream = port

    def start(self, replica: Replica, more: dict[str, str] | None = None) -> None:
        """Start a replica; `more` are settings of this one life."""
        kept = {name: text for name, text in os.environ.items() if name not in ADMINISTRATION}
        replica.starts += 1
        replica.mark = processes.spawn(
            [sys.executable, "-m", f"services.{replica.service}"],
            log=self.root / "logs" / f"{replica.service}-{replica.number}.log",
            env=kept | replica.settings | (more or {}),
            cwd=PROJECT,
        )
        self._remember()

    def signal(self, replica: Replica, sent: signal.Signals) -> None:
        """Signal a replica's process; one that is gone does not mind."""
        if processes.find(replica.mark) and replica.mark:
            with suppress(ProcessLookupError):
                os.kill(replica.mark.pid, sent)

    async def ended(self, replica: Replica) -> None:
        """Wait until a replica's process is gone; one that stays too long is killed."""
        try:
            async with asyncio.timeout(STOP_S):
                while processes.find(replica.mark):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self.signal(replica, signal.SIGKILL)

    def alive(self, replica: Replica) -> bool:
        """Whether the replica's process runs."""
        return processes.find(replica.mark) is not None

    def server(self, name: str) -> ProcessMark | None:
        """The process behind `kafka` or `postgres`."""
        state = read_state(self.root)
        return state.kafka.process if name == "kafka" else state.postgres.process

    def replica(self, victim: Victim) -> Replica:
        """The replica a fault is meant for."""
        return next(
            each
            for each in self.replicas
            if (each.service, each.number) == (victim.service, victim.replica)
        )

    def of(self, service: str) -> list[Replica]:
        """Every replica of a service."""
        return [each for each in self.replicas if each.service == service]

    @property
    def administration(self) -> str:
        """The administrator's address of PostgreSQL."""
        return self._endpoints

    @property
    def where(self) -> Addresses:
        """The system as commands address it, past every link."""
        first = {each.service: each.url for each in reversed(self.replicas)}
        return Addresses(self.root, self.kafka, first, self.root / "spans")

    async def ends(self) -> dict[str, int]:
        """Where every partition of the event topics ends, by `topic/partition`."""
        while True:
            try:
                if self._watcher is None:
                    watcher = AIOKafkaConsumer(*ENDS, bootstrap_servers=self.kafka, group_id=None)
                    await watcher.start()
                    watcher.pause(*watcher.assignment())
                    self._watcher = watcher
                ends = await self._watcher.end_offsets(self._watcher.assignment())
            except (KafkaError, OSError):
                await asyncio.sleep(0.2)
            else:
                return {f"{part.topic}/{part.partition}": end for part, end in ends.items()}

    def heal(self) -> None:
        """Fair weather on every link, and every replica awake and running."""
        for replica in self.replicas:
            replica.kafka.heal()
            replica.postgres.heal()
            self.signal(replica, signal.SIGCONT)
            if not self.alive(replica):
                self.start(replica)

    async def _make_links(self) -> list[Door]:
        doors: list[Door] = []
        door, http = DOORS, HTTP
        for service, number in _all():
            door, http = ports.choose_port(door), ports.choose_port(http)
            kafka = Link(f"{service}/{number} kafka", door)
            postgres = Link(f"{service}/{number} postgres", 0)
            await kafka.open()
            await postgres.open()
            self.replicas.append(Replica(service, number, http, kafka, postgres))
            doors.append(Door(f"{service.upper()}{number}", door, kafka.port))
            door, http = door + 1, http + 1
        return doors

    def _settings(self, replica: Replica) -> dict[str, str]:
        url = urlsplit(self.databases[replica.service])
        account = url.netloc.rpartition("@")[0]
        through = url._replace(netloc=f"{account}@{ports.HOST}:{replica.postgres.port}")
        return {
            "LEDGERBUS_KAFKA_BOOTSTRAP_SERVERS": f"{ports.HOST}:{replica.kafka.port}",
            "LEDGERBUS_DATABASE_URL": urlunsplit(through),
            "LEDGERBUS_HTTP_HOST": ports.HOST,
            "LEDGERBUS_HTTP_PORT": str(replica.port),
            "LEDGERBUS_REPLICA": str(replica.number),
            "LEDGERBUS_TOPIC_PREFIX": "",
            "LEDGERBUS_SESSION_TIMEOUT_MS": str(SESSION_MS),
        }

    def _remember(self) -> None:
        marks = [each.mark.model_dump() for each in self.replicas if each.mark]
        (self.root / "replicas.json").write_bytes(orjson.dumps(marks))

    async def clear(self) -> None:
        """End what a run that was killed left behind, and forget what it wrote."""
        self.root.mkdir(parents=True, exist_ok=True)
        file = self.root / "replicas.json"
        if file.exists():
            left = [ProcessMark(**mark) for mark in orjson.loads(file.read_bytes())]
            await asyncio.gather(*(asyncio.to_thread(_end, mark) for mark in left))
            file.unlink()
        elif any(self.root.iterdir()) and not (self.root / "state.json").exists():
            raise StackError(
                f"{self.root} is not empty",
                why="a run forgets what the last one left, and these files are not a run's",
                fix="name an empty folder with --root",
            )
        await self._stack.destroy()
        for name in MINE:
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.root.mkdir(parents=True, exist_ok=True)


def _all() -> Iterator[tuple[str, int]]:
    return ((service, number) for service in SERVICES for number in range(REPLICAS))


def _end(mark: ProcessMark | None) -> None:
    if process := processes.find(mark):
        with suppress(OSError):
            os.kill(process.pid, signal.SIGCONT)
        processes.stop(process, sent=signal.SIGTERM, within_s=STOP_S)
