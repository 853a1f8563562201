"""What the `dlq` commands ask the services: each keeps its own dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import uuid_utils

from ledgerbus.calls import refused
from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ledgerbus.calls import Services

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be done to dead letters, and who answers for it."""

    action: Literal["replay", "discard"]
    reason: str
    by: str
    approved_by: str = ""
    limit: int = 100
    rate: int = 0
    dry_run: bool = False

    def body(self) -> Document:
        """As the services read it."""
        body: Document = {"reason": self.reason, "by": self.by, "limit": self.limit}
        body |= {"dry_run": self.dry_run}
        body |= {"approved_by": self.approved_by} if self.approved_by else {}
        return body | ({"rate": self.rate} if self.rate else {})


async def listed(running: Services, service: str, params: Mapping[str, str]) -> Document:
    """The dead letters of all services, or of one."""
    return await _items(running, service, "/v1/dead-letters", params)


async def waiting(running: Services, service: str, params: Mapping[str, str]) -> Document:
    """The parked keys of all services, or of one."""
    return await _items(running, service, "/v1/parked", params)


async def _items(running: Services, service: str, path: str, params: Mapping[str, str]) -> Document:
    items = [
        {"service": name, **item}
        for name in _names(running, service)
        async for item in running.items(name, path, **params)
    ]
    return {"items": items}


async def find(running: Services, letter: str, service: str) -> Document:
    """One dead letter, in whichever service it lies."""
    letter = _id(letter)
    for name in _names(running, service):
        found = await running.find(name, f"/v1/dead-letters/{letter}")
        if found is not None:
            return {"service": name, **found}
    raise CommandError(
        f"no dead letter {letter}",
        why=f"{service or 'no service that runs here'} has none with this id",
        fix="see `ledgerbus dlq list --state all`",
        code=Exit.NOT_FOUND,
    )


async def holders(
    running: Services, ids: Sequence[str], fingerprint: str, service: str
) -> dict[str, Document]:
    """What each service is asked to settle: the letters that are its own, or its group."""
    if fingerprint:
        return {
            name: {"fingerprint": fingerprint}
            for name in _names(running, service)
            if await _has(running, name, fingerprint)
        } or _none(fingerprint)
    found: dict[str, Document] = {}
    for letter in ids:
        holder = (await find(running, letter, service))["service"]
        found.setdefault(holder, {"ids": []})["ids"].append(letter)
    return found


async def act(running: Services, service: str, run: Run, what: Document) -> Document:
    """One run in one service, request after request until nothing of it is left."""
    told: Document = {"service": service, "counts": {}, "results": []}
    more: Document = {}
    while True:
        path = f"/v1/dead-letters/{run.action}"
        answer = await running.ask("POST", service, path, key=_key(), json=run.body() | what | more)
        if answer.is_error:
            raise refused(service, answer)
        part = dict(answer.json())
        for outcome, count in part["counts"].items():
            told["counts"][outcome] = told["counts"].get(outcome, 0) + count
        told["results"] += part["results"]
        told |= {name: part[name] for name in ("run", "action", "dry_run", "left")}
        if not part["left"] or not part["results"] or run.dry_run:
            return told
        more = {"run": part["run"]}


async def correct(running: Services, found: Document, body: Document) -> Document:
    """A dead letter with another value or key in the place of its own."""
    service = found["service"]
    path = f"/v1/dead-letters/{found['id']}/edit"
    answer = await running.ask("POST", service, path, key=_key(), json=body)
    if answer.is_error:
        raise refused(service, answer)
    return {"service": service, **answer.json()}


async def _has(running: Services, service: str, fingerprint: str) -> bool:
    page = await running.get(
        service, "/v1/dead-letters", fingerprint=fingerprint, state="open", limit=1
    )
    return bool(page["items"])


def _none(fingerprint: str) -> dict[str, Document]:
    raise CommandError(
        f"no group {fingerprint}",
        why="no service that was asked has an open dead letter of it",
        fix="see `ledgerbus dlq list`",
        code=Exit.NOT_FOUND,
    )


def _names(running: Services, service: str) -> list[str]:
    return [service] if service else running.names


def _id(letter: str) -> str:
    try:
        return str(UUID(letter))
    except ValueError:
        raise CommandError(
            f"'{letter}' is no dead letter's id",
            why="an id is a UUID",
            fix="see `ledgerbus dlq list`",
            code=Exit.USAGE,
        ) from None


def _key() -> str:
    return str(uuid_utils.uuid7())
