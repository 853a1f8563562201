"""Up, again, after a kill, beside a taken port, and with servers of somebody else."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local import Stack, StackError, ensure_topics
from deploy.local.processes import ProcessMark, find, mark_of
from deploy.topics import TopicPlan
from tests.stack.conftest import PLAN, a_topic

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local import Endpoints


async def pids(stack: Stack) -> dict[str, int | None]:
    return {server.name: server.pid for server in await stack.status()}


async def keep(endpoints: Endpoints, word: str) -> None:
    """Write a word to both servers, durably."""
    producer = AIOKafkaProducer(bootstrap_servers=endpoints.kafka, acks="all")
    await producer.start()
    await producer.send_and_wait("tests.facts", word.encode(), partition=0)
    await producer.stop()
    connection = await asyncpg.connect(endpoints.postgres)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", word)
    await connection.close()


async def kept(endpoints: Endpoints) -> tuple[set[str], set[str]]:
    """The words Kafka has, and those PostgreSQL has."""
    connection = await asyncpg.connect(endpoints.postgres)
    rows = await connection.fetch("SELECT word FROM kept")
    await connection.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=endpoints.kafka, auto_offset_reset="earliest")
    await consumer.start()
    partition = TopicPartition("tests.facts", 0)
    consumer.assign([partition])
    end = (await consumer.end_offsets([partition]))[partition]
    words: set[str] = set()
    while await consumer.position(partition) < end:
        batch = await consumer.getmany(timeout_ms=1000)
        words |= {record.value.decode() for records in batch.values() for record in records}
    await consumer.stop()
    return words, {row["word"] for row in rows}


async def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before = await pids(stack)
    first, second = await stack.up(PLAN), await stack.up(PLAN)
    assert first == second
    assert await pids(stack) == before
    assert None not in before.values()
    assert all(server.ready for server in await stack.status())


async def test_everything_survives_a_kill(stack: Stack) -> None:
    endpoints = await stack.up(PLAN)
    await keep(endpoints, "before the kill")
    idle = await asyncpg.connect(endpoints.postgres)  # A session that outlives its server briefly.
    before = await pids(stack)
    for pid in before.values():
        assert pid is not None
        psutil.Process(pid).send_signal(signal.SIGKILL)
    again = await stack.up(PLAN)
    await keep(again, "after the kill")
    words = {"before the kill", "after the kill"}
    assert await kept(again) == (words, words)
    assert again == endpoints
    assert not set(before.values()) & set((await pids(stack)).values())
    idle.terminate()


async def test_a_clean_stop_keeps_everything_and_a_taken_port_is_avoided(stack: Stack) -> None:
    before = await stack.up(PLAN)
    await keep(before, "before the stop")
    assert await stack.down() == []
    assert await stack.down() == []
    assert not any(server.ready for server in await stack.status())
    taken = [socket.create_server(("127.0.0.1", port_of(each))) for each in addresses(before)]
    try:
        after = await stack.up(PLAN)
    finally:
        for each in taken:
            each.close()
    assert not set(addresses(after)) & set(addresses(before))
    in_kafka, in_postgres = await kept(after)
    assert "before the stop" in in_kafka & in_postgres


async def test_what_runs_is_found_again_without_its_state(stack: Stack) -> None:
    endpoints = await stack.up(PLAN)
    postmaster = (await pids(stack))["postgres"]
    state = stack.root / "state.json"
    text = state.read_text()
    start = text.index('"postgres"')
    state.write_text(text[:start] + text[start:].replace('"process": {', '"process_lost": {', 1))
    assert (await stack.up(PLAN)).postgres == endpoints.postgres
    assert (await pids(stack))["postgres"] == postmaster


async def test_a_recycled_pid_is_not_taken_for_ours() -> None:
    ours = mark_of(psutil.Process().pid)
    assert find(ours) is not None
    assert find(ProcessMark(pid=ours.pid, started_ms=ours.started_ms - 60_000)) is None
    assert find(ProcessMark(pid=2**22 - 1, started_ms=ours.started_ms)) is None


async def test_given_servers_are_used_and_left_alone(stack: Stack, tmp_path: Path) -> None:
    endpoints = await stack.up(PLAN)
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka,
        "POSTGRES_URL": endpoints.postgres,
    }
    guest = Stack(tmp_path / "guest", environment=given)
    plan = TopicPlan(topics=(a_topic("tests.guest"),))
    assert await guest.up(plan) == endpoints
    assert [(each.source, each.pid, each.ready) for each in await guest.status()] == [
        ("given", None, True)
    ] * 2
    assert password_of(endpoints) not in (guest.root / "state.json").read_text()
    await guest.destroy()
    assert all(server.ready for server in await stack.status())


async def test_a_given_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "POSTGRES_URL": "postgresql://postgres@127.0.0.1:1/postgres?sslmode=nonsense",
    }
    with pytest.raises(StackError, match=r"PostgreSQL at .* does not let us in"):
        await Stack(tmp_path, environment=given).up(PLAN)


async def test_containers_without_an_engine_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(
        StackError, match=r"No Docker engine answers(.|\n)*what to do: start Docker"
    ):
        await Stack(tmp_path, environment={"STACK": "containers"}).up(PLAN)


async def test_topics_grow_but_never_shrink_and_drift_is_told(stack: Stack) -> None:
    kafka = (await stack.up(PLAN)).kafka
    made = TopicPlan(topics=(a_topic("tests.growing", partitions=1),))
    assert await ensure_topics(kafka, made) == []
    grown = TopicPlan(topics=(a_topic("tests.growing", partitions=3),))
    assert await ensure_topics(kafka, grown) == []
    other = TopicPlan(topics=(a_topic("tests.growing", partitions=2, cleanup="compact"),))
    assert await ensure_topics(kafka, other) == [
        "tests.growing has 3 partitions, the plan says 2",
        "tests.growing has cleanup.policy=delete, the plan says compact",
    ]


async def test_a_server_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    broken = Stack(tmp_path / "broken", environment={})
    properties = broken.root / "kafka" / "logs" / "meta.properties"
    properties.parent.mkdir(parents=True)
    properties.write_text("version=1\nnode.id=nine\n")
    try:
        with pytest.raises(StackError, match="Kafka ended") as failure:
            await broken.up(PLAN)
        assert "No readable meta.properties files" in "\n".join(failure.value.tail)
        # PostgreSQL came up meanwhile; it is remembered, so that it can be ended.
        assert (await pids(broken))["postgres"] is not None
    finally:
        await broken.destroy()
    assert not broken.root.exists()


def addresses(endpoints: Endpoints) -> list[str]:
    return [endpoints.kafka, endpoints.postgres.rpartition("@")[2].removesuffix("/postgres")]


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def password_of(endpoints: Endpoints) -> str:
    return endpoints.postgres.partition("@")[0].rpartition(":")[2]
