"""One database and one role for each service, closed to every other role.

A role's password is derived from the administrator's, so any later call gives the same address
again and nothing has to be stored; the derivation is slow on purpose.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from deploy.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterable

READY_S = 60
ONE_AT_A_TIME = 7_305_117_281  # The advisory lock of provisioning; any number nobody else uses.
SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 24}


async def provision_databases(
    postgres_url: str, names: Iterable[str], prefix: str = ""
) -> dict[str, str]:
    """Have a database and its owner for each name; their addresses, by name."""
    admin = await connect(postgres_url)
    try:
        await admin.execute("SELECT pg_advisory_lock($1)", ONE_AT_A_TIME)
        return {name: await _provide(admin, postgres_url, prefix + name) for name in names}
    finally:
        await admin.close()  # which gives the lock back, too


async def drop_databases(postgres_url: str, names: Iterable[str], prefix: str) -> None:
    """Undo `provision_databases`; tests use it for the databases they made."""
    admin = await connect(postgres_url)
    try:
        for name in names:
            await admin.execute(f"DROP DATABASE IF EXISTS {_quoted(prefix + name)} WITH (FORCE)")
            await admin.execute(f"DROP ROLE IF EXISTS {_quoted(prefix + name)}")
    finally:
        await admin.close()


async def connect(postgres_url: str, *, within_s: int = READY_S) -> Any:
    """A connection; a server that is still starting is given time, a wrong address is explained."""
    fault: Exception | None = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    return await asyncpg.connect(postgres_url)
                except (OSError, asyncpg.CannotConnectNowError) as refused:
                    fault = refused
                    await asyncio.sleep(0.1)
    except TimeoutError:
        why = str(fault or f"no reply within {within_s} s")
    except (ValueError, asyncpg.PostgresError) as refused:
        fault, why = refused, str(refused)
    raise StackError(
        f"PostgreSQL at {without_password(postgres_url)} does not let us in",
        why=why,
        fix="see that the address, the user and the password are right and the server is up",
    ) from fault


async def _provide(admin: Any, postgres_url: str, name: str) -> str:
    password = role_password(postgres_url, name)
    known = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
    verb = "ALTER" if known else "CREATE"
    # Neither statement takes parameters; the password is hexadecimal and needs no escape.
    await admin.execute(f"{verb} ROLE {_quoted(name)} LOGIN PASSWORD '{password}'")
    if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        # An administrator who is no superuser may give a database only to roles it belongs to.
        if not await admin.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            await admin.execute(f"GRANT {_quoted(name)} TO CURRENT_USER")
        await admin.execute(f"CREATE DATABASE {_quoted(name)} OWNER {_quoted(name)}")
    await admin.execute(f"REVOKE ALL ON DATABASE {_quoted(name)} FROM PUBLIC")
    return _address(postgres_url, name, password)


def role_password(postgres_url: str, role: str) -> str:
    """The password of a role; who knows it learns nothing about the administrator's."""
    password = unquote(urlsplit(postgres_url).password or "")
    if not password:
        raise StackError(
            "POSTGRES_URL has no password",
            why="the services' passwords are derived from the administrator's",
            fix="give it as postgresql://user:password@host:port/postgres",
        )
    return hashlib.scrypt(password.encode(), salt=f"ledgerbus:{role}".encode(), **SCRYPT).hex()


def _address(postgres_url: str, name: str, password: str) -> str:
    parts = urlsplit(postgres_url)
    server = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        parts._replace(netloc=f"{quote(name)}:{password}@{server}", path=f"/{quote(name)}")
    )


def without_password(postgres_url: str) -> str:
    """The address as it may be shown."""
    parts = urlsplit(postgres_url)
    user, at, server = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{server}"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
