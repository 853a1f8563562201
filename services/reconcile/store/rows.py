"""Rows as the domain knows them, and statements run once for many rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chassis.db import columns
from contracts.envelope import Cause
from contracts.reconcile import BankLine
from contracts.values import Money
from services.reconcile.domain import Item, Line, Payment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from chassis.db import Row, Tx
    from services.reconcile.domain import Finding

ITEM: Final = """
    items.entry_id, items.claim_id, items.revision, items.company, items.currency,
    items.total_minor, items.allocated_minor, items.payee, items.reference, items.entry_number,
    items.document_date, items.posting_date, items.reversed_by, items.cause_id,
    items.correlation_id, items.traceparent, items.tracestate"""
_OPEN: Final = """
    INSERT INTO exceptions (exception_id, statement_id, line_id, entry_id, code, detail, figures,
        candidates, state, opened_at, judged_at)
    SELECT new.exception_id, coalesce(new.statement_id, lines.statement_id), new.line_id,
        new.entry_id, new.code, new.detail, new.figures::jsonb, new.candidates::uuid[],
        'open', new.at, new.at
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::timestamptz[]) AS new (exception_id, statement_id, line_id, entry_id,
        code, detail, figures, candidates, at)
    LEFT JOIN lines ON lines.line_id = new.line_id"""


@dataclass(frozen=True, slots=True)
class Opened:
    """An exception about to be opened; without a statement it is that of its line."""

    exception_id: UUID
    finding: Finding
    statement_id: UUID | None = None
    line_id: UUID | None = None
    entry_id: UUID | None = None


async def run_for_all(tx: Tx, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Run a statement once, with one array per column of the rows; not at all without rows."""
    if rows:
        await tx.execute(sql, *columns(rows, len(rows[0])))


def array_of(values: Iterable[object]) -> str:
    """A PostgreSQL array literal, for arrays that are one cell of a column."""
    cells = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{cell}"' for cell in cells) + "}"


async def add_exceptions(tx: Tx, opened: Sequence[Opened]) -> None:
    """Open exceptions about lines, about paid items, or about whole statements."""
    await run_for_all(
        tx,
        _OPEN,
        [
            (
                one.exception_id,
                one.statement_id,
                one.line_id,
                one.entry_id,
                one.finding.code,
                one.finding.detail,
                json.dumps(dict(one.finding.figures)),
                array_of(one.finding.candidates),
                tx.now,
            )
            for one in opened
        ],
    )


def item_of(row: Row, payee_name: str = "") -> Item:
    """The item in a row that selects ITEM."""
    return Item(
        entry_id=row["entry_id"],
        claim_id=row["claim_id"],
        revision=row["revision"],
        company=row["company"],
        currency=row["currency"],
        total_minor=row["total_minor"],
        allocated_minor=row["allocated_minor"],
        payee=row["payee"],
        reference=row["reference"],
        entry_number=row["entry_number"],
        document_date=row["document_date"],
        posting_date=row["posting_date"],
        reversed_by=row["reversed_by"],
        cause=Cause(row["cause_id"], row["correlation_id"], row["traceparent"], row["tracestate"]),
        payee_name=payee_name,
    )


def line_of(row: Row, exact: frozenset[str], text: frozenset[str]) -> Line:
    """The line in a row that has all its columns, with the keys it mentions."""
    return Line(
        line_id=row["line_id"],
        company=row["company"],
        account=row["account"],
        statement=row["statement"],
        position=row["position"],
        currency=row["currency"],
        booked_on=row["booked_on"],
        amount_minor=row["amount_minor"],
        exact_keys=exact,
        text_keys=text,
        reference=row["reference"],
        text=row["text"],
        party=row["party"],
        charges_minor=row["charges_minor"],
        foreign=row["is_foreign"],
        returned=row["returned"],
        because=row["because"],
        batch_size=row["batch_size"],
        batch_gap_minor=row["batch_gap_minor"],
    )


def bank_line_of(row: Row) -> BankLine:
    """Where the money was seen, in a row of `standing_payments`."""
    return BankLine(
        account=row["account"],
        statement=row["statement"],
        line_id=row["line_id"],
        booked_on=row["booked_on"],
        amount=Money(row["line_minor"], row["currency"]),
    )


def payment_of(row: Row) -> Payment:
    """The payment in a row of `standing_payments`."""
    return Payment(
        match_id=row["match_id"],
        entry_id=row["entry_id"],
        line_id=row["line_id"],
        booked_on=row["booked_on"],
        amount_minor=row["amount_minor"],
        line=bank_line_of(row),
    )
