"""Commands at the door, on real PostgreSQL: what is said, what is stored, what is told again."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chassis.errors import Retry
from chassis.handlers import UnreadableRecord
from contracts.claims import ClaimRefused, ClaimSubmitted, ClaimWithdrawn, SubmitClaim
from contracts.envelope import Cause
from contracts.masterdata import CompanyDefined, EmployeeDefined
from contracts.values import claim_id
from services.claims.handlers import (
    claims_are_approved,
    claims_are_rejected,
    define_companies,
    define_employees,
    entries_are_posted,
    payments_are_matched,
    refuse_unreadable,
    take_claims,
    take_claims_back,
)
from services.claims.jobs import judge_held
from services.claims.policy.intake import GRACE
from services.claims.store import shown
from tests.support import eventually, given, new_id, said, violations
from tests.support.claims_values import (
    a_claim,
    a_line,
    a_withdrawal,
    approved,
    define_all,
    matched,
    posted,
    rejected,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chassis.db import Database
    from contracts.envelope import Event
    from services.claims.domain import Standing

    Databases = Callable[[str], Awaitable[Database]]

_DATABASE = "SELECT current_database()"
K1 = claim_id("tests", "K1")


@pytest.fixture
async def database(database_of: Databases) -> Database:
    database = await database_of("claims")
    await define_all(database)
    return database


async def take(database: Database, *claims: SubmitClaim) -> list[Event]:
    async with database.transaction() as tx:
        await take_claims([given(claim) for claim in claims], tx)
    return await said(database)


async def take_back(database: Database, key: str = "K1", *, by: str = "E1") -> list[Event]:
    async with database.transaction() as tx:
        await take_claims_back([given(a_withdrawal(key, by=by))], tx)
    return await said(database)


async def standing(database: Database, key: str = "K1") -> list[Standing]:
    async with database.reader() as reader:
        return await shown.revisions(reader, claim_id("tests", key))


async def kinds(database: Database, key: str = "K1") -> list[str]:
    async with database.reader() as reader:
        return [step.kind for step in await shown.story(reader, claim_id("tests", key))]


def codes(*facts: Event) -> list[str]:
    return [
        reason.code for fact in facts if isinstance(fact, ClaimRefused) for reason in fact.reasons
    ]


async def test_a_batch_is_accepted_and_refused_claim_by_claim(database: Database) -> None:
    facts = await take(database, a_claim("K1"), a_claim("K2", employee="GONE"), a_claim("K3"))
    assert [type(fact) for fact in facts] == [ClaimSubmitted, ClaimRefused, ClaimSubmitted]
    assert codes(*facts) == ["EMPLOYEE_INACTIVE"]
    assert await kinds(database, "K1") == ["claims.claim-submitted.v1"]
    assert await kinds(database, "K2") == ["claims.claim-refused.v1"]
    assert await standing(database, "K2") == []
    assert await violations("claims", database) == []


async def test_what_is_said_follows_from_the_command(database: Database) -> None:
    command = given(a_claim(), correlation_id="trip-7")
    async with database.transaction() as tx:
        await take_claims([command], tx)
    [fact] = await said(database)
    assert fact.meta.causation_id == command.meta.id
    assert fact.meta.correlation_id == "trip-7"
    assert fact.meta.traceparent == command.meta.traceparent


async def test_a_second_delivery_is_not_accepted_twice(database: Database) -> None:
    await take(database, a_claim())
    assert await take(database, a_claim(), a_claim()) == []
    assert len(await standing(database)) == 1


async def test_the_same_claim_twice_in_one_batch_is_accepted_once(database: Database) -> None:
    facts = await take(database, a_claim(), a_claim(), a_claim(purpose="other"))
    assert [type(fact) for fact in facts] == [ClaimSubmitted, ClaimRefused]
    assert codes(*facts) == ["KEY_REUSED"]


async def test_a_batch_rolled_back_leaves_nothing_and_may_come_again(database: Database) -> None:
    async def interrupted() -> None:
        async with database.transaction() as tx:
            await take_claims([given(a_claim())], tx)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await interrupted()
    assert await standing(database) == []
    assert len(await take(database, a_claim())) == 1


async def somebody_waits(database: Database) -> bool:
    async with database.reader() as reader:
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1"
        return bool(await reader.fetchval(waits, await reader.fetchval(_DATABASE)))


@pytest.mark.parametrize(
    ("hear", "fact"),
    [(claims_are_approved, approved()), (payments_are_matched, matched())],
)
async def test_what_another_replica_hears_of_a_claim_just_now_is_not_lost(
    database: Database, hear: Callable[..., Awaitable[None]], fact: Event
) -> None:
    async with database.transaction() as first:
        await hear([given(fact)], first)
        second = asyncio.create_task(take(database, a_claim()))
        await eventually(lambda: somebody_waits(database))
    with pytest.raises(Retry):
        await second
    await take(database, a_claim())
    assert len(await kinds(database)) == 2
    assert await violations("claims", database) == []


async def test_two_replicas_never_both_accept_a_key(database: Database) -> None:
    async with database.transaction() as first:
        await take_claims([given(a_claim())], first)
        second = asyncio.create_task(take(database, a_claim()))
        await eventually(lambda: somebody_waits(database))
    with pytest.raises(Retry):
        await second
    assert len(await said(database)) == 1
    assert await take(database, a_claim()) == []


async def test_a_refused_key_is_free_for_the_corrected_claim(database: Database) -> None:
    await take(database, a_claim(employee="GONE"))
    [fact] = await take(database, a_claim())
    assert isinstance(fact, ClaimSubmitted)
    assert await kinds(database) == ["claims.claim-refused.v1", "claims.claim-submitted.v1"]


async def test_the_next_revision_follows_a_rejection(database: Database) -> None:
    await take(database, a_claim())
    assert codes(*await take(database, a_claim(revision=2))) == ["REVISION_CONFLICT"]
    async with database.transaction() as tx:
        await claims_are_rejected([given(rejected())], tx)
    [fact] = await take(database, a_claim(revision=2))
    assert isinstance(fact, ClaimSubmitted)
    assert [(s.claim.revision, s.claim.state) for s in await standing(database)] == [
        (1, "rejected"),
        (2, "submitted"),
    ]
    assert await violations("claims", database) == []


async def test_possible_duplicates_are_found_across_batches(database: Database) -> None:
    await take(database, a_claim("K1"))
    [fact] = await take(database, a_claim("K2", a_line(1, merchant="Bus"), a_line(2)))
    assert isinstance(fact, ClaimSubmitted)
    assert [(w.line, w.claims) for w in fact.warnings] == [(2, [K1])]


async def test_a_next_revision_is_no_duplicate_of_its_former_one(database: Database) -> None:
    await take(database, a_claim())
    await take_back(database)
    [fact] = await take(database, a_claim(revision=2))
    assert isinstance(fact, ClaimSubmitted)
    assert fact.warnings == []


async def test_an_owner_takes_a_claim_back_once(database: Database) -> None:
    await take(database, a_claim())
    [fact] = await take_back(database)
    assert isinstance(fact, ClaimWithdrawn)
    assert await take_back(database) == []
    assert [s.claim.state for s in await standing(database)] == ["withdrawn"]


async def test_withdrawals_that_cannot_be_are_refused(database: Database) -> None:
    await take(database, a_claim())
    assert codes(*await take_back(database, by="E2")) == ["NOT_THE_OWNER"]
    assert codes(*await take_back(database, "K9")) == ["CLAIM_UNKNOWN"]
    async with database.transaction() as tx:
        await entries_are_posted([given(posted())], tx)
    assert codes(*await take_back(database)) == ["ALREADY_POSTED"]
    assert [s.claim.state for s in await standing(database)] == ["posted"]


async def test_master_data_says_its_last_word(database: Database) -> None:
    async with database.transaction() as tx:
        await define_employees(
            [
                given(EmployeeDefined(company="C1", employee="E1", active=False)),
                given(EmployeeDefined(company="C1", employee="E3", active=False)),
                given(EmployeeDefined(company="C1", employee="E3")),
            ],
            tx,
        )
        await define_companies(
            [given(CompanyDefined(company="C1", name="", currency="CNY", claim_age_days=1))], tx
        )
    assert codes(*await take(database, a_claim())) == ["EMPLOYEE_INACTIVE", "DATE_TOO_OLD"]
    assert codes(*await take(database, a_claim(employee="E3"))) == ["DATE_TOO_OLD"]


# What cannot be read.


def unreadable(value: bytes, code: str = "SCHEMA_INVALID", pointer: str | None = None) -> Any:
    return UnreadableRecord(
        topic="claims.intake",
        partition=3,
        offset=17,
        key=b"K1",
        value=value,
        code=code,
        detail="not readable",
        pointer=pointer,
        cause=Cause(new_id(), "claims.intake@17"),
    )


async def test_an_unreadable_record_is_refused_under_its_place(database: Database) -> None:
    async with database.transaction() as tx:
        await refuse_unreadable([unreadable(b"{", "JSON_MALFORMED")], tx)
    [fact] = await said(database)
    assert isinstance(fact, ClaimRefused)
    assert (fact.source, fact.source_key) == ("unknown", "claims.intake/3@17")
    assert fact.reasons[0].figures == {"record": "claims.intake/3@17"}


async def test_a_half_readable_record_is_refused_in_its_own_story(database: Database) -> None:
    document = json.loads(a_claim().model_dump_json()) | {"company": 7, "employee": ""}
    async with database.transaction() as tx:
        await refuse_unreadable([unreadable(json.dumps(document).encode(), pointer="/company")], tx)
    [fact] = await said(database)
    assert isinstance(fact, ClaimRefused)
    assert [reason.pointer for reason in fact.reasons] == ["/company", "/employee"]
    assert await kinds(database) == ["claims.claim-refused.v1"]


# Claims that others speak of before they come.


async def test_a_claim_goes_on_where_others_have_left_it(database: Database) -> None:
    async with database.transaction() as tx:
        await claims_are_approved([given(approved())], tx)
        await entries_are_posted([given(posted())], tx)
    assert await standing(database) == []
    [fact] = await take(database, a_claim())
    assert isinstance(fact, ClaimSubmitted)
    assert [s.claim.state for s in await standing(database)] == ["posted"]
    assert await violations("claims", database) == []


async def test_a_claim_paid_before_it_came_is_settled_at_once(database: Database) -> None:
    async with database.transaction() as tx:
        await payments_are_matched([given(matched())], tx)
        await entries_are_posted([given(posted())], tx)
    assert await said(database) == []
    assert [fact.kind for fact in await take(database, a_claim())] == [
        "claims.claim-submitted.v1",
        "claims.claim-settled.v1",
    ]


# Master data that comes late.


async def test_a_claim_ahead_of_its_master_data_waits_and_is_accepted(
    database_of: Databases,
) -> None:
    database = await database_of("claims")
    command = given(a_claim(), correlation_id="trip-7")
    async with database.transaction() as tx:
        await take_claims([command], tx)
        await take_claims_back([given(a_withdrawal())], tx)
    assert await said(database) == []
    await judge_held(database)
    assert await said(database) == []
    await define_all(database)
    await judge_held(database)
    facts = await said(database)
    assert [type(fact) for fact in facts] == [ClaimSubmitted, ClaimWithdrawn]
    assert facts[0].meta.causation_id == command.meta.id
    assert facts[0].meta.correlation_id == "trip-7"
    await judge_held(database)
    assert await said(database) == []
    assert [s.claim.state for s in await standing(database)] == ["withdrawn"]


async def test_a_name_that_nobody_defines_is_refused_when_patience_ends(database: Database) -> None:
    assert await take(database, a_claim(employee="E9"), a_claim("K2")) != []
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE held SET since = since - $1::interval", GRACE + timedelta(seconds=1)
        )
    await judge_held(database)
    assert codes(*await said(database)) == ["EMPLOYEE_UNKNOWN"]
    assert await kinds(database) == ["claims.claim-refused.v1"]
