"""Detached processes: started once, recognised later, stopped for certain.

A process is remembered by its id and the moment it started, so that an id the system has handed
to somebody else is never taken for ours.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLOCK_STEP_MS = 5_000  # The system derives start times from a clock that may be adjusted since.
LOOK_S = 0.2  # Between two looks at a process that is asked to end.
LOG_BYTES = 20_000_000  # A log larger than this is put aside when its process starts anew.


class ProcessMark(BaseModel):
    """What identifies one run of one process."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started_ms: int


@dataclass(frozen=True, slots=True)
class Account:
    """The system account a process runs under."""

    name: str
    uid: int
    gid: int


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    account: Account | None = None,
) -> ProcessMark:
    """Start a process that outlives this one, in a session of its own, writing to a log."""
    _put_aside(log)
    with log.open("ab") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    mark = ProcessMark(pid=child.pid, started_ms=_started_ms(psutil.Process(child.pid)))
    child.returncode = 0  # It is meant to outlive this object, which would warn otherwise.
    return mark


def find(mark: ProcessMark | None) -> psutil.Process | None:
    """The marked process if it still runs; none when it ended or its id went to another."""
    if mark is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(mark.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            _reap(mark.pid)
            return None
        if abs(_started_ms(process) - mark.started_ms) <= CLOCK_STEP_MS:
            return process
    return None


def listens(mark: ProcessMark | None, port: int | None) -> bool:
    """Whether the marked process itself, and nobody in its place, listens on the port."""
    process = find(mark)
    if process is None:
        return False
    try:
        sockets = process.net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)


def mark_of(pid: int) -> ProcessMark:
    """The mark of a process that runs now."""
    return ProcessMark(pid=pid, started_ms=_started_ms(psutil.Process(pid)))


def stop(process: psutil.Process, *, sent: int, within_s: int) -> bool:
    """Ask a process to end; whether it did in time. One that did not is killed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(sent)
    if _ends(process, within_s):
        return True
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    _ends(process, within_s)
    return False


def _ends(process: psutil.Process, within_s: float) -> bool:
    """Whether a process ends in time, be it that its parent has not taken notice yet."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(LOOK_S)
            return True
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
    return False


def resident_bytes(process: psutil.Process) -> int:
    """Memory the process and its children hold together, shared pages counted once."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                full = member.memory_full_info()
                # Linux tells each process's share of shared pages; elsewhere its own pages do.
                total += getattr(full, "pss", full.uss)
    return total


def _started_ms(process: psutil.Process) -> int:
    return round(process.create_time() * 1000)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _put_aside(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
