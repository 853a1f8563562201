"""`ledgerbus publish`: one event of any kind, checked against its contract or sent raw."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError
from rich.console import Console

from chassis import telemetry
from contracts.codec import Headers, Unreadable, code_of, headers_of, pointer_of, strict_json
from contracts.envelope import KINDS, Event, Meta
from contracts.values import claim_id
from ledgerbus.addresses import addresses
from ledgerbus.errors import CommandError, Exit
from ledgerbus.program import command
from ledgerbus.sending import meta_of, sending

if TYPE_CHECKING:
    from ledgerbus.addresses import Addresses

STDIN: Final = Path("-")
NEAR: Final = 3  # Names worth proposing for a mistyped one.

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """One record ready to be sent."""

    kind: type[Event]
    key: str
    claim: str
    meta: Meta
    body: bytes

    def plain(self, *, sent: bool) -> Document:
        """What is told about it."""
        told = {
            "event_id": str(self.meta.id),
            "claim_id": self.claim or None,
            "type": self.kind.kind,
            "topic": self.kind.topic,
            "key": self.key,
            "published": sent,
        }
        return told | (
            {} if sent else {"headers": _texts(headers_of(self.meta)), "body": _shown(self.body)}
        )


def publish(  # noqa: PLR0913 - each is an option of the command
    kind: Annotated[
        str, typer.Argument(metavar="TYPE", help="e.g. claims.submit-claim.v1, submit-claim")
    ],
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="the JSON body; - for standard input")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE, e.g. lines.0.category=travel")
    ] = None,
    key: Annotated[str | None, typer.Option(help="the record's key, if not the contract's")] = None,
    *,
    example: Annotated[
        bool, typer.Option(help="begin with the golden example of this kind")
    ] = False,
    raw: Annotated[bool, typer.Option(help="send it as it is, whatever the contract says")] = False,
    dry_run: Annotated[bool, typer.Option(help="show the record, send nothing")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="the outcome as one JSON document")
    ] = False,
) -> None:
    """Publish one event, and say its id and its claim's id.

    Examples: `ledgerbus publish submit-claim --example --set source_key=T-1`,
    `ledgerbus publish claims.submit-claim.v1 -f claim.json --dry-run`.
    """
    cls = kind_named(kind)
    body = _body(cls, file, example=example)
    if changes:
        body = json.dumps(changed(_document(body), changes), ensure_ascii=False).encode()
    where = None if dry_run else addresses()
    if where:
        telemetry.start("cli", spans_dir=where.spans_dir)
    try:
        letter = letter_of(cls, body, key=key, raw=raw)
        if where:
            asyncio.run(_send(where, letter))
    finally:
        if where:
            telemetry.stop()
    _tell(letter, sent=not dry_run, as_json=as_json)


def kind_named(name: str) -> type[Event]:
    """The kind of a wire name; its publisher and version may be left out where that is clear."""
    if name in KINDS:
        return KINDS[name]
    short = [kind for kind in KINDS if name in (kind.partition(".")[2], kind.split(".")[1])]
    if len(short) == 1:
        return KINDS[short[0]]
    near = short or get_close_matches(name, [*KINDS, *(kind.split(".")[1] for kind in KINDS)], NEAR)
    raise CommandError(
        f"no kind of event is called '{name}'",
        why=f"perhaps {', '.join(near)}" if near else f"there are {', '.join(sorted(KINDS))}",
        fix="name a kind of the contracts, e.g. claims.submit-claim.v1",
        code=Exit.NOT_FOUND,
    )


def letter_of(cls: type[Event], body: bytes, *, key: str | None, raw: bool) -> Letter:
    """The record for a body; a body that breaks the contract is an error unless it is sent raw."""
    if raw:
        fields = _document(body, strict=False)
    else:
        event = strictly(cls, body)
        fields, key = json.loads(event.model_dump_json()), key or event.key
    claim = _claim(fields)
    story = key or str(fields.get(cls.key_field) or "")
    meta = meta_of(cls.kind, cls.topic, key=story, subject=claim or story)
    return Letter(cls, story, claim, meta, body)


def strictly(cls: type[Event], body: bytes) -> Event:
    """The event a body is, as a publisher must write it: unknown fields are refused, too."""
    try:
        strict_json(body)
        return cls.model_validate_json(body)
    except Unreadable as problem:
        code, pointer, detail = problem.code, problem.pointer, problem.detail
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        code, pointer, detail = code_of(first), pointer_of(first), first["msg"]
    raise CommandError(
        f"this is no {cls.kind}",
        why=f"{code} at {pointer or '/'}: {detail}",
        fix="correct it, or send it as it is with --raw",
        code=Exit.INVALID,
    )


def changed(document: Document, changes: list[str]) -> Document:
    """The document with PATH=VALUE applied; a value takes the type of the one it replaces."""
    for change in changes:
        path, found, written = change.partition("=")
        if not found:
            raise _cannot_set(change, "it has no =")
        try:
            _put(document, path.split("."), written)
        except (KeyError, IndexError, ValueError, TypeError) as problem:
            raise _cannot_set(change, f"{type(problem).__name__}: {problem}") from problem
    return document


def _cannot_set(change: str, why: str) -> CommandError:
    return CommandError(
        f"'{change}' cannot be set",
        why=why,
        fix="--set PATH=VALUE, a path through what is there, e.g. lines.0.category=travel",
        code=Exit.USAGE,
    )


def _put(place: Any, path: list[str], written: str) -> None:
    step: Any = int(path[0]) if isinstance(place, list) else path[0]
    if len(path) > 1:
        _put(place[step], path[1:], written)
    else:
        before = place[step] if isinstance(place, list) else dict.get(place, step)
        place[step] = _typed(written, before)


def _typed(written: str, before: Any) -> Any:
    """Amounts, dates and codes are texts and stay texts; what was none is read as JSON."""
    if isinstance(before, str):
        return written
    try:
        return json.loads(written)
    except ValueError:
        return written


def _body(cls: type[Event], file: Path | None, *, example: bool) -> bytes:
    if example == (file is not None):
        raise CommandError(
            "there is nothing to publish" if file is None else "there are two bodies",
            why="the body comes from --file or from --example",
            fix="give one of them",
            code=Exit.USAGE,
        )
    try:
        if file is None:
            return _example(cls)
        return sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
    except OSError as problem:
        raise CommandError(
            f"{file or cls.kind} cannot be read",
            why=problem.strerror or str(problem),
            fix="check the path" if file else "give a body with --file",
            code=Exit.NOT_FOUND,
        ) from problem


def _example(cls: type[Event]) -> bytes:
    text = files("contracts").joinpath("examples", f"{cls.kind}.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return json.dumps(document.get("body", document), ensure_ascii=False).encode()


def _document(body: bytes, *, strict: bool = True) -> Document:
    try:
        document = json.loads(body)
    except ValueError as problem:
        if not strict:
            return {}
        raise CommandError(
            "the body cannot be changed",
            why=f"it is not JSON: {problem}",
            fix="correct it, or send it unchanged with --raw",
            code=Exit.INVALID,
        ) from problem
    return document if isinstance(document, dict) else {}


def _claim(fields: Document) -> str:
    if fields.get("claim_id"):
        return str(fields["claim_id"])
    source, source_key = fields.get("source"), fields.get("source_key")
    return str(claim_id(str(source), str(source_key))) if source and source_key else ""


async def _send(where: Addresses, letter: Letter) -> None:
    async with sending(where.kafka) as sender:
        await sender.send(letter.kind.topic, letter.key, letter.meta, letter.body)


def _tell(letter: Letter, *, sent: bool, as_json: bool) -> None:
    out = Console(highlight=False)
    told = letter.plain(sent=sent)
    if as_json or not sent:
        out.print_json(data=told)
        return
    out.print(f"event  {told['event_id']}\n", end="")
    if letter.claim:
        out.print(f"claim  {letter.claim}")
        following = command(f"claim show {letter.claim}")
        out.print(f"next:  {following}", markup=False, soft_wrap=True)


def _texts(headers: Headers) -> dict[str, str]:
    return {name: value.decode() for name, value in headers}


def _shown(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="backslashreplace")
