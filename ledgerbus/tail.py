"""`ledgerbus tail`: what passes by on the topics, one line per event, readable or not."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.text import Text

from contracts.codec import STRUCTURED, Unreadable, decode, kind_of
from contracts.values import claim_id
from deploy.topics import load_plan
from ledgerbus.addresses import addresses
from ledgerbus.errors import CommandError, Exit
from ledgerbus.kafka import Stretch, Stretches, reader, records, stretches
from ledgerbus.sending import now, topic_name
from ledgerbus.telling import TOLD, sentence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiokafka import AIOKafkaConsumer, ConsumerRecord

NEWEST: Final = 200  # A screen or five; --limit asks for more.
FOLLOW_MS: Final = 250
RAW_SHOWN: Final = 60
FIELDS_SHOWN: Final = 5
KEY_SHOWN: Final = 12  # Most keys of other systems; of a claim id enough to tell it apart.
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
COLOURS: Final = {
    "claims": "cyan",
    "approval": "magenta",
    "budget": "yellow",
    "posting": "green",
    "reconcile": "blue",
    "dlq": "red",
}
_SPAN: Final = re.compile(r"(\d+)([smhd])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """One record as it is told."""

    at: datetime
    topic: str
    partition: int
    offset: int
    key: str
    kind: str
    headers: dict[str, str]
    event: dict[str, Any] | None
    problem: str
    raw: str

    def plain(self) -> dict[str, Any]:
        """The record as one JSON document."""
        return {
            "time": self.at.isoformat(),
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "key": self.key,
            "type": self.kind,
            "headers": self.headers,
            "event": self.event,
            "problem": self.problem or None,
            "raw": self.raw if self.event is None else None,
        }

    def styled(self) -> Text:
        """The record as one line for people."""
        colour = COLOURS.get(self.topic.partition(".")[0], "white")
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{self.at:%H:%M:%S.%f}"[:-3], "dim")
        line.append(f" {self.topic:<16}", colour)
        line.append(f" {self.key[:KEY_SHOWN]:<{KEY_SHOWN}} ", "bold")
        dead = self.headers.get("dlq-error-code")
        if dead:
            line.append(f"dead letter {dead} ", "red")
        if self.event is None:
            line.append(f"{self.problem} {self.raw[:RAW_SHOWN]}", "red")
        else:
            line.append(f"{self.kind.split('.')[1]} ", colour)
            line.append(in_words(self.kind, self.event))
        line.append(f"  {self.partition}@{self.offset}", "dim")
        return line


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are told."""

    kind: str = ""
    claim: str = ""

    def takes(self, record: ConsumerRecord[bytes | None, bytes | None]) -> bool:
        """Whether the record is of the kind and of the claim that was asked for."""
        if self.kind and self.kind not in kind_told(record):
            return False
        wanted = self.claim.encode()
        if not wanted or wanted == record.key:
            return True
        named = any(name == "ce_subject" and value == wanted for name, value in record.headers)
        return named or wanted in (record.value or b"")


def tail(
    topics: Annotated[
        list[str] | None, typer.Option("--topic", help="this topic; may be given several times")
    ] = None,
    kind: Annotated[str, typer.Option("--type", help="this kind, or a part of its name")] = "",
    claim: Annotated[str, typer.Option(help="this claim: its id, or its source/key")] = "",
    since: Annotated[str, typer.Option(help="10m, 2h, 3d, or an instant (RFC 3339)")] = "",
    limit: Annotated[int, typer.Option(min=1, help="at most so many, the newest")] = NEWEST,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on with what comes")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document a line")] = False,
) -> None:
    """Tell what is on the topics: the newest events in order of time, or all that follow.

    Without --topic: the commands, every service's events and dead letters, but no master data.

    Examples: `ledgerbus tail --since 10m`, `ledgerbus tail --type claim-refused --follow`.
    """
    names = _topics(topics)
    begin = moment(since, now()) if since else None
    tell = _json_line if as_json else _styled_line(Console(highlight=False))
    wanted = Wanted(kind, _claim_named(claim))
    asyncio.run(_tail(names, wanted, begin, limit, follow=follow, tell=tell))


def moment(written: str, at: datetime) -> datetime:
    """`10m` as the instant ten minutes before `at`; an RFC 3339 instant as itself."""
    span = _SPAN.fullmatch(written)
    if span:
        return at - timedelta(**{UNITS[span[2]]: int(span[1])})
    try:
        instant = datetime.fromisoformat(written)
    except ValueError as problem:
        raise CommandError(
            f"'{written}' is no time",
            why="times are 30s, 10m, 2h, 3d, or RFC 3339",
            fix="e.g. --since 10m, or --since 2026-10-01T08:00:00Z",
            code=Exit.USAGE,
        ) from problem
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def line_of(record: ConsumerRecord[bytes | None, bytes | None]) -> Line:
    """A record as a line, whether it can be decoded or not."""
    raw = (record.value or b"").decode(errors="backslashreplace")
    event, problem, kind = None, "", kind_of(record.headers) or ""
    try:
        decoded = decode(record.headers, record.value)
        event, kind = json.loads(decoded.model_dump_json()), decoded.kind
    except Unreadable as unreadable:
        problem = f"{unreadable.code}: {unreadable.detail}"
    return Line(
        at=datetime.fromtimestamp(record.timestamp / 1000, tz=UTC),
        topic=record.topic.removeprefix(topic_name("")),
        partition=record.partition,
        offset=record.offset,
        key=(record.key or b"").decode(errors="backslashreplace"),
        kind=kind,
        headers={name: (value or b"").decode(errors="replace") for name, value in record.headers},
        event=event,
        problem=problem,
        raw=raw,
    )


def kind_told(record: ConsumerRecord[bytes | None, bytes | None]) -> str:
    """The kind by header, or of a structured event by its body; empty when neither names one."""
    content = dict(record.headers).get("content-type") or b""
    if not content.startswith(STRUCTURED.encode()):
        return kind_of(record.headers) or ""
    try:
        return decode(record.headers, record.value).kind
    except Unreadable:
        return ""


def in_words(kind: str, event: dict[str, Any]) -> str:
    """What a kind has words for in a sentence, any other as its first plain fields."""
    if kind in TOLD:
        return sentence(kind, event)
    plain = [f"{name} {each}" for name, each in event.items() if each and isinstance(each, str)]
    return ", ".join(plain[:FIELDS_SHOWN])


async def newest(
    consumer: AIOKafkaConsumer, found: Stretches, wanted: Wanted, limit: int
) -> list[Line]:
    """The newest wanted records of these stretches, in order of time."""
    kept: list[tuple[tuple[int, str, int, int], Any]] = []
    async for page in records(consumer, found):
        for record in page:
            if not wanted.takes(record):
                continue
            place = record.timestamp, record.topic, record.partition, record.offset
            if len(kept) < limit:
                heappush(kept, (place, record))
            else:
                heappushpop(kept, (place, record))
    return [line_of(record) for _, record in sorted(kept)]


async def coming(
    consumer: AIOKafkaConsumer, found: Stretches, wanted: Wanted
) -> AsyncIterator[Line]:
    """Every wanted record beyond the ends of these stretches, as it comes, for ever."""
    for part, stretch in found.items():
        consumer.seek(part, stretch.end)
        consumer.resume(part)
    while True:
        pages = await consumer.getmany(timeout_ms=FOLLOW_MS)
        arrived = [record for page in pages.values() for record in page if wanted.takes(record)]
        for record in sorted(arrived, key=lambda each: each.timestamp):
            yield line_of(record)


async def since_then(consumer: AIOKafkaConsumer, found: Stretches, begin: datetime) -> Stretches:
    """The stretches without what is older than an instant."""
    at = int(begin.timestamp() * 1000)
    marks = await consumer.offsets_for_times(dict.fromkeys(found, at)) if found else {}
    return {
        part: Stretch(marks[part].offset if marks.get(part) else stretch.end, stretch.end)
        for part, stretch in found.items()
    }


async def _tail(
    topics: list[str],
    wanted: Wanted,
    begin: datetime | None,
    limit: int,
    *,
    follow: bool,
    tell: Callable[[Line], None],
) -> None:
    names = [topic_name(topic) for topic in topics]
    async with reader(addresses().kafka, names) as consumer:
        found = await stretches(consumer, names)
        if begin or not follow:
            told = await since_then(consumer, found, begin) if begin else found
            for line in await newest(consumer, told, wanted, limit):
                tell(line)
        if follow:
            async for line in coming(consumer, found, wanted):
                tell(line)


def _topics(given: list[str] | None) -> list[str]:
    known = load_plan().names
    wrong = [topic for topic in given or () if topic not in known]
    if wrong:
        raise CommandError(
            f"no topic is called '{wrong[0]}'",
            why=f"there are {', '.join(known)}",
            fix="name one of them",
            code=Exit.NOT_FOUND,
        )
    return given or [topic for topic in known if not topic.startswith("masterdata.")]


def _claim_named(written: str) -> str:
    """A claim's id; `source/key` is what its submitter calls it."""
    source, slash, key = written.partition("/")
    return str(claim_id(source, key)) if slash else written


def _json_line(line: Line) -> None:
    sys.stdout.buffer.write(orjson.dumps(line.plain()) + b"\n")
    sys.stdout.flush()


def _styled_line(out: Console) -> Callable[[Line], None]:
    return lambda line: out.print(line.styled(), soft_wrap=not out.is_terminal)
