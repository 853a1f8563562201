"""What the chain tells: claims locked, moved and saved, and their stories."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from chassis.db import columns
from chassis.errors import Retry
from services.claims.domain import awaited, said_steps
from services.claims.store.rows import CLAIM, claim_of, figures_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from chassis.db import Tx
    from services.claims.domain import Claim, Ending, Key, Own, Said, Step, Told

_STEP: Final = attrgetter(
    *("claim_id", "revision", "mark", "kind", "at", "actor", "figures", "event_id", "traceparent")
)


async def lock(tx: Tx, facts: Sequence[Told | Ending]) -> dict[Key, Claim]:
    """The claims that facts speak of, locked in order; those that have not come yet are awaited."""
    first = {(fact.claim_id, fact.revision): fact for fact in facts}
    keys = sorted(first)
    rows = await tx.fetch(
        f"""
        SELECT {CLAIM} FROM claims c
        JOIN unnest($1::uuid[], $2::int[]) AS k (claim_id, revision) USING (claim_id, revision)
        ORDER BY c.claim_id, c.revision
        FOR NO KEY UPDATE OF c
        """,
        *columns(keys, 2),
    )
    claims = {claim.key: claim for claim in map(claim_of, rows)}
    strangers = [awaited(first[key]) for key in keys if key not in claims]
    if strangers:
        await _await(tx, strangers)
    return claims | {claim.key: claim for claim in strangers}


async def _await(tx: Tx, claims: Sequence[Claim]) -> None:
    tag = await tx.execute(
        """
        INSERT INTO claims (claim_id, revision, company, total_minor, currency, facts, state, since)
        SELECT n.*, 0, 'awaited', $6
        FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::text[]) AS n
        ON CONFLICT DO NOTHING
        """,
        *columns(map(figures_of, claims), 5),
        tx.now,
    )
    if tag != f"INSERT 0 {len(claims)}":
        raise Retry("another replica has just learnt of one of these claims")


async def save(tx: Tx, claims: Sequence[Claim]) -> None:
    """Write what has become of locked claims."""
    if not claims:
        return
    await tx.execute(
        """
        UPDATE claims SET facts = n.facts, state = n.state, open_minor = n.open_minor,
            paid_on = n.paid_on,
            since = CASE WHEN claims.state = n.state THEN claims.since ELSE $7 END
        FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::date[])
            AS n (claim_id, revision, facts, state, open_minor, paid_on)
        WHERE claims.claim_id = n.claim_id AND claims.revision = n.revision
        """,
        *columns(((*c.key, int(c.facts), c.state, c.open_minor, c.paid_on) for c in claims), 6),
        tx.now,
    )


async def tell_own(tx: Tx, said: Sequence[Said]) -> None:
    """Add what claims has just said to its stories."""
    await tell(tx, [step for fact, cause in said for step in said_steps(fact, cause, tx.now)])


async def tell_again(tx: Tx, facts: Sequence[Own]) -> set[UUID]:
    """Add to the stories what claims said some time ago; the event ids of what they lacked."""
    return await tell(tx, [s for f in facts for s in said_steps(f, f.meta.cause, f.meta.time)])


async def tell(tx: Tx, steps: Sequence[Step]) -> set[UUID]:
    """Add steps to their stories; the event ids of those that are not told yet."""
    if not steps:
        return set()
    rows = await tx.fetch(
        """
        INSERT INTO steps
            (claim_id, revision, mark, kind, at, actor, figures, event_id, traceparent)
        SELECT n.* FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::timestamptz[],
            $6::text[], $7::jsonb[], $8::uuid[], $9::text[]) AS n
        ON CONFLICT DO NOTHING
        RETURNING event_id
        """,
        *columns(map(_STEP, steps), 9),
    )
    return {row["event_id"] for row in rows}
