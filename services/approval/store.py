"""The only SQL of approval: cases, their tasks and approvers, rules and the organisation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from contracts.envelope import Cause
from contracts.masterdata import ApprovalRuleDefined
from contracts.values import Money, PaidBy
from services.approval.domain import (
    Approver,
    Case,
    Claim,
    File,
    Matter,
    Organisation,
    Person,
    RuleVersion,
    State,
    Task,
    Verdict,
    version_of,
)
from services.approval.rules import read_rule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date
    from uuid import UUID

    from chassis.db import Reader, Row, Tx
    from contracts.masterdata import CompanyDefined, EmployeeDefined
    from services.approval.domain import Key, Place, Rule, Tray, Version
    from services.approval.policy import Ruling

_CASES: Final = """SELECT c.claim_id, c.revision, c.state, c.outcome,
    coalesce(nullif(c.grade, ''), e.grade, ''), c.rule, c.rule_version, c.reason, c.decided_at,
    c.company, c.employee, c.total_minor, c.currency, c.inputs, coalesce(e.name, '')
    FROM cases c LEFT JOIN employees e ON e.company = c.company AND e.employee = c.employee """
_INPUTS: Final = ("cost_centers", "projects", "categories", "paid_by", "purpose", "warnings")


async def insert(tx: Tx, cases: Sequence[Case]) -> set[Key]:
    """Store the cases that nobody knew yet; the keys of those that were stored."""
    if not cases:
        return set()
    ordered = sorted(cases, key=_by_id)
    rows = await tx.fetch(
        """
        INSERT INTO cases (claim_id, revision, state, outcome, company, employee, total_minor,
            currency, inputs)
        SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[],
            $6::text[], $7::bigint[], $8::text[], $9::jsonb[])
        ON CONFLICT DO NOTHING RETURNING claim_id, revision
        """,
        *_columns(((*c.key, c.state, c.outcome, *_figures(c.claim)) for c in ordered), 9),
    )
    return {(row[0], row[1]) for row in rows}


async def fill_in(tx: Tx, cases: Sequence[Case]) -> None:
    """Write the claims of cases that knew only the check or the withdrawal so far."""
    if not cases:
        return
    await tx.execute(
        """
        UPDATE cases c SET company = n.company, employee = n.employee,
            total_minor = n.total_minor, currency = n.currency, inputs = n.inputs
        FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::bigint[], $6::text[],
            $7::jsonb[]) AS n (claim_id, revision, company, employee, total_minor, currency, inputs)
        WHERE c.claim_id = n.claim_id AND c.revision = n.revision AND c.employee IS NULL
        """,
        *_columns(((*case.key, *_figures(case.claim)) for case in cases), 7),
    )


async def lock(tx: Tx, keys: Collection[Key]) -> list[Case]:
    """The known cases of these keys, locked in order until the transaction ends."""
    if not keys:
        return []
    sql = """ JOIN unnest($1::uuid[], $2::int[]) AS k (claim_id, revision)
        USING (claim_id, revision) ORDER BY claim_id, revision FOR NO KEY UPDATE OF c"""
    return [_case(row) for row in await tx.fetch(_CASES + sql, *_columns(keys, 2))]


async def save(tx: Tx, cases: Iterable[Case]) -> None:
    """Write what has become of locked cases."""
    rows = [
        (*c.key, c.state, c.outcome, c.grade, c.rule, c.rule_version, c.reason, c.decided_at)
        for c in cases
    ]
    if not rows:
        return
    await tx.execute(
        """
        UPDATE cases c SET state = n.state, outcome = n.outcome, grade = n.grade, rule = n.rule,
            rule_version = n.version, reason = n.reason, decided_at = n.at
        FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::int[], $8::text[], $9::timestamptz[])
            AS n (claim_id, revision, state, outcome, grade, rule, version, reason, at)
        WHERE c.claim_id = n.claim_id AND c.revision = n.revision
        """,
        *_columns(rows, 9),
    )


async def revisions(reader: Reader, claim_id: UUID) -> list[File]:
    """Every case of a claim with its tasks, the oldest revision first."""
    sql = _CASES + "WHERE c.claim_id = $1 ORDER BY c.revision"
    return await _files(reader, [_case(row) for row in await reader.fetch(sql, claim_id)])


async def lock_files(tx: Tx, keys: Collection[Key]) -> list[File]:
    """Decided cases with the steps of their rule version and their tasks, locked, in order."""
    files = await _files(tx, await lock(tx, keys))
    rules = await published(tx, {file.case.ruled_by for file in files})
    return [replace(file, steps=tuple(rules[file.case.ruled_by].steps)) for file in files]


async def key_of(reader: Reader, task_id: UUID) -> Key | None:
    """What the task is about, if there is such a task."""
    row = await reader.fetchrow("SELECT claim_id, revision FROM tasks WHERE task_id = $1", task_id)
    return (row["claim_id"], row["revision"]) if row else None


async def keys_asking(tx: Tx, people: Iterable[Place]) -> list[Key]:
    """The cases whose open step waits for any of these people."""
    rows = await tx.fetch(
        """
        SELECT DISTINCT t.claim_id, t.revision
        FROM unnest($1::text[], $2::text[]) AS p (company, employee)
        JOIN approvers a ON (a.approver, a.verdict, a.company) = (p.employee, 'asked', p.company)
        JOIN tasks t ON t.task_id = a.task_id AND t.state = 'open'
        """,
        *_columns(people, 2),
    )
    return [(row["claim_id"], row["revision"]) for row in rows]


async def save_tasks(tx: Tx, said: Iterable[tuple[Ruling, Cause]]) -> None:
    """Write new and changed tasks with their approvers, and what an answer will follow from."""
    tasks = [(ruling.case, task, cause) for ruling, cause in said for task in ruling.tasks]
    if not tasks:
        return
    await tx.execute(
        """
        INSERT INTO tasks (task_id, claim_id, revision, company, step, name, quorum, state,
            opened_at, closed_at, cause_id, correlation_id, traceparent, tracestate)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::int[], $6::text[],
            $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::uuid[],
            $12::text[], $13::text[], $14::text[])
        ON CONFLICT (task_id) DO UPDATE SET state = excluded.state, closed_at = excluded.closed_at
        """,
        *_columns((_task_columns(*one) for one in tasks), 14),
    )
    await tx.execute(
        """
        INSERT INTO approvers (task_id, company, approver, reference, verdict, decided_at, comment)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[],
            $6::timestamptz[], $7::text[])
        ON CONFLICT (task_id, approver) DO UPDATE SET verdict = excluded.verdict,
            decided_at = excluded.decided_at, comment = excluded.comment
        WHERE approvers.verdict <> excluded.verdict
        """,
        *_columns((_seat_columns(case, t, one) for case, t, _ in tasks for one in t.approvers), 7),
    )


async def tasks_in(reader: Reader, tray: Tray, after: UUID | None, limit: int) -> list[Matter]:
    """The tasks in a tray, the oldest first."""
    rows = await reader.fetch(
        """
        SELECT t.task_id FROM tasks t
        WHERE $3::text IS NULL AND t.state = $1 AND ($2::text IS NULL OR t.company = $2)
            AND ($4::uuid IS NULL OR t.task_id > $4)
        UNION ALL
        SELECT t.task_id FROM approvers a JOIN tasks t USING (task_id)
        WHERE a.approver = $3 AND t.state = $1 AND ($2::text IS NULL OR t.company = $2)
            AND ($4::uuid IS NULL OR t.task_id > $4) AND ($1 <> 'open' OR a.verdict = 'asked')
        ORDER BY task_id LIMIT $5
        """,
        *(tray.state, tray.company, tray.approver, after, limit),
    )
    return await matters(reader, [row["task_id"] for row in rows])


async def matters(reader: Reader, task_ids: Sequence[UUID]) -> list[Matter]:
    """These tasks with their cases, in the order of the ids."""
    rows = await reader.fetch(
        _CASES + "JOIN tasks t USING (claim_id, revision) WHERE t.task_id = ANY($1::uuid[])",
        task_ids,
    )
    files = await _files(reader, [_case(row) for row in rows])
    found = {
        task.task_id: Matter(task, file.case, row[14])
        for row, file in zip(rows, files, strict=True)
        for task in file.tasks
    }
    return [found[task_id] for task_id in task_ids if task_id in found]


async def _files(reader: Reader, cases: Sequence[Case]) -> list[File]:
    """These cases with their tasks, in order."""
    rows = await reader.fetch(
        """
        SELECT t.claim_id, t.revision, t.task_id, t.step, t.name, t.quorum, t.state, t.opened_at,
            t.closed_at, t.cause_id, t.correlation_id, t.traceparent, t.tracestate,
            a.approver, a.reference, a.verdict, a.decided_at, a.comment
        FROM tasks t
        JOIN unnest($1::uuid[], $2::int[]) AS k (claim_id, revision) USING (claim_id, revision)
        JOIN approvers a USING (task_id)
        ORDER BY t.step, a.decided_at, a.approver
        """,
        *_columns({case.key for case in cases}, 2),
    )
    files = {case.key: File(case) for case in cases}
    for row in rows:
        file = files[row[:2]]
        seat = Approver(row[13], row[14], Verdict(row[15]), row[16], row[17])
        seats = next((task.approvers for task in file.tasks if task.task_id == row[2]), ())
        task = Task(row[2], row[3], row[4], row[5], row[7], (*seats, seat), State(row[6]), row[8])
        files[row[:2]] = replace(file.changed(task), cause=Cause(*row[9:13]))
    return [files[case.key] for case in cases]


async def published(reader: Reader, keys: Iterable[Version]) -> dict[Version, ApprovalRuleDefined]:
    """Those of the versions that are published, as they were published."""
    rows = await reader.fetch(
        """
        SELECT r.definition FROM rules r
        JOIN unnest($1::text[], $2::text[], $3::int[]) AS k (company, rule, version)
            USING (company, rule, version)
        """,
        *_columns(keys, 3),
    )
    rules = [ApprovalRuleDefined.model_validate_json(row[0]) for row in rows]
    return {version_of(rule): rule for rule in rules}


async def publish(tx: Tx, rules: Iterable[ApprovalRuleDefined]) -> None:
    """Store new versions of rules; what is published already stays as it is."""
    await tx.execute(
        """
        INSERT INTO rules (company, rule, version, valid_from, definition)
        SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::date[], $5::jsonb[])
        ON CONFLICT DO NOTHING
        """,
        *_columns(((*version_of(r), r.valid_from, r.model_dump_json()) for r in rules), 5),
    )


async def rules_today(reader: Reader, companies: Iterable[str], today: date) -> list[Rule]:
    """Of each rule of these companies the newest version that is valid today."""
    rows = await reader.fetch(
        """
        SELECT DISTINCT ON (company, rule) definition
        FROM rules WHERE company = ANY($1::text[]) AND valid_from <= $2
        ORDER BY company, rule, version DESC
        """,
        *(list(companies), today),
    )
    return [read_rule(row["definition"]) for row in rows]


async def rule_versions(
    reader: Reader, *, company: str | None, after: Version, limit: int
) -> list[RuleVersion]:
    """Every version of every rule, in order of company, rule and version."""
    rows = await reader.fetch(
        """
        SELECT r.definition, coalesce(c.currency, ''), r.version = (
            SELECT max(n.version) FROM rules n
            WHERE n.company = r.company AND n.rule = r.rule AND n.valid_from <= current_date
        )
        FROM rules r LEFT JOIN companies c USING (company)
        WHERE ($1::text IS NULL OR r.company = $1)
            AND (r.company, r.rule, r.version) > ($2::text, $3::text, $4::int)
        ORDER BY r.company, r.rule, r.version LIMIT $5
        """,
        *(company, *after, limit),
    )
    read = ApprovalRuleDefined.model_validate_json
    return [RuleVersion(read(row[0]), row[1], newest=bool(row[2])) for row in rows]


async def define_companies(tx: Tx, companies: Iterable[CompanyDefined]) -> None:
    """Write the newest word on companies."""
    await tx.execute(
        """
        INSERT INTO companies (company, name, currency)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        ON CONFLICT (company) DO UPDATE SET name = excluded.name, currency = excluded.currency
        """,
        *_columns(((one.company, one.name, one.currency) for one in companies), 3),
    )


async def define_employees(tx: Tx, who: Iterable[EmployeeDefined]) -> None:
    """Write the newest word on people."""
    await tx.execute(
        """
        INSERT INTO employees (company, employee, name, grade, manager, active)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
            $6::boolean[])
        ON CONFLICT (company, employee) DO UPDATE SET name = excluded.name,
            grade = excluded.grade, manager = excluded.manager, active = excluded.active
        """,
        *_columns(((e.company, e.employee, e.name, e.grade, e.manager, e.active) for e in who), 6),
    )


async def define_owners(tx: Tx, kind: str, owners: Mapping[Place, str | None]) -> None:
    """Write the newest word on who owns cost centres or projects."""
    await tx.execute(
        """
        INSERT INTO owners (company, code, owner, kind)
        SELECT company, code, owner, $4
        FROM unnest($1::text[], $2::text[], $3::text[]) AS n (company, code, owner)
        ON CONFLICT (company, kind, code) DO UPDATE SET owner = excluded.owner
        """,
        *_columns(((*place, owners[place]) for place in sorted(owners)), 3),
        kind,
    )


async def load(reader: Reader, claims: Sequence[Claim], people: Iterable[Place]) -> Organisation:
    """The owners of what the claims name, the claimants, these people, and all managers above."""
    rows = await reader.fetch(
        """
        WITH RECURSIVE owned AS (
            SELECT o.kind, o.company, o.code, o.owner FROM owners o
            JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (kind, company, code)
                USING (company, kind, code)
            WHERE o.owner IS NOT NULL
        ), asked (company, employee) AS (
            SELECT company, employee FROM unnest($4::text[], $5::text[]) AS p (company, employee)
            UNION SELECT company, owner FROM owned
        ), reached AS (
            SELECT e.company, e.employee, e.manager, e.active
            FROM asked JOIN employees e USING (company, employee)
            UNION
            SELECT e.company, e.employee, e.manager, e.active
            FROM reached r JOIN employees e ON e.company = r.company AND e.employee = r.manager
        )
        SELECT 'person', company, employee, manager, active FROM reached
        UNION ALL SELECT kind, company, code, owner, true FROM owned
        """,
        *_columns({owned for claim in claims for owned in claim.owned}, 3),
        *_columns({*people, *((claim.company, claim.employee) for claim in claims)}, 2),
    )
    return Organisation(
        people={row[1:3]: Person(row[3], row[4]) for row in rows if row[0] == "person"},
        cost_center_owners={row[1:3]: row[3] for row in rows if row[0] == "cost_center"},
        project_owners={row[1:3]: row[3] for row in rows if row[0] == "project"},
    )


def _by_id(case: Case) -> tuple[int, int]:
    """The one order in which all transactions insert cases; PostgreSQL sorts ids like this too."""
    return case.claim_id.int, case.revision


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """The rows turned into `width` lists, one per column, whether there are rows or not."""
    turned = [list(column) for column in zip(*rows, strict=True)]
    return turned or [[] for _ in range(width)]


def _figures(claim: Claim | None) -> tuple[Any, ...]:
    """The columns of a claim; all empty for one that is not here yet."""
    if claim is None:
        return (None,) * 5
    inputs = orjson.dumps({name: getattr(claim, name) for name in _INPUTS}).decode()
    return claim.company, claim.employee, claim.total.minor, claim.total.currency, inputs


def _case(row: Row) -> Case:
    company, employee, minor, currency, inputs = row[9:14]
    claim = None
    if employee is not None:
        values = orjson.loads(inputs)
        values |= {name: tuple(values[name]) for name in _INPUTS[:3]}
        values["paid_by"] = PaidBy(values["paid_by"])
        claim = Claim(company, employee, Money(minor, currency), **values)
    return Case(row[0], row[1], State(row[2]), claim, *row[3:9])


def _task_columns(case: Case, task: Task, cause: Cause) -> tuple[Any, ...]:
    what = (task.task_id, *case.key, case.known.company, task.step, task.name, task.quorum)
    when = (task.state, task.opened_at, task.closed_at)
    return (*what, *when, cause.event_id, cause.correlation_id, cause.traceparent, cause.tracestate)


def _seat_columns(case: Case, task: Task, one: Approver) -> tuple[Any, ...]:
    said = (one.verdict, one.at, one.comment)
    return (task.task_id, case.known.company, one.employee, one.reference, *said)
