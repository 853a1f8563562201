"""A migration that has been merged is never edited: its digest is written down beside this test.

A new migration is added by its line of
`sha256sum chassis/migrations/*.sql services/*/migrations/*.sql`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_merged_migrations_are_untouched_and_new_ones_are_written_down() -> None:
    lines = (ROOT / "tests/architecture/migrations.sha256").read_text(encoding="utf-8")
    written = {path: digest for digest, path in map(str.split, lines.splitlines())}
    found = {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in ("chassis/migrations/*.sql", "services/*/migrations/*.sql")
        for path in ROOT.glob(pattern)
    }
    assert found == written
