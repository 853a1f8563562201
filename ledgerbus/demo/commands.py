"""`ledgerbus demo`: a bank to pay what was posted, its score, and the whole chain at a glance."""

from __future__ import annotations

import asyncio
from datetime import datetime  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer
from rich.console import Console

from contracts.values import Money
from ledgerbus import bank, bank_score
from ledgerbus.addresses import addresses
from ledgerbus.calls import services
from ledgerbus.demo.clerk import settle_everything
from ledgerbus.demo.deliver import deliver_all, worked
from ledgerbus.demo.run import run_command
from ledgerbus.errors import CommandError, Exit
from ledgerbus.program import command
from ledgerbus.statements import show

if TYPE_CHECKING:
    from pathlib import Path

    from ledgerbus.addresses import Addresses
    from ledgerbus.bank import Desk, Working
    from ledgerbus.statements import Delivery

app = typer.Typer(help="An invented month, an invented bank.", no_args_is_help=True)
app.command("run")(run_command)


@app.command("bank")
def bank_command(
    seed: Annotated[int, typer.Option(help="The same payments and seed: the same lines.")] = 1,
    noise: Annotated[Literal["on", "off"], typer.Option(help="As a real bank, or plain.")] = "on",
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="The first booking day, if later."),
    ] = None,
    *,
    deliver_files: Annotated[
        bool, typer.Option("--deliver", help="Hand the statements to reconcile.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Pay every posted entry that is not paid yet, and write camt.053 statements that show it.

    With noise: batches, fees, returns that are paid again, twins, mistyped references, delays.

    Examples: `ledgerbus demo bank --deliver`, `ledgerbus demo bank --noise off --date 2026-11-30`.
    """
    asyncio.run(_bank(seed, day, noise=noise == "on", deliver_files=deliver_files, as_json=as_json))


async def _bank(
    seed: int, day: datetime | None, *, noise: bool, deliver_files: bool, as_json: bool
) -> None:
    where = addresses()
    desk, working = await bank.pay(where, seed=seed, noise=noise, day=day.date() if day else None)
    deliveries: list[Delivery] = []
    if deliver_files:
        async with services(where) as running:
            deliveries = await deliver_all(running, desk)
    if as_json:
        typer.echo(orjson.dumps(_plain(desk, working, deliveries), option=orjson.OPT_INDENT_2))
        return
    screen = Console(highlight=False)
    screen.print(worked(working), soft_wrap=True)
    for file in working.files:
        screen.print(f"  {file}", soft_wrap=True)
    for delivery in deliveries:
        show(screen, delivery)
    if desk.undelivered and not deliver_files:
        waiting = len(desk.undelivered)
        deliver = command("demo bank --deliver")
        told = f"{waiting} statements wait: `{deliver}` hands them over"
        screen.print(told, markup=False, soft_wrap=True)


def _plain(desk: Desk, working: Working, deliveries: list[Delivery]) -> dict[str, Any]:
    return {
        "payments": working.payments,
        "lines": working.lines,
        "noise": dict(working.noise),
        "moved": {code: Money(minor, code).amount for code, minor in working.moved.items()},
        "files": [str(file) for file in working.files],
        "without_account": sorted(set(working.without_account)),
        "deliveries": [delivery.plain() for delivery in deliveries],
        "undelivered": desk.undelivered,
    }


@app.command("clerk")
def clerk_command(
    *, as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False
) -> None:
    """Settle what reconcile would not guess at, as a person does who asks the bank.

    Every line that a person must explain becomes a match by that person's word.
    """
    outcomes = asyncio.run(_clerk(addresses()))
    if as_json:
        typer.echo(orjson.dumps(outcomes))
    else:
        told = ", ".join(f"{count} {name}" for name, count in outcomes.items())
        Console(highlight=False).print(f"exceptions: {told or 'none is open'}")


async def _clerk(where: Addresses) -> dict[str, int]:
    async with services(where) as running:
        return dict(await settle_everything(running, _truth(where)))


@app.command("score")
def score_command(
    *, as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False
) -> None:
    """Compare what reconcile matched with what the bank knows it paid.

    Ends with 1 when a single allocation is wrong: a line that is unclear must become an exception.
    """
    where = addresses()
    score = asyncio.run(_score(where))
    told = score.plain()
    if as_json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    else:
        screen = Console(highlight=False)
        screen.print(
            f"{told['right']} of {told['true']} allocations found (recall {told['recall']}), "
            f"{told['wrong']} wrong (precision {told['precision']})"
        )
        for name in ("unfound_by_noise", "exceptions"):
            if told[name]:
                parts = ", ".join(f"{count} {kind}" for kind, count in told[name].items())
                screen.print(f"{name.replace('_', ' ')}: {parts}")
    if told["wrong"]:
        raise typer.Exit(Exit.FAILED)


async def _score(where: Addresses) -> bank_score.Score:
    score = bank_score.Score()
    bank_score.read_truth(_truth(where), score)
    await bank_score.read_matches(where, score)
    return score


def _truth(where: Addresses) -> Path:
    desk = bank.Desk.of(where.root)
    if not desk.truth.exists():
        raise CommandError(
            "the bank knows nothing yet",
            why=f"there is no truth in {desk.folder}",
            fix="let it pay first: `ledgerbus demo bank --deliver`",
            code=Exit.NOT_FOUND,
        )
    return desk.truth
