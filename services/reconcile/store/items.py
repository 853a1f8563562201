"""Open items: written by posted entries, closed by reversals; and who owns accounts and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chassis.db import columns
from services.reconcile.matching.keys import key_of, name_key
from services.reconcile.statements import account_of
from services.reconcile.store.rows import (
    ITEM,
    Opened,
    add_exceptions,
    item_of,
    payment_of,
    run_for_all,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from chassis.db import Tx
    from contracts.masterdata import CompanyDefined, EmployeeDefined
    from contracts.posting import EntryPosted, EntryReversed
    from services.reconcile.domain import Item, Payment
    from services.reconcile.matching.reversals import PaidReversal

_ADD: Final = """
    INSERT INTO items (entry_id, claim_id, revision, company, currency, total_minor, payee,
        payee_key, entry_number, number_key, reference, reference_key, document_date, posting_date,
        cause_id, correlation_id, traceparent, tracestate, touched_at)
    SELECT facts.*, $19 FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[],
        $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
        $13::date[], $14::date[], $15::uuid[], $16::text[], $17::text[], $18::text[]) AS facts
    ON CONFLICT (entry_id) DO UPDATE SET
        payee = excluded.payee, payee_key = excluded.payee_key,
        entry_number = excluded.entry_number, number_key = excluded.number_key,
        reference = excluded.reference, reference_key = excluded.reference_key,
        document_date = excluded.document_date, posting_date = excluded.posting_date,
        cause_id = excluded.cause_id, correlation_id = excluded.correlation_id,
        traceparent = excluded.traceparent, tracestate = excluded.tracestate
    WHERE items.reference = ''"""
_ADD_REVERSED: Final = """
    INSERT INTO items (entry_id, claim_id, revision, company, currency, total_minor, payee,
        payee_key, entry_number, reference, reference_key, document_date, posting_date,
        cause_id, correlation_id, traceparent, tracestate, touched_at)
    SELECT entry_id, claim_id, revision, company, currency, total_minor, '', '', '', '', '',
        posted, posted, cause_id, correlation_id, traceparent, tracestate, $12
    FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::bigint[],
        $7::date[], $8::uuid[], $9::text[], $10::text[], $11::text[]) AS facts (entry_id, claim_id,
        revision, company, currency, total_minor, posted, cause_id, correlation_id, traceparent,
        tracestate)
    ON CONFLICT (entry_id) DO NOTHING"""


async def add_items(tx: Tx, entries: Sequence[EntryPosted]) -> None:
    """One item per posted entry; an entry known already changes nothing."""
    rows = {entry.entry_id: _posted(entry) for entry in entries}
    facts = columns((rows[entry_id] for entry_id in sorted(rows)), 18)
    await tx.execute(_ADD, *facts, tx.now)


def _posted(entry: EntryPosted) -> tuple[object, ...]:
    reference, number = key_of(entry.reference), key_of(entry.entry_number)
    cause = entry.meta.cause
    return (
        entry.entry_id,
        entry.claim_id,
        entry.revision,
        entry.company,
        entry.total.currency,
        entry.total.minor,
        entry.payee,
        key_of(entry.payee),
        entry.entry_number,
        number if number != reference else None,
        entry.reference,
        reference,
        entry.document_date,
        entry.posting_date,
        cause.event_id,
        cause.correlation_id,
        cause.traceparent,
        cause.tracestate,
    )


async def reversed_items(
    tx: Tx, reversals: Sequence[EntryReversed]
) -> tuple[dict[UUID, Item], dict[UUID, list[Payment]]]:
    """The reversed entries' items (a bare one for an entry not here yet), and their payments."""
    rows = {fact.reverses: _reversed(fact) for fact in reversals}
    facts = columns((rows[entry_id] for entry_id in sorted(rows)), 11)
    await tx.execute(_ADD_REVERSED, *facts, tx.now)
    items = await tx.fetch(
        f"SELECT {ITEM} FROM items WHERE entry_id = ANY($1::uuid[])",
        list(rows),
    )
    paid = await tx.fetch(
        "SELECT match_id, entry_id, amount_minor, line_id, account, statement, booked_on, "
        "currency, line_minor FROM standing_payments WHERE entry_id = ANY($1::uuid[]) "
        "AND amount_minor <> 0 ORDER BY booked_on, line_id",
        [row["entry_id"] for row in items if row["allocated_minor"]],
    )
    payments: dict[UUID, list[Payment]] = {}
    for row in paid:
        payments.setdefault(row["entry_id"], []).append(payment_of(row))
    return {row["entry_id"]: item_of(row) for row in items}, payments


def _reversed(fact: EntryReversed) -> tuple[object, ...]:
    cause = fact.meta.cause
    return (
        fact.reverses,
        fact.claim_id,
        fact.revision,
        fact.company,
        fact.total.currency,
        fact.total.minor,
        fact.posting_date,
        cause.event_id,
        cause.correlation_id,
        cause.traceparent,
        cause.tracestate,
    )


async def save_reversals(
    tx: Tx, reversed_by: Mapping[UUID, UUID], paid: Sequence[PaidReversal]
) -> None:
    """Close the reversed items; paid ones become exceptions about the line that paid them."""
    await run_for_all(
        tx,
        "UPDATE items SET reversed_by = new.reversed_by FROM unnest($1::uuid[], $2::uuid[]) "
        "AS new (entry_id, reversed_by) WHERE items.entry_id = new.entry_id",
        sorted(reversed_by.items()),
    )
    opened = [
        Opened(
            one.exception_id,
            one.finding,
            line_id=one.line.line_id,
            entry_id=one.item.entry_id,
        )
        for one in paid
    ]
    await add_exceptions(tx, opened)


async def set_accounts(tx: Tx, companies: Sequence[CompanyDefined]) -> None:
    """The bank accounts of each company, as its newest definition has them."""
    newest = {company.company: company for company in companies}
    accounts = {
        account_of(account): company.company
        for company in newest.values()
        for account in company.bank_accounts
    }
    await tx.execute("DELETE FROM accounts WHERE company = ANY($1::text[])", sorted(newest))
    await run_for_all(
        tx,
        "INSERT INTO accounts (account, company) SELECT * FROM unnest($1::text[], $2::text[]) "
        "ON CONFLICT (account) DO UPDATE SET company = excluded.company",
        sorted(accounts.items()),
    )


async def set_parties(tx: Tx, employees: Sequence[EmployeeDefined]) -> None:
    """The names under which banks know the people who are paid."""
    newest = {(one.company, key_of(one.employee)): one for one in employees}
    await run_for_all(
        tx,
        "INSERT INTO parties (company, party_key, name, name_key) "
        "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) "
        "ON CONFLICT (company, party_key) DO UPDATE "
        "SET name = excluded.name, name_key = excluded.name_key",
        [(*key, one.name, name_key(one.name)) for key, one in sorted(newest.items())],
    )
