"""How a command ends badly: exit codes that scripts may rely on, and errors that say what to do."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command; 130 is an interruption from the keyboard."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    INVALID = 4
    CONFLICT = 5
    UNREACHABLE = 6
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot do what was asked: what, why, and what to do about it."""

    def __init__(self, what: str, *, why: str, fix: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why
        self.fix = fix
        self.code = code

    def lines(self) -> list[str]:
        """The message as it is shown, one thought a line."""
        return [f"{self.what}: {self.why}", f"  what to do: {self.fix}"]
