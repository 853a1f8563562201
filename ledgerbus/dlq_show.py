"""Dead letters on the screen: by cause, one by one, and what to type next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.table import Table as Sheet
from rich.text import Text

from chassis.errors import catalogue
from ledgerbus.program import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

Document = dict[str, Any]
SHOWN: Final = 20  # Of each group; --json has all of them.
ALSO: Final = ("state", "kind", "handler", "position", "key", "attempts", "failed_at", "edited_by")


def explained(code: str) -> tuple[str, str]:
    """A code's title and what to do, in Chinese where the terminal's language is."""
    spoken = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    texts = catalogue().get(code, {}).get("zh" if spoken.startswith("zh") else "en", {})
    return texts.get("title", code), texts.get("fix", "")


def groups(screen: Console, items: Sequence[Document]) -> None:
    """Dead letters by service and cause, the largest group first."""
    found: dict[tuple[str, str], list[Document]] = {}
    for item in items:
        found.setdefault((item["service"], item["fingerprint"]), []).append(item)
    if not found:
        screen.print("[green]No dead letters.[/]")
        return
    for (service, fingerprint), members in sorted(found.items(), key=lambda each: -len(each[1])):
        first = members[0]
        title, fix = explained(first["code"])
        head = f"{service}: {len(members)} {first['code']} on {first['kind'] or 'no kind'}"
        screen.print(Text(f"{head}, group {fingerprint}", "bold"), soft_wrap=True)
        screen.print(Text(f"{title}. {fix}"), soft_wrap=True)
        screen.print(_sheet(("id", "state", "key", "failed_at", "detail"), members[:SHOWN]))
        if len(members) > SHOWN:
            screen.print(f"… {len(members) - SHOWN} more; --json has all of them")
    example = items[0]
    _next(screen, f"dlq show {example['id']}", "parked list")


def letter(screen: Console, found: Document) -> None:
    """One dead letter, and the commands that repair it."""
    title, fix = explained(found["code"])
    screen.print(Text(f"{found['service']}: {found['code']}: {found['detail']}", "bold"))
    screen.print(Text(f"{title}. {fix}"), soft_wrap=True)
    for name in ALSO:
        if found[name] not in {None, ""}:
            screen.print(Text(f"{name.replace('_', ' '):>12}  {found[name]}"), soft_wrap=True)
    trace = found["trace_id"]
    if trace:
        screen.print(Text(f"{'trace':>12}  {trace}"), soft_wrap=True)
    screen.print(Text(f"{'waiting':>12}  {found['waiting']} later events of its key"))
    judged = found["validation"]
    today = "an event" if judged["readable"] else f"{judged['code']}: {judged['detail']}"
    screen.print(Text(f"{'read today':>12}  {today}"), soft_wrap=True)
    for header in found["headers"]:
        told = header["text"] if header["text"] is not None else f"base64 {header['base64']}"
        screen.print(Text(f"{'header':>12}  {header['name']}: {told}"), soft_wrap=True)
    _show_value(screen, found)
    for act in found["actions"]:
        _show_act(screen, act)
    if found["state"] == "open":
        name = found["id"]
        _next(
            screen,
            f'dlq replay {name} --dry-run --reason "…"',
            f'dlq replay {name} --reason "…"',
            f'dlq edit {name} --set /field=value --reason "…" --replay',
            f'dlq discard {name} --reason "…"',
        )


def edited(screen: Console, told: Document) -> None:
    """What an edit has changed, and what its replay has done."""
    patch = told["actions"][-1]["patch"] or []
    screen.print(f"[green]edited[/] {told['id']}; its id and its own bytes stay")
    for change in patch:
        screen.print(Text(f"  {orjson.dumps(change).decode()}"), soft_wrap=True)
    if "replay" in told:
        runs(screen, [told["replay"]])
    else:
        _next(screen, f'dlq replay {told["id"]} --reason "…"')


def runs(screen: Console, found: Sequence[Document]) -> None:
    """What runs have done, failures first."""
    for run in found:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in run["counts"].items())
        screen.print(
            Text(f"{run['service']}: {counts or 'nothing was open'} (run {run['run']})"),
            soft_wrap=True,
        )
        failed = [each for each in run["results"] if each["code"]]
        for each in failed[:SHOWN]:
            screen.print(
                Text(f"  {each['id']} {each['outcome']}: {each['code']}: {each['detail']}", "red"),
                soft_wrap=True,
            )
        said = [each for each in run["results"] if each["emits"]]
        for each in said[:SHOWN]:
            verb = "would say" if run["dry_run"] else "said"
            screen.print(Text(f"  {each['id']} {verb} {', '.join(each['emits'])}"), soft_wrap=True)
        if run["left"]:
            screen.print(f"  {run['left']} left")


def parked(screen: Console, items: Sequence[Document]) -> None:
    """The keys whose events wait."""
    if not items:
        screen.print("[green]Nothing waits.[/]")
        return
    screen.print(_sheet(("service", "key", "count", "since", "behind"), items))
    behind = next((item["behind"] for item in items if item["behind"]), None)
    if behind:
        _next(screen, f"dlq show {behind}")


def _show_value(screen: Console, found: Document) -> None:
    value, text = found["value"], found["value_text"]
    if value is not None:
        screen.print(Text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()))
    elif text is not None:
        screen.print(Text(text), soft_wrap=True)
    else:
        screen.print(Text(f"base64 {found['value_base64']}"), soft_wrap=True)


def _show_act(screen: Console, act: Document) -> None:
    agreed = f" with {act['approved_by']}" if act["approved_by"] else ""
    why = f": {act['code']}: {act['detail']}" if act["code"] else ""
    done = f"{act['at']} {act['action']} by {act['by']}{agreed} ({act['reason']})"
    screen.print(Text(f"{done} → {act['outcome']}{why}"), soft_wrap=True)


def _sheet(names: Sequence[str], items: Sequence[Document]) -> Sheet:
    sheet = Sheet()
    for name in names:
        # An id is there to be copied; a long detail is not.
        sheet.add_column(name.replace("_", " "), no_wrap=name in {"id", "behind"})
    for item in items:
        sheet.add_row(*(Text(str(item[name] if item[name] is not None else "")) for name in names))
    return sheet


def _next(screen: Console, *commands: str) -> None:
    screen.print("next:")
    for each in commands:
        screen.print(Text(f"  {command(each)}"), soft_wrap=True)
