"""One run from nothing to its verdict: the system, those who use it, and what is done to it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiokafka.errors import KafkaError

from chaos.client import Client
from chaos.faults import act_of, class_of, concerned
from chaos.journal import Lines, now
from chaos.ledger import Ledger
from chaos.measures import Measures
from chaos.organisation import LEDGER
from chaos.outside import Outside
from chaos.people import Approvers, Bank
from chaos.schedule import ON_A_SERVER, ON_A_SERVICE, SERVICES, Fault, schedule
from chaos.system import System
from chaos.workload import workload
from deploy.local.errors import StackError
from ledgerbus.conservation import standing
from ledgerbus.errors import CommandError
from ledgerbus.quiet import quiet
from ledgerbus.reading import read_everything

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from chaos.schedule import Scale, Timed

READY_S: Final = 150
RECOVER_S: Final = 90
BANK_S: Final = 12
TELL_S: Final = 10
SEND_SHARE: Final = 0.95  # Of the time with faults: the last claims come while something breaks.
PENDING: Final = (
    *("submitted", "in_approval", "approved", "reserved"),
    *("posted", "partly_paid", "paid"),
)


@dataclass(slots=True)
class Ran:
    """What a run leaves to be judged and reported."""

    seed: int
    scale: Scale
    system: System
    ledger: Ledger
    measures: Measures
    bank: Bank
    done: Counter[str] = field(default_factory=Counter)
    healed_at: str = ""
    drained_s: float | None = None
    pending: dict[str, int] = field(default_factory=dict)


class Run:
    """One run under one root folder; `say` gets its progress."""

    def __init__(self, root: Path, seed: int, scale: Scale, say: Callable[[str], None]) -> None:
        self.root = root.resolve()
        self.scale = scale
        self.say = say
        self.system = System(self.root)
        self.measures = Measures(self.system)
        self._seed = seed
        self._log: Lines | None = None
        self._began = 0.0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Ran]:
        """All of it up to the end of the drain; the system stands until the block ends."""
        await self.system.clear()
        tally = self.system.tally
        percent = self.scale.erp_faults
        ledger = Ledger(
            self.root / "ledger.jsonl", seed=self._seed, percent=percent, moods=Counter()
        )
        journal = Lines(self.root / "journal.jsonl")
        outside = Outside(self.system, journal, tally)
        bank = Bank(outside, tally, seed=self._seed)
        try:
            await self._start(await ledger.open())
            client = Client(outside, workload(self._seed, self.scale.claims))
            ran = Ran(self._seed, self.scale, self.system, ledger, self.measures, bank)
            await self._suffer(ran, client, outside)
            journal.sync()
            yield ran
        finally:
            await outside.close()
            await self.measures.close()
            await ledger.close()
            self.say("stopping everything")
            await self.system.down()
            journal.close()

    async def _start(self, ledger: str) -> None:
        self.say("starting Kafka, PostgreSQL and two replicas of every service")
        await self.system.up(
            {
                "posting": {
                    "LEDGERBUS_LEDGERS": orjson.dumps({LEDGER: ledger}).decode(),
                    "LEDGERBUS_LEDGER_TIMEOUT_S": "2",
                    "LEDGERBUS_LEDGER_SETTLE_S": "5",
                }
            }
        )
        self._log = Lines(self.root / "faults.jsonl")
        try:
            async with asyncio.timeout(READY_S):
                for service in SERVICES:
                    await self.measures.ready(service)
        except TimeoutError:
            raise StackError(
                f"the services were not ready within {READY_S} s",
                why="the machine is too busy, or one of them does not start",
                fix=f"read the logs in {self.root / 'logs'}, then start again",
            ) from None

    async def _suffer(self, ran: Ran, client: Client, outside: Outside) -> None:
        await client.found()
        await quiet(self.system.where)
        self._began = time.monotonic()
        self.say(f"{self.scale.claims} claims over {self.scale.faults_s} s, and the weather")
        tally, seed = self.system.tally, self._seed
        approvers = Approvers(outside, tally, seed=seed)
        sending = asyncio.create_task(client.run(self.scale.faults_s * SEND_SHARE))
        beside = [
            asyncio.create_task(approvers.run()),
            asyncio.create_task(self.measures.run()),
            asyncio.create_task(self._tell(ran, client)),
        ]
        paying = asyncio.create_task(ran.bank.run(BANK_S))
        try:
            await self._break_things(ran)
            self.system.heal()
            ran.ledger.heal()
            await self.system.servers_up()
            ran.healed_at = now()
            self.say("healed; draining")
            await self._drain(ran, sending, paying)
            await self.measures.read_all()
        finally:
            client.stop()
            for task in (*beside, sending, paying):
                task.cancel()
            await asyncio.gather(*beside, sending, paying, return_exceptions=True)

    async def _break_things(self, ran: Ran) -> None:
        faults = schedule(self._seed, self.scale)
        try:
            async with asyncio.TaskGroup() as group:
                for timed in faults:
                    left = self._began + timed.at_s - time.monotonic()
                    await asyncio.sleep(max(0, left))
                    group.create_task(self._one(timed, ran))
                left = self._began + self.scale.faults_s - time.monotonic()
                await asyncio.sleep(max(0, left))
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from problems

    async def _one(self, timed: Timed, ran: Ran) -> None:
        """One fault, in and out; the victim is held so that it suffers one thing at a time."""
        async with self._held(timed):
            act = act_of(timed, self.system, self.measures)
            began = time.monotonic() - self._began
            await act.inject()
            await asyncio.sleep(timed.for_s)
            await act.heal()
            ran.done[timed.fault] += 1
        self._note(timed, began)
        if timed.fault is not Fault.LOST_COMMIT:
            kind = class_of(timed.fault)
            await self.measures.recovered(kind, concerned(timed), within_s=RECOVER_S)

    @asynccontextmanager
    async def _held(self, timed: Timed) -> AsyncIterator[None]:
        if timed.fault in ON_A_SERVER:
            async with self.system.servers:
                yield
        elif timed.fault in ON_A_SERVICE:
            yield
        else:
            async with self.system.replica(timed.victim).lock:
                yield

    def _note(self, timed: Timed, began: float) -> None:
        if self._log is not None:
            self._log.write(
                {
                    "fault": timed.fault,
                    "victim": str(timed.victim),
                    "planned_s": timed.at_s,
                    "began_s": round(began, 2),
                    "stood_s": timed.for_s,
                }
            )

    async def _drain(
        self, ran: Ran, sending: asyncio.Task[None], paying: asyncio.Task[None]
    ) -> None:
        """Wait until everything has come to its end, for as long as the scale allows."""
        began = time.monotonic()
        paying.cancel()
        await asyncio.gather(paying, return_exceptions=True)
        try:
            async with asyncio.timeout(self.scale.drain_s):
                await sending
                while True:
                    ran.pending = await self._pending(ran)
                    if not ran.pending:
                        break
                    await asyncio.sleep(1)
        except TimeoutError:
            return
        ran.drained_s = time.monotonic() - began

    async def _pending(self, ran: Ran) -> dict[str, int]:
        """What has not come to its end yet, by state, once the bank has paid what is posted."""
        with suppress(CommandError, KafkaError):
            await ran.bank.pay()
            await quiet(self.system.where, within_s=20)
            reading = await read_everything(self.system.where)
            found = Counter(standing(each)[0] for each in reading.stories.claims.values())
            pending = {state: found[state] for state in PENDING if found[state]}
            unanswered = {"unanswered": len(reading.unanswered)} if reading.unanswered else {}
            return pending | unanswered
        return ran.pending or {"unknown": 1}

    async def _tell(self, ran: Ran, client: Client) -> None:
        while True:
            await asyncio.sleep(TELL_S)
            passed = round(time.monotonic() - self._began)
            faults = ", ".join(f"{count} {name}" for name, count in sorted(ran.done.items()))
            down = sum(not self.system.alive(each) for each in self.system.replicas)
            self.say(
                f"{passed // 60}:{passed % 60:02} {client.sent} of {self.scale.claims} claims, "
                f"{client.open} under way, {down} replicas down; {faults or 'no faults yet'}"
            )


def evidence(ran: Ran, commit: str) -> dict[str, Any]:
    """What the checker judges from."""
    root = ran.system.root
    return {
        "seed": ran.seed,
        "commit": commit,
        "kafka": ran.system.kafka,
        "topic_prefix": "",
        "databases": ran.system.databases,
        "ledger_log": str(root / "ledger.jsonl"),
        "bank_files": sorted({str(file) for file in ran.bank.files}),
        "journal": str(root / "journal.jsonl"),
        "healed_at": ran.healed_at or None,
    }
