"""Master data as posting needs it: companies and their ledgers, categories, accounts, periods."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from services.posting.policy import Account, Chart, Needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.db import Tx
    from contracts.masterdata import AccountMapped, CategoryDefined, CompanyDefined, PeriodDefined


async def define_companies(tx: Tx, defined: Sequence[CompanyDefined]) -> None:
    """Keep the newest definition of each company."""
    newest = {company.company: company for company in defined}.values()
    await tx.execute(
        "INSERT INTO companies (company, name, currency, ledger) SELECT company, name, currency, "
        "ledger FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) "
        "AS t (company, name, currency, ledger) ON CONFLICT (company) DO UPDATE "
        "SET name = excluded.name, currency = excluded.currency, ledger = excluded.ledger",
        [company.company for company in newest],
        [company.name for company in newest],
        [company.currency for company in newest],
        [company.ledger for company in newest],
    )


async def define_categories(tx: Tx, defined: Sequence[CategoryDefined]) -> None:
    """Keep the newest definition of each category."""
    newest = {(category.company, category.category): category for category in defined}
    await tx.execute(
        "INSERT INTO categories (company, category, input_vat) SELECT company, category, input_vat "
        "FROM unnest($1::text[], $2::text[], $3::text[]) AS t (company, category, input_vat) "
        "ON CONFLICT (company, category) DO UPDATE SET input_vat = excluded.input_vat",
        [company for company, _ in newest],
        [category for _, category in newest],
        [category.input_vat for category in newest.values()],
    )


async def map_accounts(tx: Tx, mapped: Sequence[AccountMapped]) -> None:
    """Keep the newest account for each purpose and first day."""
    newest = {(account.company, account.purpose, account.valid_from): account for account in mapped}
    await tx.execute(
        "INSERT INTO accounts (company, purpose, valid_from, account, name) SELECT company, "
        "purpose, valid_from, account, name FROM unnest($1::text[], $2::text[], $3::date[], "
        "$4::text[], $5::text[]) AS t (company, purpose, valid_from, account, name) "
        "ON CONFLICT (company, purpose, valid_from) DO UPDATE "
        "SET account = excluded.account, name = excluded.name",
        [company for company, _, _ in newest],
        [purpose for _, purpose, _ in newest],
        [valid_from for _, _, valid_from in newest],
        [account.account for account in newest.values()],
        [account.name for account in newest.values()],
    )


async def define_periods(tx: Tx, defined: Sequence[PeriodDefined]) -> None:
    """Keep the newest status of each period."""
    newest = {(period.company, period.period): period.status for period in defined}
    await tx.execute(
        "INSERT INTO periods (company, period, status) SELECT company, period, status "
        "FROM unnest($1::text[], $2::text[], $3::text[]) AS t (company, period, status) "
        "ON CONFLICT (company, period) DO UPDATE SET status = excluded.status",
        [company for company, _ in newest],
        [period for _, period in newest],
        list(newest.values()),
    )


async def chart_for(tx: Tx, needs: Needs) -> Chart:
    """The master data of a batch; one query."""
    purposes, categories = sorted(needs.purposes), sorted(needs.categories)
    rows = await tx.fetch(
        "SELECT 'ledger' AS what, company, '' AS name, ledger AS value, '' AS title, "
        "NULL::date AS since FROM companies WHERE company = ANY($1::text[]) "
        "UNION ALL SELECT 'period', company, '', period, '', NULL FROM periods "
        "WHERE company = ANY($1::text[]) AND status = 'open' "
        "UNION ALL SELECT 'account', company, purpose, account, name, valid_from FROM accounts "
        "WHERE (company, purpose) IN (SELECT c, p FROM unnest($2::text[], $3::text[]) AS t (c, p)) "
        "UNION ALL SELECT 'category', company, category, input_vat, '', NULL FROM categories "
        "WHERE (company, category) IN (SELECT c, k FROM unnest($4::text[], $5::text[]) AS t (c, k))"
        " ORDER BY what, company, value",
        sorted(needs.companies),
        [company for company, _ in purposes],
        [purpose for _, purpose in purposes],
        [company for company, _ in categories],
        [category for _, category in categories],
    )
    accounts: defaultdict[tuple[str, str], list[Account]] = defaultdict(list)
    open_periods: defaultdict[str, list[str]] = defaultdict(list)
    ledgers, deductible = {}, {}
    for row in rows:
        company, name, value = row["company"], row["name"], row["value"]
        match row["what"]:
            case "ledger":
                ledgers[company] = value
            case "period":
                open_periods[company].append(value)
            case "account":
                accounts[company, name].append(Account(value, row["title"], row["since"]))
            case _:
                deductible[company, name] = value == "deductible"
    return Chart(
        ledgers=ledgers,
        accounts={
            key: tuple(sorted(known, key=lambda account: account.valid_from, reverse=True))
            for key, known in accounts.items()
        },
        deductible=deductible,
        open_periods={company: tuple(periods) for company, periods in open_periods.items()},
    )
