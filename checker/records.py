"""Raw topics: every record from the beginning to the end, as small as the judgement allows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

if TYPE_CHECKING:
    from collections.abc import Iterable

Place = tuple[str, int]
STRUCTURED: Final = "application/cloudevents+json"
_BULKY: Final = frozenset({"purpose", "text", "warnings", "evidence", "differences"})


@dataclass(slots=True)
class Record:
    """One record: its place, its envelope as text, a digest of its bytes, what its body says."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    digest: bytes
    id: str = ""
    kind: str = ""
    sequence: str = ""
    causation: str = ""
    correlation: str = ""
    trace: str = ""
    body: Any = None

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.topic}/{self.partition}@{self.offset}"

    @property
    def order(self) -> tuple[str, int, int]:
        """Its order among what one publisher said: by sequence, else by place."""
        return self.sequence, self.partition, self.offset

    @property
    def claim(self) -> tuple[str, int]:
        """The claim revision it speaks of."""
        return self.body["claim_id"], self.body.get("revision", 1)


def minor(money: Any) -> int:
    """An amount in minor units: the wire carries exactly the currency's digits."""
    return int(str(money["amount"]).replace(".", ""))


def record_of(raw: Any, topic: str) -> Record:
    """What is kept of a consumed record; anything unreadable is kept by place and digest alone."""
    digest = hashlib.blake2b(raw.value or b"", digest_size=8).digest()
    record = Record(topic, raw.partition, raw.offset, raw.key, digest)
    texts = {name: (value or b"").decode("latin-1") for name, value in raw.headers}
    body = _parsed(raw.value)
    if texts.get("content-type", "").startswith(STRUCTURED) and isinstance(body, dict):
        texts |= {f"ce_{name}": str(value) for name, value in body.items() if name != "data"}
        body = body.get("data")
    record.id = texts.get("ce_id", "")
    record.kind = texts.get("ce_type", "")
    record.sequence = texts.get("ce_sequence", "")
    record.causation = texts.get("ce_causationid", "")
    record.correlation = texts.get("ce_correlationid", "")
    record.trace = texts.get("traceparent", "")
    if isinstance(body, dict):
        record.body = _slim(record.kind, body)
    return record


def _parsed(value: bytes | None) -> Any:
    try:
        return orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None


def _slim(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """A body without its prose, and with the sums of a claim's lines instead of the lines."""
    kept = {name: value for name, value in body.items() if name not in _BULKY}
    if kind == "claims.claim-submitted.v1":
        lines = kept.pop("lines", [])
        kept["gross_minor"] = sum(minor(line["gross"]) for line in lines)
        kept["split_minor"] = sum(minor(line["net"]) + minor(line["tax"]) for line in lines)
    elif kind == "claims.submit-claim.v1":
        kept.pop("lines", None)
    elif kind == "posting.journal-entry-recorded.v1":
        kept["lines"] = [
            (line["account"], minor(line["amount"]) * (1 if line["side"] == "debit" else -1))
            for line in kept["lines"]
        ]
    return kept


async def read_topics(
    servers: str, prefix: str, topics: Iterable[str]
) -> tuple[list[Record], dict[Place, int]]:
    """Every record of the topics that exist, read uncommitted, and the ends they were read to."""
    parts = await _parts(servers, {prefix + topic for topic in topics})
    if not parts:
        return [], {}
    client = AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # A seek would race with the client's own first reset.
        isolation_level="read_uncommitted",
        max_partition_fetch_bytes=4_194_304,
    )
    await client.start()
    try:
        client.assign(parts)
        ends = await client.end_offsets(parts)
        found = await _drain(client, ends, prefix)
    finally:
        await client.stop()
    return found, {(p.topic.removeprefix(prefix), p.partition): e for p, e in ends.items()}


async def _parts(servers: str, topics: set[str]) -> list[TopicPartition]:
    """The partitions of those topics that exist."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        described = await admin.describe_topics()
    finally:
        await admin.close()
    return [
        TopicPartition(each["topic"], part["partition"])
        for each in described
        if each["topic"] in topics
        for part in each["partitions"]
    ]


async def _drain(
    client: AIOKafkaConsumer, ends: dict[TopicPartition, int], prefix: str
) -> list[Record]:
    found: dict[TopicPartition, list[Record]] = defaultdict(list)
    while any([await client.position(part) < end for part, end in ends.items()]):
        for part, raws in (await client.getmany(timeout_ms=500, max_records=5_000)).items():
            topic = part.topic.removeprefix(prefix)
            found[part] += [record_of(raw, topic) for raw in raws if raw.offset < ends[part]]
    return [record for part in sorted(found) for record in found[part]]


async def read_commits(servers: str, prefix: str, groups: Iterable[str]) -> dict[str, Any]:
    """What each consumer group has committed to Kafka, by group and place."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return {
            group: {
                (part.topic.removeprefix(prefix), part.partition): commit.offset
                for part, commit in (
                    await admin.list_consumer_group_offsets(prefix + group)
                ).items()
                if part.topic.startswith(prefix)
            }
            for group in groups
        }
    finally:
        await admin.close()
