"""`ledgerbus prove`: the conservation of money, from the topics alone, at a stated watermark."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Sheet

from ledgerbus.addresses import addresses
from ledgerbus.calls import services
from ledgerbus.conservation import COLUMNS, Table, prove
from ledgerbus.deadletters import left_undone
from ledgerbus.errors import CommandError, Exit
from ledgerbus.program import command as command_line
from ledgerbus.prove_file import FileProof, prove_file
from ledgerbus.reading import Reading, read_everything
from ledgerbus.telling import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledgerbus.addresses import Addresses
    from ledgerbus.conservation import Row

SHOWN: Final = 20  # Enough to begin with; --json has all of them.
ABREAST: Final = 4  # Companies side by side; more do not fit a terminal.


def command(
    *,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Prove that every row of this file arrived.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", help="The layout the file was imported with.")
    ] = None,
    company: Annotated[
        str, typer.Option("--company", help="The company it was imported for, if not the layout's.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Prove that no cent was lost or made: submitted = refused + under way + posted + paid.

    Reads the topics, asks every service for violated invariants, judges dead letters. Ends with 1
    when money is missing anywhere, a fact contradicts another, or one was never acted on.

    Examples: `ledgerbus prove`, `ledgerbus prove --file month.csv --layout made-month`.
    """
    if (file is None) != (layout is None):
        raise CommandError(
            "a file is proven by its layout",
            why="--file and --layout belong together",
            fix="give both, or neither",
            code=Exit.USAGE,
        )
    proof = asyncio.run(proven(addresses()))
    rows = prove_file(proof.reading, file, layout, company) if file and layout else None
    if as_json:
        document = proof.plain() | ({"file": rows.plain()} if rows else {})
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        _show(proof, rows)
    if not proof.holds or (rows and not rows.holds):
        raise typer.Exit(Exit.FAILED)
    if proof.unreachable:
        raise typer.Exit(Exit.UNREACHABLE)


class Proof:
    """The table, what the services say of themselves, and how it was read."""

    def __init__(self, reading: Reading, table: Table, asked: dict[str, Any]) -> None:
        self.reading = reading
        self.table = table
        self.asked = {name: answer for name, answer in asked.items() if "violations" in answer}
        self.unreachable = {name: asked[name]["why"] for name in asked if name not in self.asked}
        lost = [each for each in reading.unanswered if each.lost]
        self.violations = [
            {"source": "topics", **violation._asdict()} for violation in table.violations
        ]
        self.violations += [
            {"source": "topics", "invariant": "answered", "subject": each.position, "detail": why}
            for each in lost
            for why in [f"the command '{each.key}' was consumed and never answered"]
        ]
        self.violations += [
            {
                "source": each.service,
                "invariant": "nothing-is-left-undone",
                "subject": each.position,
                "detail": f"dead letter {each.code}: {each.detail}",
            }
            for answer in self.asked.values()
            for each in answer.get("undone", ())
        ]
        self.violations += [
            {"source": service, **violation}
            for service, answer in self.asked.items()
            for violation in answer["violations"]
        ]

    @property
    def holds(self) -> bool:
        """Whether every cent stands somewhere and nothing is violated anywhere."""
        return not self.table.gaps and not self.violations

    def plain(self) -> dict[str, Any]:
        """The proof as one document."""
        reading, table = self.reading, self.table
        return {
            "watermark": reading.watermark(),
            "rows": [row.plain() for row in table.ordered()],
            "counts": {
                "by_state": dict(sorted(table.by_state.items())),
                "by_code": dict(sorted(table.by_code.items())),
                "facts": reading.stories.facts,
                "redelivered": reading.stories.repeats,
                "commands": reading.commands,
                "unanswered": len(reading.unanswered),
                "dead_letters": reading.dead_letters,
            },
            "gaps": [
                {"subject": name, "amount": gap.amount, "currency": gap.currency}
                for name, gap in sorted(table.gaps.items())
            ],
            "invariants_checked": {
                service: len(answer["checked"]) for service, answer in self.asked.items()
            },
            "unreachable": self.unreachable,
            "violations": self.violations,
            "holds": self.holds,
        }


async def proven(where: Addresses) -> Proof:
    """Read everything, fold it, and ask the services about themselves."""
    reading = await read_everything(where)
    asked: dict[str, Any] = {}
    async with services(where) as running:
        for service in running.names:
            try:
                asked[service] = await running.get(service, "/v1/invariants")
                asked[service]["undone"] = await left_undone(running, service)
            except CommandError as problem:
                if problem.code != Exit.UNREACHABLE:
                    raise
                asked[service] = {"why": problem.why}
    # A service that does not run may have said something that is not published yet.
    running_all = all("why" not in answer for answer in asked.values())
    table = prove(reading.stories, from_the_start=reading.from_the_start, complete=running_all)
    return Proof(reading, table, asked)


def _show(proof: Proof, rows: FileProof | None) -> None:
    screen = Console()
    for sheet in conservation_sheets(proof.table):
        screen.print(sheet)
    show_counts(screen, proof.table)
    _show_watermark(screen, proof)
    if rows:
        rows.show(screen)
    for name, gap in sorted(proof.table.gaps.items())[:SHOWN]:
        screen.print(f"[red]gap[/] {name}: {gap}", highlight=False)
    for found in proof.violations[:SHOWN]:
        subject = f"{found['source']} {found['invariant']} {found['subject']}"
        screen.print(
            f"[red]violation[/] {subject}: {found['detail']}", highlight=False, soft_wrap=True
        )
    for service, why in proof.unreachable.items():
        screen.print(f"[yellow]{service} could not be asked[/]: {why}", soft_wrap=True)
    more = len(proof.table.gaps) + len(proof.violations) - 2 * SHOWN
    if more > 0:
        screen.print("… --json lists all of them")
    screen.print(verdict(proof, rows), soft_wrap=True)


def verdict(proof: Proof, rows: FileProof | None) -> str:
    """The proof in one sentence; what a service was not asked is not taken as proven."""
    if not proof.holds or (rows and not rows.holds):
        bad = len(proof.table.gaps) + len(proof.violations)
        return f"[red]The proof fails[/]: {bad} gaps and violations."
    if proof.unreachable:
        silent = " and ".join(sorted(proof.unreachable))
        were = "was" if len(proof.unreachable) == 1 else "were"
        again = f"Run `{escape(command_line('up'))}`, then prove again."
        return f"[yellow]Not proven:[/] {silent} {were} not asked. {again}"
    return "[green]Money is conserved.[/] Every cent stands in one column."


def conservation_sheets(table: Table) -> Iterator[Sheet]:
    """The table as people read it: what was submitted, where it stands, and what is missing."""
    rows = table.ordered()
    for start in range(0, len(rows), ABREAST):
        some = rows[start : start + ABREAST]
        sheet = Sheet()
        sheet.add_column("")
        for row in some:
            sheet.add_column(f"{row.company}\n{row.currency}", justify="right")
        sheet.add_row("submitted", *(_figure(row.submitted, row) for row in some), end_section=True)
        for column in COLUMNS:
            figures = (_figure(row.columns[column], row) for row in some)
            sheet.add_row(column.replace("_", " "), *figures, end_section=column == COLUMNS[-1])
        gaps = (_gap(row) for row in some)
        sheet.add_row("gap", *gaps)
        yield sheet


def _figure(figure: int, row: Row) -> str:
    return readable(figure, row.currency) if figure else "-"


def _gap(row: Row) -> str:
    figure = readable(row.gap, row.currency)
    return f"[red]{figure}[/]" if row.gap else f"[green]{figure}[/]"


def show_counts(screen: Console, table: Table) -> None:
    """How many claims stand in which state, and which codes they were refused with."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(table.by_state.items()))
    screen.print(f"claims: {states or 'none'}", highlight=False, soft_wrap=True)
    if table.by_code:
        codes = ", ".join(f"{count} {code}" for code, count in table.by_code.most_common())
        screen.print(f"refusals: {codes}", highlight=False, soft_wrap=True)


def _show_watermark(screen: Console, proof: Proof) -> None:
    reading = proof.reading
    dead = sum(reading.dead_letters.values())
    checked = sum(len(answer["checked"]) for answer in proof.asked.values())
    screen.print(
        f"watermark: {reading.newest or 'nothing said yet'}; {reading.stories.facts} facts, "
        f"{reading.stories.repeats} redelivered, {len(reading.unanswered)} commands under way, "
        f"{dead} dead letters; {checked} invariants asked of {len(proof.asked)} services",
        highlight=False,
        soft_wrap=True,
    )
    if not reading.from_the_start:
        screen.print("The topics no longer reach back to their start: older claims are left out.")
