"""`ledgerbus import statement`: a bank's file to reconcile, and what became of its lines."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ledgerbus.addresses import addresses
from ledgerbus.calls import refused, services
from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledgerbus.calls import Services

TYPES: Final = {".xml": "application/xml", ".csv": "text/csv"}
COUNTS: Final = ("lines", "known", "matched", "returned", "exceptions")


@dataclass(slots=True)
class Delivery:
    """What reconcile answered to a file: one answer per statement, or why it took none."""

    file: str
    statements: list[dict[str, Any]] = field(default_factory=list)
    problem: CommandError | None = None

    def plain(self) -> dict[str, Any]:
        """The delivery as one document."""
        told: dict[str, Any] = {"file": self.file, "statements": self.statements}
        return told | ({"problem": str(self.problem)} if self.problem else {})

    @property
    def counts(self) -> Counter[str]:
        """Lines and what became of them, over all statements."""
        return Counter({name: sum(each[name] for each in self.statements) for name in COUNTS})


def command(
    file: Annotated[Path, typer.Argument(help="The bank's file: camt.05x XML, or CSV.")],
    layout: Annotated[
        str | None, typer.Option("--layout", help="For CSV: how its columns are to be read.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Give a bank statement to reconcile, which matches its lines with posted entries at once.

    The same file again has no second effect. What cannot be matched waits as an exception.

    Examples: `ledgerbus import statement monday.xml`,
    `ledgerbus import statement monday.csv --layout plain`.
    """
    delivery = asyncio.run(_deliver_one(file, layout))
    if as_json:
        typer.echo(orjson.dumps(delivery.plain(), option=orjson.OPT_INDENT_2))
    else:
        show(Console(highlight=False), delivery)
    if delivery.problem:
        raise delivery.problem
    if any(each["outcome"] == "quarantined" for each in delivery.statements):
        raise typer.Exit(Exit.INVALID)


async def _deliver_one(file: Path, layout: str | None) -> Delivery:
    async with services(addresses()) as running:
        with _progress() as progress:
            progress.add_task(f"reconcile reads and matches {file.name}")
            return await deliver(running, file, layout)


def _progress() -> Progress:
    """A sign of life on a terminal; the whole file is one request, so there is no share to show."""
    talk = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal)


async def deliver(running: Services, file: Path, layout: str | None = None) -> Delivery:
    """Hand one file over; the same bytes again get the first answer again."""
    content = _content(file)
    kind = TYPES["." + file.name.rpartition(".")[2].lower()] if layout is None else TYPES[".csv"]
    digest = hashlib.sha256(f"{layout}\n".encode() + content).hexdigest()
    answer = await running.ask(
        "POST",
        "reconcile",
        "/v1/statements",
        key=f"statement {digest}",
        content=content,
        headers={"Content-Type": kind},
        params={"layout": layout} if layout else {},
    )
    delivery = Delivery(file.name)
    if answer.is_error:
        delivery.problem = refused("reconcile", answer)
    else:
        delivery.statements = answer.json()["statements"]
    return delivery


def _content(file: Path) -> bytes:
    """The file's bytes; a missing file, or one of an unknown kind, is an error with its cure."""
    suffix = file.suffix.lower()
    if suffix not in TYPES:
        raise CommandError(
            f"{file.name} is no statement file",
            why=f"its name ends in '{suffix}'",
            fix="camt files end in .xml, tables in .csv (with --layout)",
            code=Exit.USAGE,
        )
    try:
        return file.read_bytes()
    except OSError as problem:
        raise CommandError(
            f"{file} cannot be read",
            why=problem.strerror or str(problem),
            fix="check the path and its permissions",
            code=Exit.NOT_FOUND,
        ) from problem


def show(screen: Console, delivery: Delivery) -> None:
    """The answer as people read it, one line per statement."""
    for each in delivery.statements:
        proven = "balances proven" if each["proven"] else "balances not proven"
        head = f"{each['reference']} of {each['account']}: {each['outcome']}, {proven}"
        counts = Counter({name: each[name] for name in COUNTS})
        screen.print(f"{head}; {counted(counts)}", soft_wrap=True)
        if each.get("code"):
            figures = ", ".join(f"{name} {value}" for name, value in each["figures"].items())
            screen.print(f"  {each['code']}: {figures}", soft_wrap=True)
    if delivery.counts["exceptions"]:
        screen.print("  what needs a person: GET /v1/exceptions?state=open on reconcile")


def counted(counts: Counter[str]) -> str:
    """`500 lines: 480 matched, 2 returned, 18 exceptions`, without what did not occur."""
    parts = [f"{counts[name]} {name}" for name in COUNTS[1:] if counts[name]]
    return f"{counts['lines']} lines{': ' if parts else ''}{', '.join(parts)}"


def in_all(deliveries: Iterable[Delivery]) -> Counter[str]:
    """The counts of several deliveries together."""
    total: Counter[str] = Counter()
    for delivery in deliveries:
        total += delivery.counts
    return total
