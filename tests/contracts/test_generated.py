"""What is generated equals the code, and holds as what it claims to be."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from jsonschema import Draft202012Validator

from contracts.envelope import KINDS
from contracts.export import documents, schema, write

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRACTS = Path(__file__).parents[2] / "contracts"
kinds = pytest.mark.parametrize("kind", sorted(KINDS))


@cache
def categories() -> dict[str, str]:
    """The characters of the Unicode categories that patterns name, as Python writes them."""
    classes = dict.fromkeys(("Cc", "Cf", "Zl", "Zp"), "")
    for mark in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(mark)
        if category in classes:
            classes[category] += f"\\U{ord(mark):08x}"
    return classes


def for_python(node: Any) -> Any:
    """A schema whose ECMA patterns are written as Python knows them: without `\\p{Cf}`."""
    if isinstance(node, dict):
        return {
            name: re.sub(r"\\p\{(\w+)\}", lambda found: categories()[found[1]], part)
            if name == "pattern" and isinstance(part, str)
            else for_python(part)
            for name, part in node.items()
        }
    return [for_python(part) for part in node] if isinstance(node, list) else node


def validator_of(document: Any) -> Draft202012Validator:
    return Draft202012Validator(for_python(document))


@cache
def generated() -> dict[str, str]:
    return documents()


def the_document() -> Any:
    return json.loads(generated()["asyncapi.json"])


def body_of(kind: str) -> Any:
    return json.loads((CONTRACTS / "examples" / f"{kind}.json").read_text("utf-8"))["body"]


def references(node: Any) -> Iterator[str]:
    """Every `$ref` below a node; examples hold bodies, not schemas."""
    if isinstance(node, dict):
        for name, part in node.items():
            if name == "$ref":
                yield part
            elif name != "examples":
                yield from references(part)
    elif isinstance(node, list):
        for part in node:
            yield from references(part)


def target(document: Any, reference: str) -> Any:
    assert reference.startswith("#/"), reference
    for part in reference[2:].split("/"):
        document = document[part]
    return document


def test_the_committed_files_are_what_the_code_says() -> None:
    for path, text in generated().items():
        assert (CONTRACTS / path).read_text("utf-8") == text, f"{path}: python -m contracts.export"
    schemas = {f"schemas/{path.name}" for path in (CONTRACTS / "schemas").iterdir()}
    assert schemas == {path for path in generated() if path.startswith("schemas/")}


def test_writing_removes_what_no_kind_has(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "claims.claim-forgotten.v1.schema.json").write_text("{}")
    write(tmp_path)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")}
    assert written == set(generated())


@kinds
def test_a_schema_says_what_it_is_and_takes_its_example(kind: str) -> None:
    made = json.loads(generated()[f"schemas/{kind}.schema.json"])
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert made["$id"] == f"{kind}.schema.json"
    assert (made["title"], made["x-kind"]) == (KINDS[kind].__name__, kind)
    assert made["x-topic"] == KINDS[kind].topic
    assert made["description"]
    Draft202012Validator.check_schema(for_python(made))
    validator_of(made).validate(body_of(kind))
    for reference in references(made):
        target(made, reference)


@kinds
def test_a_schema_is_closed_and_refuses_what_the_code_refuses(kind: str) -> None:
    validator = validator_of(schema(KINDS[kind]))
    body = body_of(kind)
    assert not validator.is_valid({**body, "not_yet_known": 1})
    for field, described in KINDS[kind].model_fields.items():
        if described.is_required():
            shorter = {name: value for name, value in body.items() if name != field}
            assert not validator.is_valid(shorter), field


@pytest.mark.parametrize(
    "amount",
    [943.4, {"amount": 943.4, "currency": "CNY"}, {"amount": "1_000.00", "currency": "CNY"}],
)
def test_no_schema_takes_a_bare_number_for_money(amount: object) -> None:
    kind = "claims.claim-withdrawn.v1"
    assert not validator_of(schema(KINDS[kind])).is_valid(body_of(kind) | {"total": amount})


@pytest.mark.parametrize("code", ["", " E1", "E1 ", "E\u200b1", "E\n1", "E" * 129])
def test_no_schema_takes_a_code_that_hides_something(code: str) -> None:
    kind = "claims.claim-withdrawn.v1"
    assert not validator_of(schema(KINDS[kind])).is_valid(body_of(kind) | {"by": code})


def test_the_asyncapi_document_has_its_required_parts() -> None:
    document = the_document()
    assert document["asyncapi"] == "3.0.0"
    ApplicationSchema.model_validate({**document, "servers": {}})  # It asks a server for a path.
    for reference in references(document):
        target(document, reference)
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}
        channel = operation["channel"]["$ref"]
        messages = [message["$ref"] for message in operation["messages"]]
        assert messages
        assert all(message.startswith(f"{channel}/messages/") for message in messages)


def test_every_kind_is_said_on_its_topic_by_its_publisher() -> None:
    document = the_document()
    assert set(document["channels"]) == {cls.topic for cls in KINDS.values()}
    for kind, cls in KINDS.items():
        channel = document["channels"][cls.topic]
        assert channel["address"] == cls.topic
        assert channel["messages"][kind] == {"$ref": f"#/components/messages/{kind}"}
        outside = cls.topic == "claims.intake" or cls.topic.startswith("masterdata.")
        verb = "receive" if outside else "send"
        operation = document["operations"][f"{verb}.{cls.topic}"]
        assert {"$ref": f"#/channels/{cls.topic}/messages/{kind}"} in operation["messages"]
        assert operation["tags"] == [{"name": cls.topic.partition(".")[0]}]


@kinds
def test_a_message_carries_headers_key_and_example(kind: str) -> None:
    document = the_document()
    message = document["components"]["messages"][kind]
    headers = target(document, message["headers"]["$ref"])
    [example] = message["examples"]
    validator_of(headers).validate(example["headers"])
    validator_of({**target(document, message["payload"]["$ref"]), **document}).validate(
        example["payload"]
    )
    for field in KINDS[kind].key_field.split("/"):
        assert field in message["bindings"]["kafka"]["key"]["description"]
        assert field in KINDS[kind].model_fields
