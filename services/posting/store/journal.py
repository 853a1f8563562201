"""The journal: numbers without gaps, immutable entries and lines, and questions about them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.posting import EntryLine
from contracts.values import Money, PaidBy
from services.posting.domain import (
    CaseKey,
    DateRule,
    JournalEntry,
    Kind,
    Recorded,
    signed,
)
from services.posting.policy import entry_number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from chassis.db import Reader, Row, Tx

_NAMES: Final = (
    "(SELECT DISTINCT ON (company, account) company, account, name FROM accounts "
    "ORDER BY company, account, valid_from DESC, purpose)"
)
_ENTRY: Final = (
    "id, claim_id, revision, kind, company, ledger, number, sequence, posting_date, "
    "document_date, date_rule, currency, total_minor, employee, paid_by, payee, reference, text, "
    "reverses"
)
_LINE: Final = "entry_id, line, account, amount_minor, cost_center, project, party, text"


@dataclass(frozen=True, slots=True)
class AccountTotals:
    """What one account was debited and credited."""

    account: str
    name: str
    debit: Money
    credit: Money


async def number_entries(tx: Tx, entries: Sequence[JournalEntry]) -> list[Recorded]:
    """Give each entry the next number of its company and year; the series stay locked until commit.

    A transaction that rolls back gives its numbers back, so that none is ever missing.
    """
    wanted = Counter((entry.company, entry.fiscal_year) for entry in entries)
    series = sorted(wanted)
    rows = await tx.fetch(
        "INSERT INTO number_series AS s (company, fiscal_year, last) "
        "SELECT company, fiscal_year, wanted FROM unnest($1::text[], $2::int[], $3::int[]) "
        "AS t (company, fiscal_year, wanted) ORDER BY company, fiscal_year "
        "ON CONFLICT (company, fiscal_year) DO UPDATE SET last = s.last + excluded.last "
        "RETURNING company, fiscal_year, last",
        [company for company, _ in series],
        [year for _, year in series],
        [wanted[key] for key in series],
    )
    used = {(row["company"], row["fiscal_year"]): row["last"] for row in rows}
    used = {key: last - wanted[key] for key, last in used.items()}
    numbered = []
    for entry in entries:
        sequence = used[entry.company, entry.fiscal_year] = (
            used[entry.company, entry.fiscal_year] + 1
        )
        number = entry_number(entry.company, entry.fiscal_year, sequence)
        numbered.append(Recorded(entry, number, number, sequence))
    return numbered


async def record_entries(tx: Tx, recorded: Sequence[Recorded]) -> None:
    """Add entries with all their lines."""
    entries = [taken.entry for taken in recorded]
    await tx.execute(
        f"INSERT INTO entries (recorded_at, fiscal_year, {_ENTRY}) "
        f"SELECT $1, extract(year FROM posting_date), {_ENTRY} FROM unnest("
        "$2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], "
        "$9::int[], $10::date[], $11::date[], $12::text[], $13::text[], $14::bigint[], "
        "$15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::uuid[]) "
        f"AS t ({_ENTRY})",
        tx.now,
        [entry.entry_id for entry in entries],
        [entry.claim_id for entry in entries],
        [entry.revision for entry in entries],
        [entry.kind for entry in entries],
        [entry.company for entry in entries],
        [entry.ledger for entry in entries],
        [taken.number for taken in recorded],
        [taken.sequence for taken in recorded],
        [entry.posting_date for entry in entries],
        [entry.document_date for entry in entries],
        [entry.date_rule for entry in entries],
        [entry.total.currency for entry in entries],
        [entry.total.minor for entry in entries],
        [entry.employee for entry in entries],
        [entry.paid_by for entry in entries],
        [entry.payee for entry in entries],
        [taken.reference for taken in recorded],
        [entry.text for entry in entries],
        [entry.reverses for entry in entries],
    )
    await _add_lines(tx, entries)


async def _add_lines(tx: Tx, entries: Sequence[JournalEntry]) -> None:
    lines = [line for entry in entries for line in entry.lines]
    await tx.execute(
        f"INSERT INTO journal_lines ({_LINE}) SELECT {_LINE} FROM unnest($1::uuid[], "
        "$2::smallint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[]) "
        f"AS t ({_LINE})",
        [entry.entry_id for entry in entries for _ in entry.lines],
        [line.line for line in lines],
        [line.account for line in lines],
        [signed(line) for line in lines],
        [line.cost_center for line in lines],
        [line.project for line in lines],
        [line.party for line in lines],
        [line.text for line in lines],
    )


async def unknown_of(tx: Tx, recorded: Sequence[Recorded]) -> list[Recorded]:
    """Those entries that the journal does not hold, each once; their numbers count as given."""
    given: dict[tuple[str, int], int] = {}
    for taken in recorded:
        series = taken.entry.company, taken.entry.fiscal_year
        given[series] = max(given.get(series, 0), taken.sequence or 0)
    numbered = sorted(key for key, last in given.items() if last)
    await tx.execute(
        "INSERT INTO number_series AS s (company, fiscal_year, last) "
        "SELECT company, fiscal_year, last FROM unnest($1::text[], $2::int[], $3::int[]) "
        "AS t (company, fiscal_year, last) ON CONFLICT (company, fiscal_year) "
        "DO UPDATE SET last = greatest(s.last, excluded.last)",
        [company for company, _ in numbered],
        [year for _, year in numbered],
        [given[key] for key in numbered],
    )
    rows = await tx.fetch(
        "SELECT id FROM entries WHERE id = ANY($1::uuid[])",
        [taken.entry.entry_id for taken in recorded],
    )
    known = {row["id"] for row in rows}
    fresh = {taken.entry.entry_id: taken for taken in recorded}
    return [taken for entry_id, taken in fresh.items() if entry_id not in known]


async def postings_of(reader: Reader, keys: Sequence[CaseKey]) -> dict[CaseKey, Recorded]:
    """What was posted for these claim revisions, reversed or not."""
    rows = await reader.fetch(
        f"SELECT {_ENTRY} FROM entries WHERE kind = 'post' AND (claim_id, revision) IN "
        "(SELECT c, r FROM unnest($1::uuid[], $2::int[]) AS t (c, r))",
        [claim_id for claim_id, _ in keys],
        [revision for _, revision in keys],
    )
    entries = await _with_lines(reader, rows)
    return {(taken.entry.claim_id, taken.entry.revision): taken for taken in entries}


async def entries_of_claim(reader: Reader, claim_id: UUID) -> list[Recorded]:
    """Every entry and reversal of one claim, by revision."""
    rows = await reader.fetch(
        f"SELECT {_ENTRY} FROM entries WHERE claim_id = $1 ORDER BY revision, kind",
        claim_id,
    )
    return await _with_lines(reader, rows)


async def entry_with(reader: Reader, entry_id: UUID) -> Recorded | None:
    """One entry by its id."""
    rows = await reader.fetch(f"SELECT {_ENTRY} FROM entries WHERE id = $1", entry_id)
    return next(iter(await _with_lines(reader, rows)), None)


async def entries_between(
    reader: Reader,
    company: str,
    first: date,
    last: date,
    *,
    after: tuple[date, UUID] | None,
    limit: int,
) -> list[Recorded]:
    """A company's entries by posting date, both days included, after a given one."""
    rows = await reader.fetch(
        f"SELECT {_ENTRY} FROM entries WHERE company = $1 AND posting_date BETWEEN $2 AND $3 "
        "AND ($4::date IS NULL OR (posting_date, id) > ($4, $5)) "
        "ORDER BY posting_date, id LIMIT $6",
        company,
        first,
        last,
        *(after or (None, None)),
        limit,
    )
    return await _with_lines(reader, rows)


async def trial_balance(
    reader: Reader, company: str, first: date, last: date
) -> list[AccountTotals]:
    """What each account was debited and credited between two days, both included."""
    rows = await reader.fetch(
        "SELECT l.account, e.currency, "
        "coalesce(sum(l.amount_minor) FILTER (WHERE l.amount_minor > 0), 0)::bigint AS debit, "
        "coalesce(-sum(l.amount_minor) FILTER (WHERE l.amount_minor < 0), 0)::bigint AS credit, "
        "min(a.name) AS name FROM entries e JOIN journal_lines l ON l.entry_id = e.id "
        f"LEFT JOIN {_NAMES} a ON a.company = e.company AND a.account = l.account "
        "WHERE e.company = $1 AND e.posting_date BETWEEN $2 AND $3 "
        "GROUP BY e.currency, l.account ORDER BY e.currency, l.account",
        company,
        first,
        last,
    )
    return [
        AccountTotals(
            account=row["account"],
            name=row["name"] or "",
            debit=Money(row["debit"], row["currency"]),
            credit=Money(row["credit"], row["currency"]),
        )
        for row in rows
    ]


async def _with_lines(reader: Reader, entries: Sequence[Row]) -> list[Recorded]:
    """Rows of entries as values, their lines added and their accounts named as they are today."""
    if not entries:
        return []
    rows = await reader.fetch(
        "SELECT l.entry_id, l.line, l.account, l.amount_minor, l.cost_center, l.project, l.party, "
        "l.text, a.name FROM journal_lines l JOIN entries e ON e.id = l.entry_id "
        f"LEFT JOIN {_NAMES} a ON a.company = e.company AND a.account = l.account "
        "WHERE l.entry_id = ANY($1::uuid[]) ORDER BY l.entry_id, l.line",
        [entry["id"] for entry in entries],
    )
    lines: defaultdict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        lines[row["entry_id"]].append(row)
    return [_recorded(entry, lines[entry["id"]]) for entry in entries]


def _recorded(row: Row, lines: Sequence[Row]) -> Recorded:
    entry = JournalEntry(
        entry_id=row["id"],
        claim_id=row["claim_id"],
        revision=row["revision"],
        kind=Kind(row["kind"]),
        company=row["company"],
        ledger=row["ledger"],
        posting_date=row["posting_date"],
        document_date=row["document_date"],
        date_rule=DateRule(row["date_rule"]),
        total=Money(row["total_minor"], row["currency"]),
        employee=row["employee"],
        paid_by=PaidBy(row["paid_by"]),
        payee=row["payee"],
        text=row["text"],
        lines=tuple(_line(line, row["currency"]) for line in lines),
        reverses=row["reverses"],
    )
    return Recorded(entry, row["number"], row["reference"], row["sequence"])


def _line(row: Row, currency: str) -> EntryLine:
    minor = row["amount_minor"]
    return EntryLine(
        line=row["line"],
        account=row["account"],
        account_name=row["name"] or "",
        side="debit" if minor > 0 else "credit",
        amount=Money(abs(minor), currency),
        cost_center=row["cost_center"],
        project=row["project"],
        party=row["party"],
        text=row["text"],
    )
