"""Everything budget keeps: companies, budgets with their figures, and a case per claim revision."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import orjson

from chassis.db import columns
from chassis.errors import Retry
from contracts.budget import Control
from contracts.envelope import Cause
from contracts.values import Money
from services.budget.domain import Budget, Case, Entry, Holding, Line, Reservation, State
from services.budget.matching import Node, Standing, Tree, carry
from services.budget.rules import Asker, Desk, asking, may_move

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from uuid import UUID

    from chassis.db import Reader, Row, Tx
    from contracts.masterdata import CompanyDefined
    from services.budget.domain import Carried, Fact, Key

TREES_MAX: Final = 64  # Companies; a group has fewer, and a tree takes half a kilobyte per budget.
_TREES: dict[str, tuple[UUID, Tree]] = {}
# Each definition gives its company's tree a new id and every transaction asks for the id, so that
# no replica uses an outdated tree.

_DEFINITION: Final = (
    "code, currency, parent, cost_center, project, category, starts_on, ends_on, limit_minor, "
    "control, thresholds, defined"
)
_FIGURES: Final = (
    "id, code, currency, control, limit_minor, reserved_minor, spent_minor, ceiling_minor, "
    "thresholds, defined"
)
_CASE: Final = """
    SELECT c.claim_id, c.revision, c.company, c.currency, c.total_minor, c.state, c.submitted,
           c.checked, c.approved, c.rejected, c.withdrawn, c.entry, c.lines, c.budgets, c.amounts,
           c.cause_id, c.correlation_id, c.traceparent, c.tracestate, c.changed_at
    FROM cases c
"""


async def load(tx: Tx, facts: Sequence[Fact]) -> Desk:
    """Lock the cases that facts speak of, then, in one order, the budgets that may change."""
    stored = await _lock_cases(tx, {(fact.claim_id, fact.revision) for fact in facts})
    return await _desk(tx, stored, asking(stored, facts), lock=may_move(stored, facts))


async def load_waiting(tx: Tx, limit: int) -> Desk:
    """Lock some of the cases whose company has been defined since they came."""
    rows = await tx.fetch(
        _CASE + "JOIN companies m ON m.company = c.company AND m.currency IS NOT NULL "
        "WHERE c.cause_id IS NOT NULL ORDER BY c.claim_id, c.revision LIMIT $1 FOR UPDATE OF c",
        limit,
    )
    stored = {case.key: case for case in map(_case, rows)}
    askers = {
        key: Asker(case.company, case.total.currency, case.lines) for key, case in stored.items()
    }
    return await _desk(tx, stored, askers, lock=True)


async def load_said(
    tx: Tx, keys: Collection[Key], places: Collection[tuple[str, str]]
) -> tuple[Desk, dict[tuple[str, str], int]]:
    """Lock cases and the budgets of some companies and codes; and the numbers of those."""
    stored = await _lock_cases(tx, keys)
    rows = await tx.fetch(
        "SELECT id, company, code FROM budgets "
        "JOIN unnest($1::text[], $2::text[]) AS k (company, code) USING (company, code)",
        *columns(places, 2),
    )
    numbers = {(row["company"], row["code"]): row["id"] for row in rows}
    return Desk.of(stored, {}, await _budgets(tx, numbers.values(), lock=True)), numbers


async def _desk(
    tx: Tx, stored: Mapping[Key, Case], askers: Mapping[Key, Asker], *, lock: bool
) -> Desk:
    carried = await _carry(tx, askers) if askers else {}
    numbers = {number for parts in carried.values() for number in parts.amounts}
    numbers.update(number for case in stored.values() for number in case.held)
    budgets = await _budgets(tx, numbers, lock=lock) if numbers else {}
    return Desk.of(stored, carried, budgets)


async def _budgets(tx: Tx, numbers: Collection[int], *, lock: bool) -> dict[int, Budget]:
    """Budgets by number; all transactions lock them in this one order."""
    rows = await tx.fetch(
        f"SELECT {_FIGURES} FROM budgets WHERE id = ANY($1::int[]) ORDER BY id "
        f"{'FOR UPDATE' if lock else ''}",
        list(numbers),
    )
    return {row["id"]: _budget(row) for row in rows}


async def _carry(tx: Tx, askers: Mapping[Key, Asker]) -> dict[Key, Carried]:
    """Which budgets carry what of each claim; nothing for claims of companies not yet defined."""
    companies = await _companies(tx, {asker.company for asker in askers.values()})
    return {
        key: carry(tree, asker.lines, asker.currency, policy)
        for key, asker in askers.items()
        if asker.company in companies
        for tree, policy in (companies[asker.company],)
    }


async def _companies(tx: Tx, codes: Collection[str]) -> dict[str, tuple[Tree, Control]]:
    rows = await tx.fetch(
        "SELECT company, unbudgeted, tree FROM companies "
        "WHERE company = ANY($1::text[]) AND currency IS NOT NULL",
        list(codes),
    )
    trees = {
        row["company"]: _TREES[row["company"]]
        for row in rows
        if row["company"] in _TREES and _TREES[row["company"]][0] == row["tree"]
    }
    missing = {row["company"]: row["tree"] for row in rows if row["company"] not in trees}
    if missing:
        nodes: dict[str, dict[int, Node]] = {company: {} for company in missing}
        for row in await _definitions(tx, missing):
            nodes[row["company"]][row["id"]] = _node(row)
        trees |= {company: (tree, Tree(nodes[company])) for company, tree in missing.items()}
        if len(_TREES) + len(missing) > TREES_MAX:
            _TREES.clear()
        _TREES.update(trees)
    return {row["company"]: (trees[row["company"]][1], Control(row["unbudgeted"])) for row in rows}


async def _lock_cases(tx: Tx, keys: Collection[Key]) -> dict[Key, Case]:
    rows = await tx.fetch(
        _CASE + "JOIN unnest($1::uuid[], $2::smallint[]) AS k (claim_id, revision) "
        "ON c.claim_id = k.claim_id AND c.revision = k.revision "
        "ORDER BY c.claim_id, c.revision FOR UPDATE OF c",
        [claim_id for claim_id, _ in keys],
        [revision for _, revision in keys],
    )
    return {case.key: case for case in map(_case, rows)}


async def save(tx: Tx, desk: Desk) -> None:
    """Keep what the decisions changed."""
    await _save_budgets(
        tx, [b for number, b in desk.budgets.items() if b is not desk.loaded[number]]
    )
    changed = [case for key, case in desk.cases.items() if case is not desk.stored.get(key)]
    await _update_cases(tx, [case for case in changed if case.key in desk.stored])
    await _insert_cases(tx, [case for case in changed if case.key not in desk.stored])


async def _save_budgets(tx: Tx, budgets: Sequence[Budget]) -> None:
    if budgets:
        await tx.execute(
            "UPDATE budgets b SET reserved_minor = k.reserved, spent_minor = k.spent, "
            "ceiling_minor = k.ceiling "
            "FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[]) "
            "AS k (id, reserved, spent, ceiling) WHERE b.id = k.id",
            [budget.id for budget in budgets],
            [budget.reserved for budget in budgets],
            [budget.spent for budget in budgets],
            [budget.ceiling for budget in budgets],
        )


_COLUMNS: Final = (
    "state, submitted, checked, approved, rejected, withdrawn, entry, lines, budgets, amounts, "
    "cause_id, correlation_id, traceparent, tracestate"
)
_VALUES: Final = (
    "k.state, k.submitted, k.checked, k.approved, k.rejected, k.withdrawn, k.entry, k.lines, "
    "k.budgets::int[], k.amounts::bigint[], k.cause_id, k.correlation_id, k.traceparent, "
    "k.tracestate"
)
_UNNEST: Final = (
    "unnest($2::uuid[], $3::smallint[], $4::text[], $5::bool[], $6::bool[], $7::bool[], "
    "$8::bool[], $9::bool[], $10::text[], $11::bytea[], $12::text[], $13::text[], $14::uuid[], "
    "$15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::bigint[]) "
    f"AS k (claim_id, revision, {_COLUMNS}, company, currency, total)"
)


def _values(case: Case) -> Sequence[Any]:
    """Arrays within are written as text, for unnest would flatten them."""
    lines = orjson.dumps([tuple(line) for line in case.lines]) if case.lines else None
    cause = case.cause
    return (
        case.claim_id, case.revision, case.state, case.submitted, case.checked, case.approved,
        case.rejected, case.withdrawn, case.entry, lines, _array(case.held),
        _array(case.held.values()), cause and cause.event_id, cause and cause.correlation_id,
        cause and cause.traceparent, cause and cause.tracestate,
        case.company, case.total.currency, case.total.minor,
    )  # fmt: skip


def _array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"


async def _update_cases(tx: Tx, cases: Sequence[Case]) -> None:
    if cases:
        await tx.execute(
            f"UPDATE cases c SET ({_COLUMNS}, changed_at) = ROW ({_VALUES}, $1) "
            f"FROM {_UNNEST} WHERE c.claim_id = k.claim_id AND c.revision = k.revision",
            tx.now,
            *columns(map(_values, cases), 19),
        )


async def _insert_cases(tx: Tx, cases: Sequence[Case]) -> None:
    """Add the cases that these facts opened; raises Retry if another transaction opened one too."""
    if not cases:
        return
    tag = await tx.execute(
        "INSERT INTO cases (claim_id, revision, company, currency, total_minor, "
        f"{_COLUMNS}, changed_at) "
        f"SELECT k.claim_id, k.revision, k.company, k.currency, k.total, {_VALUES}, $1 "
        f"FROM {_UNNEST} ON CONFLICT DO NOTHING",
        tx.now,
        *columns(map(_values, sorted(cases, key=lambda case: case.key)), 19),
    )
    if tag != f"INSERT 0 {len(cases)}":
        msg = "another transaction opened one of these cases meanwhile"
        raise Retry(msg)


def _case(row: Row) -> Case:
    lines = orjson.loads(row["lines"]) if row["lines"] else ()
    waits = row["cause_id"] is not None
    cause = (row["cause_id"], row["correlation_id"], row["traceparent"], row["tracestate"])
    return Case(
        row["claim_id"], row["revision"], row["company"],
        Money(row["total_minor"], row["currency"]),
        State(row["state"]), row["submitted"], row["checked"], row["approved"], row["rejected"],
        row["withdrawn"], Entry(row["entry"]) if row["entry"] else None,
        tuple(Line(n, what, center, project, date.fromisoformat(day), minor)
              for n, what, center, project, day, minor in lines),
        dict(zip(row["budgets"], row["amounts"], strict=True)),
        Cause(*cause) if waits else None,
    )  # fmt: skip


def _budget(row: Row) -> Budget:
    return Budget(
        row["id"], row["code"], row["currency"], Control(row["control"]), row["limit_minor"],
        row["reserved_minor"], row["spent_minor"], row["ceiling_minor"],
        tuple(row["thresholds"]), row["defined"],
    )  # fmt: skip


def _node(row: Row) -> Node:
    return Node(
        row["code"], row["currency"], row["parent"] or "", row["cost_center"], row["project"],
        row["category"], row["starts_on"], row["ends_on"], row["limit_minor"],
        Control(row["control"]), tuple(row["thresholds"]), row["defined"],
    )  # fmt: skip


async def define_companies(tx: Tx, definitions: Sequence[CompanyDefined]) -> None:
    """Keep what companies do with unbudgeted money; the last definition of each holds."""
    newest = {definition.company: definition for definition in definitions}
    ordered = [newest[company] for company in sorted(newest)]
    await tx.execute(
        "INSERT INTO companies (company, currency, unbudgeted, tree) "
        "SELECT k.company, k.currency, k.unbudgeted, $1 "
        "FROM unnest($2::text[], $3::text[], $4::text[]) AS k (company, currency, unbudgeted) "
        "ON CONFLICT (company) DO UPDATE "
        "SET currency = excluded.currency, unbudgeted = excluded.unbudgeted",
        tx.new_id(),
        [definition.company for definition in ordered],
        [definition.currency for definition in ordered],
        [definition.unbudgeted for definition in ordered],
    )


async def lock_forests(tx: Tx, companies: Collection[str]) -> dict[str, dict[str, Node]]:
    """The definitions of all budgets of some companies; nobody else defines there meanwhile."""
    ordered = sorted(companies)
    await tx.execute(
        "INSERT INTO companies (company, tree) SELECT k, $1 FROM unnest($2::text[]) AS k "
        "ON CONFLICT DO NOTHING",
        tx.new_id(),
        ordered,
    )
    await tx.fetch(
        "SELECT company FROM companies WHERE company = ANY($1::text[]) "
        "ORDER BY company FOR NO KEY UPDATE",
        ordered,
    )
    forests: dict[str, dict[str, Node]] = {company: {} for company in ordered}
    for row in await _definitions(tx, ordered):
        forests[row["company"]][row["code"]] = _node(row)
    return forests


async def _definitions(reader: Reader, companies: Collection[str]) -> list[Row]:
    return await reader.fetch(
        f"SELECT id, company, {_DEFINITION} FROM budgets WHERE company = ANY($1::text[])",
        list(companies),
    )


async def save_definitions(tx: Tx, changes: Mapping[tuple[str, str], Node]) -> None:
    """Keep definitions, in the order given (parents first, so that their numbers are lower).

    What a budget holds is left alone; its ceiling becomes its limit, or what is in use if more.
    """
    if not changes:
        return
    codes = [code for _, code in changes]
    companies = [company for company, _ in changes]
    await tx.fetch(
        "SELECT id FROM budgets JOIN unnest($1::text[], $2::text[]) AS k (company, code) "
        "USING (company, code) ORDER BY id FOR UPDATE OF budgets",
        companies,
        codes,
    )
    await tx.execute(
        f"INSERT INTO budgets (company, {_DEFINITION}, ceiling_minor) "
        "SELECT k.company, k.code, k.currency, nullif(k.parent, ''), k.cost_center, k.project, "
        "k.category, k.starts_on, k.ends_on, k.limit_minor, k.control, k.thresholds::smallint[], "
        "k.defined, greatest(k.limit_minor, 0) "
        "FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], "
        "$7::text[], $8::date[], $9::date[], $10::bigint[], $11::text[], $12::text[], $13::bool[]) "
        f"WITH ORDINALITY AS k (company, {_DEFINITION}, place) ORDER BY k.place "
        f"ON CONFLICT (company, code) DO UPDATE SET ({_DEFINITION}, ceiling_minor) = "
        f"ROW ({', '.join(f'excluded.{name}' for name in _DEFINITION.split(', '))}, "
        "greatest(excluded.limit_minor, budgets.reserved_minor + budgets.spent_minor))",
        *columns(((company, *_defined(node)) for (company, _), node in changes.items()), 13),
    )
    await tx.execute(
        "UPDATE companies SET tree = $1 WHERE company = ANY($2::text[])", tx.new_id(), companies
    )


def _defined(node: Node) -> Sequence[Any]:
    return (
        node.code, node.currency, node.parent, node.cost_center, node.project, node.category,
        node.starts_on, node.ends_on, node.limit, node.control, _array(node.thresholds),
        node.defined,
    )  # fmt: skip


async def standings(
    reader: Reader, where: Mapping[str, Any], after: Sequence[str], limit: int
) -> list[Standing]:
    """Budgets in the order of company and code, after a given one; absent conditions hold."""
    rows = await reader.fetch(
        f"SELECT company, parent, cost_center, project, category, starts_on, ends_on, {_FIGURES} "
        "FROM budgets WHERE ($1::text IS NULL OR company = $1) AND ($2::text IS NULL OR code = $2) "
        "AND ($3::text IS NULL OR cost_center = $3) AND ($4::text IS NULL OR project = $4) "
        "AND ($5::date IS NULL OR $5 BETWEEN starts_on AND ends_on) "
        "AND (company, code) > ($6, $7) ORDER BY company, code LIMIT $8",
        *(where.get(name) for name in ("company", "budget", "cost_center", "project", "on")),
        *after,
        limit,
    )
    return [Standing(row["company"], _node(row), _budget(row)) for row in rows]


async def reservations(
    reader: Reader, found: Standing, after: tuple[UUID, int], limit: int
) -> list[Reservation]:
    """What a budget holds for claims that are not posted yet, in the order of claims."""
    rows = await reader.fetch(
        "SELECT claim_id, revision, amounts[array_position(budgets, $2)] AS amount, changed_at "
        "FROM cases WHERE company = $1 AND state = 'reserved' AND budgets @> ARRAY[$2::int] "
        "AND (claim_id, revision) > ($3, $4) ORDER BY claim_id, revision LIMIT $5",
        found.company,
        found.budget.id,
        *after,
        limit,
    )
    currency = found.node.currency
    return [
        Reservation(
            row["claim_id"], row["revision"], Money(row["amount"], currency), row["changed_at"]
        )
        for row in rows
    ]


async def holdings(reader: Reader, claim_id: UUID) -> list[Holding]:
    """Every revision of a claim that was heard of, and what it holds where."""
    rows = await reader.fetch(_CASE + "WHERE c.claim_id = $1 ORDER BY c.revision", claim_id)
    named = await reader.fetch(
        "SELECT id, code FROM budgets WHERE id = ANY($1::int[])",
        [number for row in rows for number in row["budgets"]],
    )
    codes = {row["id"]: row["code"] for row in named}
    return [Holding(_case(row), codes, row["changed_at"]) for row in rows]
