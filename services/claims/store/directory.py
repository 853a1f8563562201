"""Master data: companies, and the names that their claims may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.db import columns
from services.claims.policy.validation import Company, Entry, MasterData

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from chassis.db import Tx
    from contracts.masterdata import CompanyDefined


async def define_companies(tx: Tx, definitions: Iterable[CompanyDefined]) -> None:
    """Know companies; of several definitions the last one counts."""
    latest = {definition.company: definition for definition in definitions}
    await tx.execute(
        """
        INSERT INTO companies (company, currency, claim_age_days)
        SELECT n.* FROM unnest($1::text[], $2::text[], $3::int[]) AS n
        ON CONFLICT (company) DO UPDATE SET currency = excluded.currency,
            claim_age_days = excluded.claim_age_days
        """,
        *columns(((name, d.currency, d.claim_age_days) for name, d in sorted(latest.items())), 3),
    )


async def define_entries(tx: Tx, entries: Iterable[tuple[Entry, bool]]) -> None:
    """Know names and whether they are in use; of several definitions the last one counts."""
    latest = dict(entries)
    await tx.execute(
        """
        INSERT INTO directory (company, kind, code, active)
        SELECT n.* FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) AS n
        ON CONFLICT (company, kind, code) DO UPDATE SET active = excluded.active
        WHERE directory.active <> excluded.active
        """,
        *columns(((*entry, active) for entry, active in sorted(latest.items())), 4),
    )


async def look_up(tx: Tx, entries: Collection[Entry]) -> MasterData:
    """What is known of these names and their companies."""
    if not entries:
        return MasterData()
    companies = await tx.fetch(
        "SELECT company, currency, claim_age_days FROM companies WHERE company = ANY($1::text[])",
        list({entry.company for entry in entries}),
    )
    names = await tx.fetch(
        """
        SELECT d.company, d.kind, d.code, d.active
        FROM unnest($1::text[], $2::text[], $3::text[]) AS n (company, kind, code)
        JOIN directory d USING (company, kind, code)
        """,
        *columns(entries, 3),
    )
    return MasterData(
        {row["company"]: Company(row["currency"], row["claim_age_days"]) for row in companies},
        {Entry(row["company"], row["kind"], row["code"]): row["active"] for row in names},
    )
