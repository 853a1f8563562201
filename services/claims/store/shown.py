"""What people ask: claims, the newest first, and each claim's whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chassis.db import columns
from contracts.claims import ClaimSubmitted
from contracts.codec import read
from services.claims.domain import Standing, Step
from services.claims.store.rows import CLAIM, cause_of, claim_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from chassis.db import Reader, Row
    from contracts.envelope import Cause
    from services.claims.domain import Key, Search

_STANDING: Final = f"{CLAIM}, c.number, c.since, c.submitted_at"
_EMPLOYEE: Final = "c.company = $1 AND c.employee = $2"
_ANYBODY: Final = "coalesce(c.company = $1, true) AND coalesce(c.employee = $2, true)"


async def revisions(reader: Reader, claim_id: UUID) -> list[Standing]:
    """Every submitted revision of a claim, the oldest first."""
    rows = await reader.fetch(
        f"SELECT {_STANDING} FROM claims c "
        "WHERE c.claim_id = $1 AND c.submitted_at IS NOT NULL ORDER BY c.revision",
        claim_id,
    )
    return [_standing(row) for row in rows]


async def documents(reader: Reader, keys: Collection[Key]) -> dict[Key, ClaimSubmitted]:
    """Claims as they were accepted."""
    rows = await reader.fetch(
        """
        SELECT d.claim_id, d.revision, d.body FROM documents d
        JOIN unnest($1::uuid[], $2::int[]) AS k (claim_id, revision) USING (claim_id, revision)
        """,
        *columns(keys, 2),
    )
    return {(row["claim_id"], row["revision"]): read(ClaimSubmitted, row["body"]) for row in rows}


async def submission(reader: Reader, key: Key) -> Cause:
    """The ClaimSubmitted of a claim, as the cause of what a person decides later."""
    row = await reader.fetchrow(
        """
        SELECT s.event_id AS cause_id, d.correlation_id, s.traceparent, '' AS tracestate
        FROM documents d JOIN steps s USING (claim_id, revision)
        WHERE d.claim_id = $1 AND d.revision = $2 AND s.kind = $3
        """,
        *key,
        ClaimSubmitted.kind,
    )
    if row is None:
        raise LookupError(f"claim {key} was accepted without a story")
    return cause_of(row)


async def newest(reader: Reader, search: Search, before: int | None, limit: int) -> list[Standing]:
    """Submitted claims, the newest first; those of one key or one employee by their own index."""
    whose = _EMPLOYEE if search.company and search.employee else _ANYBODY
    which = "c.claim_id = $7" if search.claim_id else "$7::uuid IS NULL"
    rows = await reader.fetch(
        f"""
        SELECT {_STANDING} FROM claims c
        WHERE c.submitted_at IS NOT NULL AND {whose} AND {which}
            AND ($3::text IS NULL OR c.source = $3) AND ($4::text IS NULL OR c.state = $4)
            AND ($5::bigint IS NULL OR c.number < $5)
        ORDER BY c.number DESC LIMIT $6
        """,
        search.company,
        search.employee,
        search.source,
        search.state,
        before,
        limit,
        search.claim_id,
    )
    return [_standing(row) for row in rows]


async def story(reader: Reader, claim_id: UUID) -> list[Step]:
    """Everything that was said about a claim, in the order in which it became known."""
    rows = await reader.fetch(
        """
        SELECT s.claim_id, s.revision, s.mark, s.kind, s.at, s.actor, s.figures, s.event_id,
            s.traceparent, s.number
        FROM steps s WHERE s.claim_id = $1 ORDER BY s.number
        """,
        claim_id,
    )
    return [Step(**row) for row in rows]


def _standing(row: Row) -> Standing:
    return Standing(claim_of(row), row["number"], row["since"], row["submitted_at"])
