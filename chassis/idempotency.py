"""Routes that change something: one transaction each, told once however often they are asked.

`Idempotency-Key` (IETF draft) is kept for a day in the same transaction as the effect: the same key
and body get the first answer again, another body is refused, a twin still running is told to wait.
A refusal that a route raises rolls everything back and frees the key; one it returns is a fact
and commits, with whatever was said of it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from fastapi import Request, Response
from fastapi.routing import APIRoute

from chassis.db import LOCK_TIMEOUT_S
from chassis.problems import PROBLEM, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chassis.db import Database, Row, Tx

KEEP_HOURS: Final = 24
KEY_CHARS: Final = 200
TWIN_WAIT_S: Final = 2  # Long enough for a twin about to finish, short enough to answer a person.
BODY_MAX: Final = 32 * 1024 * 1024
_REFUSED: Final = 400


class WritingRoute(APIRoute):
    """A route whose changing methods run in one transaction, committed before the answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, wrapped."""
        plain = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.method in {"GET", "HEAD"}:
                return await plain(request)
            return await _once(request, f"{request.method} {self.path}", plain)

        return handle


async def _once(
    request: Request,
    route: str,
    plain: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    database: Database = request.app.state.database
    key = _key_of(request)
    asked = f"{request.url.path}?{request.url.query}\n".encode()
    digest = hashlib.sha256(asked + await _body_of(request)).digest()
    async with database.transaction() as tx:
        first = await _claim(tx, key, route)
        if first is not None:
            return _replay(first, digest)
        request.state.tx = tx
        response = await plain(request)
        await _remember(tx, key, route, digest, response)
    return response


def _key_of(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        raise Problem(400, "IDEMPOTENCY_KEY_MISSING", "send an Idempotency-Key header")
    if len(key) > KEY_CHARS or not key.isprintable():
        raise Problem(400, "IDEMPOTENCY_KEY_INVALID", f"at most {KEY_CHARS} printable characters")
    return key


async def _body_of(request: Request) -> bytes:
    announced = request.headers.get("Content-Length", "")
    if not announced.isdecimal():
        raise Problem(411, "LENGTH_REQUIRED", "send a Content-Length header with this request")
    if int(announced) > BODY_MAX:
        raise Problem(413, "TOO_LARGE", f"at most {BODY_MAX} bytes are read")
    return await request.body()


async def _claim(tx: Tx, key: str, route: str) -> Row | None:
    """Take the key for this transaction; the first answer, where there was one."""
    await tx.execute(f"SET LOCAL lock_timeout = '{TWIN_WAIT_S}s'")
    try:
        mine = await tx.fetchval(
            "INSERT INTO idempotency_keys (key, route, request_digest) "
            "VALUES ($1, $2, '') ON CONFLICT DO NOTHING RETURNING 1",
            key,
            route,
        )
    except asyncpg.LockNotAvailableError:
        detail = "a request with this key is still running; ask again in a moment"
        raise Problem(409, "IDEMPOTENCY_KEY_IN_USE", detail) from None
    await tx.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
    if mine:
        return None
    return await tx.fetchrow(
        "SELECT request_digest, status, body FROM idempotency_keys WHERE key = $1 AND route = $2",
        key,
        route,
    )


async def _remember(tx: Tx, key: str, route: str, digest: bytes, response: Response) -> None:
    await tx.execute(
        "UPDATE idempotency_keys SET request_digest = $3, status = $4, body = $5 "
        "WHERE key = $1 AND route = $2",
        key,
        route,
        digest,
        response.status_code,
        bytes(response.body),
    )


def _replay(first: Row, digest: bytes) -> Response:
    if first["request_digest"] != digest:
        detail = "this Idempotency-Key came with another body before; use a new key"
        raise Problem(422, "IDEMPOTENCY_KEY_REUSED", detail)
    return Response(
        first["body"],
        status_code=first["status"],
        media_type="application/json" if first["status"] < _REFUSED else PROBLEM,
        headers={"Idempotent-Replayed": "true"},
    )
