"""The topic plan as a file: what it may say, and how it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.topics import PlanError, load_plan

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = "defaults: {partitions: 6, retention_ms: 1000}\n"


def test_defaults_fill_in_what_a_topic_does_not_say(tmp_path: Path) -> None:
    plan = tmp_path / "topics.yaml"
    plan.write_text(
        DEFAULTS + "topics:\n  - {name: a, owner: x}\n"
        "  - {name: b, owner: x, partitions: 1, cleanup: compact, retention_ms: -1}\n"
    )
    a, b = load_plan(plan).topics
    assert (a.partitions, a.settings()) == (6, {"cleanup.policy": "delete", "retention.ms": "1000"})
    assert (b.partitions, b.settings()) == (1, {"cleanup.policy": "compact", "retention.ms": "-1"})


def test_a_prefix_sets_one_environment_apart() -> None:
    plan = load_plan()
    assert plan.prefixed("x.").names == tuple(f"x.{name}" for name in plan.names)


@pytest.mark.parametrize(
    ("topics", "fault"),
    [
        ("  - {name: a, owner: x}\n  - {name: a, owner: x}\n", "named twice: a"),
        ("  - {name: a, owner: x, partitions: 0}\n", "greater than or equal to 1"),
        ("  - {name: a b, owner: x}\n", "should match pattern"),
        ("  - {name: a, owner: x, cleanup: burn}\n", "'delete', 'compact'"),
        ("  - {name: a, owner: x, retention: 1}\n", "Extra inputs are not permitted"),
        ("  - {name: a}\n", "owner"),
        ("  - [", "while parsing"),
    ],
)
def test_a_plan_no_broker_could_keep_is_refused(tmp_path: Path, topics: str, fault: str) -> None:
    plan = tmp_path / "topics.yaml"
    plan.write_text(DEFAULTS + "topics:\n" + topics)
    with pytest.raises(PlanError, match=r"is not a topic plan") as refusal:
        load_plan(plan)
    assert fault in str(refusal.value)
