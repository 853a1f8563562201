"""The demo's clerk: asks the bank about every line that reconcile would not guess at.

A person would telephone; the clerk reads the bank's truth. Reconcile is only told over HTTP.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

import httpx
import orjson

from contracts.values import Money
from ledgerbus.calls import refused

if TYPE_CHECKING:
    from pathlib import Path

    from ledgerbus.calls import Services

CLERK: Final = "DEMO-CLERK"
Line = tuple[str, str, str, str]


def known_lines(truth: Path) -> dict[Line, list[list[dict[str, str]]]]:
    """What the bank knows of its lines: allocations by (statement, day, amount, currency)."""
    known: dict[Line, list[list[dict[str, str]]]] = defaultdict(list)
    for row in map(orjson.loads, truth.read_bytes().splitlines()):
        line = row["statement"], row["booked_on"], row["amount"], row["currency"]
        known[line].append(row["allocations"])
    return known


async def settle_everything(running: Services, truth: Path) -> Counter[str]:
    """Settle every open exception about a line the bank can explain; the outcomes, counted."""
    known = known_lines(truth)
    outcomes: Counter[str] = Counter()
    open_ones = [one async for one in running.items("reconcile", "/v1/exceptions", state="open")]
    for question in open_ones:
        outcomes[await _settle(running, question, known)] += 1
    return outcomes


async def _settle(
    running: Services, question: dict[str, Any], known: dict[Line, list[list[dict[str, str]]]]
) -> str:
    line = question.get("line")
    if line is None:
        return "about no line"
    amount = line["amount"]
    place = line["statement"], line["booked_on"], amount["amount"], amount["currency"]
    # Several lines of one day may have one amount: the bank then names them one after the other.
    for allocations in known.get(place, []):
        answer = await _resolve(running, question["exception_id"], amount, allocations)
        if answer.is_success:
            return "settled"
        if answer.status_code != httpx.codes.CONFLICT:
            raise refused("reconcile", answer)
    return "left open"


async def _resolve(
    running: Services,
    exception: str,
    amount: dict[str, str],
    allocations: list[dict[str, str]],
) -> httpx.Response:
    currency = amount["currency"]
    claims = [
        {"claim_id": each["claim_id"], "amount": {"amount": each["paid"], "currency": currency}}
        for each in allocations
    ]
    paid = sum(Money.parse(each["paid"], currency).minor for each in allocations)
    rest = Money(-Money.parse(amount["amount"], currency).minor - paid, currency)
    body: dict[str, Any] = {"by": CLERK, "claims": claims}
    if rest:
        fee = {"amount": rest.amount, "currency": currency}
        body["differences"] = [{"kind": "fee", "amount": fee}]
    path = f"/v1/exceptions/{exception}/resolve"
    key = f"{exception} {' '.join(each['entry_id'] for each in allocations)}"[:200]
    return await running.ask("POST", "reconcile", path, key=key, json=body)
