"""Hands out resources: servers, given or started for the tests, and fresh databases."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
import structlog

from chassis.db import Database
from chassis.migrate import migrate
from deploy.local import Endpoints, Stack
from deploy.topics import load_plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

# As services log; structlog's default paints tracebacks with every local, which takes seconds.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ]
)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Endpoints]:
    """Kafka and PostgreSQL: given by the environment, or started for the tests and ended after."""
    stack = Stack(ROOT / ".local" / "tests")
    yield await stack.up(load_plan())
    await stack.down()


@pytest.fixture(scope="session")
def kafka(servers: Endpoints) -> str:
    """Kafka's bootstrap servers."""
    return servers.kafka


@pytest.fixture(scope="session")
def postgres(servers: Endpoints) -> str:
    """A superuser's URL."""
    return servers.postgres


@pytest.fixture(scope="session")
async def templates(postgres: str) -> AsyncIterator[dict[str, str]]:
    """Migrated databases to copy, one per service, made when first asked for."""
    made: dict[str, str] = {}
    yield made
    await _drop(postgres, made.values())


@pytest.fixture
async def database_of(
    postgres: str, templates: dict[str, str]
) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """Makes fresh, migrated databases for services; they are dropped afterwards."""
    made: dict[str, Database] = {}

    async def make(service: str) -> Database:
        if service not in templates:
            template = Database(await _create(postgres, service, "template0"), service=service)
            await migrate(template, f"services.{service}")
            await template.close()
            templates[service] = _name_in(template.url)
        url = await _create(postgres, service, templates[service])
        database = made[_name_in(url)] = Database(url, service=service)
        return database

    yield make
    for database in made.values():
        await database.close()
    await _drop(postgres, made)


def _name_in(url: str) -> str:
    return url.rpartition("/")[2]


async def _create(postgres: str, service: str, template: str) -> str:
    name = f"test_{service}_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    await admin.close()
    return f"{postgres.rpartition('/')[0]}/{name}"


async def _drop(postgres: str, names: Iterable[str]) -> None:
    admin = await asyncpg.connect(postgres)
    for name in names:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await admin.close()
