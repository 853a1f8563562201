"""Holds: what the entries of claims wait for, and the cases that wake when it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from contracts.values import Money, Reason
from services.posting.domain import CaseKey, Hold, Lack
from services.posting.policy import lacks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from chassis.db import Reader, Tx
    from services.posting.domain import Move

_REASONS: Final = TypeAdapter(tuple[Reason, ...])
_BETWEEN: Final = "\x1e"  # Between the names of an array that travels as one text.


async def hold(tx: Tx, moves: Sequence[Move]) -> None:
    """Keep why cases are held, in place of why they were held before."""
    await tx.execute(
        "INSERT INTO holds (claim_id, revision, reasons, lacks, since) "
        "SELECT claim_id, revision, reasons, string_to_array(lacks, $5), $6 "
        "FROM unnest($1::uuid[], $2::int[], $3::jsonb[], $4::text[]) "
        "AS t (claim_id, revision, reasons, lacks) ON CONFLICT (claim_id, revision) DO UPDATE "
        "SET reasons = excluded.reasons, lacks = excluded.lacks, since = excluded.since",
        [move.case.claim_id for move in moves],
        [move.case.revision for move in moves],
        [_REASONS.dump_json(move.reasons).decode() for move in moves],
        [_BETWEEN.join(sorted({n for r in move.reasons for n in lacks(r)})) for move in moves],
        _BETWEEN,
        tx.now,
    )


async def reasons_held(tx: Reader, keys: Sequence[CaseKey]) -> dict[CaseKey, tuple[Reason, ...]]:
    """Why these cases are held, or were when they were held last; cases never held are left out."""
    rows = await tx.fetch(
        "SELECT claim_id, revision, reasons FROM holds WHERE (claim_id, revision) IN "
        "(SELECT c, r FROM unnest($1::uuid[], $2::int[]) AS t (c, r))",
        [claim_id for claim_id, _ in keys],
        [revision for _, revision in keys],
    )
    return {
        (row["claim_id"], row["revision"]): _REASONS.validate_json(row["reasons"]) for row in rows
    }


async def wake(tx: Tx, supplies: Collection[str]) -> None:
    """Let the cases be decided again that are held for any of what has come, and no others."""
    await tx.execute(
        "UPDATE cases SET stage = 'blocked', since = $2 FROM ("
        "SELECT claim_id, revision FROM cases JOIN holds USING (claim_id, revision) "
        "WHERE cases.stage = 'held' AND holds.lacks && $1::text[] "
        "ORDER BY claim_id, revision FOR UPDATE OF cases) AS woken "
        "WHERE cases.claim_id = woken.claim_id AND cases.revision = woken.revision",
        sorted(supplies),
        tx.now,
    )


async def list_holds(
    reader: Reader, company: str | None, *, after: CaseKey | None, limit: int
) -> list[Hold]:
    """Held cases by claim id, of one company or all."""
    rows = await reader.fetch(
        "SELECT claim_id, revision, company, total_minor, currency, holds.since, reasons "
        "FROM cases JOIN holds USING (claim_id, revision) WHERE stage = 'held' "
        "AND ($1::text IS NULL OR company = $1) "
        "AND ($2::uuid IS NULL OR (claim_id, revision) > ($2, $3)) "
        "ORDER BY claim_id, revision LIMIT $4",
        company,
        *(after or (None, 0)),
        limit,
    )
    return [
        Hold(
            claim_id=row["claim_id"],
            revision=row["revision"],
            company=row["company"],
            total=Money(row["total_minor"], row["currency"]),
            since=row["since"],
            reasons=_REASONS.validate_json(row["reasons"]),
        )
        for row in rows
    ]


async def list_lacks(reader: Reader, company: str | None) -> list[Lack]:
    """What is missing, the most expensive first, with the claims and the money that wait for it."""
    rows = await reader.fetch(
        "SELECT code, company, missing, currency, count(*) AS claims, "
        "sum(total_minor)::bigint AS minor, min(since) AS since FROM ("
        "SELECT DISTINCT claim_id, revision, c.company, c.currency, c.total_minor, h.since, "
        "r ->> 'code' AS code, coalesce(r -> 'figures' ->> 'purpose', "
        "r -> 'figures' ->> 'category', r -> 'figures' ->> 'period', c.company) AS missing "
        "FROM cases c JOIN holds h USING (claim_id, revision), jsonb_array_elements(h.reasons) r "
        "WHERE c.stage = 'held' AND ($1::text IS NULL OR c.company = $1)) AS held "
        "GROUP BY code, company, missing, currency ORDER BY abs(sum(total_minor)) DESC, missing",
        company,
    )
    return [
        Lack(
            code=row["code"],
            company=row["company"],
            missing=row["missing"],
            claims=row["claims"],
            total=Money(row["minor"], row["currency"]),
            since=row["since"],
        )
        for row in rows
    ]
