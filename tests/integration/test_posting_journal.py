from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from services.posting.domain import Absent, Posted, Refused, Unknown
from services.posting.erp.http_journal import HttpJournal
from tests.support.ledger_server import Do, LedgerServer, a_ledger_server
from tests.support.posting_ledgers import (
    EXECUTED,
    LOST,
    TIMEOUT_S,
)
from tests.support.posting_values import (
    COMPANY,
    a_chart,
    a_claim,
    drafted,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database
    from services.posting.domain import JournalEntry

    Making = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def ledger() -> AsyncIterator[LedgerServer]:
    async with a_ledger_server() as server:
        yield server


def an_entry() -> JournalEntry:
    found = drafted(a_claim(), a_chart(ledgers={COMPANY: "sap"}))
    assert not isinstance(found, tuple)
    return found


@pytest.mark.parametrize(
    ("method", "do", "outcome"),
    [
        ("post", Do.ACCEPT, Posted),
        ("post", Do.REFUSE, Refused),
        *(("post", do, Unknown) for do in (*LOST, *EXECUTED)),
        ("find", Do.ACCEPT, Absent),
        ("find", Do.REFUSE, Unknown),
        *(("find", do, Unknown) for do in LOST),
    ],
)
async def test_only_a_clear_answer_counts(
    ledger: LedgerServer, method: str, do: Do, outcome: type
) -> None:
    ledger.puts.append(do)
    ledger.gets.append(do)
    entry = an_entry()
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address=ledger.address, timeout_s=TIMEOUT_S)
        answer = await (port.post(entry) if method == "post" else port.find(entry.key))
    assert isinstance(answer, outcome)


async def test_an_address_that_is_none_is_an_unknown_outcome() -> None:
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address="nowhere", timeout_s=TIMEOUT_S)
        assert isinstance(await port.post(an_entry()), Unknown)
