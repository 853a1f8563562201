"""Values reconcile works on: entries, lines, statements, and camt files as banks write them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5
from xml.sax.saxutils import escape

from contracts.envelope import Cause
from contracts.masterdata import CompanyDefined
from contracts.posting import EntryPosted, EntryReversed
from contracts.values import Money, PaidBy, claim_id
from services.reconcile.domain import Booking, Item, Line, Payment, Statement
from services.reconcile.matching.lines import lines_of
from tests.support import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMPANY = "ACME"
ACCOUNT = "CH9300762011623852957"
DAY = date(2026, 3, 10)
_SPACE = UUID("0b6f3f0e-70a5-4c52-9d7c-4b7d2c1f6a11")


def reference_of(number: int) -> str:
    return f"{COMPANY}-2026-{number:07d}"


def an_entry(number: int = 1, *, minor: int = 10_000, **changes: Any) -> EntryPosted:
    """A posted entry; its reference is its number."""
    facts: dict[str, Any] = {
        "claim_id": claim_id("tests", f"claim-{number}"),
        "revision": 1,
        "company": COMPANY,
        "total": Money(minor, "EUR"),
        "entry_id": uuid5(_SPACE, str(number)),
        "entry_number": reference_of(number),
        "ledger": "embedded",
        "posting_date": DAY,
        "document_date": DAY - timedelta(days=5),
        "employee": "E-1001",
        "paid_by": PaidBy.EMPLOYEE,
        "payee": "E-1001",
        "reference": reference_of(number),
    }
    return EntryPosted(**(facts | changes))


def a_reversal(number: int = 1, *, minor: int = 10_000) -> EntryReversed:
    entry = an_entry(number, minor=minor)
    return EntryReversed(
        claim_id=entry.claim_id,
        revision=1,
        company=COMPANY,
        total=entry.total,
        entry_id=uuid5(_SPACE, f"reversal-{number}"),
        entry_number=f"{entry.entry_number}R",
        reverses=entry.entry_id,
        posting_date=DAY,
        because="WITHDRAWN",
    )


def a_company(*accounts: str, company: str = COMPANY) -> CompanyDefined:
    return CompanyDefined(
        company=company, name="Acme", currency="EUR", bank_accounts=list(accounts or (ACCOUNT,))
    )


def an_item(number: int = 1, *, minor: int = 10_000, **changes: Any) -> Item:
    facts: dict[str, Any] = {
        "entry_id": uuid5(_SPACE, str(number)),
        "claim_id": claim_id("tests", f"claim-{number}"),
        "revision": 1,
        "company": COMPANY,
        "currency": "EUR",
        "total_minor": minor,
        "allocated_minor": 0,
        "payee": "E-1001",
        "reference": reference_of(number),
        "entry_number": reference_of(number),
        "document_date": DAY - timedelta(days=5),
        "posting_date": DAY,
        "reversed_by": None,
        "cause": Cause(uuid5(_SPACE, f"cause-{number}"), "story"),
    }
    return Item(**(facts | changes))


def a_booking(minor: int = -10_000, *references: str, **changes: Any) -> Booking:
    facts: dict[str, Any] = {
        "booked_on": DAY + timedelta(days=1),
        "amount_minor": minor,
        "currency": "EUR",
        "references": references,
    }
    return Booking(**(facts | changes))


def a_statement(*bookings: Booking, **changes: Any) -> Statement:
    facts: dict[str, Any] = {
        "account": ACCOUNT,
        "reference": "2026-03",
        "currency": "EUR",
        "opened_on": DAY,
        "closed_on": DAY + timedelta(days=9),
        "opening_minor": 0,
        "closing_minor": sum(booking.amount_minor for booking in bookings),
        "bookings": bookings,
    }
    return Statement(**(facts | changes))


def lines(*bookings: Booking) -> list[Line]:
    return lines_of(a_statement(*bookings), COMPANY)


def a_line(minor: int = -10_000, *references: str, **changes: Any) -> Line:
    return lines(a_booking(minor, *references, **changes))[0]


def a_payment(item: Item, minor: int | None = None, *, on: date = DAY) -> Payment:
    """A payment of an item, seen on a line of its own."""
    amount = item.total_minor if minor is None else minor
    return Payment(new_id(), item.entry_id, new_id(), on, amount)


def an_xml_entry(
    minor: int,
    *references: str,
    text: str = "",
    on: date = DAY + timedelta(days=1),
    bank_id: str = "",
    charges: int = 0,
    returned: bool = False,
    party: str = "",
    amounts: Sequence[int] = (),
) -> str:
    """One Ntry; several references make a batch, with an amount for each."""
    shares = amounts or [abs(minor)] * max(1, len(references))
    name = f"<RltdPties><Cdtr><Pty><Nm>{escape(party)}</Nm></Pty></Cdtr></RltdPties>"
    details = "".join(
        f"<TxDtls><Refs><EndToEndId>{escape(reference)}</EndToEndId></Refs>{_amt(share)}"
        f"{name if party else ''}"
        f"<RmtInf><Ustrd>{escape(text)}</Ustrd></RmtInf>"
        f"{'<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>' if returned else ''}</TxDtls>"
        for reference, share in zip(references or ("NOTPROVIDED",), shares, strict=True)
    )
    fee = f"<Chrgs><Rcrd>{_amt(charges)}<CdtDbtInd>DBIT</CdtDbtInd></Rcrd></Chrgs>"
    return (
        f"<Ntry>{_amt(abs(minor))}{_side(minor)}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{on}</Dt></BookgDt><AcctSvcrRef>{bank_id}</AcctSvcrRef>"
        f"{fee if charges else ''}<NtryDtls>{details}</NtryDtls></Ntry>"
    )


def an_xml_statement(
    *entries: str,
    total: int,
    name: str = "2026-03",
    opening: int = 1_000_000,
    closing: int | None = None,
    account: str = ACCOUNT,
) -> str:
    """One Stmt whose balances close, unless another closing balance is given."""
    end = opening + total if closing is None else closing
    return (
        f"<Stmt><Id>{name}</Id><CreDtTm>{DAY}T20:00:00Z</CreDtTm>"
        f"<Acct><Id><IBAN>{account}</IBAN></Id><Ccy>EUR</Ccy></Acct>"
        f"{_balance('OPBD', opening)}{_balance('CLBD', end)}{''.join(entries)}</Stmt>"
    )


def a_file(
    *statements: str, namespace: str = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
) -> bytes:
    """A camt document around statements."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{namespace}"><BkToCstmrStmt>'
        f"{''.join(statements)}</BkToCstmrStmt></Document>"
    ).encode()


def a_statement_file(entries: Iterable[tuple[int, str]], **options: Any) -> bytes:
    """A file with one statement of (amount, Ntry) pairs."""
    pairs = list(entries)
    total = sum(minor for minor, _ in pairs)
    return a_file(an_xml_statement(*(text for _, text in pairs), total=total, **options))


def _amt(minor: int) -> str:
    return f'<Amt Ccy="EUR">{Money(minor, "EUR").amount}</Amt>'


def _side(minor: int) -> str:
    return f"<CdtDbtInd>{'CRDT' if minor >= 0 else 'DBIT'}</CdtDbtInd>"


def _balance(code: str, minor: int) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amt(abs(minor))}{_side(minor)}"
        f"<Dt><Dt>{DAY}</Dt></Dt></Bal>"
    )
