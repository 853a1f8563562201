"""One TCP link between one replica and one server, with weather of its own.

Nothing is decided about what passes, with one exception: on a link to PostgreSQL a COMMIT that was
passed on and not answered yet is noticed, so that a lost answer can be counted, or arranged.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Final

from deploy.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable

CHUNK: Final = 65_536
COMMIT: Final = b"COMMIT;"
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of zero: closing sends RST, not FIN.


class Way(StrEnum):
    """The two directions of a link."""

    UP = auto()
    DOWN = auto()


@dataclass(eq=False, slots=True)
class Pipe:
    """One connection through a link: both ends, and whether a commit waits for its answer."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    committing: bool = False
    losing: bool = False

    def reset(self) -> None:
        """End both sides at once, without a goodbye."""
        for writer in (self.client, self.server):
            _reset(writer)

    def close(self) -> None:
        """End both sides; what was passed on already still arrives."""
        for writer in (self.client, self.server):
            writer.close()


class Link:
    """A port that leads to another port, as long as the weather allows."""

    def __init__(self, name: str, upstream: int) -> None:
        self.name = name
        self.upstream = upstream
        self.port = 0
        self.ambiguous_commits = 0
        self._pipes: set[Pipe] = set()
        self._cut = False
        self._delay_s: float = 0
        self._bytes_per_s = 0
        self.losing = False
        self._open = {way: asyncio.Event() for way in Way}
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen on a free port, in fair weather."""
        self.heal()
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        self.reset()

    def heal(self) -> None:
        """Fair weather: everything passes at once; what was held back passes now."""
        self._cut = False
        self._delay_s = 0
        self._bytes_per_s = 0
        self.losing = False
        for gate in self._open.values():
            gate.set()

    def cut(self) -> None:
        """End every connection and close new ones at the door."""
        self._cut = True
        for pipe in self._ending():
            pipe.close()

    def reset(self) -> None:
        """End every connection with RST; new ones are welcome."""
        for pipe in self._ending():
            pipe.reset()

    def delay(self, seconds: float) -> None:
        """Hold every piece back for this long."""
        self._delay_s = seconds

    def throttle(self, bytes_per_s: int) -> None:
        """Let so many bytes pass in a second, each way."""
        self._bytes_per_s = bytes_per_s

    def blackhole(self, ways: Iterable[Way] = tuple(Way)) -> None:
        """Accept, and pass nothing on in these directions until healed."""
        for way in ways:
            self._open[way].clear()

    def lose_next_commit(self) -> None:
        """Pass the next COMMIT on, wait until it is done, and reset instead of answering."""
        self.losing = True

    def client_ports(self) -> list[int]:
        """The ports by which the server knows this link's connections."""
        names = (pipe.server.get_extra_info("sockname") for pipe in self._pipes)
        return [name[1] for name in names if name]

    def _ending(self) -> list[Pipe]:
        pipes = list(self._pipes)
        self.ambiguous_commits += sum(pipe.committing for pipe in pipes)
        for pipe in pipes:
            pipe.committing = False
        return pipes

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.close()
            return
        try:
            answers, server = await asyncio.open_connection(HOST, self.upstream)
        except OSError:
            _reset(writer)
            return
        pipe = Pipe(writer, server)
        self._pipes.add(pipe)
        ways = [
            asyncio.create_task(self._up(pipe, reader)),
            asyncio.create_task(self._down(pipe, answers)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pipes.discard(pipe)
            self.ambiguous_commits += pipe.committing
            for way in ways:
                way.cancel()
            pipe.close()

    async def _up(self, pipe: Pipe, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self._hold(Way.UP, len(chunk))
                if COMMIT in chunk:
                    pipe.committing = True
                    pipe.losing, self.losing = self.losing, False
                pipe.server.write(chunk)
                await pipe.server.drain()

    async def _down(self, pipe: Pipe, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if pipe.losing:
                    self.ambiguous_commits += 1
                    pipe.committing = False
                    pipe.reset()
                    return
                await self._hold(Way.DOWN, len(chunk))
                pipe.committing = False
                pipe.client.write(chunk)
                await pipe.client.drain()

    async def _hold(self, way: Way, size: int) -> None:
        await self._open[way].wait()
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if self._bytes_per_s:
            await asyncio.sleep(size / self._bytes_per_s)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        stream: socket.socket | None = writer.get_extra_info("socket")
        if stream is not None:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
