"""Failures the machinery tells apart: outages are retried, defects become dead letters."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

import asyncpg
import yaml


class Retry(Exception):  # noqa: N818 - named for what is to be done
    """An outage: the same batch can succeed later, so it is tried again with back-off."""


class Poison(Exception):  # noqa: N818 - named for what the record is
    """A record that can never succeed; it becomes a dead letter with this code."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Fenced(Exception):  # noqa: N818 - named for what happened
    """Another member has moved the stored offsets on: this one works on outdated knowledge."""


class Halted(Exception):  # noqa: N818 - named for what happened
    """Most of a batch failed: the fault is ours; the consumer stops before it buries a topic."""


_OUTAGES: Final = (
    Retry,
    OSError,  # TimeoutError and ConnectionError included
    asyncpg.PostgresConnectionError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,  # shutdown, crash recovery, cannot connect now
    asyncpg.InternalClientError,
)


def is_outage(problem: BaseException) -> bool:
    """Whether a failure says nothing about the records at hand, so that trying again can help."""
    if isinstance(problem, asyncpg.InterfaceError):  # Also raised for wrong arguments, a defect.
        return not isinstance(problem, ValueError) and "connection" in str(problem)
    return isinstance(problem, _OUTAGES)


def code_of(problem: BaseException) -> str:
    """The stable code of a defect: its own where it carries one, else HANDLER_DEFECT."""
    return str(getattr(problem, "code", "HANDLER_DEFECT"))


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """Every stable code with its meaning, who acts, and texts in English and Chinese."""
    text = files("contracts").joinpath("errors.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
