"""Claims that were refused at intake: no service keeps them, but the topic tells why."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.text import Text

from contracts.claims import ClaimRefused
from contracts.codec import Unreadable, decode
from ledgerbus.kafka import reader, records, stretches
from ledgerbus.sending import topic_name
from ledgerbus.telling import money

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import ConsumerRecord

    from ledgerbus.addresses import Addresses

Document = dict[str, Any]
KIND: Final = ClaimRefused.kind.encode()
TRACEPARENT_PARTS: Final = 4


async def refusals(where: Addresses, name: str, source: str = "") -> list[Document]:
    """Every refusal of the claim with this id or source key, the oldest first."""
    topic = topic_name(ClaimRefused.topic)
    found: dict[str, Document] = {}
    async with reader(where.kafka, [topic]) as consumer:
        async for page in records(consumer, await stretches(consumer, [topic])):
            for record in page:
                told = refusal_of(record, name, source)
                if told:
                    found.setdefault(told["event_id"], told)  # A fact may be delivered twice.
    return sorted(found.values(), key=lambda each: str(each["at"]))


def refusal_of(
    record: ConsumerRecord[bytes | None, bytes | None], name: str, source: str = ""
) -> Document | None:
    """The refusal that a record holds, if it is one of the claim with this id or source key."""
    headers = dict(record.headers)
    if headers.get("ce_type") != KIND or orjson.dumps(name) not in (record.value or b""):
        return None
    try:
        event = decode(record.headers, record.value)
    except Unreadable:
        return None
    if not isinstance(event, ClaimRefused) or name not in {event.source_key, str(event.claim_id)}:
        return None
    if source and event.source != source:
        return None
    parts = headers.get("traceparent", b"").decode("ascii", "replace").split("-")
    return {
        "event_id": headers["ce_id"].decode("ascii"),
        "at": headers["ce_time"].decode("ascii"),
        "position": f"{record.topic}/{record.partition}@{record.offset}",
        "trace_id": parts[1] if len(parts) == TRACEPARENT_PARTS else None,
        **json.loads(event.model_dump_json()),
    }


def refusal_lines(refusal: Document) -> Iterator[Text]:
    """A refusal for a person: whose claim, when, and each reason with who can put it right."""
    claim, total = refusal["claim_id"] or "no readable id", money(refusal["total"])
    head = f"{refusal['source']} {refusal['source_key']}, revision {refusal['revision']}"
    yield Text.assemble((claim, "bold"), f"  {head}")
    moment = datetime.fromisoformat(refusal["at"]).astimezone(UTC)
    at = moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    company = f" ({refusal['company']})" if refusal["company"] else ""
    amount = f": {total or 'no readable amount'}{company}"
    yield Text.assemble(("refused at intake", "bold red"), f" {at}{amount}")
    for reason in refusal["reasons"]:
        place = f" at {reason['pointer']}" if reason.get("pointer") else ""
        yield Text(f"  {reason['code']}{place}: {reason['detail']}", style="red")
        figures = ", ".join(f"{name} {each}" for name, each in reason["figures"].items())
        if figures:
            yield Text(f"    figures: {figures}")
        yield Text(f"    who can put it right: {reason['who']}")
    if refusal["trace_id"]:
        yield Text(f"trace {refusal['trace_id']}", style="dim")
