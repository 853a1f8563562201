"""The demo as anybody runs it: a month through the chain, and nothing more the second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contracts.values import claim_id
from ledgerbus.claimfile import ClaimFile
from ledgerbus.demo.run import LAYOUT, MONTH
from ledgerbus.layout import load_layout
from ledgerbus.prove_file import prove_file

if TYPE_CHECKING:
    from tests.e2e.world import World

SHOWN = "BX2610-0004"


@pytest.fixture(scope="module")
async def demo(world: World) -> str:
    """What the first run tells."""
    return str(await world.command("demo", "run"))


async def test_the_month_goes_through_the_chain_and_is_proven(world: World, demo: str) -> None:
    assert "500 claims" in demo
    assert "Money is conserved: " in demo
    proof = await world.proof()
    month = prove_file(proof.reading, MONTH, LAYOUT, "")
    assert month.holds
    states = {outcome.partition(" ")[0] for outcome, _ in month.counts}
    assert states >= {"settled", "rejected", "refused", "funds_refused", "reserved"}


async def test_one_claim_is_shown_on_its_way_through_every_service(demo: str) -> None:
    path = demo.partition("as it happens:")[2].partition("┏")[0]
    for service in ("claims", "budget", "approval", "posting", "reconcile"):
        assert f" {service} " in path
    assert "settled: " in path
    claims = {claim.source_key: claim.source for claim in ClaimFile(MONTH, load_layout(LAYOUT))}
    assert f"claim show {claim_id(claims[SHOWN], SHOWN)}" in demo


async def test_a_second_run_adds_nothing_and_says_so(world: World, demo: str) -> None:
    before = (await world.proof()).reading.stories.facts
    again = str(await world.command("demo", "run"))
    assert "Nothing was added" in again
    assert (await world.proof()).reading.stories.facts == before
    assert demo.splitlines()[-1] == again.splitlines()[-1]


async def test_no_line_of_the_noisy_bank_was_matched_wrongly(world: World, demo: str) -> None:
    assert "batch" in demo
    score = await world.command("demo", "score", "--json")
    assert (score["wrong"], score["precision"]) == (0, "1.0000")
    exceptions = await world.get("reconcile", "/v1/exceptions", limit=1000)
    assert sum(score["unfound_by_noise"].values()) <= len(exceptions["items"])
