"""What the stack remembers between commands: addresses, ports and processes, in `state.json`.

One lock per state folder, so two commands at once take turns instead of starting servers twice.
"""

from __future__ import annotations

import asyncio
import fcntl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field, ValidationError

from deploy.local.errors import StackError
from deploy.local.processes import ProcessMark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Source = Literal["embedded", "given", "containers"]


class ServerState(BaseModel):
    """One server: where it answers and, when it is ours, the process behind it."""

    source: Source = "embedded"
    address: str = ""
    port: int | None = None
    process: ProcessMark | None = None
    container: str | None = None


class KafkaState(ServerState):
    """The broker, with the identity its log folder was formatted for."""

    controller_port: int | None = None
    cluster_id: str | None = None


class PostgresState(ServerState):
    """The database server, with the place its files went to."""

    files: Path | None = None


class ServiceState(BaseModel):
    """One replica of one service."""

    name: str
    replica: int
    url: str
    port: int
    fingerprint: str = ""
    process: ProcessMark | None = None


class State(BaseModel):
    """Everything the stack remembers; secrets are kept elsewhere."""

    kafka: KafkaState = Field(default_factory=KafkaState)
    postgres: PostgresState = Field(default_factory=PostgresState)
    services: list[ServiceState] = Field(default_factory=list)


def state_file(root: Path) -> Path:
    """The file that holds the state of a root."""
    return root / "state.json"


def read_state(root: Path) -> State:
    """The remembered state; a fresh one when nothing was ever started here."""
    file = state_file(root)
    if not file.exists():
        return State()
    try:
        return State.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError as fault:
        raise StackError(
            f"{file} cannot be read",
            why=str(fault).splitlines()[0],
            fix="delete the file (the data next to it stays) and run `ledgerbus up` again",
        ) from fault


def write_state(root: Path, state: State) -> None:
    """Remember the state, whole or not at all."""
    file = state_file(root)
    new = file.with_suffix(".json.new")
    new.write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
    new.replace(file)


@asynccontextmanager
async def locked(root: Path, *, within_s: int = 120) -> AsyncIterator[None]:
    """Hold the root's lock; a holder that keeps it longer than `within_s` is an error."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as handle:
        try:
            async with asyncio.timeout(within_s):
                while not _take(handle.fileno()):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StackError(
                f"The stack in {root} is busy",
                why=f"another command has held {root / 'lock'} for more than {within_s} s",
                fix="wait for it, or end that command, then try again",
            ) from None
        yield  # Closing the file gives the lock back, as does the end of the process.


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
