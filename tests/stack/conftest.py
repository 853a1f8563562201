"""One stack of its own for these tests; it is deleted with everything it kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.local import Stack
from deploy.topics import Topic, TopicPlan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WEEK_MS = 604_800_000


def a_topic(name: str, *, partitions: int = 2, cleanup: str = "delete") -> Topic:
    """A topic with the usual words."""
    return Topic.model_validate(
        {
            "name": name,
            "owner": "tests",
            "partitions": partitions,
            "retention_ms": WEEK_MS,
            "cleanup": cleanup,
        }
    )


PLAN = TopicPlan(topics=(a_topic("tests.facts"), a_topic("tests.names", cleanup="compact")))


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack that is up, with no server given from outside."""
    stack = Stack(tmp_path_factory.mktemp("stack"), environment={})
    await stack.up(PLAN)
    yield stack
    await stack.destroy()
