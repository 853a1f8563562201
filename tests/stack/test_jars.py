"""Kafka's jars are the pinned ones, or nothing starts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from deploy.local import StackError
from deploy.local.jars import KAFKA_VERSION, digest_of, kafka_jars, read_pins

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with two jars in it, and the pins for them beside it."""
    folder = tmp_path / f"kafka-{KAFKA_VERSION}"
    folder.mkdir()
    lines = []
    for name in ("a.jar", "b.jar"):
        (folder / name).write_bytes(name.encode())
        lines.append(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n")
    (tmp_path / "pins").write_text("".join(lines))
    return tmp_path


def test_the_pinned_jars_are_used(cache: Path) -> None:
    jars = kafka_jars(cache, cache / "pins")
    assert [jar.name for jar in jars] == ["a.jar", "b.jar"]


def test_a_changed_jar_is_refused_by_name(cache: Path) -> None:
    (cache / f"kafka-{KAFKA_VERSION}" / "b.jar").write_bytes(b"something else")
    with pytest.raises(StackError, match=r"1 Kafka jar\(s\) are not the pinned ones: b.jar"):
        kafka_jars(cache, cache / "pins")


def test_what_the_broker_runs_on_is_what_was_pinned() -> None:
    jars = kafka_jars()
    pins = read_pins()
    assert {jar.name: digest_of(jar) for jar in jars} == pins
    assert {f"kafka_2.13-{KAFKA_VERSION}.jar", f"kafka-clients-{KAFKA_VERSION}.jar"} <= pins.keys()
