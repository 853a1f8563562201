"""Topics widened while records are in flight: every record is read, whichever partition it met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.values import claim_id
from deploy.local.topics import ensure_topics
from deploy.topics import TopicPlan, load_plan
from tests.e2e.world import SOURCE, World, a_claim

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPANY = "WIDE"
ACCOUNT = "GB33BUKB20201555555555"
WIDENED = ("claims.intake", "claims.events", "budget.events", "approval.events", "posting.events")
PARTITIONS = 12
CLAIMS = 80


def widened(plan: TopicPlan, names: Iterable[str], partitions: int) -> TopicPlan:
    topics = (
        topic.model_copy(update={"partitions": partitions}) if topic.name in names else topic
        for topic in plan.topics
    )
    return TopicPlan(topics=tuple(topics))


async def test_topics_that_grow_under_load_lose_nothing(world: World) -> None:
    await world.found(COMPANY, ACCOUNT)
    keys = [f"widen-{number}" for number in range(2 * CLAIMS)]
    await world.publish(*[a_claim(COMPANY, key, "4.00") for key in keys[:CLAIMS]])
    await ensure_topics(world.where.kafka, widened(load_plan(), WIDENED, PARTITIONS))
    await world.publish(*[a_claim(COMPANY, key, "4.00") for key in keys[CLAIMS:]])
    for key in keys:
        await world.until(key, "posted")

    proof = await world.proof()
    assert proof.holds, proof.plain()["violations"]
    read = {int(number): end for number, end in proof.reading.offsets["claims.intake"].items()}
    assert read.keys() == set(range(PARTITIONS))
    assert all(read[number] for number in range(PARTITIONS // 2, PARTITIONS))
    for key in keys:
        story = proof.reading.stories.claims[str(claim_id(SOURCE, key))]
        assert len(story.entries or {}) == 1, key
