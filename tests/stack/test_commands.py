"""The commands as a person or a script meets them: output, messages, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from deploy.local import Stack, StackError
from deploy.local.processes import find
from deploy.local.state import State, read_state, state_file, write_state
from ledgerbus.addresses import addresses
from ledgerbus.errors import CommandError, Exit
from ledgerbus.fleet import PROJECT, Fleet, code_digest, service_names
from tests.stack.conftest import PLAN
from tests.support import eventually

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path


@dataclass(frozen=True)
class Ended:
    code: int | None
    out: str
    err: str


async def ledgerbus(root: Path, *words: str) -> Ended:
    """Run a command on a state folder, as a process of its own."""
    process = await begun(root, *words)
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


async def begun(root: Path, *words: str) -> Process:
    """A command that has begun, without a server given from outside."""
    env = os.environ | {"LEDGERBUS_HOME": str(root), "COLUMNS": "200", "NO_COLOR": "1"}
    env.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    env.pop("POSTGRES_URL", None)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ledgerbus",
        *words,
        env=env,
        cwd=PROJECT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_status_reads_the_same_for_people_and_programs(stack: Stack) -> None:
    await stack.up(PLAN)
    told = await ledgerbus(stack.root, "status", "--json")
    rows = json.loads(told.out)
    assert told.code == Exit.OK
    assert [(row["name"], row["ready"]) for row in rows] == [("kafka", True), ("postgres", True)]
    shown = await ledgerbus(stack.root, "status")
    assert all(row["address"] in shown.out and str(row["pid"]) in shown.out for row in rows)


async def test_status_of_nothing_is_a_failure_that_starts_nothing(tmp_path: Path) -> None:
    told = await ledgerbus(tmp_path / "nothing", "status")
    assert told.code == Exit.FAILED
    assert told.out.count("stopped") == 2
    assert not (tmp_path / "nothing").exists()


async def test_down_of_nothing_is_fine(tmp_path: Path) -> None:
    assert (await ledgerbus(tmp_path / "nothing", "down")).code == Exit.OK
    told = await ledgerbus(tmp_path / "nothing", "down", "--json")
    assert json.loads(told.out) == {"stopped": [], "killed": [], "deleted": False}
    assert not (tmp_path / "nothing").exists()


async def test_up_and_down_tell_programs_what_they_did(tmp_path: Path) -> None:
    try:
        up = await ledgerbus(tmp_path, "up", "--json")
        assert up.code == Exit.OK, up.err
        told = json.loads(up.out)
        state = read_state(tmp_path)
        assert told == {
            "kafka": state.kafka.address,
            "postgres": state.postgres.address,
            "services": {each.name: each.url for each in state.services},
            "spans_dir": str(tmp_path / "spans"),
        }
        assert list(told["services"]) == service_names()
        down = await ledgerbus(tmp_path, "down", "--json")
        assert down.code == Exit.OK
        stopped = [*service_names(), "kafka", "postgres"]
        assert json.loads(down.out) == {"stopped": stopped, "killed": [], "deleted": False}
    finally:
        await Fleet(tmp_path).stop()
        await Stack(tmp_path).destroy()


async def test_an_interrupted_up_leaves_nothing_that_down_cannot_end(tmp_path: Path) -> None:
    up = await begun(tmp_path, "up")
    try:
        kafka = await eventually(lambda: running(tmp_path), within=60)
        up.send_signal(signal.SIGINT)  # Ctrl-C, long before Kafka listens.
        await up.communicate()
        assert up.returncode in {Exit.INTERRUPTED, Exit.OK}  # OK: it was faster than the signal.
        assert running(tmp_path) == kafka
        told = await ledgerbus(tmp_path, "down")
        assert told.code == Exit.OK
        assert running(tmp_path) is None
    finally:
        await Stack(tmp_path).destroy()


def running(root: Path) -> int | None:
    """The process of the broker that the state of a root names, while it runs."""
    process = find(read_state(root).kafka.process)
    return process.pid if process else None


async def test_deleting_asks_first_and_spares_what_is_not_ours(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.txt"
    theirs.touch()
    assert (await ledgerbus(tmp_path, "down", "--delete", "--yes")).code == Exit.OK
    write_state(tmp_path, State())
    assert (await ledgerbus(tmp_path, "down", "--delete")).code == Exit.FAILED
    assert state_file(tmp_path).exists()
    assert (await ledgerbus(tmp_path, "down", "--delete", "--yes")).code == Exit.OK
    assert list(tmp_path.iterdir()) == [theirs]


@pytest.mark.parametrize("words", [("up", "--replicas", "0"), ("upp",), ("status", "--yaml")])
async def test_a_wrong_word_is_a_usage_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert (await ledgerbus(tmp_path, *words)).code == Exit.USAGE


async def test_a_damaged_state_is_explained(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    told = await ledgerbus(tmp_path, "status")
    assert told.code == Exit.FAILED
    assert "state.json cannot be read" in told.err
    assert "what to do: delete the file" in told.err
    assert not told.out


def test_addresses_of_a_system_that_is_not_there_say_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not running") as failure:
        addresses(tmp_path)
    assert failure.value.code is Exit.UNREACHABLE
    assert "ledgerbus up" in failure.value.fix


async def test_a_service_that_ends_while_starting_is_named_with_its_log(stack: Stack) -> None:
    kafka = (await stack.up(PLAN)).kafka
    fleet = Fleet(stack.root)
    await fleet.start(kafka, {"nowhere": "postgresql://nobody@127.0.0.1:1/none"}, replicas=1)
    with pytest.raises(StackError, match="nowhere ended while starting") as failure:
        await fleet.ready(lambda _: None)
    assert any("No module named services.nowhere" in line for line in failure.value.tail)
    assert await fleet.stop() == []
    assert addresses(stack.root).services == {}
    await fleet.start(kafka, {}, replicas=1)


async def test_ports_of_services_are_kept_and_never_shared(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    databases = {"nowhere": "postgresql://127.0.0.1:1/a", "elsewhere": "postgresql://127.0.0.1:1/b"}

    async def ports() -> list[int]:
        await fleet.start("127.0.0.1:1", databases, replicas=2)
        return [service.port for service in read_state(tmp_path).services]

    first = await ports()
    assert len(set(first)) == 4
    await fleet.stop()
    assert await ports() == first
    await fleet.stop()


async def test_changed_code_starts_its_service_anew_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    for name in ("changing", "steady"):
        main = project / "services" / name / "__main__.py"
        main.parent.mkdir(parents=True)
        main.write_text("import signal\nsignal.pause()\n")
    (project / "services" / "__init__.py").touch()
    monkeypatch.setattr("ledgerbus.fleet.PROJECT", project)
    fleet = Fleet(tmp_path / "state")
    databases = dict.fromkeys(("changing", "steady"), "postgresql://127.0.0.1:1/none")

    async def pids() -> dict[str, int]:
        await fleet.start("127.0.0.1:1", databases, replicas=1)
        services = read_state(fleet.root).services
        return {each.name: each.process.pid for each in services if each.process}

    try:
        first = await pids()
        assert await pids() == first
        (project / "services" / "changing" / "domain.py").write_text("LIMIT = 2\n")
        second = await pids()
        assert second["steady"] == first["steady"]
        assert second["changing"] != first["changing"]
        (project / "chassis").mkdir()
        (project / "chassis" / "inbox.sql").write_text("SELECT 1;\n")
        third = await pids()
        assert not set(third.values()) & set(second.values())
    finally:
        await fleet.stop()


def test_documents_and_leavings_are_no_code(tmp_path: Path) -> None:
    rules = tmp_path / "services" / "claims" / "domain.py"
    rules.parent.mkdir(parents=True)
    rules.write_text("LIMIT = 1\n")
    before = code_digest("claims", tmp_path)
    rules.with_name("README.md").write_text("# claims\n")
    rules.with_name("domain.pyc").write_bytes(b"compiled")
    rules.touch()
    assert code_digest("claims", tmp_path) == before
    rules.write_text("LIMIT = 2\n")
    assert code_digest("claims", tmp_path) != before


def test_every_service_with_a_main_is_started() -> None:
    assert set(service_names()) == {
        main.parent.name for main in (PROJECT / "services").glob("*/__main__.py")
    }
