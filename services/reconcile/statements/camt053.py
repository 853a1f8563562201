"""ISO 20022 camt.053 of any version (and its siblings .052 and .054), whatever its namespace."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from contracts.currencies import DIGITS
from services.reconcile.domain import Booking, Statement
from services.reconcile.statements.parts import (
    LINES_MAX,
    Unreadable,
    account_of,
    minor_of,
    plain_text,
    safe_name,
    says_returned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_CONTAINERS: Final = frozenset({"Stmt", "Rpt", "Ntfctn"})
_XINCLUDE: Final = "{http://www.w3.org/2001/XInclude"
_SIGNS: Final = {"CRDT": 1, "DBIT": -1}
_OPENING: Final = ("OPBD", "PRCD")
_CLOSING: Final = ("CLBD",)
_RETURN_CODES: Final = frozenset({"RRTN", "RPCR"})  # Reversal for a return, for a cancellation.
_REFERENCES: Final = (
    "Refs/EndToEndId",
    "Refs/InstrId",
    "Refs/PmtInfId",
    "Refs/TxId",
    "RmtInf/Strd/CdtrRefInf/Ref",
    "RmtInf/Strd/RfrdDocInf/Nb",
)


@dataclass(slots=True)
class _Open:
    """The statement being read: its bookings so far, and what stands in for what they lack."""

    bookings: list[Booking] = field(default_factory=list)
    skipped: int = 0
    currency: str = ""
    made_on: date | None = None


def read_camt(content: bytes) -> list[Statement]:
    """All statements of a file; raises Unreadable on what cannot be read without a guess."""
    try:
        statements = list(_statements(content))
    except DefusedXmlException:
        detail = "a document type, an entity or an inclusion is never read"
        raise Unreadable.because("XML_FORBIDDEN", detail) from None
    except (ParseError, LookupError, UnicodeError) as problem:
        raise Unreadable.because("XML_MALFORMED", f"this is not XML: {problem}") from None
    if not statements:
        raise Unreadable.because("STATEMENT_MISSING", "the file holds no statement")
    return statements


def _statements(content: bytes) -> Iterator[Statement]:
    """Read as a stream: a booking is dropped from memory as soon as it is understood."""
    held = _Open()
    number = 0
    for _, element in iterparse(io.BytesIO(content), events=("end",), forbid_dtd=True):
        namespace, _, name = element.tag.rpartition("}")
        element.tag = name  # From here on names are plain, whatever the namespace.
        if name == "Ntry":
            where = f"entry {len(held.bookings) + held.skipped + 1} of statement {number + 1}"
            booking = _booking(element, held.made_on, where)
            held.currency = held.currency or _currency(element)
            if booking is None:
                held.skipped += 1
            elif len(held.bookings) == LINES_MAX:
                raise Unreadable.because("TOO_MANY_LINES", f"at most {LINES_MAX} lines", where)
            else:
                held.bookings.append(booking)
            element.clear()
        elif name in _CONTAINERS:
            number += 1
            yield _statement(element, held, f"statement {number}")
            held = _Open(made_on=held.made_on)
            element.clear()
        elif name == "CreDtTm":
            held.made_on = _day((element.text or "").strip(), f"statement {number + 1}")
        elif namespace == _XINCLUDE:
            raise Unreadable.because("XML_FORBIDDEN", "an inclusion is never read")


def _statement(element: Element, held: _Open, where: str) -> Statement:
    account = account_of(
        _text(element, "Acct/Id/IBAN")
        or _text(element, "Acct/Id/Othr/Id")
        or _text(element, "Acct/Id/PrtryAcct/Id")
    )
    if not account:
        raise Unreadable.because("ACCOUNT_MISSING", "the statement names no account", where)
    opening = _balance(element, _OPENING, where)
    closing = _balance(element, _CLOSING, where)
    currency = _text(element, "Acct/Ccy") or (opening or closing or (held.currency,))[0]
    currency = currency or next(map(_currency, element.findall("Bal")), "")
    if currency not in DIGITS:
        raise Unreadable.because("CURRENCY_UNKNOWN", f"'{currency[:16]}' is no currency", where)
    opened_on, closed_on = _span(element, held, opening, closing, where)
    name = _text(element, "Id") or _text(element, "LglSeqNb") or _text(element, "ElctrncSeqNb")
    others = {balance[0] for balance in (opening, closing) if balance}
    others |= {booking.currency for booking in held.bookings}
    return Statement(
        account=account,
        reference=safe_name(name) or f"{account} {closed_on}",
        currency=currency,
        opened_on=opened_on,
        closed_on=closed_on,
        opening_minor=opening[1] if opening else None,
        closing_minor=closing[1] if closing else None,
        bookings=tuple(held.bookings),
        skipped=held.skipped,
        mixed=", ".join(sorted(others - {currency})),
    )


def _balance(
    element: Element, codes: tuple[str, ...], where: str
) -> tuple[str, int, date | None] | None:
    """Currency, signed amount and date of the first balance of the wanted kinds."""
    found = {_text(balance, "Tp/CdOrPrtry/Cd"): balance for balance in element.findall("Bal")}
    for code in codes:
        if code in found:
            currency, minor = _amount(found[code], f"balance {code} of {where}")
            on = _date(found[code], "Dt", f"balance {code} of {where}")
            return currency, minor * _sign(found[code], f"balance {code} of {where}"), on
    return None


def _span(
    element: Element,
    held: _Open,
    opening: tuple[str, int, date | None] | None,
    closing: tuple[str, int, date | None] | None,
    where: str,
) -> tuple[date, date]:
    """First and last day: of the balances, else of the period, the bookings, the message."""
    days = sorted(booking.booked_on for booking in held.bookings)
    first = (opening[2] if opening else None) or _day(_text(element, "FrToDt/FrDtTm"), where)
    last = (closing[2] if closing else None) or _day(_text(element, "FrToDt/ToDtTm"), where)
    last = last or (days[-1] if days else None) or held.made_on or first
    first = first or (days[0] if days else None) or last
    if first is None or last is None:
        raise Unreadable.because("DATE_MISSING", "the statement has no date", where)
    return min(first, last), last


def _booking(entry: Element, made_on: date | None, where: str) -> Booking | None:
    """A booked entry; None for one that is only pending or announced."""
    status = _text(entry, "Sts/Cd") or _text(entry, "Sts")
    if status not in {"", "BOOK"}:
        return None
    currency, minor = _amount(entry, where)
    sign = _sign(entry, where)
    booked_on = _date(entry, "BookgDt", where) or _date(entry, "ValDt", where) or made_on
    if booked_on is None:
        raise Unreadable.because("DATE_MISSING", "the entry has no booking date", where)
    details = [detail for group in entry.findall("NtryDtls") for detail in group.findall("TxDtls")]
    charges = sum(_charges(holder, currency, where) for holder in [entry, *details])
    texts = [_remittance(detail) for detail in details]
    text = plain_text([*dict.fromkeys(texts), _text(entry, "AddtlNtryInf")])
    because = plain_text(_reason(detail) for detail in details)
    return Booking(
        booked_on=booked_on,
        amount_minor=sign * minor,
        currency=currency,
        references=tuple(dict.fromkeys(ref for detail in details for ref in _references(detail))),
        text=text,
        texts=tuple(texts) if len(texts) > 1 else (),
        party=plain_text(dict.fromkeys(_party(detail, sign) for detail in details)),
        bank_id=_text(entry, "AcctSvcrRef") or _text(entry, "NtryRef"),
        charges_minor=charges,
        foreign=any(_is_foreign(detail, currency) for detail in [entry, *details]),
        returned=_is_returned(entry, details) or says_returned(text),
        because=because or (text if says_returned(text) else ""),
        batch_size=max(1, len(details)),
        batch_gap_minor=_batch_gap(details, currency, minor, sign, charges, where),
    )


def _batch_gap(
    details: list[Element], currency: str, minor: int, sign: int, charges: int, where: str
) -> int:
    """What the details of a batch lack of its amount; nothing where they give no amounts."""
    if len(details) < 2:
        return 0
    total = 0
    for detail in details:
        holder = detail if detail.find("Amt") is not None else _at(detail, "AmtDtls/TxAmt")
        if holder is None or holder.find("Amt") is None:
            return 0
        own_currency, own = _amount(holder, where)
        direction = _SIGNS.get(_text(detail, "CdtDbtInd"), sign) * sign
        total += own * direction if own_currency == currency else 0
    gap = minor - total
    return 0 if gap == -sign * charges else gap


def _charges(element: Element, currency: str, where: str) -> int:
    """What the bank kept for itself out of this amount, in its currency."""
    total = 0
    for charges in element.findall("Chrgs"):
        whole = charges.find("TtlChrgsAndTaxAmt")
        records = charges.findall("Rcrd") or [charges]
        inside = [record for record in records if _text(record, "ChrgInclInd") != "false"]
        if whole is not None and len(inside) == len(records):
            if whole.get("Ccy", currency) == currency:
                total += minor_of((whole.text or "").strip(), currency, where)
            continue
        for record in inside:
            amount = record.find("Amt")
            if amount is not None and amount.get("Ccy", currency) == currency:
                sign = -_SIGNS.get(_text(record, "CdtDbtInd"), -1)
                total += sign * minor_of((amount.text or "").strip(), currency, where)
    return max(0, total)


def _is_foreign(detail: Element, currency: str) -> bool:
    details = detail.find("AmtDtls")
    if details is None:
        return False
    amounts = [_at(part, "Amt") for part in details]
    rates = [part.find("CcyXchg") for part in details]
    return any(rate is not None for rate in rates) or any(
        amount is not None and amount.get("Ccy", currency) != currency for amount in amounts
    )


def _is_returned(entry: Element, details: list[Element]) -> bool:
    codes = {
        _text(holder, "BkTxCd/Domn/Fmly/SubFmlyCd") for holder in [entry, *details]
    } & _RETURN_CODES
    return (
        _text(entry, "RvslInd").lower() in {"true", "1"}
        or bool(codes)
        or any(detail.find("RtrInf") is not None for detail in details)
    )


def _reason(detail: Element) -> str:
    return plain_text([_text(detail, "RtrInf/Rsn/Cd"), _text(detail, "RtrInf/AddtlInf")])


def _references(detail: Element) -> Iterator[str]:
    for path in _REFERENCES:
        for text in _texts(detail, path):
            if safe_name(text):
                yield safe_name(text)


def _remittance(detail: Element) -> str:
    return plain_text(
        [
            *_texts(detail, "RmtInf/Ustrd"),
            *_texts(detail, "RmtInf/Strd/AddtlRmtInf"),
            _text(detail, "AddtlTxInf"),
        ]
    )


def _party(detail: Element, sign: int) -> str:
    """Name and account of the other side: of the creditor where money left, else of the debtor."""
    role = "Cdtr" if sign < 0 else "Dbtr"
    return plain_text(
        [
            _text(detail, f"RltdPties/{role}/Nm") or _text(detail, f"RltdPties/{role}/Pty/Nm"),
            _text(detail, f"RltdPties/Ultmt{role}/Nm")
            or _text(detail, f"RltdPties/Ultmt{role}/Pty/Nm"),
            _text(detail, f"RltdPties/{role}Acct/Id/IBAN")
            or _text(detail, f"RltdPties/{role}Acct/Id/Othr/Id"),
        ]
    )


def _amount(element: Element, where: str) -> tuple[str, int]:
    amount = element.find("Amt")
    if amount is None:
        raise Unreadable.because("AMOUNT_MISSING", "no amount", where)
    currency = amount.get("Ccy", "")
    return currency, minor_of((amount.text or "").strip(), currency, where)


def _currency(element: Element) -> str:
    amount = element.find("Amt")
    return "" if amount is None else amount.get("Ccy", "")


def _sign(element: Element, where: str) -> int:
    mark = _text(element, "CdtDbtInd")
    if mark not in _SIGNS:
        raise Unreadable.because("SIGN_MISSING", "neither credit nor debit", where)
    return _SIGNS[mark]


def _date(element: Element, path: str, where: str) -> date | None:
    return _day(_text(element, f"{path}/Dt") or _text(element, f"{path}/DtTm"), where)


def _day(text: str, where: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise Unreadable.because("DATE_FORMAT", f"'{text[:40]}' is no date", where) from None


def _at(element: Element, path: str) -> Element | None:
    found: Element | None = element
    for name in path.split("/"):
        if found is None:
            return None
        found = found.find(name)
    return found


def _text(element: Element, path: str) -> str:
    found = _at(element, path)
    return "" if found is None else (found.text or "").strip()


def _texts(element: Element, path: str) -> Iterator[str]:
    """All texts at a path, where any step may repeat."""
    name, _, rest = path.partition("/")
    for child in element.findall(name):
        if rest:
            yield from _texts(child, rest)
        elif child.text and child.text.strip():
            yield child.text.strip()
