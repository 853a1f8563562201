"""Hands out resources: servers from the environment, else started for the tests; fresh databases."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from chassis.db import Database
from chassis.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[str, str]]:
    """Addresses of Kafka and PostgreSQL (a superuser's URL)."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("POSTGRES_URL")
    if given[0] and given[1]:
        yield given[0], given[1]
        return
    from deploy.local import Stack  # noqa: PLC0415 - only where nothing is given
    from deploy.local.topics import TopicPlan  # noqa: PLC0415

    stack = Stack(ROOT / ".local" / "tests")
    endpoints = stack.up(TopicPlan.load(ROOT / "deploy" / "topics.yaml"))
    yield endpoints.kafka, endpoints.postgres
    stack.down()


@pytest.fixture(scope="session")
def kafka(servers: tuple[str, str]) -> str:
    """Kafka's bootstrap servers."""
    return servers[0]


@pytest.fixture(scope="session")
def postgres(servers: tuple[str, str]) -> str:
    """A superuser's URL."""
    return servers[1]


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
