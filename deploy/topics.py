"""The topic plan: every topic with its partitions, retention, cleanup policy and owner.

The plan is written in `topics.yaml`; this module reads it and refuses what it cannot keep.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

PLAN = Path(__file__).with_name("topics.yaml")


class PlanError(ValueError):
    """The topic plan does not say what a broker could do."""


class Topic(BaseModel):
    """One topic as it should stand on the broker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    owner: str
    partitions: int = Field(ge=1)
    replication: int = Field(default=1, ge=1)
    retention_ms: int = Field(ge=-1)
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"

    def settings(self) -> dict[str, str]:
        """The broker's settings for this topic, as the broker spells them."""
        return {"cleanup.policy": self.cleanup, "retention.ms": str(self.retention_ms)}


def _names_once(topics: tuple[Topic, ...]) -> tuple[Topic, ...]:
    names = [topic.name for topic in topics]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f"named twice: {', '.join(twice)}"
        raise ValueError(message)
    return topics


class TopicPlan(BaseModel):
    """All topics of one deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topics: Annotated[tuple[Topic, ...], AfterValidator(_names_once)] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of the plan."""
        return tuple(topic.name for topic in self.topics)

    def prefixed(self, prefix: str) -> TopicPlan:
        """The same plan under names that set one environment apart on a shared broker."""
        renamed = (topic.model_copy(update={"name": prefix + topic.name}) for topic in self.topics)
        return TopicPlan(topics=tuple(renamed))


def load_plan(path: Path = PLAN) -> TopicPlan:
    """The plan in a file; `PlanError` names the file and every fault in it."""
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TopicPlan.model_validate({"topics": _with_defaults(written)})
    except (OSError, yaml.YAMLError, TypeError, ValidationError) as fault:
        message = f"{path} is not a topic plan: {fault}"
        raise PlanError(message) from fault


def _with_defaults(written: dict[str, Any]) -> list[dict[str, Any]]:
    defaults = written.get("defaults", {})
    return [defaults | topic for topic in written.get("topics", [])]
