"""Those who decide and those who pay: approvers over HTTP, and the banks' statement files."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Final

import httpx
from aiokafka.errors import KafkaError

from chaos.client import fresh_line
from ledgerbus import bank
from ledgerbus.errors import CommandError

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from chaos.outside import Outside

EVERY_S: Final = 1
REJECTS: Final = 12  # Of a hundred.
TRIES_ALONE: Final = 10  # Of a hundred claimants, who try to approve their own claim.
TWICE: Final = 20  # Of a hundred statement files, delivered again under a new key.
PAGE: Final = 100


class Approvers:
    """They look at what waits for them; some claimants try to decide for themselves."""

    def __init__(self, outside: Outside, tally: Counter[str], *, seed: int) -> None:
        self._outside = outside
        self._tally = tally
        self._seed = seed

    async def run(self) -> None:
        """Decide until cancelled."""
        while True:
            if not await self.decide_some():
                await asyncio.sleep(EVERY_S)

    async def decide_some(self) -> int:
        """Decide the first page of what waits; how many there were."""
        answer = await self._outside.ask(
            "GET", "approval", "/v1/tasks", params={"state": "open", "limit": PAGE}
        )
        tasks = answer.json()["items"] if answer.is_success else []
        await asyncio.gather(*(self._decide(task) for task in tasks))
        return len(tasks)

    async def _decide(self, task: dict[str, Any]) -> None:
        waiting = [one["approver"] for one in task["approvers"] if one["verdict"] == "asked"]
        if not waiting:
            return
        number, path = task["task_id"], f"/v1/tasks/{task['task_id']}"
        random = Random(f"{self._seed} {task['claim_id']} {task['revision']}")
        line = fresh_line("decide", task["company"])
        if random.randrange(100) < TRIES_ALONE:
            body = json.dumps({"by": task["claimant"]}).encode()
            answer = await self._outside.change(
                fresh_line("decide", task["company"]) | {"code": "SELF_APPROVAL"},
                "approval",
                f"{path}/approve",
                f"self {number}",
                body,
            )
            refused = answer.status_code == httpx.codes.FORBIDDEN
            late = answer.status_code == httpx.codes.CONFLICT
            self._tally["self-approvals refused" if refused else "self-approvals too late"] += 1
            if not refused and not late:
                self._tally["self-approvals that went through"] += 1
        verb, body = "approve", json.dumps({"by": waiting[0]}).encode()
        if random.randrange(100) < REJECTS:
            verb = "reject"
            body = json.dumps({"by": waiting[0], "reason": "the receipt is missing"}).encode()
        await self._outside.change(line, "approval", f"{path}/{verb}", f"{verb} {number}", body)
        self._tally["decisions"] += 1


class Bank:
    """It pays what was posted, and its statements reach reconcile, some of them twice."""

    def __init__(self, outside: Outside, tally: Counter[str], *, seed: int) -> None:
        self._outside = outside
        self._tally = tally
        self._seed = seed
        self._random = Random(f"{seed} bank")
        self.files: list[Path] = []

    async def run(self, every_s: float) -> None:
        """Pay and deliver now and then until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            with suppress(CommandError, KafkaError, OSError):  # The broker is down; later, then.
                await self.pay()

    async def pay(self) -> int:
        """Pay what is new and deliver what is not delivered yet; how many files that were."""
        where = self._outside.system.where
        desk, _ = await bank.pay(where, seed=self._seed, noise=False)
        names = list(desk.undelivered)
        for name in names:
            await self._deliver(desk.folder / name)
            desk.undelivered.remove(name)
            desk.save()
        return len(names)

    async def _deliver(self, file: Path) -> None:
        self.files.append(file)
        times = 2 if self._random.randrange(100) < TWICE else 1
        for time in range(times):
            line = fresh_line("statement")
            key = f"statement {file.name} {time}"
            await self._outside.change(line, "reconcile", "/v1/statements", key, file.read_bytes())
            self._tally["statements delivered"] += 1
