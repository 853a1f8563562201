"""Replicas come, are replaced and go under load: no request fails, nothing is lost or twice."""

from __future__ import annotations

from typing import Any

from contracts.values import claim_id
from deploy.local.state import read_state
from tests.e2e.world import SOURCE, World, a_claim, command
from tests.rolling.balancer import Balancer, writing

COMPANY = "ROLL"
ACCOUNT = "GB11DARK20201555555557"
REPLICAS = 3


async def test_replicas_come_are_replaced_and_go_and_no_client_notices(world: World) -> None:
    await world.found(COMPANY, ACCOUNT)
    published: list[str] = []

    async def publish(stage: str) -> None:
        keys = [f"{stage}-{number}" for number in range(60)]
        await world.publish(*[a_claim(COMPANY, key, "3.00") for key in keys])
        published.extend(keys)

    balancer = Balancer(world.root, "claims")
    async with writing(balancer, a_body) as written:
        await publish("one")
        await command(world.root, "up", "--replicas", str(REPLICAS))
        assert count_of(world, "claims") == REPLICAS
        await publish("grown")
        before = pids(world, "claims")
        await command(world.root, "roll", "claims")
        assert before.isdisjoint(pids(world, "claims"))
        await publish("rolled")
        await command(world.root, "up")
        assert count_of(world, "claims") == 1
        await publish("shrunk")
    assert balancer.failed == []
    assert len(written) > 50
    assert balancer.most == REPLICAS

    proof = await world.proof()
    assert proof.holds, proof.plain()["violations"]
    wanted = [*written, *(str(claim_id(SOURCE, key)) for key in published)]
    assert len(set(wanted)) == len(wanted)
    for claim in wanted:
        story = proof.reading.stories.claims[claim]
        assert len(story.entries or {}) == 1, claim


def a_body(number: int) -> dict[str, Any]:
    return a_claim(COMPANY, f"http-{number}", "2.00").model_dump(mode="json")


def pids(world: World, service: str) -> set[int]:
    return {
        each.process.pid
        for each in read_state(world.root).services
        if each.name == service and each.process
    }


def count_of(world: World, service: str) -> int:
    return len(pids(world, service))
