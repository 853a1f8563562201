"""Hands out resources: servers, given or started for the tests, and fresh databases."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from chassis.db import Database
from chassis.migrate import migrate
from deploy.local import Endpoints, Stack
from deploy.topics import load_plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

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


@pytest.fixture
async def database_of(postgres: str) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """Makes fresh, migrated databases for services; they are dropped afterwards."""
    made: list[tuple[str, Database]] = []

    async def make(service: str) -> Database:
        name = f"test_{service}_{uuid.uuid4().hex[:12]}"
        admin = await asyncpg.connect(postgres)
        try:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        finally:
            await admin.close()
        url = postgres.rsplit("/", 1)[0] + "/" + name
        database = Database(url, service=service)
        made.append((name, database))
        await migrate(database, f"services.{service}")
        return database

    yield make
    admin = await asyncpg.connect(postgres)
    for name, database in made:
        await database.close()
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await admin.close()
