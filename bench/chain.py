"""The real chain: a made company, its claims on the intake topic, its entries at the other end."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import uuid
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import psutil
from aiokafka import AIOKafkaConsumer

from contracts.budget import Control
from contracts.claims import ClaimLine, SubmitClaim
from contracts.codec import decode
from contracts.masterdata import (
    AccountMapped,
    ApprovalRuleDefined,
    BudgetDefined,
    CategoryDefined,
    CompanyDefined,
    CostCenterDefined,
    EmployeeDefined,
    PeriodDefined,
)
from contracts.values import Money, PaidBy, claim_id
from deploy.local.state import read_state
from ledgerbus.quiet import quiet
from ledgerbus.sending import Sender, meta_of, sending

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.envelope import Event
    from ledgerbus.addresses import Addresses

DAY = dt.date(2026, 10, 15)
CENTERS = 50  # Cost centres, each with a budget below the company's.
EMPLOYEES = 500
PATIENCE_S = 600


def a_budget(company: str, budget: str, control: Control) -> BudgetDefined:
    """A budget of the year that carries everything: the company's, or a cost centre's below it."""
    center = None if budget == "ALL" else budget
    return BudgetDefined(
        company=company,
        budget=budget,
        parent="ALL" if center else None,
        cost_center=center,
        starts_on=dt.date(2026, 1, 1),
        ends_on=dt.date(2026, 12, 31),
        limit=Money(10**13, "CNY"),
        control=control,
    )


def an_organisation(company: str) -> list[Event]:
    """A company with budgets that carry everything and a rule that approves by itself."""
    facts: list[Event] = [
        CompanyDefined(company=company, name="Bench", currency="CNY"),
        CategoryDefined(company=company, category="travel"),
        PeriodDefined(company=company, period="2026-10", status="open"),
        a_budget(company, "ALL", Control.SOFT),
        ApprovalRuleDefined(company=company, rule="all", version=1, priority=1, valid_from=DAY),
    ]
    purposes = {"expense:*": "6602", "input_vat": "22210101", "payable:employee": "2241"}
    facts += [
        AccountMapped(company=company, purpose=purpose, account=account, valid_from=DAY)
        for purpose, account in purposes.items()
    ]
    for number in range(CENTERS):
        center = f"CC-{number}"
        facts.append(CostCenterDefined(company=company, cost_center=center))
        facts.append(a_budget(company, center, Control.HARD))
    facts += [EmployeeDefined(company=company, employee=f"E-{n}") for n in range(EMPLOYEES)]
    return facts


def a_claim(company: str, number: int) -> SubmitClaim:
    """One claim of three lines."""
    net = Money(89_000 + number % 997, "CNY")
    tax = Money(5_340, "CNY")
    gross = net + tax
    lines = [
        ClaimLine(
            line=line,
            category="travel",
            date=DAY,
            net=net,
            tax=tax,
            gross=gross,
            cost_center=f"CC-{(number + line) % CENTERS}",
            merchant=f"Hotel {number % 300}",
        )
        for line in (1, 2, 3)
    ]
    return SubmitClaim(
        source="bench",
        source_key=f"{company}-{number}",
        company=company,
        employee=f"E-{number % EMPLOYEES}",
        paid_by=PaidBy.EMPLOYEE,
        lines=lines,
        total=Money(3 * gross.minor, "CNY"),
    )


async def submit(sender: Sender, claim: SubmitClaim) -> None:
    """Put one claim on the intake topic."""
    subject = str(claim_id(claim.source, claim.source_key))
    meta = meta_of(claim.kind, claim.topic, key=claim.key, subject=subject)
    await sender.send(claim.topic, claim.key, meta, claim.model_dump_json().encode())


class Posted:
    """Counts the entries of one company as they are posted, and when each claim's was."""

    def __init__(self, where: Addresses, company: str) -> None:
        self._where, self._company = where, company
        self.at: dict[str, float] = {}

    async def watch(self) -> None:
        """Read until cancelled."""
        consumer = AIOKafkaConsumer(
            "posting.events", bootstrap_servers=self._where.kafka, auto_offset_reset="latest"
        )
        await consumer.start()
        try:
            while True:
                for records in (await consumer.getmany(timeout_ms=20)).values():
                    now = time.time()
                    for record in records:
                        event = decode(record.headers, record.value)
                        if getattr(event, "company", "") == self._company:
                            self.at.setdefault(event.key, now)
        finally:
            await consumer.stop()

    async def reach(self, count: int) -> None:
        """Return once so many claims are posted; an error if that takes beyond all patience."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.at) < count:
                await asyncio.sleep(0.01)


async def measure_chain(
    where: Addresses, root: Path, claims: int, rate: int, seconds: int
) -> dict[str, Any]:
    """Throughput of a backlog, then latency at a steady rate, then peak memory per process."""
    company = f"B{uuid.uuid4().hex[:8]}"
    async with sending(where.kafka) as sender:
        for fact in an_organisation(company):
            meta = meta_of(fact.kind, fact.topic, key=fact.key, subject=fact.key)
            await sender.send(fact.topic, fact.key, meta, fact.model_dump_json().encode())
    await quiet(where)
    posted = Posted(where, company)
    watching = asyncio.create_task(posted.watch())
    await asyncio.sleep(1)  # The watcher must stand at the end before the first claim is sent.
    peaks = Peaks(root)
    sampling = asyncio.create_task(peaks.sample())
    started = time.perf_counter()
    async with sending(where.kafka) as sender:
        for number in range(claims):
            await submit(sender, a_claim(company, number))
    await posted.reach(claims)
    elapsed = time.perf_counter() - started
    await quiet(where)
    ages = await _latency(where, company, posted, claims, rate, seconds)
    for task in (watching, sampling):
        task.cancel()
    centiles = quantiles(ages, n=100)
    return {
        "chain": {
            "claims": claims,
            "seconds": round(elapsed, 2),
            "claims_per_s": round(claims / elapsed, 1),
        },
        "latency_ms": {
            "rate": rate,
            "p50": round(centiles[49] * 1000),
            "p99": round(centiles[98] * 1000),
        },
        "peak_mb": peaks.megabytes,
    }


async def _latency(
    where: Addresses, company: str, posted: Posted, first: int, rate: int, seconds: int
) -> list[float]:
    sent: dict[str, float] = {}
    async with sending(where.kafka) as sender:
        begin = time.monotonic()
        for number in range(rate * seconds):
            await asyncio.sleep(max(0, begin + number / rate - time.monotonic()))
            claim = a_claim(company, first + number)
            sent[str(claim_id(claim.source, claim.source_key))] = time.time()
            await submit(sender, claim)
            await sender.flush()
    await posted.reach(first + rate * seconds)
    return [posted.at[claim] - moment for claim, moment in sent.items()]


class Peaks:
    """The largest resident memory seen of each process."""

    def __init__(self, root: Path) -> None:
        state = read_state(root.resolve())
        processes = {each.name: each.process for each in state.services}
        processes |= {"kafka": state.kafka.process}
        self._pids = {name: process.pid for name, process in processes.items() if process}
        self.megabytes: dict[str, int] = {}

    async def sample(self) -> None:
        """Look every quarter of a second until cancelled."""
        while True:
            for name, pid in self._pids.items():
                resident = psutil.Process(pid).memory_info().rss // 1_048_576
                self.megabytes[name] = max(self.megabytes.get(name, 0), resident)
            await asyncio.sleep(0.25)
