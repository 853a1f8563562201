"""Evidence as a run leaves it: real databases, raw topics, logs and files; and the program."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import uuid_utils
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from checker import Evidence, Status, judge
from checker.judge import read_world
from checker.plan import SERVICES
from contracts.codec import encode
from tests.support import given
from tests.support.toy import a_release

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database

PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
async def evidence(
    kafka: str, database_of: Callable[[str], Awaitable[Database]]
) -> AsyncIterator[dict[str, Any]]:
    prefix = f"t{uuid_utils.uuid7().hex[-10:]}."
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    topics = [NewTopic(f"{prefix}budget.events", 2, 1)]
    await admin.create_topics(topics)
    yield {
        "seed": 7,
        "commit": "abc",
        "kafka": kafka,
        "topic_prefix": prefix,
        "databases": {name: (await database_of(name)).url for name in SERVICES},
        "ledger_log": None,
        "bank_files": ["bank.xml"],
        "journal": "journal.jsonl",
        "healed_at": None,
    }
    await admin.delete_topics([topic.name for topic in topics])
    await admin.close()


async def publish(evidence: dict[str, Any], *records: tuple[bytes, Any, bytes | None]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=evidence["kafka"], acks="all")
    await producer.start()
    topic = f"{evidence['topic_prefix']}budget.events"
    for key, headers, value in records:
        await producer.send_and_wait(topic, value, key=key, headers=headers)
    await producer.stop()


def left_in(folder: Path, evidence: dict[str, Any]) -> Path:
    (folder / "bank.xml").write_bytes(b"<statement/>")
    (folder / "journal.jsonl").write_bytes(b'{"n": 1, "what": "statement"}\n{"n": 2, "wha')
    file = folder / "evidence.json"
    file.write_bytes(orjson.dumps(evidence))
    return file


async def test_a_run_is_read_as_it_lies(evidence: dict[str, Any], tmp_path: Path) -> None:
    event = given(a_release("k"))
    headers, value = encode(event, event.meta)
    await publish(
        evidence,
        (event.key.encode(), headers, value),
        (event.key.encode(), headers, value),
        (b"k", [("ce_type", b"\xff")], b"{"),
        (b"k", [], None),
    )
    world = await read_world(Evidence.read(left_in(tmp_path, evidence)))
    assert len(world.records or ()) == 4
    assert list(world.events) == [str(event.meta.id)]
    assert sum(world.ends.values()) == 4
    assert world.journal == [{"n": 1, "what": "statement"}]
    assert world.bank == {hashlib.sha256(b"<statement/>").digest(): "bank.xml"}
    assert world.ledger is None
    assert all(world.has(part) for part in (*SERVICES, "topics", "journal", "bank"))


async def test_what_no_service_has_read_is_found(evidence: dict[str, Any], tmp_path: Path) -> None:
    event = a_release("k")
    headers, value = encode(event, given(event).meta)
    await publish(evidence, (event.key.encode(), headers, value))
    verdict = await judge(Evidence.read(left_in(tmp_path, evidence)))
    assert {"I5", "I10", "I20"} <= verdict.failed
    assert verdict.of("I7") is Status.NOT_JUDGED
    assert (verdict.seed, verdict.commit) == (7, "abc")


async def test_the_program_ends_with_the_verdict(evidence: dict[str, Any], tmp_path: Path) -> None:
    async def ends_with(*options: str) -> tuple[int | None, bytes]:
        file = str(left_in(tmp_path, evidence))
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "checker", file, *options, cwd=PROJECT, stdout=-1
        )
        out, _ = await program.communicate()
        return program.returncode, out

    evidence["bank_files"] = []
    code, out = await ends_with("--json")
    found = orjson.loads(out)
    assert (code, found["status"]) == (0, "ok")  # Nothing waits; no more is known.
    assert {c["status"] for c in found["clauses"]} == {"ok", "not judged"}
    event = a_release("k")
    headers, value = encode(event, given(event).meta)
    await publish(evidence, (event.key.encode(), headers, value))
    code, out = await ends_with()
    assert code == 1
    assert out.decode().startswith("seed 7, commit abc: fail")
