"""`ledgerbus trace`: the real spans of one claim through all services, as a waterfall."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.text import Text

from ledgerbus.addresses import addresses
from ledgerbus.calls import services
from ledgerbus.claim import find_claim, traces_of
from ledgerbus.errors import CommandError, Exit
from ledgerbus.spans import SpanFiles, bar_text, milliseconds

if TYPE_CHECKING:
    from pathlib import Path

    from ledgerbus.addresses import Addresses
    from ledgerbus.spans import Bar, Span, Trace

BAR: Final = 32
NAME: Final = 44
COLOURS: Final = ("cyan", "green", "yellow", "magenta", "blue", "bright_red", "white")
OTLP: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE_CHARS: Final = 32


def command(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="A claim's id or source key, or a trace id.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Draw what happened to a claim, span by span, through every service.

    Where a person was waited for, a new trace begins; it is drawn below, linked to the old one.

    Examples: `ledgerbus trace 8d0c2f0e-…`, `ledgerbus trace T-2026-10-0042 --json`.
    """
    where = addresses()
    files = span_files(where.spans_dir)
    wanted = asyncio.run(_traces(name, where, files))
    story = files.traces(wanted)
    shown = {trace.trace_id for trace in story}
    missing = sorted(wanted - shown)
    beside = files.traces({trace for each in story for trace in each.linked()} - shown)
    if not story:
        raise CommandError(
            f"no spans of {name} are in {files.folder}",
            why=f"{len(files.files)} files were searched for {', '.join(missing) or name}",
            fix=_where_else(),
            code=Exit.NOT_FOUND,
        )
    if as_json:
        document = {
            "id": name,
            "traces": [plain(trace) for trace in story],
            "linked": [plain(trace) for trace in beside],
            "missing": missing,
        }
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    screen = Console()
    for line in drawn(story):
        screen.print(line, soft_wrap=True, highlight=False)
    for trace in beside:
        screen.print(beside_line(trace), soft_wrap=True, highlight=False)
    for name_only in missing:
        screen.print(f"trace {name_only}: no spans here. {_where_else()}", soft_wrap=True)


def span_files(folder: Path) -> SpanFiles:
    """The files the services write their spans to; an error with its cure when there are none."""
    files = SpanFiles(folder)
    if not files.files:
        raise CommandError(
            f"no spans are in {folder}",
            why="no service has written any",
            fix=_where_else(),
            code=Exit.NOT_FOUND,
        )
    return files


def _where_else() -> str:
    endpoint = os.environ.get(OTLP)
    if endpoint:
        return f"spans also went to {endpoint} ({OTLP}); look for the trace id there"
    return (
        "`ledgerbus up` starts services with LEDGERBUS_SPANS_DIR set; spans follow within seconds"
    )


async def _traces(name: str, where: Addresses, files: SpanFiles) -> set[str]:
    """The claim's traces: as its journey tells, and as the spans about it in the files do."""
    if len(name) == TRACE_CHARS and all(digit in "0123456789abcdef" for digit in name):
        return {name}
    try:
        async with services(where) as running:
            claim = await find_claim(where, running, name)
            told = await traces_of(running, claim)
    except CommandError as problem:
        if problem.code != Exit.UNREACHABLE:
            raise
        return files.traces_of(name)
    return told | files.traces_of(claim)


def plain(trace: Trace) -> dict[str, Any]:
    """A trace as JSON: spans in the order they are drawn, offsets and durations in nanoseconds."""
    return {
        "trace_id": trace.trace_id,
        "started_at": _moment(trace.start_ns).isoformat(),
        "duration_ns": trace.end_ns - trace.start_ns,
        "links": sorted(trace.linked()),
        "spans": [
            {
                "span_id": bar.span.span_id,
                "parent_id": bar.span.parent_id,
                "parent_missing": bar.orphan,
                "depth": bar.depth,
                "name": bar.span.name,
                "service": bar.span.service,
                "kind": bar.span.kind,
                "offset_ns": bar.span.start_ns - trace.start_ns,
                "duration_ns": bar.span.end_ns - bar.span.start_ns,
                "status": bar.span.status,
                "attributes": bar.span.attributes,
            }
            for bar in trace.bars()
        ],
    }


def drawn(story: list[Trace]) -> list[Text]:
    """The story as lines: per trace a head, then one line per span."""
    services = dict.fromkeys(span.service for trace in story for span in trace.spans)
    colours = {service: COLOURS[at % len(COLOURS)] for at, service in enumerate(services)}
    shown = {trace.trace_id for trace in story}
    lines: list[Text] = []
    for trace in story:
        length = milliseconds(trace.end_ns - trace.start_ns)
        started = _moment(trace.start_ns).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        head = Text.assemble(("trace ", "bold"), trace.trace_id, f"  {started}Z  {length}")
        earlier = sorted(trace.linked() & shown)
        if earlier:
            head.append(f"  continues {', '.join(earlier)}", style="dim")
        lines += [head, *(_line(bar, trace, colours) for bar in trace.bars()), Text()]
    return lines


def beside_line(trace: Trace) -> Text:
    """A trace that only touched the claim, such as the delivery of a whole statement."""
    first = trace.bars()[0].span
    length = milliseconds(trace.end_ns - trace.start_ns)
    return Text.assemble(
        ("linked ", "bold"), f"{trace.trace_id}  {first.service} {first.name}  {length}"
    )


def _line(bar: Bar, trace: Trace, colours: dict[str, str]) -> Text:
    span = bar.span
    label = f"{'  ' * bar.depth}{_what(span)}"
    strip = bar_text(span.start_ns, span.end_ns, (trace.start_ns, trace.end_ns), BAR)
    line = Text.assemble(
        f"{milliseconds(span.start_ns - trace.start_ns):>11} ",
        (f"{span.service:<10}", colours[span.service]),
        f"{label[:NAME]:<{NAME}} ",
        (strip, colours[span.service]),
        f" {milliseconds(span.end_ns - span.start_ns):>10}",
    )
    if span.status == "ERROR":
        line.append("  failed", style="bold red")
    if bar.orphan:
        line.append(f"  parent {span.parent_id} is not in the files", style="yellow")
    return line


def _what(span: Span) -> str:
    """What a span was about: the event that was handled, where it was one, else its name."""
    kind = span.attributes.get("cloudevents.event_type")
    return f"process {str(kind).removesuffix('.v1')}" if kind else span.name


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1_000_000_000, tz=UTC)
