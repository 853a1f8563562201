"""What readers are shown: statements and the fate of each line, items, exceptions."""

from __future__ import annotations

import json
from datetime import date, datetime  # noqa: TC003 - pydantic reads them
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from contracts.values import Money, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Reader, Row

NOTHING: Final = UUID(int=0)
FOREVER: Final = UUID(int=2**128 - 1)


class StatementView(Value):
    """A statement's figures; `proven` means opening + lines = closing.

    `continues` says whether another statement of the account ends where this one begins: false for
    the first one, and where statements are missing.
    """

    statement_id: UUID
    company: str
    account: str
    reference: str
    currency: str
    opened_on: date
    closed_on: date
    opening: Money | None
    closing: Money | None
    sum: Money
    lines: int
    known: int
    skipped: int
    state: Literal["proven", "unproven", "quarantined"]
    continues: bool | None
    received_at: datetime


class ShareView(Value):
    """What a match gives to one claim; negative for a return."""

    claim_id: UUID
    entry_id: UUID
    amount: Money


class DifferenceView(Value):
    """A typed part of a line that is no claim's."""

    kind: str
    amount: Money


class MatchView(Value):
    """How a line was settled, and why."""

    match_id: UUID
    kind: Literal["payment", "return"]
    rule: str
    score: int
    runner_up: int | None
    evidence: list[str]
    claims: list[ShareView]
    differences: list[DifferenceView]
    matched_at: datetime


class LineView(Value):
    """A bank line and what became of it."""

    line_id: UUID
    position: int
    account: str
    statement: str
    booked_on: date
    amount: Money
    reference: str
    text: str
    party: str
    state: Literal["matched", "exception", "dismissed"]
    match: MatchView | None = None
    exception_id: UUID | None = None
    code: str | None = None


class PaymentView(Value):
    """A match as one item sees it: its share, and on which line."""

    match_id: UUID
    kind: Literal["payment", "return"]
    amount: Money
    account: str
    statement: str
    line_id: UUID
    booked_on: date
    rule: str
    score: int
    evidence: list[str]
    matched_at: datetime
    undone_at: datetime | None
    undone_by: str | None
    undone_because: str | None


class ItemView(Value):
    """What one posted entry expects from the bank, and what has been seen."""

    entry_id: UUID
    claim_id: UUID
    revision: int
    company: str
    payee: str
    reference: str
    entry_number: str
    posting_date: date
    total: Money
    paid: Money
    open: Money
    state: Literal["open", "partly_paid", "paid", "reversed"]
    payments: list[PaymentView]


class ExceptionView(Value):
    """A question to a person: about a line, a whole statement, or a paid entry."""

    exception_id: UUID
    state: str
    code: str
    detail: str
    figures: dict[str, str]
    candidates: list[UUID]
    company: str
    account: str
    statement_id: UUID
    statement: str
    line: LineView | None
    entry_id: UUID | None
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    closed_because: str | None


_STATEMENT: Final = """
    SELECT statement_id, company, account, reference, currency, opened_on, closed_on,
        opening_minor, closing_minor, sum_minor, line_count, known_count, skipped_count, state,
        received_at, CASE WHEN state = 'proven' THEN EXISTS (
            SELECT 1 FROM statements AS before WHERE before.account = statements.account
                AND before.currency = statements.currency AND before.state = 'proven'
                AND before.statement_id <> statements.statement_id
                AND before.closing_minor = statements.opening_minor
                AND before.closed_on <= statements.closed_on
        ) END AS continues FROM statements"""
_LINES: Final = """
    SELECT lines.line_id, lines.position, statements.account, statements.reference AS statement,
        lines.booked_on, lines.currency, lines.amount_minor, lines.reference, lines.text,
        lines.party, lines.state, exceptions.exception_id, exceptions.code
    FROM lines JOIN statements USING (statement_id) LEFT JOIN exceptions
        ON exceptions.line_id = lines.line_id AND exceptions.entry_id IS NULL
        AND exceptions.state = 'open'"""


async def statements(
    reader: Reader, *, account: str | None, before: UUID | None, limit: int
) -> list[StatementView]:
    """Statements, the newest first."""
    rows = await reader.fetch(
        f"{_STATEMENT} WHERE statement_id < $1 AND ($2::text IS NULL OR account = $2) "
        "ORDER BY statement_id DESC LIMIT $3",
        before or FOREVER,
        account,
        limit,
    )
    return [_statement(row) for row in rows]


async def statement(reader: Reader, statement_id: UUID) -> StatementView | None:
    """One statement, if it is known."""
    row = await reader.fetchrow(f"{_STATEMENT} WHERE statement_id = $1", statement_id)
    return None if row is None else _statement(row)


def _statement(row: Row) -> StatementView:
    currency = row["currency"]
    return StatementView(
        statement_id=row["statement_id"],
        company=row["company"],
        account=row["account"],
        reference=row["reference"],
        currency=currency,
        opened_on=row["opened_on"],
        closed_on=row["closed_on"],
        opening=_money(row["opening_minor"], currency),
        closing=_money(row["closing_minor"], currency),
        sum=Money(row["sum_minor"], currency),
        lines=row["line_count"],
        known=row["known_count"],
        skipped=row["skipped_count"],
        state=row["state"],
        continues=row["continues"],
        received_at=row["received_at"],
    )


async def lines(reader: Reader, statement_id: UUID, *, after: int, limit: int) -> list[LineView]:
    """The lines a statement was the first to show, in its order, with what became of each."""
    rows = await reader.fetch(
        f"{_LINES} WHERE lines.statement_id = $1 AND position > $2 ORDER BY position LIMIT $3",
        statement_id,
        after,
        limit,
    )
    return await _with_matches(reader, rows)


async def _with_matches(reader: Reader, rows: Sequence[Row]) -> list[LineView]:
    ids = [row["line_id"] for row in rows if row["state"] == "matched"]
    matches = await _matches(reader, ids) if ids else {}
    return [
        LineView(
            line_id=row["line_id"],
            position=row["position"],
            account=row["account"],
            statement=row["statement"],
            booked_on=row["booked_on"],
            amount=Money(row["amount_minor"], row["currency"]),
            reference=row["reference"],
            text=row["text"],
            party=row["party"],
            state=row["state"],
            match=matches.get(row["line_id"]),
            exception_id=row["exception_id"],
            code=row["code"],
        )
        for row in rows
    ]


async def _matches(reader: Reader, line_ids: Sequence[UUID]) -> dict[UUID, MatchView]:
    rows = await reader.fetch(
        "SELECT line_id, match_id, kind, rule, score, runner_up, evidence, matched_at, currency "
        "FROM matches JOIN lines USING (line_id) "
        "WHERE line_id = ANY($1::uuid[]) AND undone_at IS NULL",
        line_ids,
    )
    ids = [row["match_id"] for row in rows]
    shares: dict[UUID, list[ShareView]] = {}
    for row in await reader.fetch(
        "SELECT match_id, claim_id, entry_id, amount_minor, currency FROM allocations "
        "JOIN items USING (entry_id) WHERE match_id = ANY($1::uuid[]) ORDER BY claim_id",
        ids,
    ):
        share = ShareView(
            claim_id=row["claim_id"],
            entry_id=row["entry_id"],
            amount=Money(row["amount_minor"], row["currency"]),
        )
        shares.setdefault(row["match_id"], []).append(share)
    differences: dict[UUID, list[tuple[str, int]]] = {}
    for row in await reader.fetch(
        "SELECT match_id, kind, amount_minor FROM differences WHERE match_id = ANY($1::uuid[])",
        ids,
    ):
        differences.setdefault(row["match_id"], []).append((row["kind"], row["amount_minor"]))
    return {
        row["line_id"]: MatchView(
            match_id=row["match_id"],
            kind=row["kind"],
            rule=row["rule"],
            score=row["score"],
            runner_up=row["runner_up"],
            evidence=list(row["evidence"]),
            claims=shares.get(row["match_id"], []),
            differences=[
                DifferenceView(kind=kind, amount=Money(minor, row["currency"]))
                for kind, minor in differences.get(row["match_id"], [])
            ],
            matched_at=row["matched_at"],
        )
        for row in rows
    }


async def items(reader: Reader, claim_id: UUID) -> list[ItemView]:
    """All items of a claim, with every payment, those undone included."""
    rows = await reader.fetch(
        "SELECT entry_id, claim_id, revision, company, currency, payee, reference, entry_number, "
        "posting_date, total_minor, allocated_minor, open_minor, reversed_by FROM items "
        "WHERE claim_id = $1 ORDER BY posting_date, entry_id",
        claim_id,
    )
    payments: dict[UUID, list[PaymentView]] = {row["entry_id"]: [] for row in rows}
    for row in await reader.fetch(
        "SELECT allocations.entry_id, match_id, kind, allocations.amount_minor, lines.currency, "
        "account, statements.reference AS statement, line_id, booked_on, rule, score, evidence, "
        "matched_at, undone_at, undone_by, undone_because FROM allocations "
        "JOIN matches USING (match_id) JOIN lines USING (line_id) "
        "JOIN statements USING (statement_id) "
        "WHERE entry_id = ANY($1::uuid[]) ORDER BY match_id",
        list(payments),
    ):
        payments[row["entry_id"]].append(_payment(row))
    return [_item(row, payments[row["entry_id"]]) for row in rows]


def _payment(row: Row) -> PaymentView:
    fields = {name: row[name] for name in PaymentView.model_fields if name not in _MADE}
    amount = Money(row["amount_minor"], row["currency"])
    return PaymentView(amount=amount, evidence=list(row["evidence"]), **fields)


_MADE: Final = frozenset({"amount", "evidence"})


def _item(row: Row, payments: list[PaymentView]) -> ItemView:
    currency = row["currency"]
    state: Any = "open"
    if row["reversed_by"]:
        state = "reversed"
    elif row["allocated_minor"]:
        state = "partly_paid" if row["open_minor"] else "paid"
    return ItemView(
        entry_id=row["entry_id"],
        claim_id=row["claim_id"],
        revision=row["revision"],
        company=row["company"],
        payee=row["payee"],
        reference=row["reference"],
        entry_number=row["entry_number"],
        posting_date=row["posting_date"],
        total=Money(row["total_minor"], currency),
        paid=Money(row["allocated_minor"], currency),
        open=Money(row["open_minor"], currency),
        state=state,
        payments=payments,
    )


async def exceptions(
    reader: Reader, *, state: str, company: str | None, after: UUID | None, limit: int
) -> list[ExceptionView]:
    """Exceptions that are open, or those that are not, the oldest first."""
    wanted = "state = 'open'" if state == "open" else "state <> 'open'"
    rows = await reader.fetch(
        "SELECT exception_id, exceptions.state, code, detail, figures, candidates, company, "
        "account, statement_id, reference AS statement, line_id, entry_id, opened_at, closed_at, "
        "closed_by, closed_because FROM exceptions JOIN statements USING (statement_id) "
        f"WHERE exceptions.{wanted} AND exception_id > $1 AND ($2::text IS NULL OR company = $2) "
        "ORDER BY exception_id LIMIT $3",
        after or NOTHING,
        company,
        limit,
    )
    ids = [row["line_id"] for row in rows if row["line_id"]]
    found = await reader.fetch(f"{_LINES} WHERE lines.line_id = ANY($1::uuid[])", ids)
    shown = {line.line_id: line for line in await _with_matches(reader, found)}
    return [_exception(row, shown.get(row["line_id"])) for row in rows]


def _exception(row: Row, line: LineView | None) -> ExceptionView:
    plain = {name: row[name] for name in ExceptionView.model_fields if name not in _BUILT}
    return ExceptionView(
        figures=json.loads(row["figures"]),
        candidates=list(row["candidates"]),
        line=line,
        **plain,
    )


_BUILT: Final = frozenset({"figures", "candidates", "line"})


def _money(minor: int | None, currency: str) -> Money | None:
    return None if minor is None else Money(minor, currency)
