"""A database that is older than its own topics: it takes back what was said, or does not go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chassis.recall import recall
from contracts.budget import FundsSpent
from tests.delivery.test_chain import Stage, noted, stage
from tests.support import eventually
from tests.support.toy import a_release, toy_handlers

if TYPE_CHECKING:
    from chassis.db import Tx
    from chassis.handlers import Handlers

__all__ = ["stage"]


def with_memory(seen: list[str]) -> Handlers:
    handlers = toy_handlers()

    @handlers.own(FundsSpent)
    async def remember(facts: list[FundsSpent], _: Tx) -> None:
        seen.extend(fact.key for fact in facts)

    return handlers


async def some_said(stage: Stage, count: int) -> None:
    async with stage.running(stage.a_service()):
        await stage.publish(*[a_release(f"k{i}", because=f"N{i}") for i in range(count)])
        await noted(stage, count)


async def given(stage: Stage) -> int:
    async with stage.database.reader() as reader:
        return int(await reader.fetchval("SELECT last_value FROM outbox_id_seq"))


async def set_back(stage: Stage, to: int) -> None:
    async with stage.database.transaction() as tx:
        await tx.execute("SELECT setval(pg_get_serial_sequence('outbox', 'id'), $1)", to)


async def test_a_database_that_is_as_new_as_its_topics_recalls_nothing(stage: Stage) -> None:
    await some_said(stage, 20)
    seen: list[str] = []
    assert await recall(stage.a_service().database, with_memory(seen), stage.kafka) == 0
    assert seen == []


async def test_a_restored_database_takes_back_what_was_said_and_counts_on(stage: Stage) -> None:
    await some_said(stage, 30)
    last = await given(stage)
    await set_back(stage, 10)
    seen: list[str] = []
    assert await recall(stage.a_service().database, with_memory(seen), stage.kafka) == 30
    assert sorted(seen) == sorted(event.key for event in await stage.said("budget.funds-spent.v1"))
    assert await given(stage) == last
    assert await recall(stage.a_service().database, with_memory(seen), stage.kafka) == 0


async def test_a_service_that_cannot_take_back_what_it_said_does_not_go_on(stage: Stage) -> None:
    await some_said(stage, 10)
    await set_back(stage, 1)
    service = stage.a_service()
    await service.start()
    assert "older than what budget has said" in (await service.checks())["start"]
    await stage.publish(a_release("later"))
    with pytest.raises(AssertionError):
        await eventually(lambda: service.intake.consumer.joined, within=2)
    await service.stop()
    assert len(await stage.notes()) == 10


async def test_what_others_put_on_the_topic_is_no_memory_of_ours(stage: Stage) -> None:
    await some_said(stage, 5)
    forged = [("ce_source", b"/somebody"), ("ce_sequence", b"99999999"), ("ce_type", b"x")]
    await stage.publish_raw((b"k", b"{}", forged))
    assert await recall(stage.a_service().database, toy_handlers(), stage.kafka) == 0
