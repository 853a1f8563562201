"""The tables a judgement looks at, and the one query for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg
import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_MACHINERY: Final = {
    "inbox": "SELECT event_id::text FROM inbox",
    "dead_letters": 'SELECT topic, partition, "offset", key, code, state FROM dead_letters',
    "parked": 'SELECT topic, partition, "offset", key FROM parked',
    "offsets": "SELECT topic, partition, next_offset FROM offsets",
    "outbox": "SELECT id, topic, key, headers FROM outbox",
}
QUERIES: Final[Mapping[str, Mapping[str, str]]] = {
    "claims": {
        "claims": "SELECT claim_id::text, revision, state, facts, company, currency, source, "
        "source_key, total_minor, open_minor FROM claims",
        "held": "SELECT number, claim_id::text FROM held",
    },
    "approval": {
        "cases": "SELECT claim_id::text, revision, state, employee FROM cases",
        "tasks": "SELECT task_id::text, claim_id::text, revision, state FROM tasks",
        "approvers": "SELECT t.task_id::text, t.claim_id::text, t.revision, a.approver, "
        "a.verdict, c.employee FROM approvers a JOIN tasks t USING (task_id) "
        "JOIN cases c USING (claim_id, revision)",
    },
    "budget": {
        "budgets": "SELECT id, company, code, control, currency, limit_minor, reserved_minor, "
        "spent_minor, ceiling_minor FROM budgets",
        "cases": "SELECT claim_id::text, revision, state, checked, company, budgets, amounts "
        "FROM cases",
    },
    "posting": {
        "entries": "SELECT id::text, claim_id::text, revision, kind, company, ledger, number, "
        "currency, total_minor, reverses::text FROM entries",
        "journal_lines": "SELECT entry_id::text, account, amount_minor FROM journal_lines",
        "cases": "SELECT claim_id::text, revision, stage FROM cases",
        "intents": "SELECT key, claim_id::text, revision, kind, ledger, state, attempts, number "
        "FROM intents",
    },
    "reconcile": {
        "items": "SELECT entry_id::text, claim_id::text, revision, company, currency, "
        "total_minor, allocated_minor, reversed_by::text FROM items",
        "lines": "SELECT line_id::text, statement_id::text, state, company, currency, "
        "amount_minor FROM lines",
        "matches": "SELECT match_id::text, line_id::text, kind, undone_at FROM matches",
        "allocations": "SELECT match_id::text, entry_id::text, amount_minor, returns::text "
        "FROM allocations",
        "differences": "SELECT match_id::text, amount_minor FROM differences",
        "statements": "SELECT statement_id::text, file_digest, account, reference, closed_on, "
        "state, opening_minor, closing_minor, sum_minor, line_count, known_count FROM statements",
        "files": "SELECT digest FROM files",
        "exceptions": "SELECT exception_id::text, state FROM exceptions",
    },
}


async def read_tables(service: str, url: str, prefix: str) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of one service's tables, of one moment; topics without the run's prefix."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found = {
                table: await connection.fetch(query)
                for table, query in (_MACHINERY | dict(QUERIES[service])).items()
            }
    finally:
        await connection.close()
    return {
        table: [_plain(table, cast("Mapping[str, Any]", row), prefix) for row in rows]
        for table, rows in found.items()
    }


def _plain(table: str, row: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    if table not in _MACHINERY or table == "inbox":
        return row
    plain = dict(row)
    plain["topic"] = plain["topic"].removeprefix(prefix)
    if table == "outbox":
        headers = dict(orjson.loads(plain.pop("headers")))
        plain["event_id"] = headers.get("ce_id")
    return plain
