"""What a run counts: the services' own metrics over all their lives, and how fast they recover."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import asyncpg
import httpx

if TYPE_CHECKING:
    from chaos.system import Replica, System

EVERY_S: Final = 2
ASK_S: Final = 2
LOOK_S: Final = 0.1
COUNTED: Final = {
    "ledgerbus_inbox_duplicates_total": "inbox duplicate hits",
    "ledgerbus_batches_fenced_total": "fenced batches",
    "ledgerbus_kafka_commits_lost_total": "commits refused by a rebalance",
    "ledgerbus_rebalances_total": "assignments",
    "ledgerbus_batch_retries_total": "batches tried again",
    "ledgerbus_dead_letters_total": "dead letters",
    "ledgerbus_events_parked_total": "events parked",
    "ledgerbus_relay_failures_total": "relay failures",
}
FUNDS_REFUSED: Final = 'ledgerbus_events_emitted_total{kind="budget.funds-refused.v1"}'


class Measures:
    """Counters that survive the processes that counted, and recovery times by class."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.recoveries: dict[str, list[float]] = {}
        self.unrecovered: list[str] = []
        self._lives: dict[tuple[str, int], Counter[str]] = {}
        self._http = httpx.AsyncClient(timeout=ASK_S, trust_env=False)

    async def close(self) -> None:
        """End the client."""
        await self._http.aclose()

    async def run(self) -> None:
        """Read every replica's metrics now and then until cancelled."""
        while True:
            await self.read_all()
            await asyncio.sleep(EVERY_S)

    async def read_all(self) -> None:
        """Read every replica's metrics once."""
        await asyncio.gather(*(self.read(each) for each in self.system.replicas))

    async def read(self, replica: Replica) -> None:
        """Read one replica's metrics; who does not answer keeps the figures read before."""
        life = replica.name, replica.starts
        try:
            answer = await self._http.get(f"{replica.url}/metrics")
        except httpx.HTTPError:
            return
        if answer.is_success and life == (replica.name, replica.starts):
            self._lives[life] = parsed(answer.text)

    def counters(self) -> Counter[str]:
        """Everything the services counted, over all replicas and all their lives."""
        whole: Counter[str] = Counter()
        for life in self._lives.values():
            whole.update(life)
        return whole

    async def recovered(self, kind: str, services: list[str], *, within_s: float) -> None:
        """Note how long it takes until these services are ready and have caught up.

        Caught up is who has handled the oldest event that lay unread at this moment.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(within_s):
                before = [await self._applied(each) for each in services]
                for service, offsets in zip(services, before, strict=True):
                    await self.ready(service)
                    await self._moved(service, offsets)
        except TimeoutError:
            self.unrecovered.append(f"{kind}: {', '.join(services)} after {within_s:.0f} s")
        else:
            self.recoveries.setdefault(kind, []).append(time.monotonic() - began)

    async def ready(self, service: str) -> None:
        """Return when every living replica of a service says it is ready."""
        for replica in self.system.of(service):
            while self.system.alive(replica):
                with suppress(httpx.HTTPError):
                    answer = await self._http.get(f"{replica.url}/health/ready")
                    if answer.is_success:
                        break
                await asyncio.sleep(LOOK_S)

    async def _moved(self, service: str, before: Counter[str]) -> None:
        """Wait until every partition that had something unread has moved on."""
        behind = set(before)
        while behind:
            now = await self._applied(service)
            behind = {place for place in behind if now.get(place) == before[place]}
            if behind and not await self._unread(service, behind):
                return
            await asyncio.sleep(LOOK_S)

    async def _unread(self, service: str, behind: set[str]) -> bool:
        ends = await self.system.ends()
        now = await self._applied(service)
        return any(ends.get(place, 0) > now.get(place, 0) for place in behind)

    async def _applied(self, service: str) -> Counter[str]:
        """How far a service's own database says it is, by `topic/partition`."""
        while True:
            try:
                connection = await asyncpg.connect(self.system.databases[service], timeout=ASK_S)
                try:
                    rows = await connection.fetch(
                        "SELECT topic, partition, next_offset FROM offsets"
                    )
                finally:
                    await connection.close()
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(LOOK_S)
            else:
                return Counter({f"{row[0]}/{row[1]}": row[2] for row in rows})


def parsed(text: str) -> Counter[str]:
    """The counted metrics of one exposition, labels summed."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == FUNDS_REFUSED:
            found["budget rejections"] += _whole(value)
        if told := COUNTED.get(name.partition("{")[0]):
            found[told] += _whole(value)
    return found


def _whole(value: str) -> int:
    return int(value.partition(".")[0]) if value[:1].isdecimal() else 0


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
