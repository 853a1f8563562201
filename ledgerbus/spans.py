"""Spans in files: found by trace or claim, put into trees, drawn as a waterfall."""

from __future__ import annotations

import mmap
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PRODUCER: Final = "PRODUCER"  # The kind of a span that sends an event.


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span as a service wrote it."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]

    @property
    def key(self) -> str:
        """The key of the record it is about, which for a claim's facts is the claim's id."""
        found = self.attributes.get("ledgerbus.claim_id") or self.attributes.get(
            "messaging.kafka.message.key"
        )
        return str(found or "")


@dataclass(frozen=True, slots=True)
class Bar:
    """One span's place in its trace: how deep, and whether its parent is known."""

    span: Span
    depth: int
    orphan: bool


@dataclass(slots=True)
class Trace:
    """One trace: its spans as a tree, and the traces it is linked to."""

    trace_id: str
    spans: list[Span] = field(default_factory=list)

    @property
    def start_ns(self) -> int:
        """When the first span began."""
        return min(span.start_ns for span in self.spans)

    @property
    def end_ns(self) -> int:
        """When the last span ended."""
        return max(span.end_ns for span in self.spans)

    def bars(self) -> list[Bar]:
        """Every span once, parents before their children, siblings by time."""
        known = {span.span_id for span in self.spans}
        children: dict[str | None, list[Span]] = defaultdict(list)
        for span in sorted(self.spans, key=lambda span: (span.start_ns, span.end_ns)):
            children[span.parent_id if span.parent_id in known else None].append(span)
        bars: list[Bar] = []
        waiting = [(span, 0) for span in reversed(children[None])]
        while waiting:
            span, depth = waiting.pop()
            bars.append(Bar(span, depth, orphan=depth == 0 and span.parent_id is not None))
            waiting += [(child, depth + 1) for child in reversed(children.pop(span.span_id, []))]
        del children[None]
        lost = [span for group in children.values() for span in group]  # Each its own ancestor.
        return bars + [Bar(span, 0, orphan=True) for span in lost]

    def linked(self) -> set[str]:
        """Traces that what was said here continues, or that made it be said.

        A handled event is also linked to its batch, which belongs to no claim and is left out.
        """
        said = (span for span in self.spans if span.kind == PRODUCER)
        return {trace for span in said for trace, _ in span.links} - {self.trace_id}


class SpanFiles:
    """The JSON-lines files of a folder, searched by text without being parsed as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = sorted(folder.glob("*.jsonl"))

    def find(self, texts: Iterable[str]) -> list[Span]:
        """Every span whose line holds one of the texts."""
        needles = [text.encode() for text in texts]
        return [
            span for file in self.files for line in _lines(file, needles) for span in spans_in(line)
        ]

    def traces_of(self, claim: str) -> set[str]:
        """The traces in which a claim's facts were sent or handled."""
        spans = self.find([f'"{claim}"'])
        return {span.trace_id for span in spans if span.key == claim}

    def traces(self, wanted: Iterable[str]) -> list[Trace]:
        """The traces with these ids, as far as their spans are here, the earliest first."""
        found = {trace: Trace(trace) for trace in wanted}
        for span in self.find(sorted(found)):
            if span.trace_id in found:  # Another trace's span may only name one of ours.
                found[span.trace_id].spans.append(span)
        written = [trace for trace in found.values() if trace.spans]
        return sorted(written, key=lambda trace: trace.start_ns)


def _lines(file: Path, needles: list[bytes]) -> Iterator[bytes]:
    """The lines of a file that hold any of the needles, each once."""
    if not file.stat().st_size:
        return
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as text:
        seen: set[int] = set()
        for needle in needles:
            at = text.find(needle)
            while at != -1:
                start = text.rfind(b"\n", 0, at) + 1
                end = text.find(b"\n", at)
                end = len(text) if end == -1 else end
                if start not in seen:
                    seen.add(start)
                    yield text[start:end]
                at = text.find(needle, end)


def spans_in(line: bytes) -> Iterator[Span]:
    """The span of a line; a line half written by a killed process holds none."""
    try:
        told = orjson.loads(line)
        yield Span(
            trace_id=told["trace_id"],
            span_id=told["span_id"],
            parent_id=told["parent_id"],
            name=told["name"],
            service=told["service"] or "?",
            kind=told["kind"],
            start_ns=told["start_ns"],
            end_ns=told["end_ns"],
            status=told["status"],
            attributes=told["attributes"],
            links=tuple((link["trace_id"], link["span_id"]) for link in told["links"]),
        )
    except (ValueError, KeyError, TypeError):
        return


def bar_text(start_ns: int, end_ns: int, whole: tuple[int, int], width: int) -> str:
    """A span as a bar of `width` characters across its whole trace; never without a mark."""
    first, last = whole
    length = max(last - first, 1)
    left = min(width - 1, (start_ns - first) * width // length)
    right = min(width, max(left + 1, -(-(end_ns - first) * width // length)))
    return " " * left + "█" * (right - left) + " " * (width - right)


def milliseconds(span_ns: int) -> str:
    """A duration as people compare it: the fewer digits the longer it is."""
    if span_ns >= 1_000_000_000:
        return f"{span_ns / 1_000_000_000:,.2f} s"
    return f"{span_ns / 1_000_000:,.{1 if span_ns >= 1_000_000 else 3}f} ms"
