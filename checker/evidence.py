"""What a run leaves behind: where its databases, topics, logs, files and journal are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where everything is; a part that is None leaves what rests on it unjudged."""

    seed: int | None = None
    commit: str = ""
    kafka: str | None = None
    topic_prefix: str = ""
    databases: Mapping[str, str] = field(default_factory=dict)
    ledger_log: Path | None = None
    bank_files: tuple[Path, ...] | None = None
    journal: Path | None = None
    healed_at: str | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The evidence a file names; relative paths in it begin at the file's folder."""
        return cls.of(orjson.loads(path.read_bytes()), path.parent)

    @classmethod
    def of(cls, document: Mapping[str, Any], root: Path) -> Self:
        """The evidence a document names; relative paths in it begin at a folder."""
        ledger, journal = document.get("ledger_log"), document.get("journal")
        files = document.get("bank_files")
        return cls(
            seed=document.get("seed"),
            commit=document.get("commit") or "",
            kafka=document.get("kafka"),
            topic_prefix=document.get("topic_prefix") or "",
            databases=document.get("databases") or {},
            ledger_log=root / ledger if ledger else None,
            bank_files=None if files is None else tuple(root / file for file in files),
            journal=root / journal if journal else None,
            healed_at=document.get("healed_at"),
        )


def json_lines(path: Path | None) -> list[dict[str, Any]] | None:
    """The documents of a log; None without a log. A last line cut off by a crash is left out."""
    if path is None:
        return None
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [orjson.loads(line) for line in lines[:-1] if line.strip()]


def bank_digests(paths: tuple[Path, ...] | None) -> dict[bytes, str] | None:
    """The bank's files by SHA-256; None without files."""
    if paths is None:
        return None
    return {hashlib.sha256(path.read_bytes()).digest(): path.name for path in paths}
