"""Killed without warning, again and again, while claims pour in: the same books, to the cent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from contracts.values import Money, claim_id
from deploy.local.state import read_state
from ledgerbus.prove_file import prove_file
from tests.e2e.world import PROJECT, SOURCE, WITHIN, World, a_claim
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

COMPANY = "CRASH"
ACCOUNT = "GB94BARC10201530093459"
CLAIMS = 400
ALL = ("claims", "approval", "budget", "posting", "reconcile")
KILLS = (ALL, ("claims", "posting"), ("budget", "approval"), ("reconcile", "claims"), ALL)

DARK, DARK_ACCOUNT = "DARK", "GB11DARK20201555555557"
ROWS = 300
LAYOUT = """
name: dark
title: two columns
source: dark-file
company: DARK
currency: GBP
key: "{key}"
employee: DARK-E1
paid_by: employee
lines:
  - {category: travel, cost_center: WIDE, date: day, gross: amount}
"""


async def test_killed_services_lose_nothing_and_do_nothing_twice(world: World) -> None:
    await world.found(COMPANY, ACCOUNT)
    amounts = [Money(100 + number * 7, "GBP") for number in range(CLAIMS)]
    claims = [
        a_claim(COMPANY, f"crash-{number}", amount.amount) for number, amount in enumerate(amounts)
    ]
    share = CLAIMS // len(KILLS)
    for start, victims in zip(range(0, CLAIMS, share), KILLS, strict=True):
        batch = claims[start : start + share]
        await world.publish(*batch, *batch[:5])
        await some_arrived(world, COMPANY, start)
        assert len(world.kill(*victims)) == len(victims)
        world.where = (await World.up(world.root)).where

    await world.settle()
    paid = await world.command("demo", "bank", "--noise", "on", "--deliver", "--json")
    assert paid["undelivered"] == []
    proof = await world.proof()
    assert proof.holds, proof.plain()["violations"]
    (row,) = [row for row in proof.table.ordered() if row.company == COMPANY]
    whole = sum(amount.minor for amount in amounts)
    assert row.submitted == whole
    assert row.columns["posted_unpaid"] + row.columns["paid_matched"] == whole
    assert row.columns["paid_matched"] > row.columns["posted_unpaid"]
    for number in range(CLAIMS):
        story = proof.reading.stories.claims[str(claim_id(SOURCE, f"crash-{number}"))]
        assert len(story.entries or {}) == 1
    assert (await world.command("demo", "score", "--json"))["wrong"] == 0


async def test_a_machine_that_goes_dark_in_an_import_keeps_every_cent(
    world: World, tmp_path: Path
) -> None:
    layout = tmp_path / "dark.yaml"
    layout.write_text(LAYOUT, encoding="utf-8")
    amounts = [100 + number * 13 for number in range(ROWS)]
    rows = [f"D-{n},2026-09-15,{Money(minor, 'GBP').amount}" for n, minor in enumerate(amounts)]
    half = ROWS // 2
    file = a_file(tmp_path / "all.csv", rows)
    parts = (a_file(tmp_path / "1.csv", rows[:half]), a_file(tmp_path / "2.csv", rows[half:]))
    command = ("import", "claims", "--layout", str(layout))

    await world.found(DARK, DARK_ACCOUNT)
    for part, frozen in zip(parts, ("posting", "approval"), strict=True):
        assert len(world.freeze(frozen)) == 1  # No claim gets past it until it is killed.
        async with begun(world, *command, str(part)) as importing:
            await some_under_way(world, DARK)
            go_dark(world, importing)
        world.where = (await World.up(world.root)).where
    await world.command(*command, str(file))

    proof = await world.proof()
    assert proof.holds, proof.plain()["violations"]
    (row,) = [row for row in proof.table.ordered() if row.company == DARK]
    assert row.submitted == row.columns["posted_unpaid"] == sum(amounts)
    kept = prove_file(proof.reading, file, str(layout), DARK)
    assert kept.holds
    assert kept.counts == {("posted", "GBP"): ROWS}
    for number, minor in enumerate(amounts):
        story = proof.reading.stories.claims[str(claim_id("dark-file", f"D-{number}"))]
        assert (story.posted, len(story.entries or {})) == (minor, 1)


def a_file(path: Path, rows: list[str]) -> Path:
    """A file of claims in the layout of this story."""
    path.write_text("\n".join(["key,day,amount", *rows]), encoding="utf-8")
    return path


async def states_of(world: World, company: str) -> list[str]:
    """Where the claims of a company stand."""
    page = await world.get("claims", "/v1/claims", company=company, limit=1000)
    return [claim["state"] for claim in page["items"]]


async def some_arrived(world: World, company: str, before: int) -> None:
    """Wait until more claims than before have come into the chain."""

    async def arrived() -> bool:
        return len(await states_of(world, company)) > before

    await eventually(arrived, within=WITHIN)


async def some_under_way(world: World, company: str) -> None:
    """Wait until a claim is in the chain and not yet at its end."""

    async def under_way() -> bool:
        return not {"posted"}.issuperset(await states_of(world, company))

    await eventually(under_way, within=WITHIN)


@asynccontextmanager
async def begun(world: World, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command of a person that is under way."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ledgerbus",
        *arguments,
        cwd=PROJECT,
        env=os.environ | {"LEDGERBUS_HOME": str(world.root)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    yield process
    await process.wait()


def go_dark(world: World, importing: asyncio.subprocess.Process) -> None:
    """Kill every service, both servers and the command in one go, as a power cut would."""
    state = read_state(world.root)
    marks = [state.kafka.process, state.postgres.process]
    pids = [mark.pid for mark in marks if mark]
    assert len(pids) == len(marks)
    if importing.returncode is None:
        importing.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert len(world.kill(*ALL)) == len(ALL)
