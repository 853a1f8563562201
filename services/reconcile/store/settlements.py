"""Settlements: what became of lines, kept at once for all of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from services.reconcile.store.rows import Opened, add_exceptions, array_of, run_for_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from chassis.db import Tx
    from services.reconcile.domain import Finding, Line, Match
    from services.reconcile.matching import Settlement


async def save(
    tx: Tx,
    settlement: Settlement,
    *,
    fresh: Mapping[UUID, UUID] = {},
) -> list[tuple[UUID, Line, Finding]]:
    """Keep what became of the lines; `fresh` says to which statement each new one belongs.

    Answers the exceptions that were opened, with their lines.
    """
    new = [(line, finding) for line, finding in settlement.findings if line.line_id in fresh]
    opened = [(tx.new_id(), line, finding) for line, finding in new]
    await _add_lines(tx, settlement, fresh)
    await _settle_waiting(
        tx, [match for match in settlement.matches if match.line.line_id not in fresh]
    )
    await _add_matches(tx, settlement.matches)
    await add_exceptions(
        tx,
        [
            Opened(exception_id, finding, fresh[line.line_id], line.line_id)
            for exception_id, line, finding in opened
        ],
    )
    await _add_mentions(tx, [line for line, _ in new])
    await _judge_again(tx, [pair for pair in settlement.findings if pair[0].line_id not in fresh])
    return opened


async def _add_lines(tx: Tx, settlement: Settlement, fresh: Mapping[UUID, UUID]) -> None:
    fates: list[tuple[Line, str, int]] = [
        *((match.line, "matched", match.allocated_minor) for match in settlement.matches),
        *((line, "exception", 0) for line, _ in settlement.findings),
        *((line, "dismissed", 0) for line in settlement.empty),
    ]
    await run_for_all(
        tx,
        """INSERT INTO lines (line_id, statement_id, position, company, currency, booked_on,
            amount_minor, charges_minor, is_foreign, returned, batch_size, batch_gap_minor,
            reference, text, party, because, state, allocated_minor, difference_minor)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::date[],
            $7::bigint[], $8::bigint[], $9::bool[], $10::bool[], $11::int[], $12::bigint[],
            $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bigint[],
            $19::bigint[])""",
        [
            (
                line.line_id,
                fresh[line.line_id],
                line.position,
                line.company,
                line.currency,
                line.booked_on,
                line.amount_minor,
                line.charges_minor,
                line.foreign,
                line.returned,
                line.batch_size,
                line.batch_gap_minor,
                line.reference,
                line.text,
                line.party,
                line.because,
                state,
                allocated,
                line.pays_minor - allocated if state == "matched" else 0,
            )
            for line, state, allocated in fates
            if line.line_id in fresh
        ],
    )


async def _settle_waiting(tx: Tx, matches: Sequence[Match]) -> None:
    """Waiting lines that fit now: their exceptions close by themselves."""
    if not matches:
        return
    await run_for_all(
        tx,
        "UPDATE lines SET state = 'matched', allocated_minor = new.allocated, "
        "difference_minor = -amount_minor - new.allocated "
        "FROM unnest($1::uuid[], $2::bigint[]) AS new (line_id, allocated) "
        "WHERE lines.line_id = new.line_id",
        [(match.line.line_id, match.allocated_minor) for match in matches],
    )
    ids = [match.line.line_id for match in matches]
    await tx.execute(
        "UPDATE exceptions SET state = 'settled', closed_at = $2 "
        "WHERE line_id = ANY($1::uuid[]) AND state = 'open' AND entry_id IS NULL",
        ids,
        tx.now,
    )
    await tx.execute("DELETE FROM mentions WHERE line_id = ANY($1::uuid[])", ids)


async def _add_matches(tx: Tx, matches: Sequence[Match]) -> None:
    await run_for_all(
        tx,
        """INSERT INTO matches
            (match_id, line_id, kind, rule, score, runner_up, evidence, matched_at)
        SELECT m, l, k, r, s, u, e::text[], a FROM unnest($1::uuid[], $2::uuid[], $3::text[],
            $4::text[], $5::int[], $6::int[], $7::text[], $8::timestamptz[])
            AS new (m, l, k, r, s, u, e, a)""",
        [
            (
                match.match_id,
                match.line.line_id,
                match.kind,
                match.rule,
                match.score,
                match.runner_up,
                array_of(match.evidence),
                tx.now,
            )
            for match in matches
        ],
    )
    shares = [(match.match_id, share) for match in matches for share in match.allocations]
    await run_for_all(
        tx,
        "INSERT INTO allocations (match_id, entry_id, amount_minor, returns) "
        "SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[])",
        [(match_id, s.item.entry_id, s.amount_minor, s.returns) for match_id, s in shares],
    )
    await run_for_all(
        tx,
        "INSERT INTO differences (match_id, kind, amount_minor) "
        "SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])",
        [(match.match_id, *difference) for match in matches for difference in match.differences],
    )
    await allocate(tx, [(share.item.entry_id, share.amount_minor) for _, share in shares])


async def allocate(tx: Tx, changes: Iterable[tuple[UUID, int]]) -> None:
    """Change what is allocated to items by so much each; the table refuses what goes too far.

    A reversed entry whose payment has come back needs nobody any more.
    """
    sums: dict[UUID, int] = {}
    for entry_id, amount in changes:
        sums[entry_id] = sums.get(entry_id, 0) + amount
    await run_for_all(
        tx,
        "UPDATE items SET allocated_minor = allocated_minor + new.amount, touched_at = new.at "
        "FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS new (entry_id, amount, at) "
        "WHERE items.entry_id = new.entry_id",
        [(entry_id, amount, tx.now) for entry_id, amount in sorted(sums.items()) if amount],
    )
    await tx.execute(
        "UPDATE exceptions SET state = 'settled', closed_at = $2 FROM items "
        "WHERE exceptions.entry_id = ANY($1::uuid[]) AND state = 'open' "
        "AND items.entry_id = exceptions.entry_id AND items.allocated_minor = 0",
        sorted(sums),
        tx.now,
    )


async def _add_mentions(tx: Tx, lines: Sequence[Line]) -> None:
    await run_for_all(
        tx,
        "INSERT INTO mentions (line_id, reference_key, company, exact) "
        "SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bool[])",
        [
            (line.line_id, key, line.company, key in line.exact_keys)
            for line in lines
            for key in sorted(line.keys)
        ],
    )


async def _judge_again(tx: Tx, findings: Sequence[tuple[Line, Finding]]) -> None:
    """Lines that go on waiting: the reason and the candidates are today's."""
    await run_for_all(
        tx,
        "UPDATE exceptions SET code = new.code, detail = new.detail, "
        "figures = new.figures::jsonb, candidates = new.candidates::uuid[], judged_at = new.at "
        "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], "
        "$6::timestamptz[]) AS new (line_id, code, detail, figures, candidates, at) "
        "WHERE exceptions.line_id = new.line_id AND state = 'open' AND entry_id IS NULL",
        [
            (
                line.line_id,
                finding.code,
                finding.detail,
                json.dumps(dict(finding.figures)),
                array_of(finding.candidates),
                tx.now,
            )
            for line, finding in findings
        ],
    )
