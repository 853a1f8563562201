"""The one exception of the local stack: what failed, why, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TAIL_LINES = 15  # Enough for a JVM's complaint with its first frames, little enough to read.


class StackError(RuntimeError):
    """Something of the stack failed; the message says what, why, and what to do."""

    def __init__(self, what: str, *, why: str, fix: str, log: Path | None = None) -> None:
        """Keep the three answers, and the last lines of the log that belongs to them."""
        self.what = what
        self.why = why
        self.fix = fix
        self.log = log
        self.tail = last_lines(log) if log else []
        super().__init__(self._message())

    def _message(self) -> str:
        lines = [f"{self.what}: {self.why}", f"  what to do: {self.fix}"]
        if self.tail:
            lines += [f"  last lines of {self.log}:", *(f"    {line}" for line in self.tail)]
        return "\n".join(lines)


def last_lines(log: Path, count: int = TAIL_LINES) -> list[str]:
    """The end of a log without Java's stack frames, or nothing when there is none yet."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if not line.startswith("\tat ")][-count:]
