"""Writes what other languages read: a JSON Schema per kind, and one AsyncAPI 3.0 document.

`python -m contracts.export` writes them beside this file; a test compares them with the code.
"""

from __future__ import annotations

import json
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from contracts.codec import CONTENT_TYPE, TRACEPARENT
from contracts.envelope import KINDS, Event
from contracts.values import Money

Json = dict[str, Any]
HERE: Final = Path(__file__).parent
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
VERSION: Final = "1.0.0"  # Grows with the contracts: a new kind or field is minor.
_OUTSIDE: Final = {
    "claims.intake": "Anyone asks: commands of other systems, untrusted and answered one by one.",
    "masterdata": "Whoever keeps the master data says it; the newest record per key holds.",
}
_STREAMS: Final = {
    "approval.events": "What rules and people decided about claims.",
    "budget.events": "What is left, held, spent and given back.",
    "claims.events": "Claims submitted, refused, withdrawn and settled.",
    "posting.events": "Entries posted, refused for good, or reversed.",
    "posting.entries": "The public record for finance: one journal entry with all its lines, kept.",
    "reconcile.events": "What the bank has shown: payments, returns, and what needs a person.",
}


def documents() -> dict[str, str]:
    """Every generated file: path below this package, and its text."""
    files = {f"schemas/{kind}.schema.json": schema(cls) for kind, cls in KINDS.items()}
    files["asyncapi.json"] = asyncapi()
    return {
        path: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for path, document in sorted(files.items())
    }


def schema(cls: type[Event]) -> Json:
    """The JSON Schema of a kind as it is written, complete in itself."""
    body = cls.model_json_schema(mode="serialization")
    shared = body.pop("$defs", {})
    money = _money()
    body = _by_reference(body, money, "#/$defs/Money")
    shared = {name: _by_reference(one, money, "#/$defs/Money") for name, one in shared.items()}
    if "#/$defs/Money" in json.dumps([body, shared]):
        shared["Money"] = money
    head = {"$schema": DIALECT, "$id": f"{cls.kind}.schema.json", "title": cls.__name__}
    marks = {"x-kind": cls.kind, "x-topic": cls.topic, "x-key": cls.key_field}
    return {**head, **marks, **body} | ({"$defs": dict(sorted(shared.items()))} if shared else {})


def asyncapi() -> Json:
    """All topics, kinds, headers and keys, and who says what, as one AsyncAPI 3.0 document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ledgerbus",
            "version": VERSION,
            "description": "Expense claims from any expense system into the books. CloudEvents 1.0 "
            "on Kafka in binary mode; unknown fields are ignored, unknown kinds skipped by header.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "localhost:9092",
                "protocol": "kafka",
                "description": "The broker; `ledgerbus status` names the address of a local one.",
            }
        },
        "channels": {topic: _channel(topic) for topic in _topics()},
        "operations": {f"{_verb(topic)}.{topic}": _operation(topic) for topic in _topics()},
        "components": {
            "messages": {kind: _message(cls) for kind, cls in sorted(KINDS.items())},
            "schemas": _schemas(),
        },
    }


def write(folder: Path = HERE) -> None:
    """Bring the generated files below a folder up to date; schemas without a kind go."""
    files = documents()
    for old in (folder / "schemas").glob("*.schema.json"):
        if f"schemas/{old.name}" not in files:
            old.unlink()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _topics() -> list[str]:
    return sorted({cls.topic for cls in KINDS.values()})


def _kinds_on(topic: str) -> list[str]:
    return sorted(kind for kind, cls in KINDS.items() if cls.topic == topic)


def _outside(topic: str) -> str | None:
    """Why a topic is written by others, if it is."""
    return _OUTSIDE.get(topic) or _OUTSIDE.get(topic.partition(".")[0])


def _verb(topic: str) -> str:
    return "receive" if _outside(topic) else "send"


def _channel(topic: str) -> Json:
    return {
        "address": topic,
        "description": _outside(topic) or _STREAMS[topic],
        "messages": {kind: _reference("messages", kind) for kind in _kinds_on(topic)},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }


def _operation(topic: str) -> Json:
    publisher = topic.partition(".")[0]
    who = "Other systems publish" if _outside(topic) else f"The service {publisher} publishes"
    return {
        "action": _verb(topic),
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": f"{who} to {topic}.",
        "tags": [{"name": publisher}],
        "messages": [{"$ref": f"#/channels/{topic}/messages/{kind}"} for kind in _kinds_on(topic)],
    }


def _message(cls: type[Event]) -> Json:
    key = " + '/' + ".join(cls.key_field.split("/"))
    example = json.loads((HERE / "examples" / f"{cls.kind}.json").read_text(encoding="utf-8"))
    text = cleandoc(cls.__doc__ or "")
    return {
        "name": cls.kind,
        "title": cls.__name__,
        "summary": text.partition("\n")[0],
        "description": text,
        "contentType": CONTENT_TYPE,
        "headers": _reference("schemas", "Headers"),
        "payload": _reference("schemas", cls.__name__),
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"The body's {key}."},
                "bindingVersion": "0.5.0",
            }
        },
        "examples": [{"headers": example["headers"], "payload": example["body"]}],
    }


def _schemas() -> Json:
    """The schemas of all kinds and their parts, each once."""
    _, shared = models_json_schema(
        [(cls, "serialization") for cls in KINDS.values()],
        ref_template="#/components/schemas/{model}",
    )
    money = _money()
    parts = {
        name: _by_reference(one, money, "#/components/schemas/Money")
        for name, one in shared["$defs"].items()
    }
    return dict(sorted((parts | {"Money": money, "Headers": _headers()}).items()))


def _headers() -> Json:
    """The CloudEvents attributes and the trace, as Kafka headers (all of them UTF-8 text)."""
    uuid = {"type": "string", "format": "uuid"}
    return {
        "type": "object",
        "title": "Headers",
        "description": "CloudEvents 1.0 attributes and W3C trace context; others may follow.",
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": uuid | {"description": "UUIDv7; the same however often it is published."},
            "ce_type": {"type": "string", "enum": sorted(KINDS), "description": "The kind."},
            "ce_source": {"type": "string", "format": "uri-reference", "minLength": 1},
            "ce_subject": {"type": "string", "description": "What it is about: the record's key."},
            "ce_time": {"type": "string", "format": "date-time"},
            "content-type": {"type": "string", "const": CONTENT_TYPE},
            "ce_correlationid": {"type": "string", "description": "One story, one id."},
            "ce_causationid": uuid | {"description": "The ce_id of the event that caused this."},
            "ce_sequence": {"type": "string"},
            "traceparent": {"type": "string", "pattern": TRACEPARENT.pattern},
            "tracestate": {"type": "string"},
        },
        "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time"],
    }


def _money() -> Json:
    """Money as its fields show it, for it is a value and no model."""

    class _Holder(Event):
        money: Money

    return dict(_Holder.model_json_schema(mode="serialization")["properties"]["money"])


def _by_reference(node: Any, value: Json, reference: str) -> Any:
    """The same schema with every copy of a value replaced by a reference to it."""
    if node == value:
        return {"$ref": reference}
    if isinstance(node, dict):
        return {name: _by_reference(part, value, reference) for name, part in node.items()}
    if isinstance(node, list):
        return [_by_reference(part, value, reference) for part in node]
    return node


def _reference(section: str, name: str) -> Json:
    return {"$ref": f"#/components/{section}/{name}"}


if __name__ == "__main__":
    write()
