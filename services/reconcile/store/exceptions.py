"""What people decide: exceptions resolved or dismissed, matches undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.reconcile.domain import Allocation, Match, Question
from services.reconcile.matching import Board
from services.reconcile.store.boards import payments_of
from services.reconcile.store.rows import ITEM, Opened, add_exceptions, item_of, line_of
from services.reconcile.store.settlements import allocate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from chassis.db import Reader, Row, Tx
    from services.reconcile.domain import Finding

_LINE: Final = """
    lines.line_id, lines.company, statements.account, statements.reference AS statement,
    lines.position, lines.currency, lines.booked_on, lines.amount_minor, lines.reference,
    lines.text, lines.party, lines.charges_minor, lines.is_foreign, lines.returned,
    lines.because, lines.batch_size, lines.batch_gap_minor"""
_MATCH: Final = f"""
    SELECT matches.match_id, matches.kind, matches.rule, matches.score, matches.runner_up,
        matches.evidence, {_LINE}
    FROM matches JOIN lines ON lines.line_id = matches.line_id
    JOIN statements ON statements.statement_id = lines.statement_id
    WHERE matches.match_id = ANY($1::uuid[]) AND undone_at IS NULL"""


async def company_of_exception(reader: Reader, exception_id: UUID) -> str | None:
    """Whose exception this is; None if there is no such exception."""
    company: str | None = await reader.fetchval(
        "SELECT company FROM exceptions JOIN statements USING (statement_id) "
        "WHERE exception_id = $1",
        exception_id,
    )
    return company


async def question_of(reader: Reader, exception_id: UUID) -> Question | None:
    """An exception as a person answers it, with its line if that is what it is about."""
    row = await reader.fetchrow(
        f"SELECT exceptions.exception_id, exceptions.state, exceptions.entry_id, {_LINE} "
        "FROM exceptions JOIN statements USING (statement_id) "
        "LEFT JOIN lines ON lines.line_id = exceptions.line_id AND exceptions.entry_id IS NULL "
        "WHERE exception_id = $1",
        exception_id,
    )
    if row is None:
        return None
    line = line_of(row, frozenset(), frozenset()) if row["line_id"] else None
    return Question(exception_id, row["state"] == "open", line)


async def board_of_claims(reader: Reader, claims: Iterable[UUID]) -> Board:
    """The items of these claims, with their payments."""
    rows = await reader.fetch(
        f"SELECT {ITEM} FROM items WHERE claim_id = ANY($1::uuid[])",
        sorted(set(claims)),
    )
    paid = [row["entry_id"] for row in rows if row["allocated_minor"]]
    return Board.of(map(item_of, rows), await payments_of(reader, paid))


async def close(tx: Tx, question: Question, *, state: str, by: str, because: str) -> None:
    """Close an exception as resolved or dismissed; the line of a dismissed one is left alone."""
    await tx.execute(
        "UPDATE exceptions SET state = $2, closed_at = $3, closed_by = $4, closed_because = $5 "
        "WHERE exception_id = $1",
        question.exception_id,
        state,
        tx.now,
        by,
        because,
    )
    if state == "dismissed" and question.line is not None:
        await tx.execute(
            "UPDATE lines SET state = 'dismissed' WHERE line_id = $1", question.line.line_id
        )
        await tx.execute("DELETE FROM mentions WHERE line_id = $1", question.line.line_id)


async def company_of_match(reader: Reader, match_id: UUID) -> str | None:
    """Whose match this is; None if there is no such match."""
    company: str | None = await reader.fetchval(
        "SELECT company FROM matches JOIN lines USING (line_id) WHERE match_id = $1", match_id
    )
    return company


async def standing_matches(reader: Reader, ids: Iterable[UUID]) -> dict[UUID, Match]:
    """Matches that nobody has undone, with their items as they are now."""
    wanted = sorted(set(ids))
    rows = await reader.fetch(_MATCH, wanted)
    shares = await reader.fetch(
        "SELECT match_id, amount_minor, returns, "
        f"{ITEM} FROM allocations JOIN items USING (entry_id) "
        "WHERE match_id = ANY($1::uuid[]) ORDER BY items.posting_date, entry_id",
        wanted,
    )
    differences = await reader.fetch(
        "SELECT match_id, kind, amount_minor FROM differences "
        "WHERE match_id = ANY($1::uuid[]) ORDER BY kind",
        wanted,
    )
    return {row["match_id"]: _match(row, shares, differences) for row in rows}


def _match(row: Row, shares: Sequence[Row], differences: Sequence[Row]) -> Match:
    allocations = []
    for share in shares:
        if share["match_id"] == row["match_id"]:
            item = item_of(share)
            allocations.append(
                Allocation(item, share["amount_minor"], item.open_minor, share["returns"])
            )
    return Match(
        match_id=row["match_id"],
        line=line_of(row, frozenset(), frozenset()),
        kind=row["kind"],
        allocations=tuple(allocations),
        differences=tuple(
            (one["kind"], one["amount_minor"])
            for one in differences
            if one["match_id"] == row["match_id"]
        ),
        rule=row["rule"],
        score=row["score"],
        runner_up=row["runner_up"],
        evidence=tuple(row["evidence"]),
    )


async def returns_of(reader: Reader, match_id: UUID) -> int:
    """How many standing returns have paired with this match."""
    count: int = await reader.fetchval(
        "SELECT count(*) FROM allocations JOIN matches USING (match_id) "
        "WHERE returns = $1 AND undone_at IS NULL",
        match_id,
    )
    return count


async def undo(tx: Tx, match: Match, finding: Finding, *, by: str, because: str) -> UUID:
    """Take a match back: its items are as before, its line waits; answers the exception's id."""
    await tx.execute(
        "UPDATE matches SET undone_at = $2, undone_by = $3, undone_because = $4 "
        "WHERE match_id = $1",
        match.match_id,
        tx.now,
        by,
        because,
    )
    await tx.execute(
        "UPDATE lines SET state = 'exception', held = true, allocated_minor = 0, "
        "difference_minor = 0 "
        "WHERE line_id = $1",
        match.line.line_id,
    )
    await allocate(tx, [(share.item.entry_id, -share.amount_minor) for share in match.allocations])
    exception_id = tx.new_id()
    await add_exceptions(tx, [Opened(exception_id, finding, line_id=match.line.line_id)])
    return exception_id
