"""The systems that send claims, over Kafka and HTTP: some of them twice, some of them wrong."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final

from chaos.organisation import COMPANIES, organisation
from chaos.workload import SOURCE, WITHDRAWN_AFTER_S, Story
from contracts.claims import SubmitClaim, WithdrawClaim
from contracts.codec import headers_of
from contracts.values import claim_id
from ledgerbus.sending import meta_of, new_id

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from chaos.outside import Outside
    from chaos.workload import Piece
    from contracts.envelope import Event, Meta

TICK_S: Final = 0.1
FIRST_MASTER: Final = 1_000_000  # Numbers of master data in the journal; claims count from one.

Document = dict[str, Any]


class Client:
    """Everybody who sends claims, following a workload."""

    def __init__(self, outside: Outside, pieces: list[Piece]) -> None:
        self.outside = outside
        self.sent = 0
        self._pieces = pieces
        self._tasks: set[asyncio.Task[None]] = set()

    async def found(self) -> None:
        """Publish the master data of every company."""
        records = [each for company in COMPANIES for each in organisation(company)]
        await asyncio.gather(
            *(self._master(FIRST_MASTER + n, each) for n, each in enumerate(records))
        )

    async def run(self, duration_s: float) -> None:
        """Send every piece at its time; returns when each is answered."""
        began = time.monotonic()
        for piece in self._pieces:
            while (left := began + piece.at * duration_s - time.monotonic()) > 0:
                await asyncio.sleep(min(left, TICK_S))
            self._go(self._send(piece))
            self.sent += 1
        while self._tasks:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    @property
    def open(self) -> int:
        """How many pieces are still under way."""
        return len(self._tasks)

    def stop(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, piece: Piece) -> None:
        if piece.http:
            await self._over_http(piece)
        else:
            await self._over_kafka(piece)

    async def _over_kafka(self, piece: Piece) -> None:
        meta = _meta(SubmitClaim, piece.key)
        what = "poison" if piece.story is Story.POISON else "submit"
        line = _line(piece, what) | {"event_id": str(meta.id), "topic": SubmitClaim.topic}
        key = piece.key.encode()
        await self.outside.publish(line, key, headers_of(meta), piece.body)
        if piece.story is Story.WITHDRAWN:
            await asyncio.sleep(WITHDRAWN_AFTER_S)
            await self._withdraw_over_kafka(piece)
        if piece.again_after_s is not None:
            await asyncio.sleep(piece.again_after_s)
            again = line | {"what": "duplicate"}
            await self.outside.publish(again, key, headers_of(meta), piece.body)

    async def _over_http(self, piece: Piece) -> None:
        line = _line(piece, "submit")
        key = f"{SOURCE} {piece.key} 1"
        answer = await self.outside.change(line, "claims", "/v1/claims", key, piece.body)
        if piece.story in {Story.WITHDRAWN, Story.REVISED} and answer.is_success:
            await asyncio.sleep(WITHDRAWN_AFTER_S)
            await self._withdraw_over_http(piece)
        if piece.again_after_s is not None:
            await asyncio.sleep(piece.again_after_s)
            again = line | {"what": "duplicate"}
            await self.outside.change(again, "claims", "/v1/claims", key, piece.body)

    async def _withdraw_over_kafka(self, piece: Piece) -> None:
        command = WithdrawClaim(
            source=SOURCE,
            source_key=piece.key,
            by=piece.document["employee"],
            reason="changed my mind",
        )
        meta = _meta(WithdrawClaim, piece.key)
        value = command.model_dump_json().encode()
        line = _line(piece, "withdraw") | {
            "event_id": str(meta.id),
            "topic": WithdrawClaim.topic,
        }
        await self.outside.publish(line, piece.key.encode(), headers_of(meta), value)

    async def _withdraw_over_http(self, piece: Piece) -> None:
        path = f"/v1/claims/{claim_id(SOURCE, piece.key)}/withdraw"
        body = json.dumps({"by": piece.document["employee"], "reason": "changed my mind"}).encode()
        line = _line(piece, "withdraw")
        answer = await self.outside.change(line, "claims", path, f"{piece.key} withdraw", body)
        if piece.story is Story.REVISED and answer.is_success:
            revised = json.dumps(piece.document | {"revision": 2}).encode()
            line = _line(piece, "submit") | {"revision": 2}
            key = f"{SOURCE} {piece.key} 2"
            await self.outside.change(line, "claims", "/v1/claims", key, revised)

    async def _master(self, n: int, record: Event) -> None:
        meta = meta_of(record.kind, record.topic, key=record.key, subject=record.key)
        line = _nothing(n, "masterdata") | {
            "company": getattr(record, "company", None),
            "event_id": str(meta.id),
            "topic": record.topic,
        }
        value = record.model_dump_json().encode()
        await self.outside.publish(line, record.key.encode(), headers_of(meta), value)


def _meta(kind: type[Event], key: str) -> Meta:
    return meta_of(kind.kind, kind.topic, key=key, subject=str(claim_id(SOURCE, key)))


def _nothing(n: int, what: str) -> Document:
    names = ("source", "source_key", "revision", "company", "total", "event_id", "code")
    return {"n": n, "what": what} | dict.fromkeys(names)


def _line(piece: Piece, what: str) -> Document:
    """The journal's part about the claim; readable commands are named, poison is not."""
    told = _nothing(piece.n, what) | {"code": piece.code}
    if piece.story is Story.POISON:
        return told
    return told | {
        "source": SOURCE,
        "source_key": piece.key,
        "revision": 1,
        "company": piece.company.code,
        "total": piece.total,
    }


def fresh_line(what: str, company: str | None = None) -> Document:
    """A journal line of somebody who is no claim's sender, with a number of its own."""
    return _nothing(new_id().int % 2**48 + 2 * FIRST_MASTER, what) | {"company": company}
