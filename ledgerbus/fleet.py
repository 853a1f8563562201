"""The services as processes of this machine: started, waited for, found again, stopped.

Which services there are is read from the folders under `services/`; none is imported here.
A service whose settings or code have changed since it was started is started anew by the next `up`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from deploy.local import ports, processes
from deploy.local.errors import StackError
from deploy.local.state import ServiceState, locked, read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from deploy.local.state import State

PROJECT: Final = Path(__file__).resolve().parent.parent
PORTS: Final = {
    "claims": 8101,
    "approval": 8102,
    "budget": 8103,
    "posting": 8104,
    "reconcile": 8105,
}
LATER_PORT: Final = 8106  # Where services without a place in the table begin.
REPLICA_STEP: Final = 10
READY_S: Final = 90  # Five services that migrate and join at once on two cores need a third of it.
CODE: Final = ("contracts", "chassis")  # What every service runs on, beside its own folder.
CODE_SUFFIXES: Final = (".py", ".sql", ".yaml")
STOP_S: Final = 50  # Open requests, the batch in flight, jobs, the relay's drain: each is bounded.
ASK_S: Final = 3
ADMINISTRATION: Final = ("POSTGRES_URL", "PGPASSWORD")  # Never handed to a service.


@dataclass(frozen=True, slots=True)
class Wanted:
    """One process as it should run."""

    name: str
    replica: int
    settings: dict[str, str]
    code: str = ""

    @property
    def port(self) -> int:
        """The port it gets when nobody else has it."""
        return PORTS.get(self.name, LATER_PORT) + self.replica * REPLICA_STEP

    @property
    def fingerprint(self) -> str:
        """Tells whether a running process was started with the same settings and the same code."""
        settings = (f"{name}={value}" for name, value in sorted(self.settings.items()))
        written = "\n".join((self.code, *settings))
        return hashlib.sha256(written.encode()).hexdigest()[:16]


def service_names() -> list[str]:
    """Every service that can be started: a folder under `services/` with a `__main__.py`."""
    found = {main.parent.name for main in (PROJECT / "services").glob("*/__main__.py")}
    return sorted(found, key=lambda name: (PORTS.get(name, LATER_PORT), name))


def code_digest(service: str, project: Path) -> str:
    """The contents of everything a service runs on: it changes with a pull or an edit.

    It is read whole, less than a megabyte: times of files say nothing after a checkout.
    """
    digest = hashlib.sha256()
    files = (
        file for folder in (*CODE, f"services/{service}") for file in _deciding(project / folder)
    )
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(project).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


class Fleet:
    """The service processes of one state folder."""

    def __init__(self, root: Path) -> None:
        """Speak for the folder that remembers the processes."""
        self.root = root.resolve()

    async def start(self, kafka: str, databases: Mapping[str, str], *, replicas: int) -> None:
        """Have `replicas` processes of each service run; what runs as wanted is left alone.

        A process that runs with other settings, or on code that has changed since, is ended first
        and started anew.
        """
        spans = self.root / "spans"
        spans.mkdir(parents=True, exist_ok=True)
        wanted = [
            Wanted(name, replica, _settings(kafka, url, spans, replica), code_digest(name, PROJECT))
            for name, url in databases.items()
            for replica in range(replicas)
        ]
        async with locked(self.root):
            state = read_state(self.root)
            before = {(each.name, each.replica): each for each in state.services}
            staying = _staying(state, wanted)
            await _stop(each for each in state.services if each not in staying)
            state.services = staying
            write_state(self.root, state)
            present = {(each.name, each.replica) for each in staying}
            missing = [each for each in wanted if (each.name, each.replica) not in present]
            # Who finds its port taken must not take the next service's instead.
            defaults = {each.port for each in missing}
            for each in missing:
                last = before.get((each.name, each.replica))
                port = last.port if last else each.port
                given = {service.port for service in state.services}
                state.services.append(self._spawn(each, port, defaults - {port} | given))
                # At once: a process that is not written down could never be stopped.
                write_state(self.root, state)

    async def roll(
        self, kafka: str, databases: Mapping[str, str], say: Callable[[ServiceState], None]
    ) -> None:
        """Replace the processes of these services by ones on the present code, one at a time.

        The next one is touched when the one before is ready; an error leaves the rest as it was.
        """
        spans = self.root / "spans"
        async with httpx.AsyncClient(timeout=ASK_S, trust_env=False) as client:
            for old in [each for each in read_state(self.root).services if each.name in databases]:
                settings = _settings(kafka, databases[old.name], spans, old.replica)
                digest = code_digest(old.name, PROJECT)
                new = await self._replace(old, Wanted(old.name, old.replica, settings, digest))
                await self._until_ready(new, client, say)

    async def _replace(self, old: ServiceState, wanted: Wanted) -> ServiceState:
        async with locked(self.root):
            state = read_state(self.root)
            place = [(each.name, each.replica) for each in state.services].index(
                (old.name, old.replica)
            )
            taken = {each.port for each in state.services if each.port != old.port}
            await _stop([state.services[place]])
            state.services[place] = self._spawn(wanted, old.port, taken)
            write_state(self.root, state)
            return state.services[place]

    async def ready(self, say: Callable[[ServiceState], None]) -> None:
        """Return when every process is ready, saying each; an error names who is not, and why."""
        async with httpx.AsyncClient(timeout=ASK_S, trust_env=False) as client:
            services = read_state(self.root).services
            waits = (self._until_ready(each, client, say) for each in services)
            outcomes = await asyncio.gather(*waits, return_exceptions=True)
        for fault in outcomes:
            if fault is not None:
                raise fault

    async def stop(self) -> list[str]:
        """End every process; names those that did not end by themselves in time."""
        async with locked(self.root):
            state = read_state(self.root)
            killed = await _stop(state.services)
            for each in state.services:
                each.process = None  # The port is kept for next time.
            write_state(self.root, state)
        return killed

    def log_of(self, service: ServiceState) -> Path:
        """Where a process writes."""
        suffix = f"-{service.replica}" if service.replica else ""
        return self.root / "logs" / f"{service.name}{suffix}.log"

    def _spawn(self, wanted: Wanted, port: int, taken: Collection[int]) -> ServiceState:
        free = ports.choose_port(port, taken=taken)
        service = ServiceState(
            name=wanted.name,
            replica=wanted.replica,
            url=f"http://{ports.HOST}:{free}",
            port=free,
            fingerprint=wanted.fingerprint,
        )
        kept = {name: text for name, text in os.environ.items() if name not in ADMINISTRATION}
        service.process = processes.spawn(
            [sys.executable, "-m", f"services.{wanted.name}"],
            log=self.log_of(service),
            env=kept | wanted.settings | {"LEDGERBUS_HTTP_PORT": str(free)},
            cwd=PROJECT,
        )
        return service

    async def _until_ready(
        self, service: ServiceState, client: httpx.AsyncClient, say: Callable[[ServiceState], None]
    ) -> None:
        failing = "no answer"
        try:
            async with asyncio.timeout(READY_S):
                while failing := await failing_checks(service, client):
                    if processes.find(service.process) is None:
                        raise self._ended(service)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StackError(
                f"{service.name} is not ready after {READY_S} s",
                why=failing,
                fix="read its log; `ledgerbus up` again continues to wait for it",
                log=self.log_of(service),
            ) from None
        say(service)

    def _ended(self, service: ServiceState) -> StackError:
        return StackError(
            f"{service.name} ended while starting",
            why="its process is gone",
            fix="the log says why; correct it, then `ledgerbus up` again",
            log=self.log_of(service),
        )


def label(service: ServiceState) -> str:
    """The name of a service, with the replica from the second on."""
    return f"{service.name}/{service.replica}" if service.replica else service.name


async def failing_checks(service: ServiceState, client: httpx.AsyncClient) -> str:
    """What keeps a service from being ready, in its own words; empty when nothing does."""
    try:
        answer = await client.get(f"{service.url}/health/ready")
        if answer.status_code == httpx.codes.OK:
            return ""
        checks = answer.json().get("checks", {})
    except (httpx.HTTPError, ValueError) as fault:
        return f"no answer ({type(fault).__name__})"
    failing = (f"{name}: {text}" for name, text in checks.items() if text)
    return "; ".join(failing) or f"HTTP {answer.status_code}"


def _deciding(folder: Path) -> list[Path]:
    """The files of a folder that decide how a service behaves."""
    return sorted(file for file in folder.rglob("*") if file.suffix in CODE_SUFFIXES)


def _settings(kafka: str, database: str, spans: Path, replica: int) -> dict[str, str]:
    return {
        "LEDGERBUS_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "LEDGERBUS_DATABASE_URL": database,
        "LEDGERBUS_HTTP_HOST": ports.HOST,
        "LEDGERBUS_REPLICA": str(replica),
        "LEDGERBUS_SPANS_DIR": str(spans),
        "LEDGERBUS_TOPIC_PREFIX": "",
    }


def _staying(state: State, wanted: Iterable[Wanted]) -> list[ServiceState]:
    fingerprints = {(each.name, each.replica): each.fingerprint for each in wanted}
    return [
        each
        for each in state.services
        if fingerprints.get((each.name, each.replica)) == each.fingerprint
        and processes.find(each.process)
    ]


async def _stop(services: Iterable[ServiceState]) -> list[str]:
    """End processes side by side; names those that had to be killed."""
    running = [(each, process) for each in services if (process := processes.find(each.process))]
    ends = (
        asyncio.to_thread(processes.stop, process, sent=signal.SIGTERM, within_s=STOP_S)
        for _, process in running
    )
    in_time = await asyncio.gather(*ends)
    return [label(each) for (each, _), ended in zip(running, in_time, strict=True) if not ended]
