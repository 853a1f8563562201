"""Services killed without warning, again and again, while claims pour in: the same books."""

from __future__ import annotations

from contracts.values import Money, claim_id
from tests.e2e.world import SOURCE, WITHIN, World, a_claim
from tests.support import eventually

COMPANY = "CRASH"
ACCOUNT = "GB94BARC10201530093459"
CLAIMS = 400
ALL = ("claims", "approval", "budget", "posting", "reconcile")
KILLS = (ALL, ("claims", "posting"), ("budget", "approval"), ("reconcile", "claims"), ALL)


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
        await some_arrived(world, start)
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


async def some_arrived(world: World, before: int) -> None:
    """Wait until the newest claims begin to come into the chain."""

    async def arrived() -> bool:
        page = await world.get("claims", "/v1/claims", company=COMPANY, limit=1000)
        return len(page["items"]) > before

    await eventually(arrived, within=WITHIN)
