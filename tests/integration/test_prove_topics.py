"""The prover and the bank on real topics: read to their ends, folded once, paid once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from contracts.claims import SubmitClaim, WithdrawClaim
from contracts.codec import encode
from contracts.envelope import Meta
from contracts.masterdata import CompanyDefined
from contracts.values import PaidBy
from ledgerbus import bank, bank_score
from ledgerbus import reading as reading_module
from ledgerbus.addresses import Addresses
from ledgerbus.conservation import prove
from ledgerbus.errors import CommandError
from ledgerbus.kafka import reader, stretches
from ledgerbus.prove import Proof, proven
from ledgerbus.reading import ENDS, read_everything
from ledgerbus.sending import PREFIX, new_id, now
from ledgerbus.statements import TYPES
from tests.support.story_values import Tale, cny

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from contracts.envelope import Event

PARTITIONS = 3
ACCOUNT = "CN-DEMO-0001"


class Broker:
    """Topics of this test's own, and a producer that says things twice when asked to."""

    def __init__(self, servers: str, prefix: str, root: Path) -> None:
        self.prefix = prefix
        self.where = Addresses(root, servers, {}, root / "spans")
        self.producer = AIOKafkaProducer(bootstrap_servers=servers)

    async def say(self, *events: Event, times: int = 1) -> None:
        """Publish events, each `times` times under one id, as a relay does after a crash."""
        for event in events:
            meta = Meta(new_id(), event.kind, "/tests", event.key, now())
            headers, body = encode(event, meta)
            for _ in range(times):
                await self.producer.send_and_wait(
                    self.prefix + event.topic, body, key=event.key.encode(), headers=headers
                )

    async def raw(self, topic: str, body: bytes, kind: str) -> None:
        """Publish a body as it is."""
        headers = [("ce_type", kind.encode()), ("ce_id", str(new_id()).encode())]
        headers.append(("ce_time", now().isoformat().encode()))
        await self.producer.send_and_wait(self.prefix + topic, body, key=b"k", headers=headers)

    async def taken(self, service: str, *topics: str) -> None:
        """Let a service have taken all that is on the topics by now."""
        names = [self.prefix + topic for topic in topics]
        async with reader(self.where.kafka, names) as whole:
            ends = {part: there.end for part, there in (await stretches(whole, names)).items()}
        group = AIOKafkaConsumer(bootstrap_servers=self.where.kafka, group_id=self.prefix + service)
        group.assign(list(ends))
        await group.start()
        await group.commit(ends)
        await group.stop()


@pytest.fixture
async def broker(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Broker]:
    prefix = f"t{new_id().hex[-12:]}."
    monkeypatch.setenv(PREFIX, prefix)
    names = [f"{prefix}{topic}" for topic in (*ENDS, CompanyDefined.topic)]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    broker = Broker(kafka, prefix, tmp_path)
    await broker.producer.start()
    yield broker
    await broker.producer.stop()
    await admin.delete_topics(names)
    await admin.close()


def a_command(tale: Tale) -> SubmitClaim:
    """The command behind a tale."""
    line = tale.submitted().lines[0]
    return SubmitClaim(
        source="test",
        source_key=tale.key,
        company=tale.company,
        employee="E-1",
        paid_by=PaidBy.EMPLOYEE,
        lines=[line],
        total=tale.total,
    )


async def test_stories_are_read_from_all_topics_and_what_came_twice_counts_once(
    broker: Broker,
) -> None:
    tales = [Tale(f"K-{number}", cny(f"{number + 1}.00")) for number in range(20)]
    await broker.say(*(a_command(tale) for tale in tales))
    for tale in tales:
        await broker.say(*tale.whole(), times=2)
    reading = await read_everything(broker.where)
    table = prove(reading.stories, from_the_start=reading.from_the_start)
    assert table.proven
    assert table.by_state == {"settled": 20}
    assert (reading.commands, reading.unanswered) == (20, [])
    assert reading.stories.facts == reading.stories.repeats == 20 * len(tales[0].whole())
    assert reading.newest
    assert sum(reading.offsets[f"{broker.prefix}claims.events"].values()) == 20 * 2 * 2


async def test_a_command_without_an_answer_is_under_way_and_with_another_total_a_violation(
    broker: Broker,
) -> None:
    answered, other = Tale("K-1"), Tale("K-2")
    withdrawn = WithdrawClaim(source="test", source_key="K-1", by="E-1")
    await broker.say(a_command(answered), withdrawn, a_command(other), a_command(Tale("K-3")))
    await broker.say(answered.submitted(), answered.withdrawn(), other.submitted(cny("1.00")))
    reading = await read_everything(broker.where)
    assert [(each.key, each.lost) for each in reading.unanswered] == [("K-3", False)]
    found = prove(reading.stories).violations
    assert [(each.invariant, each.subject) for each in found] == [("intake-total", other.name)]


async def test_a_fact_that_cannot_be_read_is_named_by_its_position(broker: Broker) -> None:
    await broker.raw("posting.events", b"{", "posting.entry-posted.v1")
    await broker.raw("posting.events", b"{}", "posting.nobody-counts-this.v1")
    (violation,) = prove((await read_everything(broker.where)).stories).violations
    assert violation.invariant == "fact-readable"
    assert violation.subject.startswith(f"{broker.prefix}posting.events/")


async def test_the_bank_pays_what_is_new_once_and_not_what_was_turned_back(broker: Broker) -> None:
    company = CompanyDefined(company="ACME", name="甲", currency="CNY", bank_accounts=[ACCOUNT])
    kept, turned, homeless = Tale("K-1"), Tale("K-2"), Tale("K-3", company="NOWHERE")
    await broker.say(company, kept.recorded(), turned.recorded(), turned.turned_back()[1])
    await broker.say(homeless.recorded())
    desk, working = await bank.pay(broker.where, seed=1, noise=True)
    assert (working.payments, working.without_account) == (1, ["NOWHERE"])
    assert [(desk.folder / name).suffix in TYPES for name in desk.undelivered] == [True]
    assert str(kept.entry_id()).encode() in desk.truth.read_bytes()

    again, nothing = await bank.pay(broker.where, seed=1, noise=True)
    assert (nothing.payments, again.undelivered) == (0, desk.undelivered)
    await broker.say(Tale("K-4").recorded())
    more, one = await bank.pay(broker.where, seed=1, noise=True)
    assert (one.payments, len(more.undelivered)) == (1, 2)
    assert len(more.truth.read_bytes().splitlines()) == 2
    assert more.accounts[ACCOUNT].number == 2


async def test_an_interrupted_run_of_the_bank_leaves_no_trace(broker: Broker) -> None:
    company = CompanyDefined(company="ACME", name="甲", currency="CNY", bank_accounts=[ACCOUNT])
    await broker.say(company, Tale("K-1").recorded())
    desk, _ = await bank.pay(broker.where, seed=1, noise=False)
    whole = desk.truth.read_bytes()
    with desk.truth.open("ab") as truth:
        truth.write(b'{"a line of a run that was killed": ')
    await bank.pay(broker.where, seed=1, noise=False)
    assert desk.truth.read_bytes() == whole


async def test_a_desk_of_another_system_is_not_used(broker: Broker) -> None:
    desk = bank.Desk.of(broker.where.root)
    desk.folder.mkdir()
    desk.offsets = {"0": 17}
    desk.save()
    with pytest.raises(CommandError, match="another system"):
        await bank.pay(broker.where, seed=1, noise=False)


async def test_a_command_consumed_long_ago_and_never_answered_is_lost(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "ANSWER_S", -1)
    await broker.say(a_command(Tale("K-1")))
    await broker.taken("claims", "claims.intake")
    reading = await read_everything(broker.where)
    assert [(each.key, each.lost) for each in reading.unanswered] == [("K-1", True)]
    (violation,) = Proof(reading, prove(reading.stories), {}).violations
    assert violation["invariant"] == "answered"


async def test_a_consequence_is_missed_once_its_cause_was_taken_long_enough_ago(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tale = Tale()
    await broker.say(*tale.until_posted())

    async def missed() -> list[tuple[str, str]]:
        table = prove((await read_everything(broker.where)).stories)
        return [(each.invariant, each.subject) for each in table.violations]

    monkeypatch.setattr(reading_module, "QUIET_S", -1)
    await broker.taken("claims", "posting.events")
    assert await missed() == []
    await broker.taken("budget", "posting.events")
    assert await missed() == [("spent-after-posted", tale.name)]
    monkeypatch.setattr(reading_module, "QUIET_S", 60)
    assert await missed() == []


async def test_a_service_that_cannot_be_asked_is_named_and_the_table_stands(broker: Broker) -> None:
    await broker.say(*Tale().whole())
    where = replace(broker.where, services={"budget": "http://127.0.0.1:9"})
    dead = f"{broker.prefix}dlq.budget"
    admin = AIOKafkaAdminClient(bootstrap_servers=where.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(dead, 1, 1)])
    proof = await proven(where)
    await admin.delete_topics([dead])
    await admin.close()
    assert list(proof.unreachable) == ["budget"]
    assert proof.holds
    assert proof.table.by_state == {"settled": 1}


async def test_what_lies_on_a_dead_letter_topic_is_counted_and_judged_by_its_service_alone(
    broker: Broker,
) -> None:
    where = replace(broker.where, services={"budget": "http://127.0.0.1:9"})
    topic = f"{broker.prefix}dlq.budget"
    admin = AIOKafkaAdminClient(bootstrap_servers=where.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    headers = [("dlq-error-code", b"ID_COLLISION"), ("ce_type", b"posting.entry-posted.v1")]
    await broker.producer.send_and_wait(topic, b"{}", key=b"k", headers=headers)
    await broker.producer.send_and_wait(topic, b"rubbish", key=None, headers=headers[:-1])
    proof = await proven(where)
    await admin.delete_topics([topic])
    await admin.close()
    assert proof.reading.dead_letters == {"budget": 2}
    assert proof.violations == []
    assert list(proof.unreachable) == ["budget"]


async def test_rubbish_on_the_topics_stops_neither_the_bank_nor_its_score(broker: Broker) -> None:
    company = CompanyDefined(company="ACME", name="甲", currency="CNY", bank_accounts=[ACCOUNT])
    tale = Tale()
    await broker.say(company, tale.recorded(), tale.paid())
    for topic in ("posting.entries", "reconcile.events", CompanyDefined.topic):
        await broker.producer.send_and_wait(broker.prefix + topic, b"\x00rubbish")
    desk, working = await bank.pay(broker.where, seed=1, noise=False)
    assert working.payments == 1
    score = bank_score.Score()
    bank_score.read_truth(desk.truth, score)
    await bank_score.read_matches(broker.where, score)
    assert (score.true.total(), score.said.total()) == (1, 1)
