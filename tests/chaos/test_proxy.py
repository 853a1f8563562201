"""The links of the fault kit, on real sockets: fair weather, and every other kind."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from chaos.proxy import Link, Way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WITHIN = 5
SILENT = 0.3


@asynccontextmanager
async def a_link() -> AsyncIterator[Link]:
    """A link to a server that says everything it hears again."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(100):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = Link("echo", server.sockets[0].getsockname()[1])
    await link.open()
    try:
        yield link
    finally:
        await link.close()
        server.close()


class Talk:
    """A client that comes through a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def over(cls, link: Link) -> Talk:
        return cls(*await asyncio.open_connection("127.0.0.1", link.port))

    async def say(self, words: bytes, *, within: float = WITHIN) -> bytes:
        """What comes back."""
        self.writer.write(words)
        await self.writer.drain()
        return await asyncio.wait_for(self.reader.read(100), within)


async def test_in_fair_weather_everything_passes() -> None:
    async with a_link() as link:
        talk = await Talk.over(link)
        assert await talk.say(b"good day") == b"good day"
        assert len(link.client_ports()) == 1


async def test_a_cut_ends_what_stands_and_refuses_what_comes_until_healed() -> None:
    async with a_link() as link:
        talk = await Talk.over(link)
        await talk.say(b"x")
        link.cut()
        assert await asyncio.wait_for(talk.reader.read(10), WITHIN) == b""
        late = await Talk.over(link)
        assert await asyncio.wait_for(late.reader.read(10), WITHIN) == b""
        link.heal()
        assert await (await Talk.over(link)).say(b"again") == b"again"


async def test_a_reset_is_no_polite_goodbye_and_new_connections_are_welcome() -> None:
    async with a_link() as link:
        talk = await Talk.over(link)
        await talk.say(b"x")
        link.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(talk.reader.read(10), WITHIN)
        assert await (await Talk.over(link)).say(b"again") == b"again"


async def test_a_delay_holds_every_piece_back_both_ways() -> None:
    async with a_link() as link:
        talk = await Talk.over(link)
        link.delay(0.1)
        began = time.monotonic()
        assert await talk.say(b"slow") == b"slow"
        assert time.monotonic() - began >= 0.2


async def test_a_throttled_link_passes_so_many_bytes_a_second() -> None:
    async with a_link() as link:
        talk = await Talk.over(link)
        link.throttle(500)
        began = time.monotonic()
        assert await talk.say(b"x" * 100) == b"x" * 100
        assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize("ways", [tuple(Way), (Way.UP,), (Way.DOWN,)])
async def test_a_black_hole_accepts_says_nothing_and_gives_everything_back(
    ways: tuple[Way, ...],
) -> None:
    async with a_link() as link:
        link.blackhole(ways)
        talk = await Talk.over(link)
        with pytest.raises(TimeoutError):
            await talk.say(b"anybody?", within=SILENT)
        link.heal()
        assert await asyncio.wait_for(talk.reader.read(100), WITHIN) == b"anybody?"


async def test_a_lost_commit_is_carried_out_and_never_answered() -> None:
    async with a_link() as link:
        talk = await Talk.over(link)
        link.lose_next_commit()
        assert await talk.say(b"INSERT") == b"INSERT"
        assert link.ambiguous_commits == 0
        with pytest.raises(ConnectionResetError):
            await talk.say(b"Q\x00\x00\x00\x0cCOMMIT;\x00")
        assert link.ambiguous_commits == 1


async def test_a_commit_whose_answer_a_cut_takes_away_is_counted() -> None:
    async with a_link() as link:
        talk = await Talk.over(link)
        await talk.say(b"x")
        link.blackhole((Way.DOWN,))
        with pytest.raises(TimeoutError):
            await talk.say(b"COMMIT;", within=SILENT)
        link.cut()
        assert link.ambiguous_commits == 1
