"""The SQL of tasks: who is asked in which step of which case, and what was said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chassis.db import columns
from contracts.envelope import Cause
from services.approval.domain import Approver, File, Matter, State, Task, Verdict
from services.approval.store.cases import lock
from services.approval.store.organisation import published
from services.approval.store.rows import CASES, case_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from uuid import UUID

    from chassis.db import Reader, Tx
    from services.approval.domain import Case, Key, Place, Tray
    from services.approval.policy import Ruling


async def revisions(reader: Reader, claim_id: UUID) -> list[File]:
    """Every case of a claim with its tasks, the oldest revision first."""
    sql = CASES + "WHERE c.claim_id = $1 ORDER BY c.revision"
    return await _files(reader, [case_of(row) for row in await reader.fetch(sql, claim_id)])


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
        *columns(people, 2),
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
        *columns((_task_columns(*one) for one in tasks), 14),
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
        *columns((_seat_columns(case, t, one) for case, t, _ in tasks for one in t.approvers), 7),
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
        CASES + "JOIN tasks t USING (claim_id, revision) WHERE t.task_id = ANY($1::uuid[])",
        task_ids,
    )
    files = await _files(reader, [case_of(row) for row in rows])
    found = {
        task.task_id: Matter(task, file.case, row[15])
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
        *columns({case.key for case in cases}, 2),
    )
    files = {case.key: File(case) for case in cases}
    for row in rows:
        file = files[row[:2]]
        seat = Approver(row[13], row[14], Verdict(row[15]), row[16], row[17])
        seats = next((task.approvers for task in file.tasks if task.task_id == row[2]), ())
        task = Task(row[2], row[3], row[4], row[5], row[7], (*seats, seat), State(row[6]), row[8])
        files[row[:2]] = replace(file.changed(task), cause=Cause(*row[9:13]))
    return [files[case.key] for case in cases]


def _task_columns(case: Case, task: Task, cause: Cause) -> tuple[Any, ...]:
    what = (task.task_id, *case.key, case.known.company, task.step, task.name, task.quorum)
    when = (task.state, task.opened_at, task.closed_at)
    return (*what, *when, cause.event_id, cause.correlation_id, cause.traceparent, cause.tracestate)


def _seat_columns(case: Case, task: Task, one: Approver) -> tuple[Any, ...]:
    said = (one.verdict, one.at, one.comment)
    return (task.task_id, case.known.company, one.employee, one.reference, *said)
