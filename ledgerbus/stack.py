"""`ledgerbus up`, `down` and `status`: the whole system on this machine."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from deploy.local import Stack, provision_databases
from deploy.local.processes import find, resident_bytes
from deploy.local.state import read_state, state_file
from deploy.topics import load_plan
from ledgerbus.addresses import Addresses, addresses, home
from ledgerbus.errors import CommandError, Exit
from ledgerbus.fleet import ASK_S, Fleet, failing_checks, label, service_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from deploy.local import ServerStatus
    from deploy.local.state import ServerState, ServiceState

TALK = Console(stderr=True, highlight=False)
MEGABYTE = 1_048_576


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the status."""

    name: str
    pid: int | None
    address: str
    ready: bool
    resident_bytes: int | None
    why: str = ""


async def bring_up(root: Path, *, replicas: int = 1) -> Addresses:
    """Have servers, topics, databases and services ready; what already is stays untouched."""
    async with _telling("Kafka and PostgreSQL"):
        endpoints = await Stack(root).up(load_plan())
    TALK.print(f"  kafka      {endpoints.kafka}")
    TALK.print(f"  postgres   {endpoints.postgres.rpartition('@')[2]}")
    for difference in endpoints.drift:
        TALK.print(f"  [yellow]differs from the plan:[/] {difference}")
    names = service_names()
    databases = await provision_databases(endpoints.postgres, names)
    fleet = Fleet(root)
    await fleet.start(endpoints.kafka, databases, replicas=replicas)
    async with _telling(", ".join(names)):
        await fleet.ready(lambda service: TALK.print(f"  {label(service):<10} {service.url}"))
    return addresses(root)


async def take_down(root: Path) -> list[str]:
    """End services, Kafka and PostgreSQL in this order; names what had to be killed."""
    killed = await Fleet(root).stop()
    return killed + await Stack(root).down()


async def look(root: Path) -> list[Row]:
    """Every server and service as it stands now."""
    servers = [_server_row(each) for each in await Stack(root).status()]
    services = read_state(root).services
    async with httpx.AsyncClient(timeout=ASK_S, trust_env=False) as client:
        failing = await asyncio.gather(*(failing_checks(each, client) for each in services))
    rows = (_service_row(each, why) for each, why in zip(services, failing, strict=True))
    return servers + sorted(rows, key=lambda row: row.address)


def up(
    *,
    replicas: Annotated[int, typer.Option(min=1, max=9, help="processes of each service")] = 1,
    json: Annotated[bool, typer.Option("--json", help="the addresses as JSON")] = False,
) -> None:
    """Start Kafka, PostgreSQL and the services, and wait until all are ready.

    What already runs is left alone; what was killed goes on where it was. A service whose code or
    settings have changed since it was started is started anew.
    """
    root = home()
    asyncio.run(bring_up(root, replicas=replicas))
    if json:
        Console().print_json(data=_answering(root))


def roll(
    services: Annotated[list[str] | None, typer.Argument(help="which; all by default")] = None,
) -> None:
    """Replace services by ones on the present code, one process at a time, while claims flow.

    Each process says it is not ready, finishes what it has begun and ends; the next one is touched
    when its successor is ready. With `up --replicas 2` nobody notices.
    """
    asyncio.run(_roll(home(), services or service_names()))


async def _roll(root: Path, names: list[str]) -> None:
    unknown = sorted(set(names) - set(service_names()))
    if unknown:
        raise CommandError(
            f"no service is called {', '.join(unknown)}",
            why=f"there are {', '.join(service_names())}",
            fix="name some of these, or none for all",
            code=Exit.NOT_FOUND,
        )
    endpoints = await Stack(root).up(load_plan())
    databases = await provision_databases(endpoints.postgres, names)
    await Fleet(root).roll(
        endpoints.kafka, databases, lambda each: TALK.print(f"  {label(each):<10} {each.url}")
    )


def down(
    *,
    delete: Annotated[bool, typer.Option(help="delete all topics and databases, too")] = False,
    yes: Annotated[bool, typer.Option(help="delete without asking")] = False,
    json: Annotated[bool, typer.Option("--json", help="what was stopped as JSON")] = False,
) -> None:
    """Stop the services, Kafka and PostgreSQL; the state stays, unless --delete says otherwise."""
    root = home()
    known = state_file(root).exists()
    stopped = _ours(root)
    killed = _take_down(root, delete=delete, yes=yes) if known else []
    if json:
        told = {"stopped": stopped, "killed": killed, "deleted": known and delete}
        Console().print_json(data=told)
    elif not known:
        TALK.print("nothing was started here")


def _take_down(root: Path, *, delete: bool, yes: bool) -> list[str]:
    """End and, when asked, delete; names what had to be killed."""
    if delete and not yes:
        typer.confirm(f"Delete every topic and database under {root}?", abort=True, err=True)
    killed = asyncio.run(take_down(root))
    for name in killed:
        TALK.print(f"  [yellow]{name} did not end in time and was killed[/]")
    if delete:
        # The demo bank remembers which entries it has paid, and those are gone.
        shutil.rmtree(root / "bank", ignore_errors=True)
        asyncio.run(Stack(root).destroy())
    TALK.print("stopped" + (", and everything deleted" if delete else "; the state stays"))
    return killed


def _answering(root: Path) -> dict[str, object]:
    """Where everything answers; passwords stay where they are kept."""
    state = read_state(root)
    return {
        "kafka": state.kafka.address,
        "postgres": state.postgres.address,
        "services": {label(each): each.url for each in state.services},
        "spans_dir": str(root.resolve() / "spans"),
    }


def _ours(root: Path) -> list[str]:
    """The names of what runs and is ours to stop, in the order it is stopped in."""
    state = read_state(root)
    services = [label(each) for each in state.services if find(each.process)]
    servers = (("kafka", state.kafka), ("postgres", state.postgres))
    return services + [
        name for name, server in servers if find(server.process) or _in_container(server)
    ]


def _in_container(server: ServerState) -> bool:
    return server.source == "containers" and bool(server.address)


def status(
    *,
    json: Annotated[bool, typer.Option("--json", help="the same as JSON")] = False,
) -> None:
    """What runs, where it answers and whether it is ready; exit code 1 when something is not."""
    rows = asyncio.run(look(home()))
    out = Console(highlight=False)
    if json:
        out.print_json(data=[asdict(row) for row in rows])
    else:
        out.print(_table(rows))
    if not all(row.ready for row in rows):
        raise typer.Exit(Exit.FAILED)


@asynccontextmanager
async def _telling(what: str) -> AsyncIterator[None]:
    """A line that moves while something is waited for, on a terminal; nothing elsewhere."""
    with TALK.status(f"starting {what}"):
        yield


def _server_row(server: ServerStatus) -> Row:
    return Row(
        name=server.name,
        pid=server.pid,
        address=server.address,
        ready=server.ready,
        resident_bytes=server.resident_bytes,
        why="" if server.ready else "no answer" if server.address else "stopped",
    )


def _service_row(service: ServiceState, why: str) -> Row:
    process = find(service.process)
    return Row(
        name=label(service),
        pid=process.pid if process else None,
        address=service.url,
        ready=not why,
        resident_bytes=resident_bytes(process) if process else None,
        why=why if process else "its process is gone" if service.process else "stopped",
    )


def _table(rows: list[Row]) -> Table:
    table = Table("name", "pid", "address", "ready", "memory", box=None, pad_edge=False)
    for row in rows:
        memory = f"{row.resident_bytes // MEGABYTE} MB" if row.resident_bytes else ""
        ready = "[green]yes[/]" if row.ready else f"[red]{row.why}[/]"
        table.add_row(row.name, str(row.pid or ""), row.address, ready, memory)
    return table
