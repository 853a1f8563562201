"""The SQL of the organisation: companies, people, owners, and the rules in their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.db import columns
from contracts.masterdata import ApprovalRuleDefined
from services.approval.domain import Desk, Organisation, Person, RuleVersion, named_in, version_of
from services.approval.rules import choose, in_order, read_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from chassis.db import Reader, Tx
    from contracts.masterdata import CompanyDefined, EmployeeDefined
    from services.approval.domain import Case, Claim, Place, Rule, Version


async def published(reader: Reader, keys: Iterable[Version]) -> dict[Version, ApprovalRuleDefined]:
    """Those of the versions that are published, as they were published."""
    rows = await reader.fetch(
        """
        SELECT r.definition FROM rules r
        JOIN unnest($1::text[], $2::text[], $3::int[]) AS k (company, rule, version)
            USING (company, rule, version)
        """,
        *columns(keys, 3),
    )
    rules = [ApprovalRuleDefined.model_validate_json(row[0]) for row in rows]
    return {version_of(rule): rule for rule in rules}


async def publish(tx: Tx, rules: Iterable[ApprovalRuleDefined]) -> None:
    """Store new versions of rules; what is published already stays as it is."""
    await tx.execute(
        """
        INSERT INTO rules (company, rule, version, valid_from, definition)
        SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::date[], $5::jsonb[])
        ON CONFLICT DO NOTHING
        """,
        *columns(((*version_of(r), r.valid_from, r.model_dump_json()) for r in rules), 5),
    )


async def rules_today(reader: Reader, companies: Iterable[str], today: date) -> list[Rule]:
    """Of each rule of these companies the newest version that is valid today."""
    rows = await reader.fetch(
        """
        SELECT DISTINCT ON (company, rule) definition
        FROM rules WHERE company = ANY($1::text[]) AND valid_from <= $2
        ORDER BY company, rule, version DESC
        """,
        *(list(companies), today),
    )
    return [read_rule(row["definition"]) for row in rows]


async def rule_versions(
    reader: Reader, *, company: str | None, after: Version, limit: int
) -> list[RuleVersion]:
    """Every version of every rule, in order of company, rule and version."""
    rows = await reader.fetch(
        """
        SELECT r.definition, coalesce(c.currency, ''), r.version = (
            SELECT max(n.version) FROM rules n
            WHERE n.company = r.company AND n.rule = r.rule AND n.valid_from <= current_date
        )
        FROM rules r LEFT JOIN companies c USING (company)
        WHERE ($1::text IS NULL OR r.company = $1)
            AND (r.company, r.rule, r.version) > ($2::text, $3::text, $4::int)
        ORDER BY r.company, r.rule, r.version LIMIT $5
        """,
        *(company, *after, limit),
    )
    read = ApprovalRuleDefined.model_validate_json
    return [RuleVersion(read(row[0]), row[1], newest=bool(row[2])) for row in rows]


async def define_companies(tx: Tx, companies: Iterable[CompanyDefined]) -> None:
    """Write the newest word on companies."""
    await tx.execute(
        """
        INSERT INTO companies (company, name, currency)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        ON CONFLICT (company) DO UPDATE SET name = excluded.name, currency = excluded.currency
        """,
        *columns(((one.company, one.name, one.currency) for one in companies), 3),
    )


async def define_employees(tx: Tx, who: Iterable[EmployeeDefined]) -> None:
    """Write the newest word on people."""
    await tx.execute(
        """
        INSERT INTO employees (company, employee, name, grade, manager, active)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
            $6::boolean[])
        ON CONFLICT (company, employee) DO UPDATE SET name = excluded.name,
            grade = excluded.grade, manager = excluded.manager, active = excluded.active
        """,
        *columns(((e.company, e.employee, e.name, e.grade, e.manager, e.active) for e in who), 6),
    )


async def define_owners(tx: Tx, kind: str, owners: Mapping[Place, str | None]) -> None:
    """Write the newest word on who owns cost centres or projects."""
    await tx.execute(
        """
        INSERT INTO owners (company, code, owner, kind)
        SELECT company, code, owner, $4
        FROM unnest($1::text[], $2::text[], $3::text[]) AS n (company, code, owner)
        ON CONFLICT (company, kind, code) DO UPDATE SET owner = excluded.owner
        """,
        *columns(((*place, owners[place]) for place in sorted(owners)), 3),
        kind,
    )


async def open_desk(tx: Tx, cases: Sequence[Case], today: date) -> Desk:
    """The rule of today that holds for each case, and everybody whom these rules can ask."""
    if not cases:
        return Desk((), Organisation())
    rules = in_order(await rules_today(tx, {case.known.company for case in cases}, today))
    chosen = tuple((case, choose(rules[case.known.company], case)) for case in cases)
    asking = [(case.known, rule) for case, rule in chosen if rule and rule.steps]
    if not asking:
        return Desk(chosen, Organisation())
    named = {place for claim, rule in asking for place in named_in(rule.steps, claim.company)}
    return Desk(chosen, await load(tx, [claim for claim, _ in asking], named))


async def load(reader: Reader, claims: Sequence[Claim], people: Iterable[Place]) -> Organisation:
    """The owners of what the claims name, the claimants, these people, and all managers above."""
    rows = await reader.fetch(
        """
        WITH RECURSIVE owned AS (
            SELECT o.kind, o.company, o.code, o.owner FROM owners o
            JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (kind, company, code)
                USING (company, kind, code)
            WHERE o.owner IS NOT NULL
        ), asked (company, employee) AS (
            SELECT company, employee FROM unnest($4::text[], $5::text[]) AS p (company, employee)
            UNION SELECT company, owner FROM owned
        ), reached AS (
            SELECT e.company, e.employee, e.manager, e.active
            FROM asked JOIN employees e USING (company, employee)
            UNION
            SELECT e.company, e.employee, e.manager, e.active
            FROM reached r JOIN employees e ON e.company = r.company AND e.employee = r.manager
        )
        SELECT 'person', company, employee, manager, active FROM reached
        UNION ALL SELECT kind, company, code, owner, true FROM owned
        """,
        *columns({owned for claim in claims for owned in claim.owned}, 3),
        *columns({*people, *((claim.company, claim.employee) for claim in claims)}, 2),
    )
    return Organisation(
        people={row[1:3]: Person(row[3], row[4]) for row in rows if row[0] == "person"},
        cost_center_owners={row[1:3]: row[3] for row in rows if row[0] == "cost_center"},
        project_owners={row[1:3]: row[3] for row in rows if row[0] == "project"},
    )
