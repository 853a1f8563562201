"""A claims file as the commands an outside system would send, one after the other.

What cannot be turned into a sound command is not dropped: the text of the file is put into the
field as it is, so that the chain refuses the claim with a code, and nobody has to miss it.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from contracts.claims import SubmitClaim
from contracts.codec import Unreadable, read
from contracts.currencies import DIGITS
from contracts.values import Money, total
from ledgerbus.errors import CommandError, Exit
from ledgerbus.layout import Layout, Line, Template, day_of, plain_amount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path
    from typing import IO

TEXT_MOST: Final = 500  # As contracts.values.Text allows.
RATE_STEP: Final = Decimal("1e-10")  # As contracts.values.Rate allows.
KEY_DIGITS: Final = 24  # 96 bits of a digest: no two rows of any archive share a key.

Row = dict[str, str]
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the chain cannot even read a command: its code, in words, and where."""

    code: str
    detail: str
    pointer: str | None


@dataclass(frozen=True, slots=True)
class FileClaim:
    """One claim of a file: the rows it came from, its body, and what the file says it adds up to."""

    rows: tuple[int, ...]
    source: str
    source_key: str
    body: bytes
    event: SubmitClaim | None
    fault: Fault | None
    total: Money | None


@dataclass(slots=True)
class ClaimFile:
    """A file and its layout; iterate to get its claims in the file's order.

    `names` collects what codes are called (if `keep_names`), `position` is how many bytes have been read.
    """

    path: Path
    layout: Layout
    company: str = ""
    keep_names: bool = field(default=False, kw_only=True)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    rows: int = 0
    position: int = 0

    def __iter__(self) -> Iterator[FileClaim]:
        """Every claim of the file; a second iteration gives the same claims with the same keys."""
        self.rows = self.position = 0
        seen: Counter[str] = Counter()
        for key, rows in self._stories():
            source_key = key or _digest_key(self.layout, rows[0][1], seen)
            yield self._claim(source_key, rows)

    def _stories(self) -> Iterator[tuple[str, list[tuple[int, Row]]]]:
        key, rows = self.layout.key, self._rows()
        if not self.layout.grouped or key is None:
            for number, row in rows:
                yield key.code(row) if key and None not in row else "", [(number, row)]
            return
        stories: dict[str, list[tuple[int, Row]]] = {}
        for number, row in rows:
            story = key.code(row) if _is_whole(row) else ""
            stories.setdefault(story or f"\x00{number}", []).append((number, row))
        for story, members in stories.items():
            yield "" if story.startswith("\x00") else story, members

    def _rows(self) -> Iterator[tuple[int, Row]]:
        try:
            with self.path.open("rb") as raw:
                yield from self._read(raw)
        except OSError as problem:
            raise CommandError(
                f"{self.path} cannot be read",
                why=problem.strerror or str(problem),
                fix="check the path and its permissions",
                code=Exit.NOT_FOUND,
            ) from problem
        except (UnicodeDecodeError, csv.Error) as problem:
            raise CommandError(
                f"{self.path.name} is not a {self.layout.encoding} CSV file",
                why=f"{problem}, near row {self.rows + 2}",
                fix=f"save it as {self.layout.encoding}, or set `encoding` in the layout",
                code=Exit.INVALID,
            ) from problem

    def _read(self, raw: IO[bytes]) -> Iterator[tuple[int, Row]]:
        reader = csv.reader(self._lines(raw), delimiter=self.layout.delimiter, strict=True)
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, self.layout, self.path)
        width = len(header)
        for cells in reader:
            if not any(cells):
                continue
            self.rows += 1
            trimmed = [cell.strip() for cell in cells] + [""] * (width - len(cells))
            row = dict(zip(header, trimmed, strict=False))
            if any(trimmed[width:]):
                row[TOO_MANY] = self.layout.delimiter.join(trimmed[width:])
            yield reader.line_num, row

    def _lines(self, raw: IO[bytes]) -> Iterator[str]:
        encoding = self.layout.encoding
        for line in raw:
            self.position += len(line)
            text = line.decode("utf-8" if encoding == "utf-8-sig" else encoding)
            yield text.removeprefix("\ufeff") if self.position == len(line) else text

    def _claim(self, source_key: str, rows: list[tuple[int, Row]]) -> FileClaim:
        first = rows[0][1]
        document, amount = self._document(source_key, rows)
        if not all(_is_whole(row) for _, row in rows):
            cells = [list(row.values()) for _, row in rows]
            document = {name: document[name] for name in ("source", "source_key", "company")}
            document |= {"cells": cells, "lines": []}
            amount = None
        body = orjson.dumps(document)
        numbers = tuple(number for number, _ in rows)
        if self.keep_names:
            self._note_names(first)
        try:
            event, fault = read(SubmitClaim, body), None
        except Unreadable as problem:
            event, fault = None, Fault(problem.code, problem.detail, problem.pointer)
        return FileClaim(numbers, self.layout.source, source_key, body, event, fault, amount)

    def _document(
        self, source_key: str, rows: list[tuple[int, Row]]
    ) -> tuple[Document, Money | None]:
        layout, first = self.layout, rows[0][1]
        currency = (layout.currency_column and first[layout.currency_column]) or layout.currency
        pairs = [
            (line, row)
            for _, row in rows
            for line in layout.lines
            if not (line.optional and _is_nothing(row[line.gross]))
        ]
        priced = [
            _line(layout, line, row, number, currency)
            for number, (line, row) in enumerate(pairs, start=1)
        ]
        wire, amount = self._total(first, priced, currency)
        document: Document = {
            "source": layout.source,
            "source_key": source_key,
            "company": self.company or layout.company,
            "employee": layout.employee.code(first),
            "paid_by": layout.paid_by.code(first),
            "purpose": layout.purpose.words(first, TEXT_MOST) if layout.purpose else "",
            "lines": [line for line, _ in priced],
            "total": wire,
        }
        payee = layout.payee.code(first) if layout.payee else ""
        return document | ({"payee": payee} if payee else {}), amount

    def _total(
        self, row: Row, priced: list[tuple[Document, Money | None]], currency: str
    ) -> tuple[Document, Money | None]:
        if self.layout.total:
            return _amount(row[self.layout.total], currency, self.layout)
        for line, gross in priced:
            if gross is None:
                return line["gross"], None
        if len(priced) == 1:
            return priced[0][0]["gross"], priced[0][1]
        amount = total((gross for _, gross in priced if gross is not None), currency)
        return _wire(amount), amount

    def _note_names(self, row: Row) -> None:
        for line in self.layout.lines:
            for kind, code, name in (
                ("category", line.category, line.category_name),
                ("cost_center", line.cost_center, line.cost_center_name),
            ):
                if name is not None:
                    self.names.setdefault((kind, code.code(row)), name.words(row, TEXT_MOST))


TOO_MANY: Final = "\x00too many cells"


def _is_whole(row: Row) -> bool:
    """Whether the row has no more cells than the header, so that a cell belongs to its column."""
    return TOO_MANY not in row


def _check_header(header: list[str], layout: Layout, path: Path) -> None:
    missing = [column for column in layout.columns() if column not in header]
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if missing or twice:
        what = f"has no column '{missing[0]}'" if missing else f"has two columns '{twice[0]}'"
        raise CommandError(
            f"{path.name} {what}",
            why=f"layout '{layout.name}' reads it; row 1 has: {', '.join(header)[:400] or 'nothing'}",
            fix="use the layout that belongs to this file (--layout), or copy and adapt one",
            code=Exit.INVALID,
        )


def _digest_key(layout: Layout, row: Row, seen: Counter[str]) -> str:
    """A key from what the row says, and from its place among rows that say the same."""
    told = [row.get(name, "") for name in layout.identity] if layout.identity else list(row.values())
    digest = hashlib.sha256("\x1f".join(told).encode()).hexdigest()[:KEY_DIGITS]
    seen[digest] += 1
    return f"row-{digest}-{seen[digest]}"


def _line(
    layout: Layout, line: Line, row: Row, number: int, currency: str
) -> tuple[Document, Money | None]:
    on = day_of(row[line.date], layout.date_format)
    day = on.isoformat() if on else row[line.date]
    gross, money = _amount(row[line.gross], currency, layout)
    document: Document = {
        "line": number,
        "category": line.category.code(row),
        "date": day,
        **_parts(layout, line, row, on, gross, money),
        "gross": gross,
        "cost_center": line.cost_center.code(row),
    }
    if line.merchant:
        document["merchant"] = line.merchant.words(row, TEXT_MOST)
    document |= _optional("project", line.project, row) | _optional("receipt", line.receipt, row)
    return document | _original(layout, line, row, gross, money, day), money


def _optional(name: str, template: Template | None, row: Row) -> Document:
    code = template.code(row) if template else ""
    return {name: code} if code else {}


def _parts(
    layout: Layout, line: Line, row: Row, on: date | None, gross: Document, money: Money | None
) -> Document:
    """Net and tax: as the file says, else by the tax code, else the gross amount without tax."""
    currency = gross["currency"]
    if line.net and line.tax:
        net, tax = row[line.net], row[line.tax]
        return {"net": _amount(net, currency, layout)[0], "tax": _amount(tax, currency, layout)[0]}
    if money is None:
        return {"net": gross, "tax": gross}
    percent = line.vat.percent(row[line.vat.column], on) if line.vat and on else None
    if percent is None:
        return {"net": gross, "tax": _wire(Money.zero(currency))}
    included = included_tax(money, percent)
    return {"net": _wire(money - included), "tax": _wire(included)}


def included_tax(gross: Money, percent: str) -> Money:
    """The tax inside a gross amount, rounded half up to the currency's smallest unit."""
    rate = Decimal(percent)
    minor = (Decimal(gross.minor) * rate / (100 + rate)).quantize(Decimal(1), ROUND_HALF_UP)
    return Money(int(minor), gross.currency)


def _original(
    layout: Layout, line: Line, row: Row, wire: Document, gross: Money | None, day: str
) -> Document:
    """The foreign amount and its rate; nothing for an amount in the company's own currency."""
    if not line.original or not row[line.original.currency]:
        return {}
    foreign, paid = row[line.original.currency], row[line.original.amount]
    original, _ = _amount(paid, foreign, layout)
    if original == wire:
        return {}
    if line.original.rate:
        rate = row[line.original.rate]
    else:
        plain = plain_amount(paid)
        rate = _rate(gross, Decimal(plain)) if gross and plain else ""
    return {"original": original} | ({"rate": rate, "rate_date": day} if rate else {})


def _rate(gross: Money, original: Decimal) -> str:
    if not original:
        return ""
    return format(abs(gross.decimal / original).quantize(RATE_STEP, ROUND_HALF_UP), "f")


def _amount(cell: str, currency: str, layout: Layout) -> tuple[Document, Money | None]:
    """An amount as the wire has it; a text the currency cannot express stays as it is."""
    plain = plain_amount(cell)
    digits = DIGITS.get(currency)
    if plain is None or digits is None:
        return {"amount": cell, "currency": currency}, None
    amount = -Decimal(plain) if layout.negate else Decimal(plain)
    minor = amount.scaleb(digits)
    if minor != minor.to_integral_value():
        return {"amount": format(amount, "f"), "currency": currency}, None
    money = Money(int(minor), currency)
    return _wire(money), money


def _wire(money: Money) -> Document:
    return {"amount": money.amount, "currency": money.currency}


def _is_nothing(cell: str) -> bool:
    plain = plain_amount(cell)
    return not cell or (plain is not None and not Decimal(plain))
