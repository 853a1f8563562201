"""Traces (OpenTelemetry, W3C context) and JSON logs; services never mention either.

The context rides in the event's headers and in the outbox row: a `process` span per event is the
parent of whatever that event causes, and is linked to the span of the batch it came with.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.span import TraceState

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from pathlib import Path

    from opentelemetry.context import Context

    from contracts.envelope import Cause

CLAIM: Final = "messaging.kafka.message.key"
_TRACER: Final = trace.get_tracer("ledgerbus")
_SPAN_BYTES_MAX: Final = 2_000_000_000  # A forgotten demo must not fill the disk.


class JsonLinesExporter(SpanExporter):
    """Writes finished spans to a file, one JSON object a line; for machines without a collector."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans; they are dropped once the file has grown beyond reason."""
        with self._lock:
            if self._file.tell() < _SPAN_BYTES_MAX:
                self._file.write(b"".join(orjson.dumps(_plain(span)) + b"\n" for span in spans))
                self._file.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        self._file.close()


def _plain(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    return {
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": span.name,
        "service": span.resource.attributes.get("service.name"),
        "kind": span.kind.name,
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "attributes": dict(span.attributes or {}),
        "links": [
            {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
            for link in span.links
        ],
        "status": span.status.status_code.name,
    }


def start(service: str, *, replica: int = 0, spans_dir: Path | None = None) -> None:
    """Send spans to OTEL_EXPORTER_OTLP_ENDPOINT if that is set, and to files if asked to."""
    resource = Resource.create({"service.name": service, "service.instance.id": str(replica)})
    provider = TracerProvider(resource=resource)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if spans_dir is not None:
        exporter = JsonLinesExporter(spans_dir / f"{service}-{replica}.jsonl")
        processor = BatchSpanProcessor(exporter, max_queue_size=50_000, max_export_batch_size=2_000)
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)


def stop() -> None:
    """Write out what is still buffered."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def context_of(traceparent: str, tracestate: str = "") -> SpanContext | None:
    """The W3C context in header form, or None; the codec has checked its shape."""
    if not traceparent:
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
        trace_state=TraceState.from_header([tracestate]) if tracestate else None,
    )


def header_of(span: Span) -> tuple[str, str]:
    """`traceparent` and `tracestate` for what this span causes."""
    context = span.get_span_context()
    if not context.is_valid:
        return "", ""
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return traceparent, context.trace_state.to_header() if context.trace_state else ""


def _parent(context: SpanContext | None) -> Context | None:
    return trace.set_span_in_context(NonRecordingSpan(context)) if context else None


def start_process(
    topic: str, key: str, attributes: Mapping[str, str | int], cause: Cause, batch: Span
) -> Span:
    """The span of one event being handled: child of what caused it, linked to its batch."""
    parent = context_of(cause.traceparent, cause.tracestate)
    links = [Link(batch.get_span_context())] if batch.get_span_context().is_valid else []
    return _TRACER.start_span(
        f"process {topic}",
        context=_parent(parent) or trace.set_span_in_context(trace.INVALID_SPAN),
        kind=SpanKind.CONSUMER,
        links=links,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            CLAIM: key,
            "messaging.message.id": str(cause.event_id),
            **attributes,
        },
    )


def start_batch(group: str, records: int) -> Span:
    """The span of one batch: a trace of its own, since it belongs to no single claim."""
    return _TRACER.start_span(
        f"poll {group}",
        context=trace.set_span_in_context(trace.INVALID_SPAN),
        kind=SpanKind.CLIENT,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "receive",
            "messaging.consumer.group.name": group,
            "messaging.batch.message_count": records,
        },
    )


def producer_context(topic: str, key: str, cause: Cause | None) -> tuple[str, str]:
    """Header form of a `send` span for a fact that no event in hand causes.

    It continues the trace of the stored cause (linked to the work at hand), or the current one.
    """
    current = trace.get_current_span().get_span_context()
    parent = context_of(cause.traceparent, cause.tracestate) if cause else None
    links = [Link(current)] if parent and current.is_valid else []
    return _send_span(topic, key, _parent(parent), links)


def linked_context(topic: str, key: str, cause: Cause) -> tuple[str, str]:
    """Header form of a `send` span in the current trace, linked to the one that was waiting."""
    waited = context_of(cause.traceparent, cause.tracestate)
    return _send_span(topic, key, None, [Link(waited)] if waited else [])


def _send_span(topic: str, key: str, parent: Context | None, links: list[Link]) -> tuple[str, str]:
    attributes = {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
        CLAIM: key,
    }
    span = _TRACER.start_span(
        f"send {topic}", context=parent, kind=SpanKind.PRODUCER, links=links, attributes=attributes
    )
    span.end()
    return header_of(span)


def start_request(method: str, route: str, traceparent: str) -> Span:
    """The span of one HTTP request."""
    return _TRACER.start_span(
        f"{method} {route}",
        context=_parent(context_of(traceparent)),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method, "http.route": route},
    )


def start_logs(service: str, *, replica: int, level: str) -> None:
    """JSON log lines on standard output, with the service, and the trace where there is one."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, replica=replica)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_as_json),
            ],
            foreign_pre_chain=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    # It repeats what the machinery reports once, with context, while Kafka is away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _as_json(line: Any, **_: Any) -> str:
    return orjson.dumps(line, default=str).decode()


def _add_trace(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = f"{context.trace_id:032x}"
    return line
