"""`ledgerbus import claims`: a file becomes commands on the intake topic, as from any other system.

Nothing is remembered here: keys come from the file, so a second run, or one that was cut off and
starts again, has no second effect.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path  # noqa: TC003 - typer reads it
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from chassis import telemetry
from contracts.claims import SubmitClaim
from contracts.values import Money, claim_id
from ledgerbus.addresses import addresses
from ledgerbus.claimfile import ClaimFile, FileClaim
from ledgerbus.layout import load_layout
from ledgerbus.program import command
from ledgerbus.sending import meta_of, sending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ledgerbus.sending import Sender

STEP: Final = 250  # Claims between two movements of the progress bar.

app = typer.Typer(
    help="Bring things in: claims from files, statements of banks.", no_args_is_help=True
)


@dataclass(slots=True)
class FaultTally:
    """A reason for which the chain will refuse claims: in words, the first row, and how many."""

    code: str
    pointer: str
    detail: str
    first_row: int
    claims: int = 0


@dataclass(slots=True)
class Tally:
    """What an import read and sent; sums are the file's own, per currency."""

    claims: int = 0
    sums: dict[str, Money] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[tuple[str, str], FaultTally] = field(default_factory=dict)

    def take(self, claim: FileClaim) -> None:
        """Enter one claim."""
        self.claims += 1
        if claim.total is not None:
            currency = claim.total.currency
            self.sums[currency] = self.sums.get(currency, Money.zero(currency)) + claim.total
        self.counts[claim.total.currency if claim.total else ""] += 1
        fault = claim.fault
        if fault is not None:
            place = fault.code, fault.pointer or ""
            first = self.faults.setdefault(place, FaultTally(*place, fault.detail, claim.rows[0]))
            first.claims += 1


@app.command("claims")
def claims_command(
    file: Annotated[Path, typer.Argument(help="the CSV file")],
    layout: Annotated[str, typer.Option(help="what its columns mean: a layout, or a path to one")],
    company: Annotated[str, typer.Option(help="the company, if not the layout's own")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="only the first so many claims")] = None,
    *,
    dry_run: Annotated[bool, typer.Option(help="read everything, send nothing")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="the summary as one JSON document")
    ] = False,
) -> None:
    """Publish the claims of a file on claims.intake, and say what the file adds up to.

    Rows that make no sound claim are sent as they are: the chain refuses them with a code.

    Examples: `ledgerbus import claims month.csv --layout made-month`,
    `ledgerbus import claims cards.csv --layout birmingham --dry-run`.
    """
    source = ClaimFile(file, load_layout(layout), company)
    started = time.monotonic()
    with _progress(source) as moved:
        if dry_run:
            tally = tallied(source, limit, moved)
        else:
            tally = asyncio.run(_import(source, limit, moved))
    report = summary(source, tally, seconds=time.monotonic() - started, sent=not dry_run)
    out = Console(highlight=False)
    if as_json:
        out.print_json(data=report)
    else:
        _show(out, report)


def tallied(source: ClaimFile, limit: int | None, moved: Callable[[], None]) -> Tally:
    """Read a file to its end, or to a number of claims, and send nothing."""
    tally = Tally()
    for claim in islice(source, limit):
        tally.take(claim)
        if tally.claims % STEP == 0:
            moved()
    return tally


async def publish_claims(
    sender: Sender, source: ClaimFile, limit: int | None, moved: Callable[[], None]
) -> Tally:
    """Read a file and send every claim in it, sound or not."""
    tally = Tally()
    for claim in islice(source, limit):
        tally.take(claim)
        meta = meta_of(
            SubmitClaim.kind,
            SubmitClaim.topic,
            key=claim.source_key,
            subject=str(claim_id(claim.source, claim.source_key)),
            source=f"/import/{claim.source}",
        )
        await sender.send(SubmitClaim.topic, claim.source_key, meta, claim.body)
        if tally.claims % STEP == 0:
            moved()
    await sender.flush()
    return tally


async def _import(source: ClaimFile, limit: int | None, moved: Callable[[], None]) -> Tally:
    next(iter(source), None)  # A wrong file is found before a missing server.
    where = addresses()
    telemetry.start("cli", spans_dir=where.spans_dir)
    try:
        async with sending(where.kafka) as sender:
            return await publish_claims(sender, source, limit, moved)
    finally:
        telemetry.stop()


@contextmanager
def _progress(source: ClaimFile) -> Iterator[Callable[[], None]]:
    """A bar over the bytes of the file, on a terminal; nothing elsewhere."""
    talk = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as bar:
        size = source.path.stat().st_size if source.path.is_file() else None
        task = bar.add_task(source.path.name, total=size, rows=0)
        yield lambda: bar.update(task, completed=source.position, rows=source.rows)


def summary(source: ClaimFile, tally: Tally, *, seconds: float, sent: bool) -> dict[str, Any]:
    """What happened, as one document; amounts as decimal texts."""
    layout = source.layout
    named = f"{quote(str(source.path))} --layout {quote(layout.name)}"
    proof, again = command(f"prove --file {named}"), command(f"import claims {named}")
    company = f" --company {quote(source.company)}" if source.company else ""
    return {
        "file": source.path.name,
        "layout": layout.name,
        "source": layout.source,
        "company": source.company or layout.company,
        "rows": source.rows,
        "claims": tally.claims,
        "sums": [
            {"currency": currency, "claims": tally.counts[currency], "sum": amount.amount}
            for currency, amount in sorted(tally.sums.items())
        ],
        "without_readable_amount": tally.counts[""],
        "published": tally.claims if sent else 0,
        "refused_at_source": 0,  # Whatever is wrong with a claim, the chain says so, with a code.
        "to_be_refused": [asdict(fault) for _, fault in sorted(tally.faults.items())],
        "seconds": round(seconds, 2),
        "next": (proof if sent else again) + company,
    }


def _show(out: Console, report: dict[str, Any]) -> None:
    sheet = Table(box=None, pad_edge=False, show_header=False)
    sheet.add_column()
    sheet.add_column(justify="right")
    sheet.add_column()
    sheet.add_row("rows", f"{report['rows']:,}", "")
    sheet.add_row("claims", f"{report['claims']:,}", "")
    for each in report["sums"]:
        sheet.add_row("sum", each["sum"], f"{each['currency']} in {each['claims']:,} claims")
    if report["without_readable_amount"]:
        sheet.add_row("no readable amount", f"{report['without_readable_amount']:,}", "")
    sheet.add_row("published", f"{report['published']:,}", f"in {report['seconds']} s")
    sheet.add_row("refused at source", "0", "the chain answers every claim")
    for fault in report["to_be_refused"]:
        where = f"{fault['code']} at {fault['pointer'] or '/'}, first in row {fault['first_row']}"
        sheet.add_row("to be refused", f"{fault['claims']:,}", where)
    out.print(f"{report['file']} as {report['layout']}, company {report['company']}")
    out.print(sheet)
    out.print(f"next: {report['next']}", markup=False, soft_wrap=True)
