"""Bank statements as a bank writes them: camt.053.001.08, one account and one day a document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from xml.sax.saxutils import escape

from contracts.values import Money

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
NO_REFERENCE: Final = "NOTPROVIDED"
_IBAN: Final = re.compile(r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$", re.ASCII)

LineKind = Literal["transfer", "card", "return"]
_CODES: Final[dict[LineKind, tuple[str, str]]] = {
    "transfer": ("ICDT", "ESCT"),
    "card": ("CCRD", "POSD"),
    "return": ("ICDT", "RRTN"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One transaction of a line: a positive amount, whom it concerns, what the payer wrote."""

    reference: str
    amount: int
    party: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One booking; credits are positive, and `charges` are what the bank kept of it."""

    kind: LineKind
    booked_on: date
    valued_on: date
    amount: int
    parts: tuple[Part, ...]
    bank_reference: str = ""
    charges: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """One account's day, or a part of it: opening balance + lines = closing balance."""

    id: str
    number: int
    account: str
    currency: str
    day: date
    opening: int
    lines: tuple[Line, ...]

    @property
    def closing(self) -> int:
        """The balance after the last line."""
        return self.opening + sum(line.amount for line in self.lines)


def camt053(statement: Statement) -> bytes:
    """The statement as a camt.053.001.08 document."""
    return "".join(_document(statement)).encode()


def _document(statement: Statement) -> Iterator[str]:
    made = f"{statement.day}T22:00:00Z"
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{NAMESPACE}"><BkToCstmrStmt>'
    yield f"<GrpHdr><MsgId>{escape(statement.id)}</MsgId><CreDtTm>{made}</CreDtTm></GrpHdr>\n"
    yield f"<Stmt><Id>{escape(statement.id)}</Id><ElctrncSeqNb>{statement.number}</ElctrncSeqNb>"
    yield f"<CreDtTm>{made}</CreDtTm><FrToDt><FrDtTm>{statement.day}T00:00:00Z</FrDtTm>"
    yield f"<ToDtTm>{statement.day}T23:59:59Z</ToDtTm></FrToDt>"
    yield f"<Acct><Id>{_account(statement.account)}</Id><Ccy>{statement.currency}</Ccy></Acct>\n"
    yield _balance("OPBD", statement.opening, statement)
    yield _balance("CLBD", statement.closing, statement)
    for number, line in enumerate(statement.lines, start=1):
        yield from _entry(statement, number, line)
    yield "</Stmt></BkToCstmrStmt></Document>\n"


def _account(account: str) -> str:
    if _IBAN.match(account):
        return f"<IBAN>{account}</IBAN>"
    return f"<Othr><Id>{escape(account)}</Id></Othr>"


def _balance(code: str, amount: int, statement: Statement) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(amount, statement.currency)}"
        f"{_side(amount)}<Dt><Dt>{statement.day}</Dt></Dt></Bal>\n"
    )


def _entry(statement: Statement, number: int, line: Line) -> Iterator[str]:
    currency = statement.currency
    family, sub_family = _CODES[line.kind]
    yield f"<Ntry><NtryRef>{number}</NtryRef>{_amount(line.amount, currency)}{_side(line.amount)}"
    yield f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{line.booked_on}</Dt></BookgDt>"
    yield f"<ValDt><Dt>{line.valued_on}</Dt></ValDt>"
    if line.bank_reference:
        yield f"<AcctSvcrRef>{escape(line.bank_reference)}</AcctSvcrRef>"
    yield f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd>"
    yield f"<SubFmlyCd>{sub_family}</SubFmlyCd></Fmly></Domn></BkTxCd>"
    if line.charges:
        yield f"<Chrgs><Rcrd>{_amount(line.charges, currency)}<CdtDbtInd>DBIT</CdtDbtInd>"
        yield "<ChrgInclInd>true</ChrgInclInd></Rcrd></Chrgs>"
    yield "<NtryDtls>"
    if len(line.parts) > 1:
        yield f"<Btch><NbOfTxs>{len(line.parts)}</NbOfTxs></Btch>"
    for part in line.parts:
        yield from _transaction(line, part, currency)
    yield "</NtryDtls></Ntry>\n"


def _transaction(line: Line, part: Part, currency: str) -> Iterator[str]:
    yield f"<TxDtls><Refs><EndToEndId>{escape(part.reference or NO_REFERENCE)}</EndToEndId></Refs>"
    yield f"{_amount(part.amount, currency)}{_side(line.amount)}"
    other = "Dbtr" if line.amount > 0 else "Cdtr"
    if line.kind == "return":
        other = "Cdtr"  # A return keeps the roles of the payment it takes back.
    yield f"<RltdPties><{other}><Pty><Nm>{escape(part.party)}</Nm></Pty></{other}></RltdPties>"
    yield f"<RmtInf><Ustrd>{escape(part.text[:140])}</Ustrd></RmtInf>"
    if line.kind == "return":
        yield "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"
    yield "</TxDtls>"


def _amount(amount: int, currency: str) -> str:
    return f'<Amt Ccy="{currency}">{Money(abs(amount), currency).amount}</Amt>'


def _side(amount: int) -> str:
    return f"<CdtDbtInd>{'CRDT' if amount >= 0 else 'DBIT'}</CdtDbtInd>"
