"""What tests share: events as if read, what a database said, a service's HTTP face, waiting."""

from __future__ import annotations

import asyncio
import importlib
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import httpx
import uuid_utils

from chassis.http import build
from chassis.invariants import Invariants
from chassis.outbox import unpack
from contracts.codec import decode
from contracts.envelope import Event, Meta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chassis.db import Database

E = TypeVar("E", bound=Event)
T = TypeVar("T")

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def new_id() -> UUID:
    """A UUIDv7."""
    return UUID(int=uuid_utils.uuid7().int)


def given(event: E, **attributes: Any) -> E:
    """The event as if it had been read from its topic; attributes override its Meta."""
    meta = Meta(
        id=new_id(),
        type=event.kind,
        source="/tests",
        subject=event.key,
        time=datetime.now(UTC),
        correlation_id=event.key,
        traceparent=TRACEPARENT,
    )
    return event.with_meta(replace(meta, **attributes))


async def said(database: Database) -> list[Event]:
    """What the database's outbox holds, in the order it was said; the rows are gone afterwards."""
    async with database.transaction() as tx:
        rows = await tx.fetch("SELECT id, headers, payload FROM outbox ORDER BY id")
        await tx.execute(
            "DELETE FROM outbox WHERE id = ANY($1::bigint[])", [row["id"] for row in rows]
        )
    return [decode(unpack(row["headers"]), row["payload"]) for row in rows]


@asynccontextmanager
async def client_of(service: str, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service's real application, in this process.

    A POST without an Idempotency-Key gets a fresh one.
    """
    routes = importlib.import_module(f"services.{service}.api").routes
    handlers = importlib.import_module(f"services.{service}.handlers").handlers

    async def checks() -> dict[str, str]:
        return {}

    app = build(
        service,
        routes,
        database=database,
        invariants=Invariants(f"services.{service}"),
        checks=checks,
        handlers=handlers,
    )

    async def with_key(request: httpx.Request) -> None:
        if request.method != "GET" and "Idempotency-Key" not in request.headers:
            request.headers["Idempotency-Key"] = str(new_id())

    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://service", event_hooks={"request": [with_key]}
    ) as client:
        yield client


async def eventually(probe: Callable[[], Any], *, within: float = 10) -> Any:
    """The first truthy answer of a probe, plain or async; fails with its last answer."""
    deadline = time.monotonic() + within
    while True:
        answer = probe()
        if isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            msg = f"still {answer!r} after {within} s"
            raise AssertionError(msg)
        await asyncio.sleep(0.02)


async def violations(service: str, database: Database) -> list[dict[str, str]]:
    """What the service's invariants find."""
    async with database.reader() as reader:
        found = await Invariants(f"services.{service}").ask(reader)
    return list(found["violations"])
