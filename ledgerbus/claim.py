"""`ledgerbus claim show`: everything the services know about one claim, as one story."""

from __future__ import annotations

import asyncio
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import orjson
import typer
from rich.cells import set_cell_size
from rich.console import Console
from rich.table import Table as Sheet
from rich.text import Text

from contracts.claims import ClaimSubmitted
from contracts.values import claim_id
from ledgerbus.addresses import addresses
from ledgerbus.calls import services
from ledgerbus.errors import CommandError, Exit
from ledgerbus.kafka import reader, records, stretches
from ledgerbus.layout import load_layout, shipped
from ledgerbus.refusal import refusal_lines, refusals
from ledgerbus.sending import topic_name
from ledgerbus.telling import money, sentence, service_of

if TYPE_CHECKING:
    from ledgerbus.addresses import Addresses
    from ledgerbus.calls import Services

Document = dict[str, Any]
# What each service tells of a claim, under its name in the answer; None where it never came there.
VIEWS: Final = {
    "approval": ("approval", "/v1/claims/{claim}"),
    "budget": ("budget", "/v1/claims/{claim}"),
    "entries": ("posting", "/v1/entries?claim_id={claim}"),
    "bank": ("reconcile", "/v1/items?claim_id={claim}"),
}

app = typer.Typer(help="Look at claims.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at claims."""


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="ID", help="A claim's id, or its source key.")],
    source: Annotated[str, typer.Option(help="Whose key it is, where several use it.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show a claim's whole story: what happened, when, who acted, entries, payments, traces.

    Of a claim that was refused at intake: when, why, and who can put it right.

    Examples: `ledgerbus claim show 8d0c2f0e-…`, `ledgerbus claim show T-2026-10-0042 --json`.
    """
    told = asyncio.run(_told(name, source))
    if as_json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    screen = Console(highlight=False)
    if told["claim"] is not None:
        _show(screen, told)
        return
    for refusal in told["refusals"]:
        for line in refusal_lines(refusal):
            screen.print(line, soft_wrap=True)


async def _told(name: str, source: str) -> Document:
    """The claim's whole story, or the refusals of one that never became a claim."""
    try:
        return await _whole(name, source)
    except CommandError as problem:
        if problem.code != Exit.NOT_FOUND:
            raise
        found = await refusals(addresses(), _written(name), source)
        if not found:
            raise CommandError(
                f"no claim is called '{name}'",
                why="claims has neither accepted nor refused one under this id or key",
                fix="what came in lately: `ledgerbus tail --topic claims.intake`",
                code=Exit.NOT_FOUND,
            ) from problem
    return {"claim": None, "refusals": found}


def _written(name: str) -> str:
    """An id as events write it; any other name as it is."""
    try:
        return str(UUID(name))
    except ValueError:
        return name


async def _whole(name: str, source: str) -> Document:
    where = addresses()
    async with services(where) as running:
        claim = await find_claim(where, running, name, source)
        told: Document = {
            "claim": await running.get("claims", f"/v1/claims/{claim}"),
            "journey": (await running.get("claims", f"/v1/claims/{claim}/journey"))["steps"],
        }
        wanted = [running.find(who, path.format(claim=claim)) for who, path in VIEWS.values()]
        views = await asyncio.gather(*wanted, return_exceptions=True)
    told["unavailable"] = {}
    for part, view in zip(VIEWS, views, strict=True):
        if isinstance(view, CommandError):  # The others' part of the story is worth having.
            told["unavailable"][part] = str(view)
        elif isinstance(view, BaseException):
            raise view
        told[part] = view if isinstance(view, dict) else None
    return told


async def find_claim(where: Addresses, running: Services, name: str, source: str = "") -> str:
    """The id of the claim with this id or source key; an error when there is none, or several."""
    try:
        return str(UUID(name))
    except ValueError:
        pass
    if source:
        return str(claim_id(source, name))
    found = await _known(running, name) or await _on_topic(where, name)
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise CommandError(
            f"no claim is called '{name}'",
            why="claims has accepted none under this key",
            fix=f"if it was refused, `ledgerbus claim show {quote(name)}` tells why",
            code=Exit.NOT_FOUND,
        )
    raise CommandError(
        f"{len(found)} claims are called '{name}'",
        why=", ".join(f"{claim} of {of}" for claim, of in sorted(found.items())),
        fix="say whose you mean with --source, or use its id",
        code=Exit.CONFLICT,
    )


async def _known(running: Services, key: str) -> dict[str, str]:
    """Claims of this key from the sources whose layouts ship, with their sources."""
    sources = {load_layout(name).source for name in shipped()}
    ids = {str(claim_id(source, key)): source for source in sorted(sources)}
    asked = [running.find("claims", f"/v1/claims/{claim}") for claim in ids]
    answers = await asyncio.gather(*asked)
    return {claim: ids[claim] for claim, there in zip(ids, answers, strict=True) if there}


async def _on_topic(where: Addresses, key: str) -> dict[str, str]:
    """Claims of this key from any source, found by reading what was submitted."""
    topic = topic_name(ClaimSubmitted.topic)
    kind, needle = ClaimSubmitted.kind.encode(), orjson.dumps(key)
    found: dict[str, str] = {}
    async with reader(where.kafka, [topic]) as consumer:
        async for page in records(consumer, await stretches(consumer, [topic])):
            for record in page:
                if needle in record.value and dict(record.headers).get("ce_type") == kind:
                    told = orjson.loads(record.value)
                    if told["source_key"] == key:
                        found[told["claim_id"]] = told["source"]
    return found


async def traces_of(running: Services, claim: str) -> set[str]:
    """The traces that the claim's journey names."""
    journey = await running.find("claims", f"/v1/claims/{claim}/journey")
    return {step["trace_id"] for step in (journey or {}).get("steps", []) if step.get("trace_id")}


def _show(screen: Console, told: Document) -> None:
    claim = told["claim"]
    head = f"{claim['source']} {claim['source_key']}, revision {claim['revision']}"
    screen.print(Text.assemble((str(claim["claim_id"]), "bold"), f"  {head}"), soft_wrap=True)
    screen.print(_standing(claim), soft_wrap=True)
    screen.print(_lines(claim))
    for line in journey_lines(told["journey"]):
        screen.print(line, soft_wrap=True)
    for entry in (told["entries"] or {}).get("items", []):
        for line in t_accounts(entry):
            screen.print(line)
    for item in (told["bank"] or {}).get("items", []):
        for line in bank_lines(item):
            screen.print(line, soft_wrap=True)
    for missing, why in told["unavailable"].items():
        screen.print(f"[red]no {missing}:[/] {why}", soft_wrap=True)


def _standing(claim: Document) -> Text:
    """State and figures in one sentence, and why it ended where it was refused."""
    line = Text.assemble(
        (claim["state"].replace("_", " "), "bold"),
        f" since {_moment(claim['since'])}: {money(claim['total'])} of {claim['employee']} "
        f"({claim['company']}), {claim['paid_by'].replace('_', ' ')} → {claim['payee']}",
    )
    if claim["purpose"]:
        line.append(f", {claim['purpose']}")
    for reason in claim["reasons"]:
        line.append(f"\n  {reason['code']}: {reason['detail']} ({reason['who']})", style="red")
    for warning in claim["warnings"]:
        twins = ", ".join(warning["claims"])
        line.append(f"\n  line {warning['line']} resembles {twins}", style="yellow")
    return line


def _lines(claim: Document) -> Sheet:
    sheet = Sheet(box=None, pad_edge=False)
    for name in ("line", "date", "category", "cost center", "net", "tax", "gross", "merchant", ""):
        right = name in {"net", "tax", "gross"}
        sheet.add_column(
            name, justify="right" if right else "left", style="dim" if not name else ""
        )
    for line in claim["lines"]:
        original = line.get("original")
        sheet.add_row(
            str(line["line"]),
            line["date"],
            line["category"],
            line["cost_center"],
            *(line[part]["amount"] for part in ("net", "tax", "gross")),
            line.get("merchant") or "",
            f"{money(original)} at {line.get('rate') or '1'}" if original else "",
        )
    return sheet


def journey_lines(steps: list[Document]) -> list[Text]:
    """What happened, a line a step; a new trace is named where it begins."""
    lines, trace = [], None
    for step in steps:
        if step["trace_id"] and step["trace_id"] != trace:
            trace = step["trace_id"]
            lines.append(Text(f"trace {trace}", style="dim"))
        service = service_of(step["kind"])
        what = sentence(step["kind"], step["figures"])
        if step["actor"] != service and step["actor"] not in what:
            what += f" [{step['actor']}]"
        lines.append(Text.assemble(f"  {_moment(step['at'])}  ", (f"{service:<10}", "cyan"), what))
    return lines


def t_accounts(entry: Document) -> list[Text]:
    """An entry as finance draws it: debits left, credits right, both with their sum."""
    head = f"entry {entry['entry_number']} of {entry['posting_date']} ({entry['ledger']}"
    head += f", turns back {entry['reverses']})" if entry.get("reverses") else ")"
    sides = {side: [one for one in entry["lines"] if one["side"] == side] for side in SIDES}
    lines = [Text(head, style="bold"), Text(f"  {'debit':<{HALF}}  │ credit")]
    for place in range(max(len(of_side) for of_side in sides.values())):
        left, right = (_half(sides[side], place) for side in SIDES)
        lines.append(Text(f"  {left}  │ {right}".rstrip()))
    sums = {
        side: sum(int(one["amount"]["amount"].replace(".", "")) for one in sides[side])
        for side in SIDES
    }
    verdict = "balanced" if sums["debit"] == sums["credit"] else "NOT BALANCED"
    lines.append(Text(f"  {'─' * (HALF + 2)}┴{'─' * (HALF + 1)} {verdict}", style="dim"))
    return lines


SIDES: Final = ("debit", "credit")
HALF: Final = 36
NAME: Final = 23


def _half(lines: list[Document], place: int) -> str:
    if place >= len(lines):
        return " " * HALF
    line = lines[place]
    account = f"{line['account']} {line.get('account_name') or line.get('cost_center') or ''}"
    return f"{set_cell_size(account.strip(), NAME)}{line['amount']['amount']:>{HALF - NAME}}"


def bank_lines(item: Document) -> list[Text]:
    """What the bank has shown of an entry: every line, and what is still open."""
    lines = [
        Text.assemble(
            ("bank ", "bold"),
            f"{item['entry_number']}: {money(item['paid'])} of {money(item['total'])} paid, "
            f"{money(item['open'])} open ({item['state'].replace('_', ' ')})",
        )
    ]
    for payment in item["payments"]:
        undone = f", undone by {payment['undone_by']}" if payment.get("undone_at") else ""
        why = ", ".join(payment["evidence"])
        lines.append(
            Text(
                f"  {payment['booked_on']}  {payment['kind']} {money(payment['amount'])} on "
                f"{payment['statement']} of {payment['account']}{undone}: {payment['rule']}, "
                f"{payment['score']} points ({why})"
            )
        )
    return lines


def _moment(text: str) -> str:
    """A time as people compare it: to the millisecond, UTC."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
