"""The topics that are made are the topics that the contracts speak of, and the dead letters."""

from __future__ import annotations

from pathlib import Path

from contracts.envelope import KINDS
from contracts.export import documents
from deploy.topics import load_plan

ROOT = Path(__file__).parents[2]
SERVICES = {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")}
TOPICS = {topic.name: topic for topic in load_plan().topics}


def test_every_kind_has_its_topic_and_no_topic_is_unknown() -> None:
    spoken_of = {cls.topic for cls in KINDS.values()}
    dead_letters = {f"dlq.{service}" for service in SERVICES}
    assert len(SERVICES) == 5
    assert set(TOPICS) == spoken_of | dead_letters


def test_a_topic_belongs_to_whom_its_name_says() -> None:
    for name, topic in TOPICS.items():
        first, _, rest = name.partition(".")
        assert topic.owner == (rest if first == "dlq" else first)


def test_a_kind_is_published_where_its_name_says() -> None:
    for kind, cls in KINDS.items():
        assert kind.partition(".")[0] == cls.topic.partition(".")[0]
        assert kind.rpartition(".")[2] == "v1"


def test_what_must_not_be_forgotten_is_kept() -> None:
    for name, topic in TOPICS.items():
        if name.startswith("masterdata."):
            assert (topic.cleanup, topic.retention_ms) == ("compact", -1)
        elif name.startswith("dlq.") or name == "posting.entries":
            assert (topic.cleanup, topic.retention_ms) == ("delete", -1)
        else:
            assert topic.cleanup == "delete"


def test_the_document_names_no_other_topics() -> None:
    text = documents()["asyncapi.json"]
    assert all(f'"address": "{cls.topic}"' in text for cls in KINDS.values())
    assert "dlq." not in text
