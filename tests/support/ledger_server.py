"""A ledger of another house, on a real port: it can do everything that makes outcomes unknown."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import asynccontextmanager, suppress
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_HTML: Final = b"<html>bad gateway, but politely</html>"


class Do(StrEnum):
    """What the ledger does with one call."""

    ACCEPT = auto()
    REFUSE = auto()
    FAIL_BEFORE = auto()
    FAIL_AFTER = auto()
    HANG_BEFORE = auto()
    HANG_AFTER = auto()
    DROP_BEFORE = auto()
    DROP_AFTER = auto()
    GARBAGE_AFTER = auto()
    NUMBERLESS_AFTER = auto()
    OTHER_KEY_AFTER = auto()
    FORBID = auto()
    THROTTLE = auto()
    PROXY_404 = auto()
    DRIP_AFTER = auto()
    REFUSE_WHEN_RELEASED = auto()


class LedgerServer:
    """Executes what it is told, keyed or not; `executed` holds every effect it ever had."""

    def __init__(self) -> None:
        self.executed: list[tuple[str, dict[str, Any]]] = []
        self.calls: list[tuple[str, str]] = []
        self.puts: deque[Do] = deque()
        self.gets: deque[Do] = deque()
        self.knows_keys = True
        self.address = ""
        self._released = asyncio.Event()

    def keys(self) -> list[str]:
        """The key of every effect."""
        return [key for key, _ in self.executed]

    def number_of(self, key: str) -> str:
        """The number under which the first effect of a key is found."""
        return f"SAP-{5100 + self.keys().index(key)}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one call."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            length = next(
                (
                    int(line.split(":")[1])
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length:")
                ),
                0,
            )
            document = json.loads(await reader.readexactly(length)) if length else {}
            key = unquote(path.rpartition("/")[2])
            self.calls.append((method, key))
            planned = self.puts if method == "PUT" else self.gets
            do = planned.popleft() if planned else Do.ACCEPT
            answer = await self._answer(method, key, document, do)
            if answer is not None:
                await self._write(writer, answer, slowly=do is Do.DRIP_AFTER)
        writer.close()

    async def _answer(
        self, method: str, key: str, document: dict[str, Any], do: Do
    ) -> tuple[int, bytes] | None:
        match do:
            case Do.FAIL_BEFORE:
                return 500, b'{"oops": true}'
            case Do.HANG_BEFORE:
                await self._released.wait()
                return None
            case Do.DROP_BEFORE:
                return None
            case Do.FORBID:
                return 401, _json({"errors": [{"code": "AUTH", "detail": "who are you?"}]})
            case Do.THROTTLE:
                return 429, b"{}"
            case Do.PROXY_404:
                return 404, _HTML
            case Do.REFUSE | Do.REFUSE_WHEN_RELEASED:
                if do is Do.REFUSE_WHEN_RELEASED:
                    await self._released.wait()
                error = {"code": "F5-312", "detail": "account 660201 is blocked for posting"}
                return 422, _json({"errors": [error]})
            case _:
                return await self._after(method, key, document, do)

    async def _after(
        self, method: str, key: str, document: dict[str, Any], do: Do
    ) -> tuple[int, bytes] | None:
        if method == "PUT":
            if self.knows_keys and key in self.keys():
                return 409, _json({"key": key, "number": self.number_of(key)})
            self.executed.append((key, document))
        elif key not in self.keys():
            return 404, _json({"key": key})
        number = self.number_of(key)
        if do is Do.HANG_AFTER:
            await self._released.wait()
        answers: dict[Do, tuple[int, bytes] | None] = {
            Do.HANG_AFTER: None,
            Do.DROP_AFTER: None,
            Do.FAIL_AFTER: (500, b"{}"),
            Do.GARBAGE_AFTER: (200, _HTML),
            Do.NUMBERLESS_AFTER: (200, _json({"key": key, "number": "\u0007"})),
            Do.OTHER_KEY_AFTER: (200, _json({"key": "another", "number": number})),
        }
        return answers.get(do, (201, _json({"key": key, "number": number})))

    async def _write(
        self, writer: asyncio.StreamWriter, answer: tuple[int, bytes], *, slowly: bool
    ) -> None:
        status, body = answer
        head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        for byte in body:
            writer.write(bytes([byte]))
            if slowly:
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._released.wait(), 0.05)
        await writer.drain()

    def release(self) -> None:
        """Let every hanging call end."""
        self._released.set()


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


@asynccontextmanager
async def a_ledger_server() -> AsyncIterator[LedgerServer]:
    """A ledger that listens on a free port until the test is over."""
    ledger = LedgerServer()
    server = await asyncio.start_server(ledger.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ledger.address = f"http://127.0.0.1:{port}"
    try:
        yield ledger
    finally:
        ledger.release()
        server.close()
