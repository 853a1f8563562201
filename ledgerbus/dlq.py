"""`ledgerbus dlq` and `ledgerbus parked`: see, repair and settle what no handler could take."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console

from ledgerbus import dlq_show
from ledgerbus.addresses import addresses
from ledgerbus.calls import services
from ledgerbus.dlq_calls import Run, act, correct, find, holders, listed, waiting
from ledgerbus.dlq_values import changed, document_in
from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ledgerbus.calls import Services

Document = dict[str, Any]

app = typer.Typer(help="See, repair and settle dead letters.", no_args_is_help=True)
parked_app = typer.Typer(help="See what waits behind dead letters.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Dead letters.")]
ServiceName = Annotated[str, typer.Option("--service", "-s", help="Only of this service.")]
Code = Annotated[str, typer.Option(help="Only with this error code.")]
Kind = Annotated[str, typer.Option(help="Only of this kind of event.")]
Key = Annotated[str, typer.Option(help="Only of this key (a claim's id, mostly).")]
Print = Annotated[str, typer.Option("--fingerprint", "--group", "-f", help="Only of this group.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept for good.")]
By = Annotated[str, typer.Option(help="Who you are; your login name unless given.")]
Second = Annotated[str, typer.Option(help="Who agrees; needed beyond 100 letters.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many letters.")]
Rate = Annotated[int, typer.Option(min=0, max=1000, help="At most so many a second; 0: any.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Tell what would happen; change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
LIMIT: Final = 100


@app.callback()
def _group() -> None:
    """See, repair and settle dead letters."""


@parked_app.callback()
def _parked_group() -> None:
    """See what waits behind dead letters."""


@app.command("list")
def list_command(
    *,
    service: ServiceName = "",
    state: Annotated[str, typer.Option(help="open, replayed, discarded, or all.")] = "open",
    code: Code = "",
    kind: Kind = "",
    key: Key = "",
    fingerprint: Print = "",
    as_json: Json = False,
) -> None:
    """List dead letters, grouped by cause.

    Examples: `ledgerbus dlq list`, `ledgerbus dlq list --service budget --code SCHEMA_INVALID`.
    """
    wanted = {"code": code, "kind": kind, "key": key, "fingerprint": fingerprint}
    wanted |= {"state": "" if state == "all" else state}
    params = {name: text for name, text in wanted.items() if text}
    found = _ask(lambda running: listed(running, service, params))
    _tell(found, lambda screen: dlq_show.groups(screen, found["items"]), as_json=as_json)


@app.command("show")
def show_command(
    letter: Annotated[str, typer.Argument(metavar="ID", help="A dead letter's id.")],
    *,
    service: ServiceName = "",
    as_json: Json = False,
) -> None:
    """Show one dead letter: its bytes, why it failed, what waits behind it, what was done.

    Example: `ledgerbus dlq show 019a…`.
    """
    found = _ask(lambda running: find(running, letter, service))
    _tell(found, lambda screen: dlq_show.letter(screen, found), as_json=as_json)


@app.command("replay")
def replay_command(  # noqa: PLR0913 - a run has many sides, each optional
    ids: Ids = None,
    *,
    reason: Reason,
    service: ServiceName = "",
    fingerprint: Print = "",
    limit: Limit = LIMIT,
    rate: Rate = 0,
    dry_run: Dry = False,
    by: By = "",
    approved_by: Second = "",
    as_json: Json = False,
) -> None:
    """Hand dead letters to their handlers again; what waits behind them follows in order.

    Examples: `ledgerbus dlq replay 019a… --reason "mapping added"`,
    `ledgerbus dlq replay --fingerprint 3f2a… --service budget --dry-run --reason "fixed in 1.4"`.
    """
    run = Run("replay", reason, by or _myself(), approved_by, limit, rate, dry_run)
    _settle(run, ids or [], service, fingerprint, as_json=as_json)


@app.command("discard")
def discard_command(  # noqa: PLR0913 - as replay
    ids: Ids = None,
    *,
    reason: Reason,
    service: ServiceName = "",
    fingerprint: Print = "",
    limit: Limit = LIMIT,
    rate: Rate = 0,
    dry_run: Dry = False,
    by: By = "",
    approved_by: Second = "",
    as_json: Json = False,
) -> None:
    """Give dead letters up: they have no effect, and what waits behind them goes on.

    Example: `ledgerbus dlq discard 019a… --reason "sent twice by mistake, see ticket 812"`.
    """
    run = Run("discard", reason, by or _myself(), approved_by, limit, rate, dry_run)
    _settle(run, ids or [], service, fingerprint, as_json=as_json)


@app.command("edit")
def edit_command(  # noqa: PLR0913 - as replay
    letter: Annotated[str, typer.Argument(metavar="ID", help="A dead letter's id.")],
    *,
    reason: Reason,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="A field, as in /total/amount=12.00."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A file with the whole new value.")] = None,
    key: Annotated[str, typer.Option(help="A new key.")] = "",
    replay: Annotated[bool, typer.Option("--replay", help="Replay it right after.")] = False,
    service: ServiceName = "",
    by: By = "",
    as_json: Json = False,
) -> None:
    """Put another value or key in the place of a dead letter's; its id and its own bytes stay.

    Examples: `ledgerbus dlq edit 019a… --set /cost_center=CC-7 --reason "typo at the source"`,
    `ledgerbus dlq edit 019a… --file corrected.json --reason "body was cut" --replay`.
    """

    async def asked(running: Services) -> Document:
        found = await find(running, letter, service)
        change: Document = {"key": key} if key else {}
        if file is not None:
            change["value"] = document_in(file)
        if changes:
            change["value"] = changed(change.get("value", found["value"]), changes)
        who = by or _myself()
        edited = await correct(running, found, change | {"reason": reason, "by": who})
        if replay:
            run = Run("replay", reason, who)
            edited["replay"] = await act(running, found["service"], run, {"ids": [letter]})
        return edited

    told = _ask(asked)
    _tell(told, lambda screen: dlq_show.edited(screen, told), as_json=as_json)
    if told.get("replay", {}).get("counts", {}).get("failed"):
        raise typer.Exit(Exit.FAILED)


@parked_app.command("list")
def parked_command(*, service: ServiceName = "", key: Key = "", as_json: Json = False) -> None:
    """List the keys whose events wait: how many, since when, behind which dead letter.

    Example: `ledgerbus parked list --service posting`.
    """
    found = _ask(lambda running: waiting(running, service, {"key": key} if key else {}))
    _tell(found, lambda screen: dlq_show.parked(screen, found["items"]), as_json=as_json)


def _settle(run: Run, ids: list[str], service: str, fingerprint: str, *, as_json: bool) -> None:
    """Run over the letters meant, service by service; ends with 1 where any failed."""
    if bool(ids) == bool(fingerprint):
        raise CommandError(
            "nothing is chosen" if not ids else "too much is chosen",
            why="name dead letters by their ids, or a group by its fingerprint",
            fix="see `ledgerbus dlq list`",
            code=Exit.USAGE,
        )

    async def asked(running: Services) -> Document:
        chosen = await holders(running, ids, fingerprint, service)
        return {"runs": [await act(running, name, run, what) for name, what in chosen.items()]}

    told = _ask(asked)
    _tell(told, lambda screen: dlq_show.runs(screen, told["runs"]), as_json=as_json)
    failed = [each for each in told["runs"] if {"failed", "would-fail"} & each["counts"].keys()]
    if failed:
        raise typer.Exit(Exit.FAILED)


def _ask(question: Callable[[Services], Coroutine[Any, Any, Document]]) -> Document:
    async def asked() -> Document:
        async with services(addresses()) as running:
            return await question(running)

    return asyncio.run(asked())


def _tell(told: Document, show: Callable[[Console], None], *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    else:
        show(Console(highlight=False))


def _myself() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise CommandError(
            "nobody is named",
            why="this login has no name",
            fix="say who you are with --by",
            code=Exit.USAGE,
        ) from None
