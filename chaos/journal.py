"""Files of JSON lines that survive a crash: the client's journal and the outside ledger's log."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from pathlib import Path


class Lines:
    """One file; a line is on the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab")

    def write(self, line: dict[str, Any]) -> None:
        """Append one line, with the time."""
        self._file.write(orjson.dumps({"at": now(), **line}) + b"\n")
        self._file.flush()

    def sync(self) -> None:
        """Have the disk hold what was written: a crash of the machine keeps it, too."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.sync()
        self._file.close()


def now() -> str:
    """This instant, UTC, as text."""
    return datetime.fromtimestamp(time.time(), tz=UTC).isoformat()
