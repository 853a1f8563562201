"""Boards: the items, payments and waiting lines that some lines touch, loaded as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.reconcile.matching import Board
from services.reconcile.matching.board import keys_of
from services.reconcile.matching.keys import party_keys
from services.reconcile.store.rows import (
    ITEM,
    item_of,
    line_of,
    payment_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from chassis.db import Reader, Tx
    from services.reconcile.domain import Item, Line, Payment

_LOCK_CLASS: Final = 7_105  # The advisory lock space of companies being settled.
_NAMED: Final = f"""
    WITH keys AS (SELECT * FROM unnest($1::text[], $2::text[]) AS t (company, key)),
    found AS (
        SELECT entry_id FROM keys JOIN items
            ON items.company = keys.company AND items.reference_key = keys.key
        UNION SELECT entry_id FROM keys JOIN items
            ON items.company = keys.company AND items.number_key = keys.key
    )
    SELECT {ITEM} FROM found JOIN items USING (entry_id)"""
_NEAR: Final = f"""
    WITH keys AS (SELECT * FROM unnest($1::text[], $2::text[]) AS t (company, key)),
    sums AS (
        SELECT * FROM unnest($3::text[], $4::bpchar[], $5::bigint[]) AS t (company, currency, pays)
    ),
    found AS (
        SELECT entry_id FROM keys JOIN items
            ON items.company = keys.company AND items.payee_key = keys.key AND open_minor <> 0
        UNION SELECT entry_id FROM keys
            JOIN parties ON parties.company = keys.company AND parties.name_key = keys.key
                AND parties.name_key <> ''
            JOIN items ON items.company = parties.company
                AND items.payee_key = parties.party_key AND open_minor <> 0
        UNION SELECT entry_id FROM sums JOIN items
            ON items.company = sums.company AND items.currency = sums.currency
            AND open_minor = sums.pays AND open_minor <> 0
    )
    SELECT {ITEM}, coalesce(parties.name, '') AS payee_name
    FROM found JOIN items USING (entry_id) LEFT JOIN parties
        ON parties.company = items.company AND parties.party_key = items.payee_key"""
_MENTIONING: Final = """
    SELECT DISTINCT mentions.line_id FROM unnest($1::text[], $2::text[]) AS t (company, key)
    JOIN mentions ON mentions.company = t.company AND mentions.reference_key = t.key"""
_RIVALS: Final = """
    SELECT line_id
    FROM unnest($1::text[], $2::bpchar[], $3::bigint[]) AS t (company, currency, minor)
    JOIN lines ON lines.company = t.company AND lines.currency = t.currency
        AND lines.amount_minor = t.minor AND lines.state = 'exception'"""
# The lines first: no guess about how many wait may choose a bad order of joins.
_WAITING: Final = """
    WITH picked AS MATERIALIZED (
        SELECT line_id, statement_id, company, position, currency, booked_on, amount_minor,
            reference, text, party, charges_minor, is_foreign, returned, because, batch_size,
            batch_gap_minor
        FROM lines WHERE line_id = ANY($1::uuid[]) AND state = 'exception' AND NOT held
    )
    SELECT picked.line_id, picked.company, account, statements.reference AS statement, position,
        picked.currency, booked_on, amount_minor, picked.reference, text, party, charges_minor,
        is_foreign, returned, because, batch_size, batch_gap_minor,
        ARRAY(SELECT reference_key FROM mentions
            WHERE mentions.line_id = picked.line_id AND exact) AS exact_keys,
        ARRAY(SELECT reference_key FROM mentions
            WHERE mentions.line_id = picked.line_id AND NOT exact) AS text_keys
    FROM picked JOIN statements USING (statement_id)"""
_STALE: Final = """
    WITH touched AS MATERIALIZED (
        SELECT company, currency, open_minor, reference_key, number_key
        FROM items WHERE touched_at > $1
            AND EXISTS (SELECT 1 FROM lines WHERE state = 'exception')
    ), sums AS (
        SELECT DISTINCT company, currency, -open_minor AS minor FROM touched WHERE open_minor <> 0
    ), found AS (
        SELECT lines.line_id FROM sums JOIN lines ON lines.company = sums.company
            AND lines.currency = sums.currency AND lines.amount_minor = sums.minor
            AND lines.state = 'exception'
        UNION SELECT line_id FROM touched JOIN mentions ON mentions.company = touched.company
            AND mentions.reference_key = touched.reference_key
        UNION SELECT line_id FROM touched JOIN mentions ON mentions.company = touched.company
            AND mentions.reference_key = touched.number_key
    )
    SELECT line_id, company FROM lines
    WHERE line_id = ANY(ARRAY(SELECT line_id FROM found)) AND state = 'exception'
    ORDER BY line_id"""


async def lock(tx: Tx, companies: Iterable[str]) -> None:
    """Let one transaction at a time settle a company's lines; taken before anything is read."""
    await tx.fetch(
        "SELECT pg_advisory_xact_lock($1, hashtext(company)) "
        "FROM (SELECT company FROM unnest($2::text[]) AS t (company) ORDER BY hashtext(company)) "
        "AS ordered",
        _LOCK_CLASS,
        sorted(set(companies)),
    )


async def waiting_for(reader: Reader, items: Iterable[tuple[str, str]]) -> list[UUID]:
    """The waiting lines that mention one of these (company, reference key)."""
    keys = sorted(set(items))
    if not keys:
        return []
    rows = await reader.fetch(_MENTIONING, [c for c, _ in keys], [k for _, k in keys])
    return [row["line_id"] for row in rows]


async def judged_until(reader: Reader) -> datetime:
    """Up to when changed items have been held against the waiting lines."""
    until: datetime = await reader.fetchval("SELECT until FROM judgings")
    return until


async def stale(reader: Reader, since: datetime) -> list[tuple[UUID, str]]:
    """Waiting lines, with their companies, that items touched since then may concern."""
    return [(row["line_id"], row["company"]) for row in await reader.fetch(_STALE, since)]


async def judge_until(tx: Tx, moment: datetime) -> None:
    """Remember that everything touched before this moment has been judged."""
    await tx.execute("UPDATE judgings SET until = $1", moment)


async def load(
    tx: Tx, fresh: Sequence[Line], waiting: Iterable[UUID] = ()
) -> tuple[Board, list[Line]]:
    """The board for these lines, and the lines together with the waiting ones they concern."""
    named = await _named(tx, fresh)
    again = await _waiting(tx, {*waiting, *await waiting_for(tx, _keys(named))})
    named |= await _named(tx, again)
    rivals = await _rivals(tx, _unnamed([*fresh, *again], named))
    more = await _waiting(tx, rivals - {line.line_id for line in again})
    named |= await _named(tx, more)
    lines = [*fresh, *again, *more]
    items = {**await _near(tx, _unnamed(lines, named)), **named}
    paid = [item.entry_id for item in items.values() if item.allocated_minor]
    return Board.of(items.values(), await payments_of(tx, paid)), lines


def _keys(items: Mapping[UUID, Item]) -> set[tuple[str, str]]:
    return {(item.company, key) for item in items.values() for key in keys_of(item)}


def _unnamed(lines: Iterable[Line], items: Mapping[UUID, Item]) -> list[Line]:
    known = _keys(items)
    return [line for line in lines if not any((line.company, key) in known for key in line.keys)]


async def _named(reader: Reader, lines: Iterable[Line]) -> dict[UUID, Item]:
    keys = sorted({(line.company, key) for line in lines for key in line.keys})
    rows = await reader.fetch(_NAMED, [c for c, _ in keys], [k for _, k in keys]) if keys else []
    return {row["entry_id"]: item_of(row) for row in rows}


async def _near(reader: Reader, lines: Sequence[Line]) -> dict[UUID, Item]:
    """The open items that unnamed lines can be about: of their payees, or of their amounts."""
    if not lines:
        return {}
    keys = sorted(
        {(line.company, key) for line in lines for key in party_keys((line.text, line.party))}
    )
    sums = sorted({(line.company, line.currency, line.pays_minor) for line in lines})
    rows = await reader.fetch(
        _NEAR,
        [company for company, _ in keys],
        [key for _, key in keys],
        [company for company, _, _ in sums],
        [currency for _, currency, _ in sums],
        [pays for _, _, pays in sums],
    )
    return {row["entry_id"]: item_of(row, row["payee_name"]) for row in rows}


async def _rivals(reader: Reader, lines: Sequence[Line]) -> set[UUID]:
    """Waiting lines of the same amount: they may want the same item."""
    sums = sorted({(line.company, line.currency, line.amount_minor) for line in lines})
    if not sums:
        return set()
    columns = ([row[at] for row in sums] for at in range(3))
    return {row["line_id"] for row in await reader.fetch(_RIVALS, *columns)}


async def _waiting(reader: Reader, ids: set[UUID]) -> list[Line]:
    if not ids:
        return []
    return [
        line_of(row, frozenset(row["exact_keys"]), frozenset(row["text_keys"]))
        for row in await reader.fetch(_WAITING, sorted(ids))
    ]


async def payments_of(reader: Reader, entries: Sequence[UUID]) -> list[Payment]:
    """What these items were paid with, as far as it has not come back."""
    if not entries:
        return []
    rows = await reader.fetch(
        "SELECT match_id, entry_id, amount_minor, line_id, account, statement, booked_on, "
        "currency, line_minor FROM standing_payments WHERE entry_id = ANY($1::uuid[]) "
        "AND amount_minor <> 0",
        entries,
    )
    return [payment_of(row) for row in rows]
