"""A whole running system for the stories: servers, five services, an invented company or two."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson
import pytest

from contracts.claims import ClaimLine, SubmitClaim, WithdrawClaim
from contracts.masterdata import (
    AccountMapped,
    ApprovalRuleDefined,
    ApprovalStep,
    BudgetDefined,
    CategoryDefined,
    CompanyDefined,
    Condition,
    CostCenterDefined,
    EmployeeDefined,
    PeriodDefined,
)
from contracts.values import Money, PaidBy, claim_id
from deploy.local import Stack
from deploy.local.state import read_state
from ledgerbus.addresses import addresses
from ledgerbus.calls import services
from ledgerbus.prove import Proof, proven
from ledgerbus.quiet import quiet
from ledgerbus.sending import meta_of, sending
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from contracts.envelope import Event
    from ledgerbus.addresses import Addresses

PROJECT = Path(__file__).resolve().parent.parent.parent
PeriodStatus = Literal["open", "closed"]
SOURCE = "e2e"
DAY = date(2026, 9, 15)
WITHIN = 60  # Five services on two cores; a story that needs longer is stuck.


def pounds(amount: str) -> Money:
    """An amount in GBP."""
    return Money.parse(amount, "GBP")


def organisation(
    company: str, account: str, periods: PeriodStatus = "open", *, any_expense: str = "expense:*"
) -> list[Event]:
    """A company: twenty staff and a manager, a wide and a narrow budget, two rules by total.

    `any_expense` is the purpose that the account of all expenses serves.
    """
    since = date(2026, 1, 1)
    until = date(2026, 12, 31)
    staff = [f"{company}-E{number}" for number in range(1, 21)]
    boss = f"{company}-M1"
    purposes = {
        any_expense: "6602",
        "input_vat": "2221",
        "payable:employee": "2241",
        "payable:company_card": "2242",
        "payable:supplier_invoice": "2202",
    }
    return [
        CompanyDefined(
            company=company, name=f"{company} Ltd", currency="GBP", bank_accounts=[account]
        ),
        EmployeeDefined(company=company, employee=boss, name="Boss", grade="manager"),
        *(
            EmployeeDefined(company=company, employee=each, name=each, manager=boss)
            for each in staff
        ),
        *(
            CostCenterDefined(company=company, cost_center=center, owner=boss)
            for center in ("WIDE", "NARROW")
        ),
        *(CategoryDefined(company=company, category=name) for name in ("travel", "meals")),
        *(
            AccountMapped(company=company, purpose=purpose, account=number, valid_from=since)
            for purpose, number in purposes.items()
        ),
        *(
            PeriodDefined(company=company, period=f"2026-{month:02}", status=periods)
            for month in range(1, 13)
        ),
        BudgetDefined(
            company=company,
            budget="ALL",
            starts_on=since,
            ends_on=until,
            limit=pounds("10000000.00"),
        ),
        BudgetDefined(
            company=company,
            budget="NARROW",
            parent="ALL",
            cost_center="NARROW",
            starts_on=since,
            ends_on=until,
            limit=pounds("100.00"),
        ),
        ApprovalRuleDefined(
            company=company,
            rule="small",
            version=1,
            priority=10,
            conditions=[Condition(field="total", operator="<=", value="500.00")],
            valid_from=since,
        ),
        ApprovalRuleDefined(
            company=company,
            rule="all-others",
            version=1,
            priority=100,
            steps=[ApprovalStep(name="manager", approvers=["manager"])],
            valid_from=since,
        ),
    ]


def a_claim(company: str, key: str, amount: str = "12.34", **more: Any) -> SubmitClaim:
    """A claim of one line that nothing is wrong with."""
    gross = pounds(amount)
    line: dict[str, Any] = {
        "line": 1,
        "category": more.pop("category", "travel"),
        "date": DAY,
        "net": gross,
        "tax": pounds("0.00"),
        "gross": gross,
        "cost_center": more.pop("cost_center", "WIDE"),
    }
    facts: dict[str, Any] = {
        "source": SOURCE,
        "source_key": key,
        "company": company,
        "employee": f"{company}-E1",
        "paid_by": PaidBy.EMPLOYEE,
        "lines": [ClaimLine(**line)],
        "total": gross,
    }
    return SubmitClaim(**(facts | more))


@dataclass(slots=True)
class World:
    """The system, and what outsiders can do with it."""

    root: Path
    where: Addresses

    @classmethod
    async def up(cls, root: Path) -> World:
        """Start everything that is not running."""
        await command(root, "up")
        return cls(root, addresses(root))

    async def publish(self, *events: Event) -> None:
        """Publish as any outside system would."""
        async with sending(self.where.kafka) as sender:
            for event in events:
                meta = meta_of(event.kind, event.topic, key=event.key, subject=subject_of(event))
                body = event.model_dump_json().encode()
                await sender.send(event.topic, event.key, meta, body)

    async def found(self, company: str, account: str, **deviating: Any) -> None:
        """Found a company, and wait until every service knows it."""
        await self.publish(*organisation(company, account, **deviating))
        await quiet(self.where)

        async def ruled() -> bool:
            return len((await self.get("approval", "/v1/rules", company=company))["items"]) == 2

        await eventually(ruled, within=WITHIN)

    async def get(self, service: str, path: str, **params: str | int) -> dict[str, Any]:
        """A document of a service."""
        async with services(self.where) as running:
            return await running.get(service, path, **params)

    async def post(self, service: str, path: str, key: str, **body: Any) -> Any:
        """The answer to a change."""
        async with services(self.where) as running:
            return await running.ask("POST", service, path, key=key, **body)

    async def state(self, claim: str) -> str:
        """Where a claim stands; empty while claims does not know it."""
        async with services(self.where) as running:
            found = await running.find("claims", f"/v1/claims/{claim}")
        return str(found["state"]) if found else ""

    async def until(self, key: str, state: str) -> None:
        """Wait until a claim of the stories' own source has come to a state."""
        await self.until_claim(str(claim_id(SOURCE, key)), state)

    async def until_claim(self, claim: str, state: str) -> None:
        """Wait until a claim has come to a state."""

        async def there() -> bool:
            return await self.state(claim) == state

        try:
            await eventually(there, within=WITHIN)
        except AssertionError:
            msg = f"claim {claim} is '{await self.state(claim)}', not '{state}'"
            raise AssertionError(msg) from None

    async def journey(self, key: str) -> list[dict[str, Any]]:
        """What happened to a claim, in order."""
        path = f"/v1/claims/{claim_id(SOURCE, key)}/journey"
        return list((await self.get("claims", path))["steps"])

    async def task_of(self, key: str) -> dict[str, Any]:
        """The open task of a claim of the stories' own source, once there is one."""
        return await self.task_of_claim(str(claim_id(SOURCE, key)))

    async def task_of_claim(self, claim: str) -> dict[str, Any]:
        """The open task of a claim, once there is one."""

        async def found() -> dict[str, Any] | None:
            async with services(self.where) as running:
                async for task in running.items("approval", "/v1/tasks", state="open"):
                    if task["claim_id"] == claim:
                        return task
            return None

        task: dict[str, Any] = await eventually(found, within=WITHIN)
        return task

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        await quiet(self.where, within_s=2 * WITHIN)

    async def proof(self) -> Proof:
        """The proof over everything, once every command is answered and nothing is under way."""

        async def answered() -> Proof | None:
            await self.settle()
            proof = await proven(self.where)
            return None if proof.reading.unanswered else proof

        proof: Proof = await eventually(answered, within=WITHIN)
        return proof

    async def command(self, *arguments: str) -> Any:
        """Run the command line as a person would; its JSON, or its text."""
        out = await command(self.root, *arguments)
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(out)
        return out

    def kill(self, *names: str) -> list[int]:
        """Kill services without warning."""
        return self._signal(signal.SIGKILL, names)

    def freeze(self, *names: str) -> list[int]:
        """Let services stand still until they are killed."""
        return self._signal(signal.SIGSTOP, names)

    def _signal(self, sent: signal.Signals, names: Collection[str]) -> list[int]:
        """Signal processes of this very system, and no others."""
        marks = [
            each.process
            for each in read_state(self.root).services
            if each.process and each.name in names
        ]
        for mark in marks:
            os.kill(mark.pid, sent)
        return [mark.pid for mark in marks]


@asynccontextmanager
async def running_world(root: Path) -> AsyncIterator[World]:
    """A system under a folder; servers that the environment names belong to somebody else."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
        environment.delenv("POSTGRES_URL", raising=False)
        try:
            yield await World.up(root)
        finally:
            await command(root, "down")
            await Stack(root).destroy()  # Its database may lie outside the root.


async def command(root: Path, *arguments: str) -> str:
    """What a command says, run in a process of its own; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ledgerbus",
        *arguments,
        cwd=PROJECT,
        env=os.environ | {"LEDGERBUS_HOME": str(root)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    told = f"{' '.join(arguments)}\n{err.decode()}\n{out.decode()[-3000:]}"
    assert process.returncode == 0, told
    return out.decode()


def subject_of(event: Event) -> str:
    """The claim an event is about, or its key."""
    if isinstance(event, SubmitClaim | WithdrawClaim):
        return str(claim_id(event.source, event.source_key))
    return event.key
