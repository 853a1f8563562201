"""The command line against real Kafka: what arrives, what a second run does, what tail sees."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from contracts.claims import SubmitClaim
from contracts.codec import decode, headers_of
from contracts.values import claim_id
from deploy.local.processes import ProcessMark
from deploy.local.state import KafkaState, ServiceState, State, state_file
from deploy.local.topics import ensure_topics
from deploy.topics import TopicPlan, load_plan
from ledgerbus.addresses import addresses
from ledgerbus.claimfile import ClaimFile
from ledgerbus.errors import CommandError, Exit
from ledgerbus.imports import publish_claims
from ledgerbus.kafka import reader, records, stretches
from ledgerbus.layout import load_layout
from ledgerbus.load import applied, known_records, load
from ledgerbus.organisation import read_organisation
from ledgerbus.sending import meta_of, sending, topic_name
from ledgerbus.tail import Wanted, coming, newest
from tests.support.cli_values import BIRMINGHAM, birmingham

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiokafka import ConsumerRecord

ORGANISATION = """
company: QHCK
companies: [{name: A company, currency: CNY}]
employees: [{employee: E1}, {employee: E2, manager: E1}]
cost_centers: [{cost_center: GM, owner: E1}]
"""
OURS = ProcessMark(pid=1, started_ms=1)
WANTED = ("claims.intake", "masterdata.")


class Told(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Place:
    """A home whose topics nobody else uses, and the command line in it."""

    def __init__(self, home: Path, kafka: str, prefix: str) -> None:
        self.home = home
        self.kafka = kafka
        self.prefix = prefix

    async def ledgerbus(self, *words: str, given: bytes = b"") -> Told:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ledgerbus", *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ
            | {"LEDGERBUS_HOME": str(self.home), "LEDGERBUS_TOPIC_PREFIX": self.prefix},
        )
        out, err = await asyncio.wait_for(process.communicate(given), 60)
        return Told(process.returncode or 0, out.decode(), err.decode())

    async def intake(self) -> list[ConsumerRecord[bytes | None, bytes | None]]:
        topic = f"{self.prefix}claims.intake"
        found = []
        async with reader(self.kafka, [topic]) as consumer:
            async for page in records(consumer, await stretches(consumer, [topic])):
                found += page
        return found


@pytest.fixture
async def place(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    prefix = f"import{uuid.uuid4().hex[:8]}."
    wanted = [topic for topic in load_plan().topics if topic.name.startswith(WANTED)]
    plan = TopicPlan(topics=tuple(wanted)).prefixed(prefix)
    await ensure_topics(kafka, plan)
    home = tmp_path / "home"
    home.mkdir()
    state = State(kafka=KafkaState(address=kafka))
    state_file(home).write_text(state.model_dump_json())
    monkeypatch.setenv("LEDGERBUS_HOME", str(home))
    monkeypatch.setenv("LEDGERBUS_TOPIC_PREFIX", prefix)
    yield Place(home, kafka, prefix)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_topics(list(plan.names))
    await admin.close()


def cards(folder: Path) -> Path:
    file = folder / "cards.csv"
    rows = (
        birmingham() * 2
        + birmingham(billed="-12.00", original="-12.00")
        + birmingham(billed="twelve", original="twelve")
        + "".join(birmingham(billed=f"{n}.00", original=f"{n}.00") for n in range(100, 400))
    )
    file.write_text(BIRMINGHAM + rows)
    return file


async def test_every_row_arrives_as_a_command_of_its_own(place: Place, tmp_path: Path) -> None:
    told = await place.ledgerbus(
        "import", "claims", str(cards(tmp_path)), "--layout", "birmingham", "--json"
    )
    assert told.code == Exit.OK, told.err
    summary = told.document
    assert (summary["rows"], summary["claims"], summary["published"]) == (304, 304, 304)
    assert summary["sums"] == [{"currency": "GBP", "claims": 303, "sum": "74983.22"}]
    assert [(each["code"], each["claims"]) for each in summary["to_be_refused"]] == [
        ("AMOUNT_FORMAT", 1)
    ]
    arrived = await place.intake()
    keys = [(record.key or b"").decode() for record in arrived]
    assert len(set(keys)) == 304
    for record in arrived:
        body = json.loads(record.value or b"")
        assert body["source_key"].encode() == record.key
        if "twelve" in str(body):
            continue
        command = decode(record.headers, record.value)
        assert isinstance(command, SubmitClaim)
        assert command.meta.subject == str(claim_id(command.source, command.source_key))
        assert command.meta.source == "/import/birmingham-pcard"
    assert_traces_begin(place, arrived)


def assert_traces_begin(
    place: Place, arrived: list[ConsumerRecord[bytes | None, bytes | None]]
) -> None:
    lines = (place.home / "spans" / "cli-0.jsonl").read_text().splitlines()
    spans = {span["span_id"]: span for span in map(json.loads, lines)}
    traces = set()
    for record in arrived:
        _, trace, parent, _ = dict(record.headers)["traceparent"].decode().split("-")
        assert spans[parent]["trace_id"] == trace
        assert spans[parent]["kind"] == "PRODUCER"
        assert spans[parent]["attributes"]["messaging.kafka.message.key"].encode() == record.key
        traces.add(trace)
    assert len(traces) == len(arrived)


async def test_a_run_after_one_that_was_cut_off_sends_the_same_commands_under_the_same_keys(
    place: Place, tmp_path: Path
) -> None:
    claims = ClaimFile(cards(tmp_path), load_layout("birmingham"))
    for limit in (100, None):
        async with sending(place.kafka) as sender:
            await publish_claims(sender, claims, limit, lambda: None)
    bodies: dict[bytes, set[bytes]] = {}
    for record in await place.intake():
        bodies.setdefault(record.key or b"", set()).add(record.value or b"")
    assert len(bodies) == 304
    assert {len(versions) for versions in bodies.values()} == {1}


async def test_a_dry_run_sends_nothing(place: Place, tmp_path: Path) -> None:
    told = await place.ledgerbus(
        "import", "claims", str(cards(tmp_path)), "--layout", "birmingham", "--dry-run", "--json"
    )
    assert (told.code, told.document["published"]) == (Exit.OK, 0)
    assert await place.intake() == []


async def test_errors_end_with_their_own_codes(place: Place, tmp_path: Path) -> None:
    file = str(cards(tmp_path))
    for code, words in (
        (Exit.NOT_FOUND, ("import", "claims", file, "--layout", "paris")),
        (Exit.INVALID, ("import", "claims", file, "--layout", "barnet")),
        (Exit.USAGE, ("import", "claims", file)),
    ):
        told = await place.ledgerbus(*words)
        assert told.code == code, (words, told.err)
        assert told.err
        assert not told.out
    state_file(place.home).unlink()
    told = await place.ledgerbus("import", "claims", file, "--layout", "birmingham")
    assert told.code == Exit.UNREACHABLE
    assert "ledgerbus up" in told.err


async def test_what_is_published_is_seen_by_tail_and_so_is_what_nobody_can_read(
    place: Place,
) -> None:
    fields = {"source": "made", "source_key": "M-1", "by": "E1", "reason": "a mistake"}
    body = json.dumps(fields).encode()
    sent = await place.ledgerbus("publish", "withdraw-claim", "-f", "-", "--json", given=body)
    assert sent.code == Exit.OK, sent.err
    claim = str(claim_id("made", "M-1"))
    assert sent.document["claim_id"] == claim
    raw = await place.ledgerbus(
        "publish", "withdraw-claim", "-f", "-", "--raw", "--key", "M-2", given=b"{oops"
    )
    assert raw.code == Exit.OK, raw.err

    seen = await place.ledgerbus("tail", "--topic", "claims.intake", "--since", "10m", "--json")
    first, second = map(json.loads, seen.out.splitlines())
    assert first["headers"]["ce_id"] == sent.document["event_id"]
    assert first["event"]["reason"] == "a mistake"
    assert (second["key"], second["event"], second["raw"]) == ("M-2", None, "{oops")
    assert second["problem"].startswith("JSON_MALFORMED")

    one = await place.ledgerbus("tail", "--topic", "claims.intake", "--claim", "made/M-1")
    assert len(one.out.splitlines()) == 1
    assert "a mistake" in one.out
    topics = [topic_name("claims.intake")]
    async with reader(place.kafka, topics) as consumer:
        last = await newest(consumer, await stretches(consumer, topics), Wanted(), 1)
    assert [line.key for line in last] == ["M-2"]


async def test_tail_follows_what_comes_and_tells_nothing_older(
    place: Place, tmp_path: Path
) -> None:
    claims = ClaimFile(cards(tmp_path), load_layout("birmingham"))
    topics = [topic_name("claims.intake")]
    async with sending(place.kafka) as sender, reader(place.kafka, topics) as consumer:
        await publish_claims(sender, claims, 50, lambda: None)
        found = await stretches(consumer, topics)
        headers = headers_of(meta_of("made.up.v1", "claims.intake", key="new", subject="new"))
        await sender.send_raw("claims.intake", b"new", headers, b"{}")
        await sender.flush()
        async for line in coming(consumer, found, Wanted()):
            assert (line.key, line.problem[:12]) == ("new", "TYPE_UNKNOWN")
            break


async def test_an_organisation_is_loaded_once(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "organisation.yaml"
    file.write_text(ORGANISATION)
    first = await place.ledgerbus("load", "organisation", str(file), "--json")
    assert first.code == Exit.OK, first.err
    assert first.document["published"] == {"companies": 1, "employees": 2, "cost_centers": 1}
    second = await load(addresses(), file, read_organisation(file))
    assert second.plain()["published"] == {}
    assert second.plain()["unchanged"] == first.document["published"]
    file.write_text(ORGANISATION.replace("{employee: E1}", "{employee: E1, name: Ann}"))
    third = await load(addresses(), file, read_organisation(file))
    assert third.plain()["published"] == {"employees": 1}
    known = await known_records(place.kafka)
    assert {key for _, key in known} == {"QHCK", "QHCK/E1", "QHCK/E2", "QHCK/GM"}
    assert getattr(known["masterdata.employees", "QHCK/E1"], "name", "") == "Ann"


async def test_a_reference_to_nothing_is_refused_and_nothing_is_published(
    place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "organisation.yaml"
    file.write_text(ORGANISATION.replace("owner: E1", "owner: E7"))
    with pytest.raises(CommandError, match="no employee 'E7'") as problem:
        await load(addresses(), file, read_organisation(file))
    assert problem.value.code == Exit.INVALID
    assert await known_records(place.kafka) == {}


async def test_loading_waits_until_every_service_has_applied_it(
    place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "organisation.yaml"
    file.write_text(ORGANISATION)
    service = ServiceState(name="budget", replica=0, url="", port=1, process=OURS)
    state = State(kafka=KafkaState(address=place.kafka), services=[service])
    state_file(place.home).write_text(state.model_dump_json())
    where = addresses()
    with pytest.raises(CommandError, match="budget has not joined its consumer group"):
        await load(where, file, read_organisation(file), within_s=1)

    consumer = AIOKafkaConsumer(
        f"{place.prefix}masterdata.companies",
        f"{place.prefix}masterdata.employees",
        bootstrap_servers=place.kafka,
        group_id=f"{place.prefix}budget",
        group_instance_id=f"{place.prefix}budget-0",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        with pytest.raises(CommandError, match=r"2 records of .*employees to apply") as problem:
            await load(where, file, read_organisation(file), within_s=3)
        assert "running this again only waits" in problem.value.fix
        waiting = asyncio.create_task(applied(where, within_s=20))
        seen = 0
        while seen < 3:
            seen += sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
        assert not waiting.done()
        await consumer.commit()
        assert await waiting == ["budget"]
    finally:
        await consumer.stop()
