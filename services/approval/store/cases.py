"""The SQL of cases: what waits, and what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.db import columns
from contracts.envelope import Cause
from services.approval.store.rows import CASES, case_of, figures_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from chassis.db import Tx
    from services.approval.domain import Case, Key


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
        *columns(((*c.key, c.state, c.outcome, *figures_of(c.claim)) for c in ordered), 9),
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
        *columns(((*case.key, *figures_of(case.claim)) for case in cases), 7),
    )


async def lock(tx: Tx, keys: Collection[Key]) -> list[Case]:
    """The known cases of these keys, locked in order until the transaction ends."""
    if not keys:
        return []
    sql = """ JOIN unnest($1::uuid[], $2::int[]) AS k (claim_id, revision)
        USING (claim_id, revision) ORDER BY claim_id, revision FOR NO KEY UPDATE OF c"""
    return [case_of(row) for row in await tx.fetch(CASES + sql, *columns(keys, 2))]


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
            rule_version = n.version, reason = n.reason, decided_at = n.at, cause_id = NULL
        FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::int[], $8::text[], $9::timestamptz[])
            AS n (claim_id, revision, state, outcome, grade, rule, version, reason, at)
        WHERE c.claim_id = n.claim_id AND c.revision = n.revision
        """,
        *columns(rows, 9),
    )


async def hold(tx: Tx, held: Iterable[tuple[Case, Cause]]) -> None:
    """Remember what the decisions on complete cases will follow from, once master data is here."""
    rows = [
        (*case.key, cause.event_id, cause.correlation_id, cause.traceparent, cause.tracestate)
        for case, cause in held
    ]
    if not rows:
        return
    await tx.execute(
        """
        UPDATE cases c SET cause_id = n.cause_id, correlation_id = n.correlation_id,
            traceparent = n.traceparent, tracestate = n.tracestate
        FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::text[], $6::text[])
            AS n (claim_id, revision, cause_id, correlation_id, traceparent, tracestate)
        WHERE c.claim_id = n.claim_id AND c.revision = n.revision
        """,
        *columns(rows, 6),
    )


async def lock_held(tx: Tx, limit: int) -> dict[Case, Cause]:
    """Complete cases that wait for master data, with what their decision will follow from."""
    rows = await tx.fetch(
        """
        SELECT claim_id, revision, cause_id, correlation_id, traceparent, tracestate
        FROM cases WHERE cause_id IS NOT NULL
        ORDER BY claim_id, revision LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
        """,
        limit,
    )
    held = {(row[0], row[1]): Cause(row[2], row[3], row[4], row[5]) for row in rows}
    return {case: held[case.key] for case in await lock(tx, held)}


def _by_id(case: Case) -> tuple[int, int]:
    """The one order in which all transactions insert cases; PostgreSQL sorts ids like this too."""
    return case.claim_id.int, case.revision
