"""How outsiders reach the system: they keep at it until they are answered, and note every step."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections import Counter

    from chaos.journal import Lines
    from chaos.system import System

AGAIN: Final = frozenset({"IDEMPOTENCY_KEY_IN_USE", "CLAIM_IN_USE"})
TIMEOUT_S: Final = 5
PATIENCE_S: Final = 1.5  # The longest pause between two attempts.
SEND_S: Final = 8_000

Document = dict[str, Any]


class Outside:
    """A producer, an HTTP client, and the journal both write."""

    def __init__(self, system: System, journal: Lines, tally: Counter[str]) -> None:
        self.system = system
        self.journal = journal
        self.tally = tally
        limits = httpx.Limits(max_connections=32)
        self.http = httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False)
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._desk = asyncio.Semaphore(8)

    async def close(self) -> None:
        """End both clients."""
        await self.http.aclose()
        if self._producer is not None:
            await self._producer.stop()

    async def publish(
        self, line: Document, key: bytes, headers: list[tuple[str, bytes]], value: bytes
    ) -> None:
        """Publish one record, again and again until it is acknowledged; the journal knows it."""
        noted = line | {
            "channel": "kafka",
            "key": key.decode(),
            "value_sha256": hashlib.sha256(value).hexdigest(),
            "idempotency_key": None,
        }
        self.journal.write(noted | {"answered": None, "answer": None})
        for turn in count():
            producer = await self._ready()
            try:
                mark = await producer.send_and_wait(line["topic"], value, key=key, headers=headers)
            except (KafkaError, OSError):
                self.tally["kafka sends repeated"] += 1
                await self._renew(producer)
                await _breathe(turn)
            else:
                place = f"{mark.topic}/{mark.partition}@{mark.offset}"
                # What cannot be read is refused under the place it lies at.
                named = {"source_key": place} if line["what"] == "poison" else {}
                self.journal.write(noted | named | {"answered": "acked", "answer": {"at": place}})
                return

    async def change(
        self, line: Document, service: str, path: str, idempotency_key: str, body: bytes
    ) -> httpx.Response:
        """Ask for a change under one key until it is answered; the journal knows both."""
        noted = line | {
            "channel": "http",
            "topic": None,
            "key": None,
            "value_sha256": hashlib.sha256(body).hexdigest(),
            "idempotency_key": idempotency_key,
        }
        self.journal.write(noted | {"answered": None, "answer": None})
        kind = "application/xml" if line["what"] == "statement" else "application/json"
        headers = {"Idempotency-Key": idempotency_key, "Content-Type": kind}
        answer = await self.ask("POST", service, path, headers=headers, content=body)
        self.journal.write(noted | {"answered": answer.status_code, "answer": plain(answer)})
        return answer

    async def ask(self, method: str, service: str, path: str, **request: Any) -> httpx.Response:
        """The first answer that is one: 5xx, silence and twins under way are asked again."""
        replicas = self.system.of(service)
        async with self._desk:
            for turn in count():
                url = replicas[turn % len(replicas)].url + path
                try:
                    answer = await self.http.request(method, url, **request)
                except httpx.HTTPError:
                    pass
                else:
                    if not answer.is_server_error and code_of(answer) not in AGAIN:
                        return answer
                self.tally["http calls repeated"] += 1
                await _breathe(turn)
        raise AssertionError

    async def _ready(self) -> AIOKafkaProducer:
        async with self._renewing:
            for turn in count():
                if self._producer is not None:
                    return self._producer
                producer = AIOKafkaProducer(
                    bootstrap_servers=self.system.kafka,
                    acks="all",
                    enable_idempotence=True,
                    request_timeout_ms=SEND_S,
                )
                try:
                    await producer.start()
                except (KafkaError, OSError):
                    await producer.stop()
                    await _breathe(turn)
                else:
                    self._producer = producer
        raise AssertionError

    async def _renew(self, used: Any) -> None:
        """Put a producer that failed aside; whoever is first does it."""
        async with self._renewing:
            if self._producer is not used:
                return
            stale, self._producer = self._producer, None
        if stale is not None:
            await stale.stop()


async def _breathe(turn: int) -> None:
    await asyncio.sleep(min(0.1 * (turn + 1), PATIENCE_S))


def plain(answer: httpx.Response) -> Any:
    """The body of an answer as the journal keeps it."""
    try:
        return answer.json()
    except ValueError:
        return {"text": answer.text[:500]}


def code_of(answer: httpx.Response) -> str:
    """The code of a problem document; empty for everything else."""
    if not answer.is_error:
        return ""
    told = plain(answer)
    return str(told.get("code", "")) if isinstance(told, dict) else ""
