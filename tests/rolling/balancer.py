"""A load balancer as any is: it asks every replica whether it is ready, and spares who is not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx

from deploy.local.state import read_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ASK_EVERY_S = 0.05
TURN_S = 0.05


@dataclass(slots=True)
class Balancer:
    """What is ready, and what became of the requests."""

    root: Path
    service: str
    ready: list[str] = field(default_factory=list)
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    most: int = 0

    async def look(self, client: httpx.AsyncClient) -> None:
        """Ask every replica there is, all at once, again and again."""
        while True:
            services = read_state(self.root).services
            urls = sorted({s.url for s in services if s.name == self.service and s.process})
            found = await asyncio.gather(*(_is_ready(client, url) for url in urls))
            ready = [url for url, well in zip(urls, found, strict=True) if well]
            self.ready = ready or self.ready  # As balancers do: nobody ready means ask the last.
            self.most = max(self.most, len(ready))
            await asyncio.sleep(ASK_EVERY_S)

    async def ask(self, client: httpx.AsyncClient, method: str, path: str, **more: Any) -> Any:
        """One request to one of those that are ready; no second try."""
        url = self.ready[self.answered % len(self.ready)]
        try:
            answer = await client.request(method, url + path, **more)
        except httpx.HTTPError as problem:
            self.failed.append(f"{method} {url}{path}: {problem!r}")
            return None
        self.answered += 1
        if not answer.is_success:
            self.failed.append(f"{method} {url}{path}: {answer.status_code} {answer.text}")
        return answer.json()


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health/ready")).is_success
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def writing(balancer: Balancer, bodies: Any) -> AsyncIterator[list[str]]:
    """Claims written and read back through the balancer while the block runs; their ids."""
    written: list[str] = []
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        looking = asyncio.create_task(balancer.look(client))
        going = asyncio.create_task(_write(balancer, client, bodies, written))
        try:
            yield written
        finally:
            for task in (going, looking):
                task.cancel()
            await asyncio.gather(going, looking, return_exceptions=True)


async def _write(
    balancer: Balancer, client: httpx.AsyncClient, bodies: Any, written: list[str]
) -> None:
    while not balancer.ready:
        await asyncio.sleep(TURN_S)
    for number in count():
        body = bodies(number)
        headers = {"Idempotency-Key": f"balanced-{body['source_key']}"}
        answer = await balancer.ask(client, "POST", "/v1/claims", json=body, headers=headers)
        if answer is not None and "claim_id" in answer:
            written.append(answer["claim_id"])
            await balancer.ask(client, "GET", f"/v1/claims/{answer['claim_id']}")
        await asyncio.sleep(TURN_S)
