"""What judging commands needs, and what it leaves behind."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from chassis.db import columns
from chassis.errors import Retry
from contracts.claims import ClaimSubmitted
from services.claims.policy.intake import (
    GRACE,
    MAX_TWINS,
    Desk,
    Outcome,
    entries_of,
    id_of,
    prints_of,
)
from services.claims.store import directory, held
from services.claims.store.chain import save, tell_own
from services.claims.store.rows import CLAIM, claim_of, figures_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from chassis.db import Tx
    from services.claims.domain import Claim, Key, Said
    from services.claims.policy.intake import Command, File, Verdict

_ACCEPTED: Final = attrgetter("open_minor", "paid_on", "source", "source_key", "employee", "digest")


async def open_desk(tx: Tx, commands: Sequence[Command], *, patient: bool) -> Desk:
    """Everything that judging these commands needs; claims they are about are locked.

    Without patience nothing waits for master data.
    """
    ids = sorted({id_of(command) for command in commands})
    return Desk(
        now=tx.now,
        patience=tx.now - GRACE if patient else tx.now,
        files=await lock_files(tx, ids),
        master=await directory.look_up(tx, entries_of(commands)),
        twins=await _twins(tx, prints_of(commands)),
        held=await held.waiting(tx, ids) if patient else set(),
    )


async def lock_files(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, File]:
    """All revisions of these claims, locked in order."""
    rows = await tx.fetch(
        f"SELECT {CLAIM} FROM claims c WHERE c.claim_id = ANY($1::uuid[]) "
        "ORDER BY c.claim_id, c.revision FOR NO KEY UPDATE",
        ids,
    )
    files: dict[UUID, File] = {}
    for claim in map(claim_of, rows):
        files.setdefault(claim.claim_id, {})[claim.revision] = claim
    return files


async def _twins(tx: Tx, prints: Collection[int]) -> dict[int, list[UUID]]:
    rows = await tx.fetch(
        """
        SELECT n.print, t.claim_id
        FROM unnest($1::bigint[]) AS n (print)
        CROSS JOIN LATERAL (
            SELECT p.claim_id FROM prints p WHERE p.print = n.print LIMIT $2
        ) AS t
        """,
        list(prints),
        MAX_TWINS + 1,  # One of them may be the claim itself.
    )
    twins: dict[int, list[UUID]] = {}
    for row in rows:
        twins.setdefault(row["print"], []).append(row["claim_id"])
    return twins


async def save_verdicts(tx: Tx, verdicts: Sequence[Verdict], said: Sequence[Said]) -> None:
    """Write what the door decided, and what was said about it."""
    accepted = {v.claim.key: v for v in verdicts if v.claim and v.outcome is Outcome.ACCEPTED}
    if accepted:
        await _insert(tx, [v.claim for _, v in sorted(accepted.items()) if v.claim])
        await _insert_documents(tx, accepted, said)
    await save(tx, [v.claim for v in verdicts if v.claim and v.outcome is Outcome.WITHDRAWN])
    await tell_own(tx, said)


async def _insert(tx: Tx, claims: Sequence[Claim]) -> None:
    """Add accepted claims; if another replica was faster, everything is judged anew.

    That replica may have accepted the claim, or heard of it: what it heard must not be lost.
    """
    tag = await tx.execute(
        """
        INSERT INTO claims AS c (claim_id, revision, company, total_minor, currency, facts, state,
            open_minor, paid_on, source, source_key, employee, digest, since, submitted_at)
        SELECT n.*, $14, $14
        FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::int[],
            $7::text[], $8::bigint[], $9::date[], $10::text[], $11::text[], $12::text[],
            $13::bytea[]) AS n
        ON CONFLICT (claim_id, revision) DO UPDATE SET
            (company, total_minor, currency, facts, state, source, source_key, employee, digest,
                since, submitted_at) = ROW (excluded.company, excluded.total_minor,
                excluded.currency, excluded.facts, excluded.state, excluded.source,
                excluded.source_key, excluded.employee, excluded.digest, excluded.since,
                excluded.submitted_at)
        WHERE c.submitted_at IS NULL AND excluded.facts & c.facts = c.facts
            AND excluded.open_minor IS NOT DISTINCT FROM c.open_minor
        """,
        *columns(((*figures_of(c), int(c.facts), c.state, *_ACCEPTED(c)) for c in claims), 13),
        tx.now,
    )
    if tag != f"INSERT 0 {len(claims)}":
        raise Retry("another replica has just taken one of these claims")


async def _insert_documents(tx: Tx, accepted: Mapping[Key, Verdict], said: Sequence[Said]) -> None:
    submitted = [(fact, cause) for fact, cause in said if isinstance(fact, ClaimSubmitted)]
    stories = {(fact.claim_id, fact.revision): cause.correlation_id for fact, cause in submitted}
    await tx.execute(
        """
        INSERT INTO documents (claim_id, revision, body, correlation_id)
        SELECT n.* FROM unnest($1::uuid[], $2::int[], $3::bytea[], $4::text[]) AS n
        """,
        *columns(((*key, v.document, stories[key]) for key, v in accepted.items()), 4),
    )
    await tx.execute(
        """
        INSERT INTO prints (print, claim_id)
        SELECT n.* FROM unnest($1::bigint[], $2::uuid[]) AS n ON CONFLICT DO NOTHING
        """,
        *columns(((mark, key[0]) for key, v in accepted.items() for mark in sorted(v.prints)), 2),
    )
