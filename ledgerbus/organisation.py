"""Organisation files: a company's master data as one readable YAML document, and back.

    company: ACME  # goes into every record that names no company of its own
    companies:
      - {name: Acme Ltd, currency: GBP, bank_accounts: [GB33BUKB20201555555555]}
    employees:
      - {employee: E-1, name: Ann, manager: E-2, cost_center: CC-1}
      - {employee: E-2, name: Bo, grade: director}
    cost_centers:
      - {cost_center: CC-1, name: Sales, owner: E-2}
    projects:
      - {project: P-1, name: Fair, owner: E-2}
    categories:
      - {category: travel, name: Travel, input_vat: deductible}
    accounts:
      - {purpose: "expense:travel", account: "6200", valid_from: 2026-01-01}
    periods:
      - {period: 2026-10, status: open}
    budgets:
      - {budget: B-1, cost_center: CC-1, starts_on: 2026-10-01, ends_on: 2026-12-31,
         limit: 5000.00 GBP, control: hard}
    rates:
      - {original: USD, functional: GBP, date: 2026-10-01, rate: "0.79"}
    approval_rules:
      - {rule: small, version: 1, priority: 10, valid_from: 2026-01-01,
         conditions: ["total <= 100"], steps: []}
      - {rule: others, version: 1, priority: 90, valid_from: 2026-01-01,
         steps: [{name: manager, approvers: [manager]}]}

A section is a list of records of one kind; a record has the fields of that kind's contract. An
amount is written `5000.00 GBP`, a condition `field operator value`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError

from contracts import masterdata
from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contracts.envelope import Event

SECTIONS: Final[dict[str, type[Event]]] = {
    "companies": masterdata.CompanyDefined,
    "employees": masterdata.EmployeeDefined,
    "cost_centers": masterdata.CostCenterDefined,
    "projects": masterdata.ProjectDefined,
    "categories": masterdata.CategoryDefined,
    "accounts": masterdata.AccountMapped,
    "periods": masterdata.PeriodDefined,
    "budgets": masterdata.BudgetDefined,
    "rates": masterdata.RateFixed,
    "approval_rules": masterdata.ApprovalRuleDefined,
}
SECTION_OF: Final = {kind: section for section, kind in SECTIONS.items()}
REFERENCES: Final = {
    "manager": "employee",
    "owner": "employee",
    "cost_center": "cost_center",
    "project": "project",
    "parent": "budget",
    "company": "company",
}
"""What a field of a record refers to; a field that names its own record refers to nothing."""
STDIN: Final = Path("-")
PROBLEMS_SHOWN: Final = 10
_PLAIN: Final = re.compile(r"[^\W\d_][\w -]*[\w]", re.UNICODE)
_MONEY: Final = frozenset({"limit"})


class _Loader(yaml.SafeLoader):
    """YAML without surprises: dates and decimals stay texts, so no amount becomes a float."""


_Loader.yaml_implicit_resolvers = {
    mark: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":float"))
    ]
    for mark, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_organisation(path: Path) -> list[Event]:
    """Every record of an organisation file, in the order of the sections; all faults at once."""
    written = _document(path)
    company = written.pop("company", None)
    unknown = sorted(written.keys() - SECTIONS.keys())
    problems = [f"no section is called '{name}'" for name in unknown]
    events: list[Event] = []
    for section, kind in SECTIONS.items():
        for number, record in enumerate(written.get(section) or (), start=1):
            if not isinstance(record, dict):
                problems.append(f"{section}, record {number}: not a record but '{record}'")
                continue
            try:
                events.append(_event(kind, record, company))
            except ValidationError as problem:
                problems += _problems(f"{section}, record {number}", problem)
    twice = _twice(events)
    if problems or twice:
        raise invalid(path, problems + twice)
    return events


def written_organisation(events: Iterable[Event], title: str) -> str:
    """The file that gives these records, in a form that people can edit."""
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS}
    events = list(events)
    companies = {getattr(event, "company", None) for event in events} - {None}
    only = companies.pop() if len(companies) == 1 else None
    for event in events:
        fields = json.loads(event.model_dump_json(exclude_defaults=True))
        if only:
            fields.pop("company", None)
        sections[SECTION_OF[type(event)]].append(_shortened(fields))
    text = "".join(f"# {line}\n" for line in title.splitlines())
    text += f"company: {_flow(only)}\n" if only else ""
    for name, records in sections.items():
        if records:
            text += f"{name}:\n" + "".join(f"  - {_flow(record)}\n" for record in records)
    return text


def dangling(events: Iterable[Event], known: Iterable[Event]) -> list[str]:
    """References of records to others that neither stand beside them nor are known already."""
    events = list(events)
    there = {named for event in (*events, *known) for named in _defined(event)}
    missing = []
    for event in events:
        own = event.key_field.split("/")
        for field, kind in REFERENCES.items():
            value = getattr(event, field, None)
            if value is None or (field in own and field != "company"):
                continue
            if (kind, _company(event, kind), value) not in there:
                missing.append(f"{SECTION_OF[type(event)]} {event.key}: no {kind} '{value}'")
    return missing


def invalid(path: Path, problems: list[str]) -> CommandError:
    """The error that names the faults of a file, the first few in full."""
    more = len(problems) - PROBLEMS_SHOWN
    told = problems[:PROBLEMS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    return CommandError(
        f"{path.name} is not a sound organisation",
        why="".join(f"\n  - {problem}" for problem in told),
        fix="correct the file; nothing has been published",
        code=Exit.INVALID,
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
        written = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as problem:
        raise CommandError(
            f"{path} cannot be read",
            why="there is no such file",
            fix="check the path, or write one: `ledgerbus derive organisation --help`",
            code=Exit.NOT_FOUND,
        ) from problem
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise CommandError(
            f"{path} cannot be read",
            why=why,
            fix="check the path and its permissions",
            code=Exit.NOT_FOUND,
        ) from problem
    except UnicodeDecodeError as problem:
        raise CommandError(
            f"{path} is no UTF-8 text",
            why=str(problem),
            fix="save it in UTF-8",
            code=Exit.INVALID,
        ) from problem
    except yaml.YAMLError as problem:
        raise invalid(path, [str(problem)]) from problem
    if not isinstance(written, dict):
        raise invalid(path, [f"it has none of the sections {', '.join(SECTIONS)}"])
    return written


def _event(kind: type[Event], record: dict[str, Any], company: str | None) -> Event:
    fields = {name: _value(name, value) for name, value in record.items()}
    if company and "company" in kind.model_fields:
        fields.setdefault("company", company)
    return kind.model_validate_json(json.dumps(fields))


def _value(name: str, value: Any) -> Any:
    if name in _MONEY and isinstance(value, str):
        amount, _, currency = value.partition(" ")
        return {"amount": amount, "currency": currency.strip()}
    if name == "conditions" and isinstance(value, list):
        return [_condition(each) for each in value]
    return value


def _condition(written: Any) -> Any:
    parts = written.split(None, 2) if isinstance(written, str) else []
    return (
        dict(zip(("field", "operator", "value"), parts, strict=True))
        if len(parts) == 3
        else written
    )


def _problems(where: str, problem: ValidationError) -> Iterator[str]:
    for each in problem.errors(include_url=False):
        field = ".".join(str(part) for part in each["loc"])
        cure = ""
        if each["type"] == "string_type":
            cure = f", not {each['input']!r}: write it in quotes"
        yield f"{where}: {field}: {each['msg']}{cure}"


def _twice(events: Iterable[Event]) -> list[str]:
    seen: set[tuple[str, str]] = set()
    found = []
    for event in events:
        place = event.topic, event.key
        if place in seen:
            found.append(f"{SECTION_OF[type(event)]}: '{event.key}' is defined twice")
        seen.add(place)
    return found


def _defined(event: Event) -> Iterator[tuple[str, str, str]]:
    for kind in set(REFERENCES.values()):
        if event.key_field.split("/")[-1] == kind:
            yield kind, _company(event, kind), str(getattr(event, kind))


def _company(event: Event, kind: str) -> str:
    return "" if kind == "company" else str(getattr(event, "company", ""))


def _shortened(fields: dict[str, Any]) -> dict[str, Any]:
    short = dict(fields)
    for name in _MONEY & fields.keys():
        short[name] = f"{fields[name]['amount']} {fields[name]['currency']}"
    if "conditions" in fields:
        short["conditions"] = [
            f"{each['field']} {each['operator']} {each['value']}" for each in fields["conditions"]
        ]
    return short


def _flow(value: Any) -> str:
    """A value on one line of YAML; in quotes unless it could be nothing but this text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
