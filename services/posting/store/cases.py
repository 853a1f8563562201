"""Cases: one row per claim revision, with whatever fact came first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from contracts.envelope import Cause, Event
from contracts.values import Money
from services.posting.domain import Case, CaseKey, Claim, Origin, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Row, Tx

SETTLED: Final = timedelta(minutes=2)  # Longer than any transaction that brings master data.
_CLAIM: Final = TypeAdapter(Claim)
_STATE: Final = (
    "claim_id, revision, since, stage, claim, cause_id, correlation_id, traceparent, tracestate"
)
_ALL: Final = f"{_STATE}, company, currency, total_minor"


async def open_cases(tx: Tx, fresh: Sequence[Case]) -> dict[CaseKey, Case]:
    """Keep the cases that are new, as first given; the others come back as stored, locked."""
    firsts = {case.key: case for case in reversed(fresh)}
    known = await lock_cases(tx, sorted(firsts))
    missing = [firsts[key] for key in sorted(firsts.keys() - known.keys())]
    if missing:
        added = await _add(tx, missing)
        if len(added) < len(missing):  # Another replica was a moment earlier with some of them.
            known |= await lock_cases(tx, sorted(firsts.keys() - known.keys() - added))
        known |= {key: firsts[key] for key in added}
    return known


async def _add(tx: Tx, cases: Sequence[Case]) -> set[CaseKey]:
    rows = await tx.fetch(
        f"INSERT INTO cases ({_ALL}) SELECT {_ALL} FROM unnest($1::uuid[], $2::int[], "
        "$3::timestamptz[], $4::text[], $5::bytea[], $6::uuid[], $7::text[], $8::text[], "
        f"$9::text[], $10::text[], $11::text[], $12::bigint[]) AS t ({_ALL}) "
        "ON CONFLICT (claim_id, revision) DO NOTHING RETURNING claim_id, revision",
        *_state_columns(cases),
        [case.company for case in cases],
        [case.total.currency for case in cases],
        [case.total.minor for case in cases],
    )
    return {(row["claim_id"], row["revision"]) for row in rows}


async def lock_cases(tx: Tx, keys: Sequence[CaseKey]) -> dict[CaseKey, Case]:
    """The cases with these keys, locked in the order of their keys."""
    rows = await tx.fetch(
        f"SELECT {_ALL} FROM cases WHERE (claim_id, revision) IN "
        "(SELECT c, r FROM unnest($1::uuid[], $2::int[]) AS t (c, r)) "
        "ORDER BY claim_id, revision FOR UPDATE",
        [claim_id for claim_id, _ in keys],
        [revision for _, revision in keys],
    )
    return {case.key: case for case in map(_case, rows)}


async def lock_due(tx: Tx, *, after: CaseKey, limit: int) -> list[Case]:
    """The next blocked cases and reversals without an open period, locked; not those in use.

    A case that was held a moment ago is among them: what it lacks may have been committed while
    that was decided, and then has not woken it.
    """
    rows = await tx.fetch(
        f"SELECT {_ALL} FROM cases WHERE cause_id IS NOT NULL "
        "AND (stage IN ('blocked', 'reversing') OR (stage = 'held' AND since > $4)) "
        "AND (claim_id, revision) > ($1, $2) "
        "ORDER BY claim_id, revision LIMIT $3 FOR UPDATE SKIP LOCKED",
        *after,
        limit,
        tx.now - SETTLED,
    )
    return [_case(row) for row in rows]


async def update_cases(tx: Tx, cases: Sequence[Case]) -> None:
    """Write the state of cases that are locked."""
    await tx.execute(
        "UPDATE cases SET since = t.since, stage = t.stage, claim = t.claim, "
        "cause_id = t.cause_id, correlation_id = t.correlation_id, traceparent = t.traceparent, "
        "tracestate = t.tracestate FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], "
        "$4::text[], $5::bytea[], $6::uuid[], $7::text[], $8::text[], $9::text[]) "
        f"AS t ({_STATE}) WHERE cases.claim_id = t.claim_id AND cases.revision = t.revision",
        *_state_columns(cases),
    )


def _state_columns(cases: Sequence[Case]) -> list[list[Any]]:
    causes = [cause_of(case.cause) if case.cause else None for case in cases]
    return [
        [case.claim_id for case in cases],
        [case.revision for case in cases],
        [case.since for case in cases],
        [case.stage for case in cases],
        [_CLAIM.dump_json(case.claim) if case.claim else None for case in cases],
        [cause.event_id if cause else None for cause in causes],
        [cause.correlation_id if cause else None for cause in causes],
        [cause.traceparent if cause else None for cause in causes],
        [cause.tracestate if cause else None for cause in causes],
    ]


def cause_of(origin: Origin) -> Cause:
    """What is stored of an origin while its consequence waits."""
    return origin.meta.cause if isinstance(origin, Event) else origin


def _case(row: Row) -> Case:
    return Case(
        claim_id=row["claim_id"],
        revision=row["revision"],
        company=row["company"],
        total=Money(row["total_minor"], row["currency"]),
        since=row["since"],
        stage=Stage(row["stage"]),
        claim=_CLAIM.validate_json(row["claim"]) if row["claim"] is not None else None,
        cause=stored_cause(row) if row["cause_id"] is not None else None,
    )


def stored_cause(row: Row) -> Cause:
    """The cause kept in a row."""
    return Cause(row["cause_id"], row["correlation_id"], row["traceparent"], row["tracestate"])
