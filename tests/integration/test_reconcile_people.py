"""What people decide: claims given to a line, lines dismissed, matches undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contracts.reconcile import PaymentMatched, PaymentReturned, PaymentUnmatched
from contracts.values import Money
from services.reconcile.handlers import expect_payment, learn_accounts
from services.reconcile.jobs import judge_again
from tests.support import client_of, given, new_id, said, violations
from tests.support.reconcile_values import (
    a_company,
    a_file,
    a_statement_file,
    an_entry,
    an_xml_entry,
    an_xml_statement,
    reference_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

    from chassis.db import Database

XML = {"Content-Type": "application/xml"}
REF = reference_of(1)
Claim = dict[str, Any]


@pytest.fixture
async def database(
    database_of: Callable[[str], Awaitable[Database]],
) -> AsyncIterator[Database]:
    """Three open items of one company; the invariants hold when the test ends."""
    database = await database_of("reconcile")
    async with database.transaction() as tx:
        await learn_accounts([given(a_company())], tx)
        entries = [an_entry(1), an_entry(2, minor=5_000), an_entry(3, minor=-2_000)]
        await expect_payment([given(entry) for entry in entries], tx)
    yield database
    assert await violations("reconcile", database) == []


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of("reconcile", database) as client:
        yield client


async def waiting(
    database: Database, http: httpx.AsyncClient, minor: int, *, text: str = "SOMETHING"
) -> str:
    """The exception of a line that names nothing."""
    entry = an_xml_entry(minor, text=text)
    content = a_statement_file([(minor, entry)], name=f"S{minor}")
    assert (await http.post("/v1/statements", content=content, headers=XML)).status_code == 201
    await said(database)
    newest = (await http.get("/v1/exceptions")).json()["items"][-1]
    return str(newest["exception_id"])


def claim(number: int, amount: str, currency: str = "EUR") -> Claim:
    return {
        "claim_id": str(an_entry(number).claim_id),
        "amount": {"amount": amount, "currency": currency},
    }


def fee(amount: str) -> dict[str, Any]:
    return {"kind": "fee", "amount": {"amount": amount, "currency": "EUR"}}


async def resolve(http: httpx.AsyncClient, exception: str, **body: Any) -> httpx.Response:
    return await http.post(f"/v1/exceptions/{exception}/resolve", json={"by": "F-1"} | body)


async def test_a_person_gives_a_line_to_several_claims(
    database: Database, http: httpx.AsyncClient
) -> None:
    exception = await waiting(database, http, -15_200)
    claims = [claim(1, "100.00"), claim(2, "50.00")]
    answer = await resolve(http, exception, claims=claims, differences=[fee("2.00")])
    assert answer.status_code == 200, answer.text
    facts = await said(database)
    assert [type(fact) for fact in facts] == [PaymentMatched, PaymentMatched]
    assert {fact.rule for fact in facts if isinstance(fact, PaymentMatched)} == {"person"}
    (closed,) = (await http.get("/v1/exceptions?state=closed")).json()["items"]
    assert (closed["state"], closed["closed_by"]) == ("resolved", "F-1")
    assert closed["line"]["match"]["match_id"] == answer.json()["match_id"]
    again = await resolve(http, exception, dismiss="too late")
    assert (again.status_code, again.json()["code"]) == (409, "EXCEPTION_CLOSED")


async def test_a_part_leaves_the_rest_open(database: Database, http: httpx.AsyncClient) -> None:
    exception = await waiting(database, http, -4_000)
    assert (await resolve(http, exception, claims=[claim(1, "40.00")])).status_code == 200
    (fact,) = await said(database)
    assert isinstance(fact, PaymentMatched)
    assert (fact.paid, fact.open) == (Money(4_000, "EUR"), Money(6_000, "EUR"))
    (item,) = (await http.get(f"/v1/items?claim_id={an_entry(1).claim_id}")).json()["items"]
    assert item["state"] == "partly_paid"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"claims": [claim(1, "99.99")]}, 409, "SUM_MISMATCH"),
        ({"claims": [claim(2, "100.00")]}, 409, "CLAIM_NOT_OPEN"),
        ({"claims": [claim(9, "100.00")]}, 409, "CLAIM_NOT_OPEN"),
        ({"claims": [claim(1, "120.00"), claim(3, "-20.00")]}, 409, "CLAIM_NOT_OPEN"),
        ({"claims": [claim(1, "50.00"), claim(1, "50.00")]}, 409, "CLAIMS_MIXED"),
        ({"claims": [claim(1, "100.00")], "differences": [fee("0.00")]}, 409, "CLAIMS_MIXED"),
        (
            {"claims": [claim(1, "98.00")], "differences": [fee("1.00"), fee("1.00")]},
            409,
            "CLAIMS_MIXED",
        ),
        ({"claims": [claim(1, "100.00", "USD")]}, 422, "CURRENCY_DIFFERS"),
        ({"claims": []}, 422, "REQUEST_INVALID"),
        ({"claims": [claim(1, "100.00")], "dismiss": "no"}, 422, "REQUEST_INVALID"),
        ({"claims": [claim(1, "100.0")]}, 422, "REQUEST_INVALID"),
    ],
)
async def test_a_decision_must_be_exact(
    database: Database, http: httpx.AsyncClient, body: dict[str, Any], status: int, code: str
) -> None:
    exception = await waiting(database, http, -10_000)
    answer = await resolve(http, exception, **body)
    assert answer.status_code == status
    if code != "REQUEST_INVALID":
        assert answer.json()["code"] == code
    assert await said(database) == []
    assert len((await http.get("/v1/exceptions")).json()["items"]) == 1


async def test_a_dismissed_line_is_left_alone(database: Database, http: httpx.AsyncClient) -> None:
    exception = await waiting(database, http, -777, text=f"RENT {reference_of(8)}")
    assert (await resolve(http, exception, dismiss="rent")).json()["state"] == "dismissed"
    async with database.transaction() as tx:
        await expect_payment([given(an_entry(8, minor=777))], tx)
    await judge_again(database)
    assert await said(database) == []


async def test_a_person_takes_back_what_a_bank_did_not_mark(
    database: Database, http: httpx.AsyncClient
) -> None:
    content = a_statement_file([(-10_000, an_xml_entry(-10_000, REF))], name="P")
    await http.post("/v1/statements", content=content, headers=XML)
    exception = await waiting(database, http, 10_000)
    assert (await resolve(http, exception, claims=[claim(1, "-100.00")])).status_code == 200
    (fact,) = await said(database)
    assert isinstance(fact, PaymentReturned)
    assert (fact.returned, fact.open) == (Money(10_000, "EUR"), Money(10_000, "EUR"))


async def test_undoing_restores_what_was_before_and_holds_the_line(
    database: Database, http: httpx.AsyncClient
) -> None:
    content = a_statement_file([(-10_000, an_xml_entry(-10_000, REF))])
    await http.post("/v1/statements", content=content, headers=XML)
    (matched,) = await said(database)
    assert isinstance(matched, PaymentMatched)
    path = f"/v1/matches/{matched.match_id}/undo"
    answer = await http.post(path, json={"by": "F-1", "because": "wrong claim"})
    assert answer.status_code == 200, answer.text
    unmatched, opened = await said(database)
    assert isinstance(unmatched, PaymentUnmatched)
    assert (unmatched.released, unmatched.open) == (Money(10_000, "EUR"), Money(10_000, "EUR"))
    assert (unmatched.by, unmatched.because) == ("F-1", "wrong claim")
    assert opened.model_dump()["reason"]["code"] == "UNDONE"
    await judge_again(database)
    await http.post("/v1/statements", content=content, headers=XML)
    assert await said(database) == []
    exception = answer.json()["exception_id"]
    assert (await resolve(http, exception, claims=[claim(1, "100.00")])).status_code == 200
    assert [fact.kind for fact in await said(database)] == [PaymentMatched.kind]
    again = await http.post(path, json={"by": "F-1", "because": "twice"})
    assert (again.status_code, again.json()["code"]) == (409, "MATCH_UNDONE")


async def test_a_return_is_undone_before_its_payment(
    database: Database, http: httpx.AsyncClient
) -> None:
    for name, minor in (("P", -10_000), ("R", 10_000)):
        entry = an_xml_entry(minor, REF, returned=minor > 0)
        content = a_statement_file([(minor, entry)], name=name)
        await http.post("/v1/statements", content=content, headers=XML)
    paid, returned = await said(database)
    assert isinstance(paid, PaymentMatched)
    assert isinstance(returned, PaymentReturned)
    assert returned.match_id == paid.match_id
    (item,) = (await http.get(f"/v1/items?claim_id={an_entry(1).claim_id}")).json()["items"]
    back = item["payments"][1]["match_id"]
    because = {"by": "F-1", "because": "misread"}
    refused = await http.post(f"/v1/matches/{paid.match_id}/undo", json=because)
    assert (refused.status_code, refused.json()["code"]) == (409, "MATCH_RETURNED")
    assert (await http.post(f"/v1/matches/{back}/undo", json=because)).status_code == 200
    again, _ = await said(database)
    assert isinstance(again, PaymentMatched)
    assert (again.match_id, again.paid, again.open) == (paid.match_id, paid.paid, paid.open)


async def test_a_return_whose_claim_was_paid_again_cannot_be_undone(
    http: httpx.AsyncClient,
) -> None:
    for name, minor in (("P", -10_000), ("R", 10_000), ("A", -10_000)):
        entry = an_xml_entry(minor, REF, returned=minor > 0, bank_id=f"BANK-ID-{name}")
        content = a_statement_file([(minor, entry)], name=name)
        await http.post("/v1/statements", content=content, headers=XML)
    (item,) = (await http.get(f"/v1/items?claim_id={an_entry(1).claim_id}")).json()["items"]
    back = next(one["match_id"] for one in item["payments"] if one["kind"] == "return")
    answer = await http.post(f"/v1/matches/{back}/undo", json={"by": "F-1", "because": "?"})
    assert (answer.status_code, answer.json()["code"]) == (409, "ITEM_PAID_AGAIN")


async def test_a_quarantined_statement_can_only_be_dismissed(http: httpx.AsyncClient) -> None:
    content = a_file(an_xml_statement(total=0, closing=1))
    await http.post("/v1/statements", content=content, headers=XML)
    (one,) = (await http.get("/v1/exceptions?company=ACME")).json()["items"]
    exception = one["exception_id"]
    answer = await resolve(http, exception, claims=[claim(1, "100.00")])
    assert (answer.status_code, answer.json()["code"]) == (409, "NO_LINE")
    assert (await resolve(http, exception, dismiss="the bank sends another")).status_code == 200
    assert (await http.get("/v1/exceptions?company=OTHER")).json()["items"] == []


async def test_what_nobody_knows_is_not_found(http: httpx.AsyncClient) -> None:
    missing = await resolve(http, str(new_id()), dismiss="x")
    assert (missing.status_code, missing.json()["code"]) == (404, "EXCEPTION_NOT_FOUND")
    answer = await http.post(f"/v1/matches/{new_id()}/undo", json={"by": "F-1", "because": "x"})
    assert (answer.status_code, answer.json()["code"]) == (404, "MATCH_NOT_FOUND")
