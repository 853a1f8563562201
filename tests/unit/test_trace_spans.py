"""Spans in files: found without parsing everything, put into trees, drawn in proportion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ledgerbus.spans import SpanFiles, Trace, bar_text, milliseconds, spans_in
from ledgerbus.trace import beside_line, drawn, plain

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW, BATCH, STATEMENT = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)
CLAIM = "8d0c2f0e-0000-5000-8000-000000000001"
MS = 1_000_000


def a_span(
    name: str, span_id: str, parent: str | None, *, at: int, for_ms: int = 1, **more: Any
) -> dict[str, Any]:
    return {
        "trace_id": OLD,
        "span_id": span_id,
        "parent_id": parent,
        "name": name,
        "service": "claims",
        "kind": "CONSUMER",
        "start_ns": at * MS,
        "end_ns": (at + for_ms) * MS,
        "attributes": {"messaging.kafka.message.key": CLAIM},
        "links": [],
        "status": "UNSET",
    } | more


def link(trace: str) -> list[dict[str, str]]:
    return [{"trace_id": trace, "span_id": "1" * 16}]


SPANS = [
    a_span("send claims.intake", "01", None, at=0, service="cli", kind="PRODUCER"),
    a_span("process claims.intake", "02", "01", at=2, for_ms=3, links=link(BATCH)),
    a_span("process claims.events", "03", "02", at=9, service="budget", status="ERROR"),
    a_span("process budget.events", "04", "03", at=12, service="approval"),
    a_span("process claims.events", "05", "02", at=8, service="approval"),
    a_span(
        "POST /v1/tasks/7/approve", "06", None, at=100, trace_id=NEW, kind="SERVER", attributes={}
    ),
    a_span(
        "send approval.events", "07", "06", at=101, trace_id=NEW, kind="PRODUCER", links=link(OLD)
    ),
    a_span(
        "send reconcile.events", "08", "07", at=200, trace_id=NEW, kind="PRODUCER",
        links=link(STATEMENT),
    ),
    a_span("poll claims", "09", None, at=1, trace_id=BATCH, kind="CLIENT", attributes={}),
    a_span("POST /v1/statements", "10", None, at=190, trace_id=STATEMENT, attributes={}),
    a_span(
        "process claims.intake", "11", "99", at=2, trace_id="e" * 32, links=link(BATCH),
        attributes={"messaging.kafka.message.key": "another claim"},
    ),
]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> SpanFiles:
    half = len(SPANS) // 2
    for name, spans in (("claims-0", SPANS[:half]), ("budget-0", SPANS[half:])):
        text = b"".join(orjson.dumps(span) + b"\n" for span in spans)
        (tmp_path / f"{name}.jsonl").write_bytes(text + b'{"trace_id": "aaaa')
    (tmp_path / "empty.jsonl").touch()
    return SpanFiles(tmp_path)


def test_a_claims_traces_are_those_in_which_it_was_handled(files: SpanFiles) -> None:
    assert files.traces_of(CLAIM) == {OLD, NEW}


def test_traces_come_with_all_their_spans_and_no_others(files: SpanFiles) -> None:
    old, new = files.traces([NEW, OLD, "f" * 32])
    assert (old.trace_id, new.trace_id) == (OLD, NEW)
    assert sorted(span.span_id for span in old.spans) == ["01", "02", "03", "04", "05"]
    assert sorted(span.span_id for span in new.spans) == ["06", "07", "08"]


def test_parents_stand_before_children_and_siblings_by_time(files: SpanFiles) -> None:
    (old,) = files.traces([OLD])
    assert [(bar.span.span_id, bar.depth) for bar in old.bars()] == [
        ("01", 0),
        ("02", 1),
        ("05", 2),
        ("03", 2),
        ("04", 3),
    ]


def test_a_span_whose_parent_is_not_in_the_files_is_marked_and_not_lost(files: SpanFiles) -> None:
    (other,) = files.traces(["e" * 32])
    assert [(bar.span.span_id, bar.orphan) for bar in other.bars()] == [("11", True)]
    assert "parent 99 is not in the files" in drawn([other])[1].plain


def test_links_of_what_was_said_count_and_links_to_batches_do_not(files: SpanFiles) -> None:
    old, new = files.traces([OLD, NEW])
    assert old.linked() == set()
    assert new.linked() == {OLD, STATEMENT}


def test_the_waterfall_names_services_offsets_failures_and_what_it_continues(
    files: SpanFiles,
) -> None:
    lines = [line.plain for line in drawn(files.traces([OLD, NEW]))]
    assert lines[0].startswith(f"trace {OLD}")
    assert "budget" in lines[4]
    assert "9.0 ms" in lines[4]
    assert lines[4].endswith("failed")
    assert f"continues {OLD}" in lines[7]
    (statement,) = files.traces([STATEMENT])
    assert beside_line(statement).plain.startswith(f"linked {STATEMENT}  claims POST /v1/statem")


def test_json_keeps_order_depth_and_exact_offsets(files: SpanFiles) -> None:
    (old,) = files.traces([OLD])
    told = plain(old)
    assert [span["offset_ns"] for span in told["spans"]] == [0, 2 * MS, 8 * MS, 9 * MS, 12 * MS]
    assert told["duration_ns"] == 13 * MS


def test_a_ring_of_parents_neither_hangs_nor_hides_a_span() -> None:
    ring = [a_span("x", "01", "02", at=0), a_span("y", "02", "01", at=1)]
    spans = [span for told in ring for span in spans_in(orjson.dumps(told))]
    assert [bar.orphan for bar in Trace(OLD, spans).bars()] == [True, True]


@pytest.mark.parametrize(
    ("start", "end", "bar"),
    [(0, 100, "█" * 10), (0, 1, "█" + " " * 9), (99, 100, " " * 9 + "█"), (50, 80, "     ███  ")],
)
def test_a_bar_stands_where_the_span_stood(start: int, end: int, bar: str) -> None:
    assert bar_text(start, end, (0, 100), 10) == bar


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [(0, "0.000 ms"), (123_456, "0.123 ms"), (12_345_678, "12.3 ms"), (2_500_000_000, "2.50 s")],
)
def test_durations_are_short_to_read(span_ns: int, text: str) -> None:
    assert milliseconds(span_ns) == text
