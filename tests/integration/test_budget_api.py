"""What budget tells over HTTP."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from services.budget.handlers import handlers
from tests.support import client_of, given, new_id
from tests.support.budget_values import (
    COMPANY,
    a_budget,
    a_claim,
    a_company,
    approved,
    failed,
    posted,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

    from chassis.db import Database
    from contracts.envelope import Event


async def tell(database: Database, *facts: Event) -> None:
    for fact in facts:
        async with database.transaction() as tx:
            await handlers.by_kind[fact.kind]([given(fact)], tx)


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    database = await database_of("budget")
    await tell(
        database,
        a_company(),
        a_company("OTHER"),
        a_budget("CC-1/Q4", 6_000, parent="ALL", cost_center="CC-1", starts_on=date(2026, 10, 1)),
        a_budget("CC-2", 500, parent="ALL", cost_center="CC-2", thresholds=[90]),
        a_budget("ALL", 10_000, project="none of its own"),
        a_budget("LATE", 100, company="OTHER", parent="NAMED"),
    )
    return database


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of("budget", database) as client:
        yield client


async def names(http: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await http.get("/v1/budgets", params=query)
    assert answer.status_code == 200
    return [one["budget"] for one in answer.json()["items"]]


async def test_budgets_are_listed_by_company_and_code(http: httpx.AsyncClient) -> None:
    assert await names(http) == ["ALL", "CC-1/Q4", "CC-2", "LATE", "NAMED"]
    assert await names(http, company="OTHER") == ["LATE", "NAMED"]
    assert await names(http, cost_center="CC-2") == ["CC-2"]
    assert await names(http, company=COMPANY, on="2026-06-30") == ["ALL", "CC-2"]
    assert await names(http, company="NOBODY") == []


async def test_pages_follow_each_other_until_the_last(http: httpx.AsyncClient) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = (await http.get("/v1/budgets", params={"limit": "2"} | cursor)).json()
        seen += [one["budget"] for one in page["items"]]
        cursor = {"cursor": page["next"] or ""}
    assert page["next"] is None
    assert seen == ["ALL", "CC-1/Q4", "CC-2", "LATE", "NAMED"]


async def test_a_budget_shows_its_figures_and_what_it_holds(
    http: httpx.AsyncClient, database: Database
) -> None:
    claims = sorted((a_claim(minor) for minor in (100, 200, 300)), key=lambda one: one.claim_id)
    await tell(database, *claims, *map(approved, claims), posted(claims[0]))
    answer = await http.get(f"/v1/budgets/{COMPANY}/CC-1/Q4", params={"limit": 1})
    assert answer.status_code == 200
    shown = answer.json()
    spent, *held = [claim.total.minor for claim in claims]
    budget = shown["budget"]
    assert budget["limit"] == {"amount": "60.00", "currency": "CNY"}
    assert budget["reserved"]["amount"] == f"{sum(held) / 100:.2f}"
    assert budget["spent"]["amount"] == f"{spent / 100:.2f}"
    assert budget["available"]["amount"] == f"{(6_000 - 600) / 100:.2f}"
    assert (budget["parent"], budget["cost_center"], budget["project"]) == ("ALL", "CC-1", None)
    page = shown["reservations"]
    assert [one["claim_id"] for one in page["items"]] == [str(claims[1].claim_id)]
    rest = await http.get(f"/v1/budgets/{COMPANY}/CC-1%2FQ4", params={"cursor": page["next"]})
    (last,) = rest.json()["reservations"]["items"]
    assert last["claim_id"] == str(claims[2].claim_id)
    assert last["amount"] == {"amount": f"{held[1] / 100:.2f}", "currency": "CNY"}


async def test_a_parent_that_is_only_named_has_no_dates(http: httpx.AsyncClient) -> None:
    budget = (await http.get("/v1/budgets/OTHER/NAMED")).json()["budget"]
    assert budget["defined"] is False
    assert (budget["starts_on"], budget["ends_on"]) == (None, None)


async def test_a_claim_shows_what_each_revision_holds_where(
    http: httpx.AsyncClient, database: Database
) -> None:
    first = a_claim(400)
    second = a_claim(300, claim_id=first.claim_id, revision=2)
    await tell(database, first, approved(first), failed(first), second, approved(second))
    answer = await http.get(f"/v1/claims/{first.claim_id}")
    assert answer.status_code == 200
    shown = answer.json()["revisions"]
    assert [(one["revision"], one["state"], one["entry"]) for one in shown] == [
        (1, "released", "failed"),
        (2, "reserved", None),
    ]
    assert shown[1]["parts"] == [
        {"budget": "CC-1/Q4", "amount": {"amount": "3.00", "currency": "CNY"}},
        {"budget": "ALL", "amount": {"amount": "3.00", "currency": "CNY"}},
    ]


async def test_what_is_not_there_says_so_with_a_code(http: httpx.AsyncClient) -> None:
    for path, status, code in [
        (f"/v1/budgets/{COMPANY}/NOTHING", 404, "BUDGET_NOT_FOUND"),
        (f"/v1/claims/{new_id()}", 404, "CLAIM_NOT_FOUND"),
        ("/v1/claims/not-a-uuid", 422, "SCHEMA_INVALID"),
        ("/v1/budgets?cursor=!", 422, "CURSOR_INVALID"),
        ("/v1/budgets?cursor=WyJ4Il0=", 422, "CURSOR_INVALID"),
        ("/v1/budgets?cursor=WyJcdTAwMDAiLCJ4Il0=", 422, "CURSOR_INVALID"),
        ("/v1/budgets?company=%00", 422, "SCHEMA_INVALID"),
        ("/v1/budgets?project=a%00", 422, "SCHEMA_INVALID"),
        (f"/v1/budgets/{COMPANY}/a%00", 422, "SCHEMA_INVALID"),
        ("/v1/budgets?on=tomorrow", 422, "SCHEMA_INVALID"),
    ]:
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


async def test_a_cursor_of_another_list_is_refused(http: httpx.AsyncClient) -> None:
    cursor = (await http.get("/v1/budgets", params={"limit": 1})).json()["next"]
    answer = await http.get(f"/v1/budgets/{COMPANY}/ALL", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "CURSOR_INVALID")
