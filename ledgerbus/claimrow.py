"""Rows of a claims file as one command: every field by the layout, every amount exact.

What a field cannot hold stays in it as the file has it, and is noted as a doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from contracts.claims import MAX_LINES
from contracts.currencies import DIGITS
from contracts.values import MAX_MINOR, Money, PaidBy, total
from ledgerbus.layout import day_of, plain_amount

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from ledgerbus.layout import Layout, Line, Original, Template

TEXT_MOST: Final = 500  # As contracts.values.Text allows.
CODE_MOST: Final = 128  # As contracts.values.Code allows.
RATE_STEP: Final = Decimal("1e-10")  # As contracts.values.Rate allows.
REMEMBERED: Final = 20_000  # Amounts repeat: prices, fees, zero tax, and the original of most.
WHO_PAID: Final = frozenset(PaidBy)

Row = dict[str, str]
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A command as a JSON document, its total where one can be read, and what is doubtful in it.

    Without doubts the command can be read by anyone who knows the contract.
    """

    document: Document
    total: Money | None
    doubts: list[str]


def drafted(layout: Layout, company: str, source_key: str, rows: Sequence[Row]) -> Draft:
    """The command that the rows of one claim amount to."""
    doubts: list[str] = []
    currency = layout.currency
    if layout.currency_column:
        currency = rows[0][layout.currency_column] or currency
    readings = [_Reading(layout, row, currency, doubts) for row in rows]
    lines: list[Document] = []
    sums: list[Money | None] = []
    for reading in readings:
        for line in layout.lines:
            if not (line.optional and _is_nothing(reading.row[line.gross])):
                document, gross = reading.line(line)
                lines.append({"line": len(lines) + 1} | document)
                sums.append(gross)
    if not 1 <= len(lines) <= MAX_LINES:
        doubts.append("lines")
    first = readings[0]
    wire, amount = first.total(lines, sums)
    command: Document = {
        "source": layout.source,
        "source_key": first.plain_code(source_key),
        "company": first.plain_code(company),
        "employee": first.code(layout.employee),
        "paid_by": first.payer(),
        "purpose": first.words(layout.purpose),
        "lines": lines,
        "total": wire,
    }
    return Draft(command | first.optional("payee", layout.payee), amount, doubts)


class _Reading:
    """One row under a layout; `doubts` collects what could not be read."""

    __slots__ = ("currency", "doubts", "layout", "row")

    def __init__(self, layout: Layout, row: Row, currency: str, doubts: list[str]) -> None:
        self.layout = layout
        self.row = row
        self.currency = currency
        self.doubts = doubts

    def line(self, line: Line) -> tuple[Document, Money | None]:
        """One amount of the row as a line, still without its number, and its gross amount."""
        cell = self.row[line.date]
        on = day_of(cell, self.layout.date_format)
        if on is None:
            self.doubts.append(f"date '{cell}'")
        gross, money = self.amount(self.row[line.gross], self.currency)
        document: Document = {
            "category": self.code(line.category),
            "date": on.isoformat() if on else cell,
            **self._net_and_tax(line, on, gross, money),
            "gross": gross,
            "cost_center": self.code(line.cost_center),
            "merchant": self.words(line.merchant),
        }
        if line.project:
            document |= self.optional("project", line.project)
        if line.receipt:
            document |= self.optional("receipt", line.receipt)
        if line.original and self.row[line.original.currency]:
            document |= self._foreign(line.original, gross, money, document["date"])
        return document, money

    def _net_and_tax(
        self, line: Line, on: date | None, gross: Document, money: Money | None
    ) -> Document:
        """As the file says, else by the tax code, else the gross amount without tax."""
        if line.net and line.tax:
            net, _ = self.amount(self.row[line.net], self.currency)
            tax, _ = self.amount(self.row[line.tax], self.currency)
            return {"net": net, "tax": tax}
        if money is None:
            return {"net": gross, "tax": gross}
        percent = line.vat.percent(self.row[line.vat.column], on) if line.vat and on else None
        if percent is None:
            return {"net": gross, "tax": wire_of(Money.zero(money.currency))}
        included = included_tax(money, percent)
        return {"net": wire_of(money - included), "tax": wire_of(included)}

    def _foreign(
        self, original: Original, gross: Document, money: Money | None, day: str
    ) -> Document:
        """The foreign amount and its rate; nothing for an amount in the company's own currency."""
        paid = self.row[original.amount]
        wire, foreign = self.amount(paid, self.row[original.currency])
        if wire == gross:
            return {}
        if original.rate:
            rate = self.row[original.rate]
            self.doubts.append("rate given")  # Left to the contract: few rows, and many mistakes.
        else:
            rate = derived_rate(money, foreign) if money and foreign else ""
        return {"original": wire} | ({"rate": rate, "rate_date": day} if rate else {})

    def total(
        self, lines: Sequence[Document], sums: Sequence[Money | None]
    ) -> tuple[Document, Money | None]:
        """The claim's own total where the file has one, else the sum of its lines."""
        if self.layout.total:
            return self.amount(self.row[self.layout.total], self.currency)
        if None in sums:
            return lines[sums.index(None)]["gross"], None
        amount = total((money for money in sums if money is not None), self.currency)
        return wire_of(amount), amount

    def amount(self, cell: str, currency: str) -> tuple[Document, Money | None]:
        """An amount as the wire has it; a text the currency cannot express stays as it is."""
        money = money_of(cell, currency, self.layout.sign)
        if money is not None:
            return wire_of(money), money
        self.doubts.append(f"amount '{cell} {currency}'")
        return {"amount": cell, "currency": currency}, None

    def code(self, template: Template) -> str:
        """A template as an identifier."""
        return self.plain_code(template.code(self.row))

    def plain_code(self, text: str) -> str:
        """A text that is to serve as an identifier, as it is; the contract may refuse it."""
        if not text or len(text) > CODE_MOST or not text.isprintable() or text != text.strip():
            self.doubts.append(f"code '{text[:CODE_MOST]}'")
        return text

    def optional(self, name: str, template: Template | None) -> Document:
        """A field that is left out when its cells are blank."""
        code = template.code(self.row) if template else ""
        return {name: self.plain_code(code)} if code else {}

    def words(self, template: Template | None) -> str:
        """A text for people."""
        text = template.words(self.row, TEXT_MOST) if template else ""
        if not text.isprintable():
            self.doubts.append("text")
        return text

    def payer(self) -> str:
        """Who has paid."""
        payer = self.layout.paid_by.code(self.row)
        if payer not in WHO_PAID:
            self.doubts.append(f"paid_by '{payer}'")
        return payer


def included_tax(gross: Money, percent: str) -> Money:
    """The tax inside a gross amount, rounded half up to the currency's smallest unit."""
    rate = Decimal(percent)
    minor = (Decimal(gross.minor) * rate / (100 + rate)).quantize(Decimal(1), ROUND_HALF_UP)
    return Money(int(minor), gross.currency)


def derived_rate(gross: Money, original: Money) -> str:
    """The rate between two amounts of one purchase, as exact as the contract can carry it."""
    return format(abs(gross.decimal / original.decimal).quantize(RATE_STEP, ROUND_HALF_UP), "f")


@lru_cache(maxsize=REMEMBERED)
def money_of(cell: str, currency: str, sign: int) -> Money | None:
    """The amount a cell shows, times the sign; None if the currency cannot express it."""
    plain = plain_amount(cell)
    digits = DIGITS.get(currency)
    if plain is None or digits is None:
        return None
    minor = Decimal(plain).scaleb(digits)
    if minor != minor.to_integral_value() or abs(minor) >= MAX_MINOR:
        return None
    return Money(sign * int(minor), currency)


@lru_cache(maxsize=REMEMBERED)
def wire_of(money: Money) -> Document:
    """An amount as the wire has it; one document for all its uses, not to be changed."""
    return {"amount": money.amount, "currency": money.currency}


def _is_nothing(cell: str) -> bool:
    plain = plain_amount(cell)
    return not cell or (plain is not None and not Decimal(plain))
