"""Every service has a database that no other role can enter."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from deploy.local import StackError, drop_databases, provision_databases
from tests.stack.conftest import PLAN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local import Stack

NAMES = ("claims", "budget")
PREFIX = "own_"


@pytest.fixture
async def urls(stack: Stack) -> AsyncIterator[dict[str, str]]:
    admin = (await stack.up(PLAN)).postgres
    yield await provision_databases(admin, NAMES, PREFIX)
    await drop_databases(admin, NAMES, PREFIX)


async def test_a_role_owns_its_database(urls: dict[str, str]) -> None:
    connection = await asyncpg.connect(urls["claims"])
    await connection.execute("CREATE TABLE mine (word text)")
    assert await connection.fetchval("SELECT current_user || ' ' || current_database()") == (
        "own_claims own_claims"
    )
    await connection.close()


async def test_a_role_cannot_enter_the_database_of_another(urls: dict[str, str]) -> None:
    elsewhere = urls["claims"].removesuffix("/own_claims") + "/own_budget"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
        await asyncpg.connect(elsewhere)


async def test_a_role_has_no_power_over_the_server(urls: dict[str, str]) -> None:
    connection = await asyncpg.connect(urls["claims"])
    for deed in ("CREATE ROLE thief SUPERUSER", "CREATE DATABASE loot", "DROP DATABASE own_budget"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(deed)
    await connection.close()


async def test_a_wrong_password_does_not_let_in(urls: dict[str, str]) -> None:
    password = urls["claims"].partition("@")[0].rpartition(":")[2]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(urls["claims"].replace(password, "guessed"))


async def test_a_second_call_gives_the_same_addresses(stack: Stack, urls: dict[str, str]) -> None:
    admin = (await stack.up(PLAN)).postgres
    both = await asyncio.gather(*(provision_databases(admin, NAMES, PREFIX) for _ in range(2)))
    assert both == [urls, urls]
    assert len({url.partition("@")[0] for url in urls.values()}) == len(NAMES)


async def test_an_address_without_password_is_refused(stack: Stack) -> None:
    admin = (await stack.up(PLAN)).postgres
    user, at, server = admin.partition("@")
    with pytest.raises(StackError, match=r"does not let us in|has no password"):
        await provision_databases(user.rpartition(":")[0] + at + server, NAMES)
