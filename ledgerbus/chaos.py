"""`ledgerbus chaos`: a system of its own, faults of every kind, and proof that nothing was lost."""

from __future__ import annotations

import asyncio
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table

from chaos.run import Run, evidence
from chaos.schedule import C1, C2, Scale, free
from chaos.verdict import judge, report
from checker import Evidence
from ledgerbus.errors import Exit
from ledgerbus.fleet import PROJECT
from ledgerbus.program import command

if TYPE_CHECKING:
    from chaos.verdict import Verdict

VOID: Final = 7  # A run that proves nothing; not to be mistaken for one that failed.
PLAIN: Final = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS  # Names of faults are keys.
ROOT: Final = Path(".local/chaos")
TALK: Final = Console(stderr=True, highlight=False)


class Named(StrEnum):
    """The schedules with a name."""

    C1 = "c1"
    C2 = "c2"
    FREE = "free"


def chaos(
    seed: Annotated[int, typer.Option(help="The same seed does the same things.")] = 1,
    minutes: Annotated[int, typer.Option(min=1, help="Of a free run: how long it breaks.")] = 2,
    claims: Annotated[int, typer.Option(min=1, help="Of a free run: how many claims.")] = 300,
    schedule: Annotated[
        Named, typer.Option(help="c1: 1,000 claims in minutes; c2: 20,000 in an hour.")
    ] = Named.FREE,
    root: Annotated[Path, typer.Option(help="The run's folder; it forgets the last run.")] = ROOT,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one document.")] = False,
) -> None:
    """Break a system of its own in every way there is, and prove that no cent was lost.

    Two replicas of each service reach Kafka and PostgreSQL through links that fail, while claims
    pour in. Exit code 1: something was violated; 7: the run proves nothing.

    Example: `ledgerbus chaos --seed 7 --minutes 2 --claims 300`.
    """
    scale = {Named.C1: C1, Named.C2: C2}.get(schedule) or free(minutes, claims)
    again = f"chaos --seed {seed} --schedule {schedule}"
    if schedule is Named.FREE:
        again = f"chaos --seed {seed} --minutes {minutes} --claims {claims}"
    document, verdict = asyncio.run(_run(root, seed, scale, command(again)))
    if as_json:
        typer.echo(orjson.dumps(document, option=PLAIN))
    else:
        show(Console(highlight=False), document)
    if not verdict.holds:
        raise typer.Exit(Exit.FAILED)
    if verdict.void:
        raise typer.Exit(VOID)


async def _run(root: Path, seed: int, scale: Scale, again: str) -> tuple[dict[str, Any], Verdict]:
    commit = await asyncio.to_thread(_commit)
    async with Run(root, seed, scale, _say).run() as ran:
        told = evidence(ran, commit)
        _keep(root / "evidence.json", told)
        _say("judging")
        verdict = await judge(ran, Evidence.of(told, root))
        document = report(ran, verdict, commit, again)
        _keep(root / "report.json", document)
    return document, verdict


def _say(text: str) -> None:
    TALK.print(text, soft_wrap=True, markup=False)


def _keep(path: Path, document: dict[str, Any]) -> None:
    path.write_bytes(orjson.dumps(document, option=PLAIN) + b"\n")


def _commit() -> str:
    """The commit of the code that runs, where there is one to be known."""
    said = subprocess.run(
        ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def show(screen: Console, document: dict[str, Any]) -> None:
    """The report as people read it."""
    faults = Table("fault", "promised", "happened", box=None, pad_edge=False)
    for name, counts in document["faults"].items():
        faults.add_row(name, str(counts["promised"]), str(counts["happened"]))
    screen.print(faults)
    _pairs(screen, "counters", document["counters"])
    _pairs(screen, "the outside ledger", document["outside_ledger"])
    _pairs(screen, "claims", document["states"])
    for kind, times in document["recovery_s"].items():
        told = f"p50 {times['p50']} s, p99 {times['p99']} s of {times['times']}"
        screen.print(f"recovery after a {kind} fault: {told}")
    for slow in document["slow"]:
        screen.print(f"[yellow]slow[/] {slow}")
    screen.print(f"drained after {document['drained_s']} s")
    idle = {each["clause"] for each in document["clauses"] if each["status"] == "not judged"}
    for name, found in document["checks"].items():
        mark = f"[red]fail[/] {name}: {found}" if found else f"[green]ok[/]   {name}"
        screen.print(
            f"[yellow]--[/]   {name}: not judged" if name in idle else mark, soft_wrap=True
        )
    for why in document["void"]:
        screen.print(f"[yellow]void[/] {why}")
    screen.print(f"seed {document['seed']}, commit {document['commit']}", soft_wrap=True)
    screen.print(f"again: {document['again']}", soft_wrap=True, markup=False)


def _pairs(screen: Console, title: str, counts: dict[str, int]) -> None:
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    screen.print(f"{title}: {told or 'none'}", soft_wrap=True)
