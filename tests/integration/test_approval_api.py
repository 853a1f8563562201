"""Approval over HTTP: people decide, once, and only those who may."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from contracts.approval import ClaimApproved, ClaimRejected, StepOpened
from contracts.masterdata import EmployeeDefined
from services.approval.handlers import (
    decide_checked_claims,
    define_companies,
    define_cost_centers,
    define_employees,
    define_projects,
    note_claims,
    publish_rules,
    take_back_claims,
)
from tests.support import client_of, given, new_id, said, violations
from tests.support.approval_values import (
    COMPANY,
    a_check,
    a_claim,
    a_line,
    a_rule,
    a_step,
    a_withdrawal,
    master_records,
    when,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

    from chassis.db import Database
    from contracts.claims import ClaimSubmitted

TWO_STEPS = a_rule(
    "LARGE",
    a_step("manager", name="Manager"),
    a_step("employee:zhao", "employee:sun", name="Finance", quorum="all"),
    conditions=when("total > 1000"),
    priority=10,
)
FALLBACK = a_rule("FALLBACK", a_step("manager", name="Manager"), priority=900)


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    made = await database_of("approval")
    records: dict[str, list[Any]] = {}
    for record in master_records():
        records.setdefault(type(record).__name__, []).append(given(record))
    async with made.transaction() as tx:
        await define_companies(records["CompanyDefined"], tx)
        await define_employees(records["EmployeeDefined"], tx)
        await define_cost_centers(records["CostCenterDefined"], tx)
        await define_projects(records["ProjectDefined"], tx)
        await publish_rules([given(TWO_STEPS), given(FALLBACK)], tx)
    return made


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of("approval", database) as client:
        yield client


async def opened(database: Database, *claims: ClaimSubmitted) -> list[StepOpened]:
    """The steps that open for these claims."""
    async with database.transaction() as tx:
        await note_claims([given(claim) for claim in claims], tx)
        await decide_checked_claims([given(a_check(claim, "over")) for claim in claims], tx)
    steps = {fact.claim_id: fact for fact in await said(database) if isinstance(fact, StepOpened)}
    return [steps[claim.claim_id] for claim in claims]


async def decide(
    http: httpx.AsyncClient, task_id: object, by: str, reason: str = "", **headers: str
) -> httpx.Response:
    """Approve a task, or reject it when there is a reason."""
    if reason:
        body = {"by": by, "reason": reason}
        return await http.post(f"/v1/tasks/{task_id}/reject", json=body, headers=headers)
    return await http.post(f"/v1/tasks/{task_id}/approve", json={"by": by}, headers=headers)


async def open_for(http: httpx.AsyncClient, approver: str) -> list[dict[str, Any]]:
    """What waits for a person."""
    answer = await http.get("/v1/tasks", params={"approver": approver, "company": COMPANY})
    assert answer.status_code == 200
    return list(answer.json()["items"])


async def test_a_task_shows_what_the_decision_needs(
    database: Database, http: httpx.AsyncClient
) -> None:
    lines = [a_line(1, "4000.00", project="P-1"), a_line(2, "1000.00", category="meals")]
    claim = a_claim("5000.00", lines=lines, purpose="Shanghai fair")
    [step] = await opened(database, claim)
    [shown] = await open_for(http, "wang")
    assert shown == (await http.get(f"/v1/tasks/{step.task_id}")).json()
    assert shown["since"]
    expected = {
        "claim_id": str(claim.claim_id),
        "revision": 1,
        "claim_state": "open",
        "company": COMPANY,
        "claimant": "lin",
        "claimant_name": "Lin",
        "total": {"amount": "5000.00", "currency": "CNY"},
        "paid_by": "employee",
        "cost_centers": ["CC-100"],
        "projects": ["P-1"],
        "categories": ["meals", "travel"],
        "purpose": "Shanghai fair",
        "possible_duplicates": 0,
        "budget": "over",
        "rule": "LARGE",
        "rule_version": 1,
        "task_id": str(step.task_id),
        "step": 1,
        "name": "Manager",
        "quorum": "any",
        "state": "open",
        "closed_at": None,
    }
    assert {name: shown[name] for name in expected} == expected
    assert shown["approvers"] == [
        {
            "approver": "wang",
            "reference": "manager",
            "verdict": "asked",
            "at": None,
            "comment": "",
        }
    ]


async def test_people_carry_a_claim_through_its_steps(
    database: Database, http: httpx.AsyncClient
) -> None:
    claim = a_claim("5000.00")
    [first] = await opened(database, claim)
    answer = await decide(http, first.task_id, "wang")
    assert (answer.status_code, answer.json()["state"]) == (200, "approved")
    [second] = await said(database)
    assert isinstance(second, StepOpened)
    assert (second.step, set(second.approvers), second.quorum) == (2, {"zhao", "sun"}, "all")
    assert second.meta.causation_id == first.meta.id
    assert second.meta.correlation_id == first.meta.correlation_id
    assert second.meta.traceparent != first.meta.traceparent

    assert (await decide(http, second.task_id, "sun")).json()["state"] == "open"
    assert await said(database) == []
    assert await open_for(http, "sun") == []
    assert len(await open_for(http, "zhao")) == 1

    assert (await decide(http, second.task_id, "zhao")).json()["claim_state"] == "approved"
    [approved] = await said(database)
    assert isinstance(approved, ClaimApproved)
    assert approved.total == claim.total
    assert (approved.route, approved.rule, approved.rule_version) == ("people", "LARGE", 1)
    assert [(one.step, one.by) for one in approved.decisions] == [
        (1, "wang"),
        (2, "sun"),
        (2, "zhao"),
    ]
    assert approved.meta.causation_id == second.meta.id
    assert await violations("approval", database) == []


async def test_a_no_needs_a_reason_and_ends_the_claim(
    database: Database, http: httpx.AsyncClient
) -> None:
    [step] = await opened(database, a_claim("5000.00"))
    path = f"/v1/tasks/{step.task_id}/reject"
    for body in ({"by": "wang"}, {"by": "wang", "reason": "  "}, {"by": "wang", "reason": "\x00"}):
        answer = await http.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "SCHEMA_INVALID")
    answer = await decide(http, step.task_id, "wang", reason="the receipt is missing")
    assert (answer.status_code, answer.json()["claim_state"]) == (200, "rejected")
    [rejected] = await said(database)
    assert isinstance(rejected, ClaimRejected)
    assert rejected.by == "wang"
    assert [(one.code, one.detail) for one in rejected.reasons] == [
        ("REJECTED_BY_APPROVER", "the receipt is missing")
    ]
    again = await decide(http, step.task_id, "wang")
    assert (again.status_code, again.json()["code"]) == (409, "STEP_CLOSED")
    assert await violations("approval", database) == []


@pytest.mark.parametrize("reason", ["", "no"])
async def test_a_decision_is_refused_with_its_code(
    database: Database, http: httpx.AsyncClient, reason: str
) -> None:
    open_claim, gone, done = a_claim("5000.00"), a_claim("5000.00"), a_claim("5000.00")
    steps = await opened(database, open_claim, gone, done)
    async with database.transaction() as tx:
        await take_back_claims([given(a_withdrawal(gone))], tx)
    await decide(http, steps[2].task_id, "wang")
    await said(database)
    for task_id, by, status, code in [
        (steps[0].task_id, "lin", 403, "SELF_APPROVAL"),
        (steps[0].task_id, "sun", 403, "NOT_AN_APPROVER"),
        (steps[1].task_id, "wang", 409, "CLAIM_WITHDRAWN"),
        (steps[2].task_id, "wang", 409, "STEP_CLOSED"),
        (new_id(), "wang", 404, "TASK_NOT_FOUND"),
    ]:
        answer = await decide(http, task_id, by, reason=reason)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
    assert await said(database) == []


async def test_a_repeated_request_decides_once(database: Database, http: httpx.AsyncClient) -> None:
    [step] = await opened(database, a_claim("5000.00"))
    headers = {"Idempotency-Key": "one-click"}
    first = await decide(http, step.task_id, "wang", **headers)
    second = await decide(http, step.task_id, "wang", **headers)
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert len(await said(database)) == 1


async def test_of_many_clicks_at_once_one_decides(
    database: Database, http: httpx.AsyncClient
) -> None:
    [step] = await opened(database, a_claim("5000.00"))
    answers = await asyncio.gather(
        *(decide(http, step.task_id, "wang", reason="no" * (number % 2)) for number in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    assert len(await said(database)) == 1
    assert await violations("approval", database) == []


async def test_approver_and_withdrawal_at_once_agree_on_one_end(
    database: Database, http: httpx.AsyncClient
) -> None:
    claims = [a_claim("500.00") for _ in range(8)]
    steps = await opened(database, *claims)

    async def withdraw(claim: ClaimSubmitted) -> None:
        async with database.transaction() as tx:
            await take_back_claims([given(a_withdrawal(claim))], tx)

    answers, _ = await asyncio.gather(
        asyncio.gather(*(decide(http, step.task_id, "wang") for step in steps)),
        asyncio.gather(*(withdraw(claim) for claim in claims)),
    )
    approved = {fact.claim_id for fact in await said(database) if isinstance(fact, ClaimApproved)}
    for answer, step in zip(answers, steps, strict=True):
        assert (answer.status_code == 200) is (step.claim_id in approved)
        assert answer.status_code == 200 or answer.json()["code"] == "CLAIM_WITHDRAWN"
    assert await open_for(http, "wang") == []
    assert await violations("approval", database) == []


async def test_someone_who_has_left_decides_nothing(
    database: Database, http: httpx.AsyncClient
) -> None:
    [step] = await opened(database, a_claim("500.00"))
    left = EmployeeDefined(company=COMPANY, employee="wang", manager="chen", active=False)
    async with database.transaction() as tx:
        await define_employees([given(left)], tx)
    assert await open_for(http, "wang") == []
    assert (await decide(http, step.task_id, "wang")).status_code in {403, 409}
    assert (await decide(http, step.task_id, "chen")).status_code == 200


async def test_tasks_come_in_pages_the_oldest_first(
    database: Database, http: httpx.AsyncClient
) -> None:
    steps = await opened(database, *(a_claim(f"{number}.00") for number in range(1, 8)))
    await decide(http, steps[0].task_id, "wang")
    await decide(http, steps[1].task_id, "wang", reason="no")
    wanted = sorted(str(step.task_id) for step in steps[2:])
    for query in ({"approver": "wang"}, {"company": COMPANY}, {}):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await http.get("/v1/tasks", params={"limit": 2, **query, **cursor})).json()
            seen += [one["task_id"] for one in page["items"]]
            assert len(page["items"]) <= 2
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert seen == wanted
    for state, step in [("approved", steps[0]), ("rejected", steps[1])]:
        for query in ({"approver": "wang"}, {"company": COMPANY}):
            answer = await http.get("/v1/tasks", params={"state": state, **query})
            assert [one["task_id"] for one in answer.json()["items"]] == [str(step.task_id)]
    other = await http.get("/v1/tasks", params={"company": "other"})
    assert other.json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/tasks", {"cursor": "W10="}),
        ("/v1/tasks", {"cursor": "WyJ4Il0="}),
        ("/v1/rules", {"cursor": "WyJ4Il0="}),
        ("/v1/rules", {"cursor": "WyJhIiwiYiIsIjk5OTk5OTk5OTk5Il0="}),
    ],
)
async def test_a_forged_cursor_is_refused(
    http: httpx.AsyncClient, path: str, query: dict[str, str]
) -> None:
    answer = await http.get(path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "CURSOR_INVALID")


async def test_rules_are_shown_with_what_is_in_force(
    database: Database, http: httpx.AsyncClient
) -> None:
    async with database.transaction() as tx:
        await publish_rules(
            [given(a_rule("FALLBACK", a_step("manager"), version=2, priority=900))], tx
        )
    answer = await http.get("/v1/rules", params={"company": COMPANY})
    shown = [
        (one["rule"], one["version"], one["in_force"], one["fallback"])
        for one in answer.json()["items"]
    ]
    assert shown == [
        ("FALLBACK", 1, False, True),
        ("FALLBACK", 2, True, True),
        ("LARGE", 1, True, False),
    ]
    assert answer.json()["items"][2]["sentence"] == (
        "WHEN total > 1000 CNY "
        "THEN Manager (any of manager), then Finance (all of employee:zhao, employee:sun)"
    )
    page = (await http.get("/v1/rules", params={"limit": 2})).json()
    rest = (await http.get("/v1/rules", params={"cursor": page["next"]})).json()
    assert [one["rule"] for one in [*page["items"], *rest["items"]]] == [
        "FALLBACK",
        "FALLBACK",
        "LARGE",
    ]


async def test_a_claim_shows_how_each_revision_was_decided(
    database: Database, http: httpx.AsyncClient
) -> None:
    claim = a_claim("500.00", key="K-STORY")
    [step] = await opened(database, claim)
    await decide(http, step.task_id, "wang", reason="too late")
    await opened(database, a_claim("400.00", key="K-STORY", revision=2))
    shown = (await http.get(f"/v1/claims/{claim.claim_id}")).json()
    first, second = shown["revisions"]
    assert (first["claim_state"], first["reason"]) == ("rejected", "REJECTED_BY_APPROVER")
    assert first["steps"][0]["approvers"][0]["comment"] == "too late"
    assert (second["claim_state"], second["total"]["amount"]) == ("open", "400.00")
    unknown = await http.get(f"/v1/claims/{new_id()}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "CLAIM_NOT_FOUND")


async def test_a_handover_that_completes_a_step_finds_whom_the_next_one_names(
    database: Database, http: httpx.AsyncClient
) -> None:
    both = a_step("manager", "employee:chen", name="Both", quorum="all")
    async with database.transaction() as tx:
        await publish_rules([given(a_rule("NAMED", both, a_step("employee:ma"), priority=1))], tx)
    [step] = await opened(database, a_claim())
    assert (await decide(http, step.task_id, "chen")).status_code == 200
    left = EmployeeDefined(company=COMPANY, employee="wang", manager="chen", active=False)
    async with database.transaction() as tx:
        await define_employees([given(left)], tx)
    [fact] = await said(database)
    assert isinstance(fact, StepOpened)
    assert fact.approvers == ["ma"]
