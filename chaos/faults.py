"""What can be done to the system: each fault has a way in and a way out, and both are logged."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from chaos.again import Republish
from chaos.proxy import Way
from chaos.schedule import NETWORK, SERVICES, Fault
from deploy.local import processes

if TYPE_CHECKING:
    from chaos.measures import Measures
    from chaos.schedule import Timed
    from chaos.system import Replica, System

AIMS: Final = 60  # Looks for a moment inside a transaction before a kill takes what comes.
AIM_S: Final = 0.01
COMMIT_S: Final = 20  # Every service commits something within it: jobs do, if nothing else.
DELAYS_S: Final = (0.02, 0.1, 0.3)
SHIFTS_S: Final = (-3_600, 3_600, 400 * 86_400)
RATES: Final = (4_000, 16_000, 64_000)
TOPIC_OF: Final = {
    "claims": "claims.intake",
    "approval": "claims.events",
    "budget": "approval.events",
    "posting": "budget.events",
    "reconcile": "posting.events",
}


class Act(Protocol):
    """One fault done to one victim."""

    async def inject(self) -> None:
        """Do it."""
        ...

    async def heal(self) -> None:
        """Undo it; what it broke recovers by itself from here on."""
        ...


class Kill:
    """kill -9, inside a transaction where one can be met; healing starts the replica anew."""

    def __init__(self, system: System, replica: Replica, measures: Measures) -> None:
        self._system, self._replica, self._measures = system, replica, measures

    async def inject(self) -> None:
        """Stand the process still, look, and kill it when it holds a transaction open."""
        await self._measures.read(self._replica)
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            admin = await asyncpg.connect(self._system.administration, timeout=1)
            try:
                async with asyncio.timeout(3):
                    await self._aim(admin)
            finally:
                await admin.close()
        self._system.signal(self._replica, signal.SIGKILL)
        await self._system.ended(self._replica)

    async def heal(self) -> None:
        """Start it anew."""
        self._system.start(self._replica)

    async def _aim(self, admin: asyncpg.Connection) -> None:
        for _ in range(AIMS):
            self._system.signal(self._replica, signal.SIGSTOP)
            inside = await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE client_port = ANY($1::int[]) "
                "AND state IN ('active', 'idle in transaction') AND xact_start IS NOT NULL",
                self._replica.postgres.client_ports(),
            )
            if inside:
                self._system.tally["kills inside a transaction"] += 1
                return
            self._system.signal(self._replica, signal.SIGCONT)
            await asyncio.sleep(AIM_S)


class Restart:
    """SIGTERM, a clean end within a bound, and a new start."""

    def __init__(self, system: System, replica: Replica, measures: Measures) -> None:
        self._system, self._replica, self._measures = system, replica, measures

    async def inject(self) -> None:
        """Ask it to end."""
        await self._measures.read(self._replica)
        self._system.signal(self._replica, signal.SIGTERM)
        await self._system.ended(self._replica)

    async def heal(self) -> None:
        """Start it anew."""
        self._system.start(self._replica)


class ClockJump:
    """A replica that starts again on a machine an hour slow, an hour fast, or 400 days ahead."""

    def __init__(self, system: System, replica: Replica, measures: Measures, variant: int) -> None:
        self._system, self._replica, self._measures = system, replica, measures
        self._shift_s = SHIFTS_S[variant % len(SHIFTS_S)]

    async def inject(self) -> None:
        """End it, and start it with the wrong time."""
        await self._end()
        self._system.start(self._replica, {"LEDGERBUS_CLOCK_SHIFT_S": str(self._shift_s)})

    async def heal(self) -> None:
        """End it, and start it with the right time."""
        await self._end()
        self._system.start(self._replica)

    async def _end(self) -> None:
        await self._measures.read(self._replica)
        self._system.signal(self._replica, signal.SIGTERM)
        await self._system.ended(self._replica)


class Pause:
    """SIGSTOP for longer than the session lasts: what wakes up is a zombie."""

    def __init__(self, system: System, replica: Replica) -> None:
        self._system, self._replica = system, replica

    async def inject(self) -> None:
        """Stand it still."""
        self._system.signal(self._replica, signal.SIGSTOP)

    async def heal(self) -> None:
        """Let it go on as if nothing had happened."""
        self._system.signal(self._replica, signal.SIGCONT)


class Weather:
    """One link of one replica, cut, reset, slowed down, or gone silent."""

    def __init__(self, replica: Replica, timed: Timed) -> None:
        self._link = replica.link(timed.victim.link)
        self._fault, self._variant = timed.fault, timed.variant

    async def inject(self) -> None:
        """Let it rain."""
        match self._fault:
            case Fault.CUT:
                self._link.cut()
            case Fault.RESET:
                self._link.reset()
            case Fault.DELAY:
                self._link.delay(DELAYS_S[self._variant % len(DELAYS_S)])
            case Fault.THROTTLE:
                self._link.throttle(RATES[self._variant % len(RATES)])
            case _:
                ways = (tuple(Way), (Way.UP,), (Way.DOWN,))
                self._link.blackhole(ways[self._variant % len(ways)])

    async def heal(self) -> None:
        """Fair weather again."""
        self._link.heal()


class LostCommit:
    """A COMMIT that is carried out and never answered: its outcome is unknown to who asked."""

    def __init__(self, replica: Replica) -> None:
        self._link = replica.postgres

    async def inject(self) -> None:
        """Lie in wait for the next one."""
        self._link.lose_next_commit()

    async def heal(self) -> None:
        """Stop waiting if none comes for a while longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_S):
                while self._link.losing:
                    await asyncio.sleep(AIM_S)
        self._link.heal()


class Terminate:
    """Every session of one service ended by the administrator."""

    def __init__(self, system: System, service: str) -> None:
        self._system, self._service = system, service

    async def inject(self) -> None:
        """End them."""
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            admin = await asyncpg.connect(self._system.administration, timeout=2)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                self._service,
            )
            await admin.close()

    async def heal(self) -> None:
        """Nothing to do: new sessions are welcome."""


class Lock:
    """A lock on a service's hottest rows, held by somebody who takes their time."""

    def __init__(self, system: System, service: str) -> None:
        self._system, self._service = system, service
        self._connection: asyncpg.Connection[Any] | None = None

    async def inject(self) -> None:
        """Take it."""
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            self._connection = await asyncpg.connect(
                self._system.databases[self._service], timeout=2
            )
            await self._connection.execute("BEGIN")
            await self._connection.execute("SELECT topic FROM offsets ORDER BY 1 FOR UPDATE")

    async def heal(self) -> None:
        """Let go."""
        if self._connection is not None:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await self._connection.close(timeout=2)


class ServerRestart:
    """PostgreSQL or Kafka goes down, hard or cleanly by turns, and comes back."""

    def __init__(self, system: System, name: str, variant: int) -> None:
        self._system, self._name, self._hard = system, name, variant % 2 == 0

    async def inject(self) -> None:
        """Bring it down."""
        process = processes.find(self._system.server(self._name))
        if process is None:
            return
        gentle = signal.SIGINT if self._name == "postgres" else signal.SIGTERM
        kind = "hard" if self._hard else "clean"
        self._system.tally[f"{self._name} {kind} restarts"] += 1
        os.kill(process.pid, signal.SIGKILL if self._hard else gentle)
        while processes.find(self._system.server(self._name)):
            await asyncio.sleep(0.05)

    async def heal(self) -> None:
        """Bring it back."""
        await self._system.servers_up()


class Rebalance:
    """A stranger joins a service's group, is given partitions, and leaves."""

    def __init__(self, system: System, service: str) -> None:
        self._system, self._service = system, service
        self._stranger: AIOKafkaConsumer | None = None

    async def inject(self) -> None:
        """Join."""
        self._stranger = AIOKafkaConsumer(
            TOPIC_OF[self._service],
            bootstrap_servers=self._system.kafka,
            group_id=self._service,
            enable_auto_commit=False,
            session_timeout_ms=6_000,
            rebalance_timeout_ms=10_000,
        )
        with suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(10):
                await self._stranger.start()

    async def heal(self) -> None:
        """Leave."""
        if self._stranger is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(10):
                    await self._stranger.stop()


def act_of(timed: Timed, system: System, measures: Measures) -> Act:
    """The fault as it is done."""
    victim, fault = timed.victim, timed.fault
    if fault is Fault.DATABASE or fault is Fault.BROKER:
        return ServerRestart(system, victim.service, timed.variant)
    if fault is Fault.TERMINATE:
        return Terminate(system, victim.service)
    if fault is Fault.LOCK:
        return Lock(system, victim.service)
    if fault is Fault.REBALANCE:
        return Rebalance(system, victim.service)
    if fault is Fault.REPUBLISH:
        return Republish(system, victim.service, timed.variant)
    replica = system.replica(victim)
    return _on_a_replica(timed, system, replica, measures)


def _on_a_replica(timed: Timed, system: System, replica: Replica, measures: Measures) -> Act:
    if timed.fault in NETWORK:
        return Weather(replica, timed)
    match timed.fault:
        case Fault.LOST_COMMIT:
            return LostCommit(replica)
        case Fault.PAUSE:
            return Pause(system, replica)
        case Fault.RESTART:
            return Restart(system, replica, measures)
        case Fault.CLOCK:
            return ClockJump(system, replica, measures, timed.variant)
        case _:
            return Kill(system, replica, measures)


def concerned(timed: Timed) -> list[str]:
    """The services that have to recover from a fault."""
    if timed.fault in {Fault.DATABASE, Fault.BROKER}:
        return list(SERVICES)
    return [timed.victim.service]


def class_of(fault: Fault) -> str:
    """Under which of the three classes its recovery is reported."""
    match fault:
        case Fault.DATABASE | Fault.TERMINATE | Fault.LOCK:
            return "database"
        case Fault.BROKER:
            return "broker"
        case _:
            return "service"
