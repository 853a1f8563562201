from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from contracts.posting import EntryFailed, EntryPosted, JournalEntryRecorded
from services.posting.erp.http_journal import HttpJournal
from services.posting.erp.port import LedgerSettings
from services.posting.handlers import post_claims
from services.posting.jobs import call_ledgers, carry_out
from tests.support import TRACEPARENT, client_of, eventually, given, said, violations
from tests.support.ledger_server import Do, LedgerServer, a_ledger_server
from tests.support.posting_ledgers import (
    EXECUTED,
    LOST,
    TIMEOUT_S,
    an_intent,
    make_due,
    states,
    work,
)
from tests.support.posting_values import (
    a_claim,
    organised,
    reserved,
    stages,
    tell,
    tell_batch,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database
    from services.posting.domain import Finding, JournalEntry, Outcome

    Making = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def books(database_of: Making) -> Database:
    return await organised(await database_of("posting"), ledger="sap")


@pytest.fixture
async def ledger() -> AsyncIterator[LedgerServer]:
    async with a_ledger_server() as server:
        yield server


async def test_another_ledgers_number_is_the_entrys(books: Database, ledger: LedgerServer) -> None:
    claim = await an_intent(books)
    assert await stages(books) == {claim.claim_id: "intended"}
    await work(books, ledger)
    entry, record = await said(books)
    assert isinstance(entry, EntryPosted)
    assert isinstance(record, JournalEntryRecorded)
    assert (entry.entry_number, entry.ledger) == ("SAP-5100", "sap")
    assert len(entry.reference) == 16
    assert ledger.calls == [("PUT", f"{claim.claim_id}:1:post")]
    ((key, document),) = ledger.executed
    assert key == document["key"]
    assert document["reference"] == entry.reference
    assert [(line["side"], line["amount"]) for line in document["lines"]] == [
        ("debit", "100.00"),
        ("debit", "6.00"),
        ("credit", "106.00"),
    ]
    assert await stages(books) == {claim.claim_id: "posted"}
    await tell(books, claim, reserved(claim))
    await work(books, ledger)
    assert await said(books) == []
    assert len(ledger.calls) == 1
    assert await violations("posting", books) == []


async def test_what_is_said_after_the_call_follows_from_the_reservation(
    books: Database, ledger: LedgerServer
) -> None:
    claim = a_claim()
    reservation = given(reserved(claim))
    await tell(books, claim)
    async with books.transaction() as tx:
        await post_claims([reservation], tx)
    await work(books, ledger)
    for fact in await said(books):
        assert fact.meta.causation_id == reservation.meta.id
        assert fact.meta.correlation_id == str(claim.claim_id)
        assert fact.meta.traceparent.split("-")[1] in {TRACEPARENT.split("-")[1], ""}


@pytest.mark.parametrize("knows_keys", [True, False])
async def test_an_unknown_outcome_is_asked_for_and_never_posted_twice(
    books: Database, ledger: LedgerServer, *, knows_keys: bool
) -> None:
    ledger.knows_keys = knows_keys
    for do in (*LOST, *EXECUTED):
        ledger.calls.clear()
        ledger.executed.clear()
        ledger.puts.append(do)
        claim = a_claim()
        await tell(books, claim, reserved(claim))
        await work(books, ledger)
        assert await said(books) == [], do
        assert await states(books, claim) == {"unknown": 1}, do
        assert (await stages(books))[claim.claim_id] == "intended", do
        await work(books, ledger)
        assert [fact.kind for fact in await said(books)] == [
            "posting.entry-posted.v1",
            "posting.journal-entry-recorded.v1",
        ], do
        assert len(ledger.executed) == 1, do
        asked = ["PUT", "GET"] if do in EXECUTED else ["PUT", "GET", "PUT"]
        assert [method for method, _ in ledger.calls] == asked, do
    await work(books, ledger)
    assert len(ledger.calls) == len(asked)
    assert await violations("posting", books) == []


async def test_while_the_ledger_does_not_say_so_itself_nothing_is_sent_again(
    books: Database, ledger: LedgerServer
) -> None:
    unclear = [*LOST, Do.GARBAGE_AFTER, Do.OTHER_KEY_AFTER]
    ledger.puts.append(Do.HANG_AFTER)
    claim = await an_intent(books)
    await work(books, ledger)
    for do in unclear:
        ledger.gets.append(do)
        await work(books, ledger)
        assert await states(books, claim) == {"unknown": 1}, do
    assert [method for method, _ in ledger.calls] == ["PUT", *("GET" for _ in unclear)]
    await work(books, ledger)
    assert len(await said(books)) == 2
    assert len(ledger.executed) == 1


async def test_a_ledger_that_is_away_is_left_alone_until_the_intent_is_due(
    books: Database, ledger: LedgerServer
) -> None:
    await an_intent(books)
    settings = LedgerSettings(ledgers={"sap": "http://127.0.0.1:1"})
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address="http://127.0.0.1:1", timeout_s=TIMEOUT_S)
        assert await carry_out(books, {"sap": port}, settings) == 1
        assert await carry_out(books, {"sap": port}, settings) == 0
    async with client_of("posting", books) as http:
        (intent,) = (await http.get("/v1/intents", params={"state": "unknown"})).json()["items"]
        assert (await http.get("/v1/intents", params={"state": "posted"})).json()["items"] == []
    assert (intent["attempts"], intent["ledger"]) == (1, "sap")
    assert "ConnectError" in intent["detail"]
    await work(books, ledger)
    assert len(await said(books)) == 2


async def test_a_refusal_fails_the_claim_with_the_ledgers_own_words(
    books: Database, ledger: LedgerServer
) -> None:
    ledger.puts.append(Do.REFUSE)
    claim = await an_intent(books)
    await work(books, ledger)
    (fact,) = await said(books)
    assert isinstance(fact, EntryFailed)
    (reason,) = fact.reasons
    assert (reason.code, reason.detail) == (
        "LEDGER_REFUSED",
        "account 660201 is blocked for posting",
    )
    assert reason.figures == {"ledger": "sap", "status": "422", "code": "F5-312"}
    assert (await stages(books), await states(books)) == (
        {claim.claim_id: "failed"},
        {"refused": 1},
    )
    await work(books, ledger)
    await tell(books, withdrawn(claim))
    assert await said(books) == []
    assert await violations("posting", books) == []


async def test_a_crash_during_the_call_is_an_unknown_outcome_once_the_lease_has_ended(
    books: Database, ledger: LedgerServer
) -> None:
    await an_intent(books)
    ledger.puts.append(Do.HANG_AFTER)
    settings = LedgerSettings(ledgers={"sap": ledger.address})
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address=ledger.address, timeout_s=60)
        call = asyncio.create_task(carry_out(books, {"sap": port}, settings))
        await eventually(lambda: ledger.executed)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await states(books) == {"calling": 1}
        assert await carry_out(books, {"sap": port}, settings) == 0
    await work(books, ledger)
    assert len(await said(books)) == 2
    assert [method for method, _ in ledger.calls] == ["PUT", "GET"]
    assert len(ledger.executed) == 1


async def test_an_answer_that_comes_after_the_lease_is_left_to_the_next_taker(
    books: Database, ledger: LedgerServer
) -> None:
    await an_intent(books)
    ledger.puts.append(Do.HANG_AFTER)
    settings = LedgerSettings(ledgers={"sap": ledger.address}, ledger_settle_s=0)
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address=ledger.address, timeout_s=60)
        late = asyncio.create_task(carry_out(books, {"sap": port}, settings))
        await eventually(lambda: ledger.executed)
        await work(books, ledger)
        assert len(await said(books)) == 2
        ledger.release()
        await late
    assert await said(books) == []
    assert await states(books) == {"posted": 1}
    assert await violations("posting", books) == []


class Stalled:
    """A ledger port in a process that stands still while it asks."""

    def __init__(self, port: HttpJournal, stall_s: float) -> None:
        self._port = port
        self._stall_s = stall_s

    async def post(self, entry: JournalEntry) -> Outcome:
        return await self._port.post(entry)

    async def find(self, key: str) -> Finding:
        found = await self._port.find(key)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), self._stall_s)
        return found


async def test_nothing_is_sent_by_a_process_that_stood_still_while_it_asked(
    books: Database, ledger: LedgerServer
) -> None:
    claim = await an_intent(books)
    ledger.puts.append(Do.DROP_BEFORE)
    await work(books, ledger)
    await make_due(books)
    settings = LedgerSettings(ledgers={"sap": ledger.address}, ledger_timeout_s=1)
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address=ledger.address, timeout_s=1)
        await carry_out(books, {"sap": Stalled(port, 2.1)}, settings)
    assert [method for method, _ in ledger.calls] == ["PUT", "GET"]
    assert await states(books, claim) == {"unknown": 1}
    await work(books, ledger)
    assert len(await said(books)) == 2


async def test_two_workers_at_once_send_each_entry_once(
    books: Database, ledger: LedgerServer
) -> None:
    claims = [a_claim() for _ in range(30)]
    await tell_batch(books, claims)
    await tell_batch(books, [reserved(claim) for claim in claims])
    ledger.knows_keys = False
    settings = LedgerSettings(ledgers={"sap": ledger.address})
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address=ledger.address, timeout_s=10)
        taken = await asyncio.gather(*(carry_out(books, {"sap": port}, settings) for _ in "123"))
    assert sum(taken) == 30
    assert set(Counter(ledger.keys()).values()) == {1}
    assert len(ledger.executed) == 30
    assert len(await said(books)) == 60
    assert await violations("posting", books) == []


async def test_the_job_reads_addresses_from_the_environment_and_empties_the_queue(
    books: Database, ledger: LedgerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [a_claim() for _ in range(45)]
    await tell_batch(books, claims)
    await tell_batch(books, [reserved(claim) for claim in claims])
    monkeypatch.setenv("LEDGERBUS_LEDGERS", '{"oracle": "http://127.0.0.1:1"}')
    await call_ledgers(books)
    assert await states(books) == {"intended": 45}
    monkeypatch.setenv("LEDGERBUS_LEDGERS", f'{{"sap": "{ledger.address}/"}}')
    await call_ledgers(books)
    assert await states(books) == {"posted": 45}


async def test_intents_are_read_page_by_page(books: Database) -> None:
    claims = [a_claim() for _ in range(5)]
    await tell_batch(books, claims)
    await tell_batch(books, [reserved(claim) for claim in claims])
    async with client_of("posting", books) as http:
        first = (await http.get("/v1/intents", params={"limit": 3})).json()
        second = (await http.get("/v1/intents", params={"cursor": first["next"]})).json()
    keys = [intent["key"] for intent in first["items"] + second["items"]]
    assert keys == sorted(f"{claim.claim_id}:1:post" for claim in claims)
    assert second["next"] is None
