"""The demo's approvers: they look at what waits for them and decide over HTTP, as people would.

What they decide follows from the claim alone, so that a demo can be told twice the same way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import httpx

from ledgerbus.calls import refused
from ledgerbus.quiet import quiet

if TYPE_CHECKING:
    from ledgerbus.addresses import Addresses
    from ledgerbus.calls import Services

ROUNDS_MAX: Final = 12  # More steps in a row than any rule of the demo has.
AT_ONCE: Final = 8
ONE_IN: Final = 11  # So many are approved for each one that is rejected.
REASONS: Final = (
    "发票抬头与公司名称不一致",
    "超出差旅标准, 请附审批说明",
    "同一行程已在上月报销",
    "the receipt does not show what was bought",
)


async def decide_everything(where: Addresses, running: Services, *, company: str) -> Counter[str]:
    """Decide every open task of a company, step after step, until nobody is asked any more."""
    decided: Counter[str] = Counter()
    for _ in range(ROUNDS_MAX):
        found = running.items("approval", "/v1/tasks", state="open", company=company)
        tasks = [task async for task in found]
        if not tasks:
            break
        desk = asyncio.Semaphore(AT_ONCE)
        decided.update(await asyncio.gather(*(_decide(running, task, desk) for task in tasks)))
        await quiet(where)
    return decided


async def _decide(running: Services, task: dict[str, Any], desk: asyncio.Semaphore) -> str:
    """One person's decision; what was decided or withdrawn meanwhile is nobody's fault."""
    waiting = [one["approver"] for one in task["approvers"] if one["verdict"] == "asked"]
    if not waiting:
        return "nobody_left"
    number = UUID(task["claim_id"]).int
    verb, body = "approve", {"by": waiting[0]}
    if number % ONE_IN == 0:
        verb, body = "reject", body | {"reason": REASONS[number // ONE_IN % len(REASONS)]}
    path = f"/v1/tasks/{task['task_id']}/{verb}"
    async with desk:
        key = f"demo {task['task_id']} {waiting[0]}"
        answer = await running.ask("POST", "approval", path, key=key, json=body)
    if answer.status_code == httpx.codes.CONFLICT:
        return "too_late"
    if answer.is_error:
        raise refused("approval", answer)
    return "approved" if verb == "approve" else "rejected"
