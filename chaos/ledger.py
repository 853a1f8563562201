"""A ledger of another house with a bad day: it keeps its books, but its answers cannot be trusted.

It speaks the HTTP journal API (PUT and GET /journal-entries/{key}), remembers every effect, writes
it to a log of its own before it answers, and fails on a seeded share of its calls.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import orjson

from chaos.journal import Lines
from deploy.local.ports import HOST

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

HANG_S: Final = 4  # Longer than posting waits.
DRIP_S: Final = 0.2
GARBAGE: Final = b"<html>bad gateway, but politely</html>"


class Mood(StrEnum):
    """What the ledger does with a call, beside or instead of answering it."""

    WELL = "well"
    HANG_AFTER = "timeout after effect"
    FAIL_BEFORE = "500 before effect"
    FAIL_AFTER = "500 after effect"
    TWICE = "acknowledged twice"
    THROTTLE = "429"
    DRIP = "slow drip"
    GARBAGE = "garbage after effect"


BAD: Final = tuple(mood for mood in Mood if mood is not Mood.WELL)
WITHOUT_EFFECT: Final = frozenset({Mood.FAIL_BEFORE, Mood.THROTTLE})
EFFECT_THEN_ERROR: Final = frozenset({Mood.HANG_AFTER, Mood.FAIL_AFTER, Mood.GARBAGE, Mood.DRIP})


class Ledger:
    """The other house; `moods` counts what it did, `entries` is what it has in its books."""

    def __init__(self, log: Path, *, seed: int, percent: int, moods: Counter[str]) -> None:
        self.entries: dict[str, tuple[str, dict[str, Any]]] = {}
        self.moods = moods
        self.calls = 0
        self._percent = percent
        self._random = Random(f"{seed} ledger")
        self._log = Lines(log)
        self._server: asyncio.Server | None = None
        self._healed = asyncio.Event()

    async def open(self) -> str:
        """Listen on a free port; the address."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def heal(self) -> None:
        """Behave from here on."""
        self._percent = 0
        self._healed.set()

    async def close(self) -> None:
        """Stop answering; the log stays."""
        self.heal()
        if self._server is not None:
            self._server.close()
        self._log.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ValueError, TimeoutError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One call; whether the connection is good for another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split(" ", 2)
        body = await reader.readexactly(_length(head))
        key = unquote(path.rpartition("/")[2])
        document = orjson.loads(body) if body else None
        mood = self._mood(method)
        status, told, outcome = self.judge(method, key, document, mood)
        answered = None if mood is Mood.HANG_AFTER else 200 if mood is Mood.GARBAGE else status
        number = str(told.get("number", "")) or None
        self._log.write(
            {
                "method": method,
                "key": key,
                "outcome": outcome,
                "number": number,
                "document": document,
                "answered": answered,
                "mood": mood,
            }
        )
        self._log.sync()
        return await self._answer(writer, mood, status, orjson.dumps(told))

    def judge(
        self, method: str, key: str, document: dict[str, Any] | None, mood: Mood
    ) -> tuple[int, dict[str, Any], str]:
        """The effect of a call, the status and body it deserves, and the outcome for the log."""
        if mood in WITHOUT_EFFECT:
            return (429 if mood is Mood.THROTTLE else 500), {}, "error"
        known = self.entries.get(key)
        if method != "PUT":
            return (200, _told(key, known[0]), "found") if known else (404, {"key": key}, "absent")
        if known:
            return 409, _told(key, known[0]), "known"
        number = f"GL-{len(self.entries) + 1:06}"
        self.entries[key] = (number, document or {})
        status = 500 if mood is Mood.FAIL_AFTER else 201
        return status, _told(key, number), "stored"

    def _mood(self, method: str) -> Mood:
        self.calls += 1
        mood = Mood.WELL
        if self._random.randrange(100) < self._percent:
            mood = self._random.choice(BAD)
        if mood is Mood.FAIL_AFTER and method != "PUT":
            mood = Mood.FAIL_BEFORE  # A question has no effect that could precede the failure.
        self.moods[mood] += 1
        return mood

    async def _answer(
        self, writer: asyncio.StreamWriter, mood: Mood, status: int, body: bytes
    ) -> bool:
        if mood is Mood.HANG_AFTER:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._healed.wait(), HANG_S)
            return False
        if mood is Mood.GARBAGE:
            status, body = 200, GARBAGE
        head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        if mood is Mood.DRIP:
            writer.write(head)
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._healed.wait(), DRIP_S)
            return True
        writer.write(head + body)
        if mood is Mood.TWICE:
            writer.write(head + body)
        await writer.drain()
        return mood is not Mood.TWICE


def _told(key: str, number: str) -> dict[str, Any]:
    return {"key": key, "number": number}


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0
