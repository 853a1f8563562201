from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from contracts.posting import EntryPosted, EntryReversed, JournalEntryRecorded
from services.posting.erp.http_journal import HttpJournal
from services.posting.erp.port import LedgerSettings
from services.posting.jobs import carry_out, decide_again
from tests.support import client_of, eventually, said, violations
from tests.support.ledger_server import Do, LedgerServer, a_ledger_server
from tests.support.posting_ledgers import (
    an_intent,
    states,
    work,
)
from tests.support.posting_values import (
    a_claim,
    cny,
    organised,
    rejected,
    reserved,
    stages,
    tell,
    unfunded,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database
    from contracts.envelope import Event
    from services.posting.domain import Fact

    Making = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def books(database_of: Making) -> Database:
    return await organised(await database_of("posting"), ledger="sap")


@pytest.fixture
async def ledger() -> AsyncIterator[LedgerServer]:
    async with a_ledger_server() as server:
        yield server


async def test_a_claim_withdrawn_before_the_call_is_never_sent(
    books: Database, ledger: LedgerServer
) -> None:
    claim = await an_intent(books)
    await tell(books, withdrawn(claim))
    await work(books, ledger)
    assert (ledger.calls, await said(books)) == ([], [])
    assert (await stages(books), await states(books)) == (
        {claim.claim_id: "withdrawn"},
        {"cancelled": 1},
    )
    assert await violations("posting", books) == []


async def test_a_claim_withdrawn_after_a_lost_call_is_not_sent_again(
    books: Database, ledger: LedgerServer
) -> None:
    ledger.puts.append(Do.DROP_BEFORE)
    claim = await an_intent(books)
    await work(books, ledger)
    await tell(books, withdrawn(claim))
    assert await stages(books) == {claim.claim_id: "recalled"}
    await work(books, ledger)
    assert [method for method, _ in ledger.calls] == ["PUT", "GET"]
    assert (ledger.executed, await said(books)) == ([], [])
    assert await stages(books) == {claim.claim_id: "withdrawn"}
    assert await violations("posting", books) == []


@pytest.mark.parametrize("do", [Do.HANG_AFTER, Do.FAIL_AFTER])
async def test_a_claim_withdrawn_during_an_executed_call_is_posted_and_reversed(
    books: Database, ledger: LedgerServer, do: Do
) -> None:
    ledger.puts.append(do)
    claim = await an_intent(books)
    await work(books, ledger)
    await tell(books, withdrawn(claim))
    await work(books, ledger)
    await decide_again(books)
    await work(books, ledger)
    posting, _, reversal, record = await said(books)
    assert isinstance(posting, EntryPosted)
    assert isinstance(reversal, EntryReversed)
    assert isinstance(record, JournalEntryRecorded)
    assert reversal.reverses == record.reverses == posting.entry_id
    assert reversal.entry_number == "SAP-5101"
    assert ledger.keys() == [f"{claim.claim_id}:1:post", f"{claim.claim_id}:1:reverse"]
    assert ledger.executed[1][1]["reverses"] == "SAP-5100"
    assert await stages(books) == {claim.claim_id: "reversed"}
    assert await violations("posting", books) == []


async def test_a_claim_withdrawn_while_its_call_is_refused_says_nothing(
    books: Database, ledger: LedgerServer
) -> None:
    ledger.puts.append(Do.REFUSE_WHEN_RELEASED)
    claim = await an_intent(books)
    settings = LedgerSettings(ledgers={"sap": ledger.address})
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address=ledger.address, timeout_s=60)
        call = asyncio.create_task(carry_out(books, {"sap": port}, settings))
        await eventually(lambda: ledger.calls)
        await tell(books, withdrawn(claim))
        assert await stages(books) == {claim.claim_id: "recalled"}
        ledger.release()
        await call
    assert await said(books) == []
    assert (await stages(books), await states(books)) == (
        {claim.claim_id: "withdrawn"},
        {"refused": 1},
    )
    assert await violations("posting", books) == []


@pytest.mark.parametrize("do", [Do.ACCEPT, Do.HANG_AFTER, Do.FAIL_BEFORE])
async def test_a_posted_claim_is_reversed_in_the_ledger_that_has_it(
    books: Database, ledger: LedgerServer, do: Do
) -> None:
    claim = await an_intent(books)
    await work(books, ledger)
    await said(books)
    ledger.puts.append(do)
    await tell(books, withdrawn(claim), withdrawn(claim))
    assert await stages(books) == {claim.claim_id: "reversing"}
    await decide_again(books)
    await work(books, ledger)
    await work(books, ledger)
    reversal, record = await said(books)
    assert isinstance(reversal, EntryReversed)
    assert isinstance(record, JournalEntryRecorded)
    assert (reversal.total, record.total) == (cny(10600), cny(10600))
    assert len(ledger.executed) == 2
    assert await violations("posting", books) == []


async def test_a_refused_reversal_calls_for_a_person_who_may_send_it_again(
    books: Database, ledger: LedgerServer
) -> None:
    claim = await an_intent(books)
    await work(books, ledger)
    ledger.puts.append(Do.REFUSE)
    await tell(books, withdrawn(claim))
    await work(books, ledger)
    await said(books)
    assert await stages(books) == {claim.claim_id: "reversing"}
    assert [found["invariant"] for found in await violations("posting", books)] == ["intents-move"]
    key = f"{claim.claim_id}:1:reverse"
    body: dict[str, Any] = {"key": key, "by": "E-7", "because": "account unblocked"}
    async with client_of("posting", books) as http:
        other = await http.post("/v1/intents/send-again", json=body | {"key": "x"})
        answer = await http.post("/v1/intents/send-again", json=body)
    assert (other.status_code, other.json()["code"]) == (409, "INTENT_NOT_REFUSED")
    assert answer.json() == {"key": key, "state": "intended"}
    await work(books, ledger)
    assert next(fact.kind for fact in await said(books)) == "posting.entry-reversed.v1"
    assert await violations("posting", books) == []


@pytest.mark.parametrize(
    ("end", "stage"), [(rejected, "refused"), (unfunded, "refused"), (withdrawn, "withdrawn")]
)
async def test_what_was_claimed_is_kept_no_longer_than_it_may_be_posted(
    books: Database, end: Callable[[Fact], Event], stage: str
) -> None:
    early, late = a_claim(), a_claim()
    await tell(books, early, end(early), end(early), end(late), late)
    assert await stages(books) == {early.claim_id: stage, late.claim_id: stage}
    async with books.reader() as reader:
        assert await reader.fetchval("SELECT count(*) FROM cases WHERE claim IS NOT NULL") == 0
    assert await said(books) == []
    assert await violations("posting", books) == []


async def test_a_refusal_after_the_money_was_reserved_changes_nothing(books: Database) -> None:
    claim = a_claim()
    await tell(books, reserved(claim), rejected(claim), unfunded(claim), claim)
    assert await stages(books) == {claim.claim_id: "intended"}
