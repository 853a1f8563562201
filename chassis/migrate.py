"""Brings a service's database to the newest schema: forward only, one process at a time."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from pogo_core.util import migrate as pogo

if TYPE_CHECKING:
    from chassis.db import Database

log = structlog.get_logger()
_LOCK: Final = 7_002  # The advisory lock that lets one replica migrate while the others wait.


class _Quiet:
    """pogo announces each migration as a warning; here it is ordinary news."""

    def warning(self, message: str, *args: object) -> None:
        log.info("migrating", step=message % args)

    info = error = warning


def folder_of(package: str) -> Path:
    """The migrations of a package."""
    return Path(str(files(package))) / "migrations"


async def migrate(database: Database, package: str) -> None:
    """Apply what is new: the machinery's tables first, then the service's."""
    connection = await database.connect()
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        for folder in (folder_of("chassis"), folder_of(package)):
            await pogo.apply(connection, folder, schema_name="public", logger=_Quiet())  # type: ignore[arg-type] # It warns, nothing else.
    finally:
        await connection.close()
