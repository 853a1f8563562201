"""The stack of a workstation: Kafka and PostgreSQL, started once, found again, stopped in order.

Servers come from one of three places, Kafka and PostgreSQL each on its own: given from outside
(`KAFKA_BOOTSTRAP_SERVERS`, `POSTGRES_URL`), containers (`STACK=containers`), or embedded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from deploy.local import processes
from deploy.local.broker import Broker
from deploy.local.databases import connect, without_password
from deploy.local.errors import StackError
from deploy.local.given import answers, use_given
from deploy.local.postgres import Postgres
from deploy.local.state import locked, read_state, write_state
from deploy.local.topics import ensure_topics, reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from deploy.local.broker import Door
    from deploy.local.containers import Container
    from deploy.local.state import ServerState, Source, State
    from deploy.topics import TopicPlan

# What a stack keeps in its root, which may be a folder with other things in it.
FOLDERS = ("kafka", "postgres", "logs", "spans")
FILES = ("state.json", "postgres.password", "lock")
GLANCE_S = 3  # A status is asked for by somebody who waits.


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the servers answer: `postgres` is the administrator's address, `drift` what differs."""

    kafka: str
    postgres: str
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it stands now."""

    name: str
    source: Source
    address: str
    pid: int | None
    ready: bool
    resident_bytes: int | None


class Stack:
    """The servers whose state lies under one root folder."""

    def __init__(
        self,
        root: Path,
        environment: Mapping[str, str] | None = None,
        doors: Sequence[Door] = (),
    ) -> None:
        """Speak for the root; the environment says where the servers come from.

        An embedded broker also listens at `doors`.
        """
        self.root = root.resolve()
        self._environment = os.environ if environment is None else environment
        self._broker = Broker(self.root, doors)
        self._postgres = Postgres(self.root)

    async def up(self, topics: TopicPlan) -> Endpoints:
        """Have both servers answer and every topic led; what already runs is left alone."""
        async with locked(self.root):
            # A server that was killed a moment ago may still look alive: then it is started anew.
            for _ in range(2):
                state = await self._start()
                using = asyncio.create_task(self._use(state, topics))
                ending = asyncio.create_task(self._until_one_ends(state))
                await asyncio.wait({using, ending}, return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                if using.done():
                    return using.result()
                using.cancel()
                fault = ending.result()
            raise fault

    async def down(self) -> list[str]:
        """End the servers that are ours, Kafka first; names those that had to be killed."""
        async with locked(self.root):
            state = read_state(self.root)
            killed = []
            if not await asyncio.to_thread(self._broker.stop, state.kafka):
                killed.append("kafka")
            if not await asyncio.to_thread(self._postgres.stop, state.postgres):
                killed.append("postgres")
            for server in (state.kafka, state.postgres):
                if server.container:
                    await asyncio.to_thread(_container(server).stop)
                server.address = ""  # Nothing answers there now; the port is kept for next time.
            write_state(self.root, state)
        return killed

    async def destroy(self) -> None:
        """End the servers and delete everything they kept; other files in the root stay."""
        await self.down()
        state = read_state(self.root)
        for server in (state.kafka, state.postgres):
            if server.container:
                await asyncio.to_thread(_container(server).remove)
        self._postgres.remove()
        for name in FOLDERS:
            shutil.rmtree(self.root / name, ignore_errors=True)
        for name in FILES:
            (self.root / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Somebody else keeps files there, too.
            self.root.rmdir()

    async def status(self) -> list[ServerStatus]:
        """Both servers as they stand now; nothing is started or changed."""
        state = read_state(self.root)
        kafka, postgres = await asyncio.gather(_kafka_answers(state), self._postgres_answers(state))
        return [
            _status("kafka", state.kafka, ready=kafka),
            _status("postgres", state.postgres, ready=postgres),
        ]

    async def _start(self) -> State:
        state = read_state(self.root)
        starts = (self._start_kafka(state), self._start_postgres(state))
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        write_state(self.root, state)  # What did start is remembered even if the other failed.
        for fault in outcomes:
            if fault is not None:
                raise fault
        return state

    async def _use(self, state: State, topics: TopicPlan) -> Endpoints:
        postgres_url = self._postgres_url(state)
        await (await connect(postgres_url)).close()
        drift = await ensure_topics(state.kafka.address, topics)
        return Endpoints(state.kafka.address, postgres_url, tuple(drift))

    async def _until_one_ends(self, state: State) -> StackError:
        while True:
            if state.kafka.source == "embedded" and not processes.find(state.kafka.process):
                return self._broker.ended()
            if state.postgres.source == "embedded" and not processes.find(state.postgres.process):
                return self._postgres.ended()
            await asyncio.sleep(0.2)

    async def _start_kafka(self, state: State) -> None:
        if given := self._environment.get("KAFKA_BOOTSTRAP_SERVERS"):
            use_given(state.kafka, given)
        elif self._environment.get("STACK") == "containers":
            await _container(state.kafka).start_kafka()
        else:
            await self._broker.start(state.kafka, partial(write_state, self.root, state))

    async def _start_postgres(self, state: State) -> None:
        if given := self._environment.get("POSTGRES_URL"):
            use_given(state.postgres, without_password(given))
        elif self._environment.get("STACK") == "containers":
            await _container(state.postgres).start_postgres(self._postgres.password())
        else:
            await self._postgres.start(state.postgres, partial(write_state, self.root, state))

    def _postgres_url(self, state: State) -> str:
        if state.postgres.source == "given":
            return self._environment["POSTGRES_URL"]
        return self._postgres.url(state.postgres)

    async def _postgres_answers(self, state: State) -> bool:
        if not state.postgres.address:
            return False
        if state.postgres.source == "given":  # Its password is not ours to keep.
            return answers(state.postgres.address)
        try:
            await (await connect(self._postgres_url(state), within_s=GLANCE_S)).close()
        except StackError:
            return False
        return True


async def _kafka_answers(state: State) -> bool:
    if not state.kafka.address:
        return False
    try:
        await (await reach(state.kafka.address, within_s=GLANCE_S)).close()
    except StackError:
        return False
    return True


def _container(server: ServerState) -> Container:
    from deploy.local.containers import Container  # noqa: PLC0415 - it needs the Docker library

    return Container(server)


def _status(name: str, server: ServerState, *, ready: bool) -> ServerStatus:
    process = processes.find(server.process)
    return ServerStatus(
        name=name,
        source=server.source,
        address=server.address,
        pid=process.pid if process else None,
        ready=ready,
        resident_bytes=processes.resident_bytes(process) if process else None,
    )
