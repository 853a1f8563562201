"""The services' HTTP APIs as the command line calls them: answers, pages, and readable failures."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx

from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ledgerbus.addresses import Addresses

TIMEOUT_S: Final = 60  # A statement of thousands of lines is read and matched within one request.
PAGE: Final = 1_000
_EXITS: Final = {404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 400: Exit.INVALID, 422: Exit.INVALID}

Document = dict[str, Any]


class Services:
    """The running services, each called by its name."""

    def __init__(self, http: httpx.AsyncClient, addresses: Addresses) -> None:
        self._http = http
        self._addresses = addresses

    @property
    def names(self) -> list[str]:
        """The services that run here."""
        return sorted(self._addresses.services)

    async def ask(
        self,
        method: str,
        service: str,
        path: str,
        *,
        key: str | None = None,
        **request: Any,
    ) -> httpx.Response:
        """The answer, whatever its status; `key` makes a change happen once however often asked."""
        url = self._addresses.services.get(service)
        if url is None:
            raise CommandError(
                f"{service} does not run here",
                why="the stack knows no address for it",
                fix="start everything with `ledgerbus up`, see `ledgerbus status`",
                code=Exit.UNREACHABLE,
            )
        if key is not None:
            request["headers"] = {"Idempotency-Key": key} | request.get("headers", {})
        try:
            return await self._http.request(method, f"{url}{path}", **request)
        except httpx.HTTPError as problem:
            raise CommandError(
                f"{service} does not answer",
                why=f"{method} {url}{path}: {problem!r}",
                fix="see `ledgerbus status` and the logs it names, or start it: `ledgerbus up`",
                code=Exit.UNREACHABLE,
            ) from problem

    async def get(self, service: str, path: str, **params: str | int) -> Document:
        """The document at a path; a problem document becomes an error that says what it says."""
        answer = await self.ask("GET", service, path, params=params or None)
        if answer.is_error:
            raise refused(service, answer)
        return dict(answer.json())

    async def find(self, service: str, path: str, **params: str | int) -> Document | None:
        """The document at a path, or None where there is none."""
        answer = await self.ask("GET", service, path, params=params or None)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise refused(service, answer)
        return dict(answer.json())

    async def items(self, service: str, path: str, **params: str | int) -> AsyncIterator[Document]:
        """Every item of a paged list."""
        cursor: dict[str, str] = {}
        while True:
            page = await self.get(service, path, limit=PAGE, **params, **cursor)
            for item in page["items"]:
                yield item
            if not page.get("next"):
                return
            cursor = {"cursor": page["next"]}


def refused(service: str, answer: httpx.Response) -> CommandError:
    """A problem document (RFC 9457) as an error of the command line."""
    try:
        problem = dict(answer.json())
    except ValueError:
        problem = {"detail": answer.text[:500]}
    code = problem.get("code", answer.status_code)
    trace = f" (trace {problem['trace_id']})" if problem.get("trace_id") else ""
    return CommandError(
        f"{service} refused: {problem.get('title', answer.reason_phrase)}",
        why=f"{code}: {problem.get('detail', '')}{trace}",
        fix=problem.get("fix") or f"{problem.get('who', 'the operator')} can help",
        code=_EXITS.get(answer.status_code, Exit.FAILED),
    )


@asynccontextmanager
async def services(addresses: Addresses) -> AsyncIterator[Services]:
    """The services, over one pool of connections."""
    limits = httpx.Limits(max_connections=16)
    async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as http:
        yield Services(http, addresses)
