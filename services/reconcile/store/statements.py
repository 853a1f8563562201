"""Statements as received: the bytes, the figures, what is known of them already, quarantine."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING

from services.reconcile.domain import Earlier
from services.reconcile.matching.lines import digest_of
from services.reconcile.store.rows import Opened, add_exceptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from chassis.db import Reader, Tx
    from services.reconcile.domain import Finding, Statement


async def companies_of(reader: Reader, accounts: Iterable[str]) -> dict[str, str]:
    """Which company each account belongs to; unknown accounts are left out."""
    rows = await reader.fetch(
        "SELECT account, company FROM accounts WHERE account = ANY($1::text[])",
        sorted(set(accounts)),
    )
    return {row["account"]: row["company"] for row in rows}


async def earlier(reader: Reader, statement: Statement) -> list[Earlier]:
    """What was received before under this statement's account, name and day."""
    rows = await reader.fetch(
        "SELECT statement_id, state, content_digest FROM statements "
        "WHERE account = $1 AND reference = $2 AND closed_on = $3 ORDER BY statement_id",
        statement.account,
        statement.reference,
        statement.closed_on,
    )
    digest = digest_of(statement)
    return [
        Earlier(
            statement_id=row["statement_id"],
            accepted=row["state"] != "quarantined",
            same_content=row["content_digest"] == digest,
        )
        for row in rows
    ]


async def known_lines(reader: Reader, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these lines an earlier statement has shown."""
    rows = await reader.fetch("SELECT line_id FROM lines WHERE line_id = ANY($1::uuid[])", ids)
    return {row["line_id"] for row in rows}


async def add_file(tx: Tx, content: bytes, kind: str) -> bytes:
    """Keep a file as it came, once; answers its digest."""
    digest = hashlib.sha256(content).digest()
    await tx.execute(
        "INSERT INTO files (digest, content, size_bytes, format, received_at) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        digest,
        zlib.compress(content, 1),
        len(content),
        kind,
        tx.now,
    )
    return digest


async def add_statement(
    tx: Tx, statement: Statement, *, file: bytes, company: str, state: str, known: int = 0
) -> UUID:
    """Keep a statement's figures; answers its id."""
    statement_id = tx.new_id()
    await tx.execute(
        """INSERT INTO statements (statement_id, file_digest, content_digest, company, account,
            reference, currency, opened_on, closed_on, opening_minor, closing_minor, sum_minor,
            line_count, known_count, skipped_count, state, received_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)""",
        statement_id,
        file,
        digest_of(statement),
        company,
        statement.account,
        statement.reference,
        statement.currency,
        statement.opened_on,
        statement.closed_on,
        statement.opening_minor,
        statement.closing_minor,
        statement.sum_minor,
        len(statement.bookings),
        known,
        statement.skipped,
        state,
        tx.now,
    )
    return statement_id


async def quarantine(
    tx: Tx, statement: Statement, finding: Finding, *, file: bytes, company: str
) -> tuple[UUID, UUID]:
    """Keep a statement that nothing may be matched from; answers its id and its exception's."""
    statement_id = await add_statement(
        tx, statement, file=file, company=company, state="quarantined"
    )
    exception_id = tx.new_id()
    await add_exceptions(tx, [Opened(exception_id, finding, statement_id)])
    return statement_id, exception_id


async def supersede(tx: Tx, quarantined: Sequence[UUID]) -> None:
    """Close the exceptions of quarantined statements that have since been accepted."""
    await tx.execute(
        "UPDATE exceptions SET state = 'superseded', closed_at = $2 "
        "WHERE statement_id = ANY($1::uuid[]) AND line_id IS NULL AND state = 'open'",
        quarantined,
        tx.now,
    )
