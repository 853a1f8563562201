"""Which time it is: the database's, so that a machine whose clock is wrong decides nothing wrongly.

Leases, graces and what is old enough to be forgotten are compared with times that other replicas
wrote. All of them follow one clock; between two looks at it only the monotonic clock is used, which
nobody sets.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from chassis.db import Connection

LOOK_EVERY_S: Final = 30  # Two monotonic clocks do not drift apart by a millisecond meanwhile.
SHIFT: Final = timedelta(seconds=int(os.environ.get("LEDGERBUS_CLOCK_SHIFT_S", "0")))
"""How wrong this process's own clock is, on purpose; read once, at its start."""


def wall() -> datetime:
    """What this machine's clock says, for figures that decide nothing."""
    return datetime.fromtimestamp(time.time(), tz=UTC) + SHIFT


class Clock:
    """The time of one database."""

    def __init__(self) -> None:
        self._told: datetime | None = None
        self._asked_s: float = 0

    async def now(self, connection: Connection) -> datetime:
        """This instant by the database's clock; a question to it every half minute."""
        if self._told is None or time.monotonic() - self._asked_s > LOOK_EVERY_S:
            told: datetime = await connection.fetchval("SELECT clock_timestamp()")
            self._told, self._asked_s = told, time.monotonic()
        return self._told + timedelta(seconds=time.monotonic() - self._asked_s)
