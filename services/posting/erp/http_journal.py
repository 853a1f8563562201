"""A ledger behind a plain HTTP journal API: PUT and GET /journal-entries/{key}.

PUT answers 200 or 201 with `{"key", "number"}`, 400 or 422 with `{"errors": [{"code", "detail"}]}`,
and 409 if it knows the key. GET answers 200 with `{"key", "number"}` or 404 with `{"key"}`. Every
answer repeats the key, so that a proxy's error page is not taken for the ledger's word.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx

from contracts.values import Reason
from services.posting.domain import Absent, Posted, Refused, Unknown, outside_reference

if TYPE_CHECKING:
    from services.posting.domain import Finding, JournalEntry, Outcome

_NUMBER: Final = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")
_JUDGED: Final = frozenset({400, 422})  # All else may be the road's answer, not the ledger's.
REASONS_MAX: Final = 50
DETAIL_MAX: Final = 400


class HttpJournal:
    """One such ledger; the client is the caller's to open and close."""

    def __init__(
        self, client: httpx.AsyncClient, *, name: str, address: str, timeout_s: float
    ) -> None:
        self._client = client
        self._name = name
        self._address = address.rstrip("/")
        self._timeout_s = timeout_s

    async def post(self, entry: JournalEntry) -> Outcome:
        """PUT the entry under its key."""
        answer = await self._call("PUT", entry.key, document_of(entry))
        if isinstance(answer, Unknown):
            return answer
        if answer.is_success:
            return _number_in(answer, entry.key)
        if answer.status_code in _JUDGED and isinstance(_body(answer), dict):
            return Refused(_reasons_in(answer, self._name))
        return Unknown(f"PUT was answered {answer.status_code}")

    async def find(self, key: str) -> Finding:
        """GET what the ledger has under the key."""
        answer = await self._call("GET", key)
        if isinstance(answer, Unknown):
            return answer
        if answer.is_success:
            return _number_in(answer, key)
        if answer.status_code == httpx.codes.NOT_FOUND and _names(_body(answer), key):
            return Absent()
        return Unknown(f"GET was answered {answer.status_code}")

    async def _call(
        self, method: str, key: str, document: dict[str, Any] | None = None
    ) -> httpx.Response | Unknown:
        url = f"{self._address}/journal-entries/{quote(key, safe=':')}"
        try:
            # The client's own timeouts are per read: a ledger that drips would never end.
            async with asyncio.timeout(self._timeout_s):
                return await self._client.request(method, url, json=document)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as problem:
            return Unknown(f"{method} got no answer: {type(problem).__name__}")


def document_of(entry: JournalEntry) -> dict[str, Any]:
    """The entry as the journal API takes it; the same for every attempt."""
    return {
        "key": entry.key,
        "reference": outside_reference(entry),
        "company": entry.company,
        "posting_date": entry.posting_date.isoformat(),
        "document_date": entry.document_date.isoformat(),
        "period": entry.period,
        "currency": entry.total.currency,
        "text": entry.text,
        "employee": entry.employee,
        "payee": entry.payee,
        "reverses": entry.reverses_number,
        "lines": [
            {
                "line": line.line,
                "account": line.account,
                "side": line.side,
                "amount": line.amount.amount,
                "cost_center": line.cost_center,
                "project": line.project,
                "party": line.party,
                "text": line.text,
            }
            for line in entry.lines
        ],
    }


def _body(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _names(body: Any, key: str) -> bool:
    return isinstance(body, dict) and body.get("key") == key


def _number_in(answer: httpx.Response, key: str) -> Posted | Unknown:
    body = _body(answer)
    number = body.get("number") if _names(body, key) else None
    if isinstance(number, str) and _NUMBER.fullmatch(number):
        return Posted(number)
    return Unknown(f"{answer.status_code} without the key and a usable number")


def _reasons_in(answer: httpx.Response, ledger: str) -> tuple[Reason, ...]:
    """The ledger's own words, one reason each; its codes are figures, ours is one and stable."""
    errors = _body(answer).get("errors")
    listed = errors if isinstance(errors, list) else []
    found = [error for error in listed if isinstance(error, dict)]
    return tuple(
        Reason(
            code="LEDGER_REFUSED",
            detail=_plain(error.get("detail")) or f"{ledger} refused the entry",
            who="finance",
            figures={
                "ledger": ledger,
                "status": str(answer.status_code),
                "code": _plain(error.get("code")),
            },
        )
        for error in (found or [{}])[:REASONS_MAX]
    )


def _plain(text: Any) -> str:
    return str(text or "").replace("\x00", "")[:DETAIL_MAX]
