"""`ledgerbus load organisation`: master data onto its topics, and known to every service."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console

from chassis import telemetry
from contracts.codec import Unreadable, decode
from ledgerbus.addresses import addresses
from ledgerbus.errors import CommandError, Exit
from ledgerbus.groups import Behind, behind, subscriptions
from ledgerbus.kafka import reader, records, stretches
from ledgerbus.organisation import (
    SECTION_OF,
    SECTIONS,
    dangling,
    invalid,
    read_organisation,
)
from ledgerbus.sending import meta_of, sending, topic_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiokafka import TopicPartition

    from contracts.envelope import Event
    from ledgerbus.addresses import Addresses

TOPICS: Final = tuple(kind.topic for kind in SECTIONS.values())
WITHIN_S: Final = 60  # Master data of a group of companies is applied in a few seconds.
LOOK_S: Final = 0.2

Known = dict[tuple[str, str], "Event"]

app = typer.Typer(help="Load master data.", no_args_is_help=True)


@dataclass(slots=True)
class Loaded:
    """What was published and what stood there already, by section, and who has applied it."""

    published: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    applied_by: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """The summary as one document."""
        return {
            "published": dict(self.published),
            "unchanged": dict(self.unchanged),
            "applied_by": self.applied_by,
            "seconds": round(self.seconds, 2),
        }


@app.command("organisation")
def organisation_command(
    file: Annotated[Path, typer.Argument(help="the YAML file; - for standard input")],
    within: Annotated[
        float, typer.Option(min=1, help="seconds to wait until every service has applied it")
    ] = WITHIN_S,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="the summary as one JSON document")
    ] = False,
) -> None:
    """Publish an organisation's master data, and wait until every service has applied it.

    Records that stand on the topics already, unchanged, are left alone; a second run adds nothing.

    Examples: `ledgerbus load organisation organisation.yaml`,
    `ledgerbus derive organisation cards.csv --layout birmingham | ledgerbus load organisation -`.
    """
    events = read_organisation(file)
    loaded = asyncio.run(load_file(file, events, within_s=within))
    out = Console(highlight=False)
    if as_json:
        out.print_json(data=loaded.plain())
        return
    for section in SECTIONS:
        new, same = loaded.published[section], loaded.unchanged[section]
        if new or same:
            out.print(f"  {section:<15} {new:>6,} published  {same:>6,} unchanged")
    who = ", ".join(loaded.applied_by)
    out.print(
        f"applied by {who}" if who else "no service listens yet; each reads it when it starts"
    )


async def load_file(path: Path, events: Sequence[Event], *, within_s: float) -> Loaded:
    """Load the records of a file into the system that runs here."""
    where = addresses()
    telemetry.start("cli", spans_dir=where.spans_dir)
    try:
        return await load(where, path, events, within_s=within_s)
    finally:
        telemetry.stop()


async def load(
    where: Addresses, path: Path, events: Sequence[Event], *, within_s: float = WITHIN_S
) -> Loaded:
    """Publish what is new, refuse what refers to nothing, and wait until it is applied."""
    started = time.monotonic()
    known = await known_records(where.kafka)
    missing = dangling(events, known.values())
    if missing:
        raise invalid(path, missing)
    loaded = Loaded()
    async with sending(where.kafka) as sender:
        for event in events:
            section = SECTION_OF[type(event)]
            if known.get((event.topic, event.key)) == event:
                loaded.unchanged[section] += 1
                continue
            loaded.published[section] += 1
            meta = meta_of(event.kind, event.topic, key=event.key, subject=event.key)
            await sender.send(event.topic, event.key, meta, event.model_dump_json().encode())
    loaded.applied_by = await applied(where, within_s=within_s)
    loaded.seconds = time.monotonic() - started
    return loaded


async def known_records(servers: str) -> Known:
    """The newest record of every key on the master data topics; deleted ones are not among them."""
    known: Known = {}
    names = {topic_name(topic): topic for topic in TOPICS}
    async with reader(servers, names) as consumer:
        async for page in records(consumer, await stretches(consumer, names)):
            for record in page:
                place = names[record.topic], (record.key or b"").decode(errors="replace")
                try:
                    known[place] = decode(record.headers, record.value)
                except (
                    Unreadable
                ):  # A tombstone, or a record of somebody who did not know the contract.
                    known.pop(place, None)
    return known


async def applied(where: Addresses, *, within_s: float) -> list[str]:
    """The services that listen to master data, once each has applied all of it."""
    deadline = time.monotonic() + within_s
    ends = await _ends(where.kafka)
    admin = AIOKafkaAdminClient(bootstrap_servers=where.kafka)
    await admin.start()
    try:
        while True:
            listening, absent, late = await _look(admin, where.services, ends)
            if not absent and not late:
                return listening
            if time.monotonic() > deadline:
                raise _too_slow(absent, late, within_s)
            await asyncio.sleep(LOOK_S)
    finally:
        await admin.close()


async def _look(
    admin: AIOKafkaAdminClient, services: Iterable[str], ends: dict[TopicPartition, int]
) -> tuple[list[str], list[str], list[Behind]]:
    """Who listens to master data, who has not joined its group, and who has records to apply."""
    topics = {part.topic for part in ends}
    listening, absent, late = [], [], []
    for service in services:
        group = topic_name(service)
        heard = await subscriptions(admin, group)
        if not heard:
            absent.append(service)
        elif heard & topics:
            listening.append(service)
            late += await behind(admin, group, ends, heard & topics)
    return listening, absent, late


async def _ends(servers: str) -> dict[TopicPartition, int]:
    names = [topic_name(topic) for topic in TOPICS]
    async with reader(servers, names) as consumer:
        found = await stretches(consumer, names)
    return {part: stretch.end for part, stretch in found.items()}


def _too_slow(absent: Sequence[str], late: Sequence[Behind], within_s: float) -> CommandError:
    reasons = [f"{service} has not joined its consumer group" for service in absent]
    reasons += [
        f"{each.group} has {each.records} records of {each.topic} to apply" for each in late
    ]
    return CommandError(
        f"the records are published, but not applied everywhere within {within_s:.0f} s",
        why="; ".join(reasons),
        fix="see `ledgerbus status` and the services' logs; running this again only waits",
        code=Exit.FAILED,
    )
