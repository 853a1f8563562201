"""CSV exports of banks: a layout (a small file beside this one) says what stands where."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from contracts.currencies import DIGITS
from services.reconcile.domain import Booking, Statement
from services.reconcile.statements.parts import (
    LINES_MAX,
    Fault,
    Unreadable,
    account_of,
    minor_of,
    plain_text,
    safe_name,
    says_returned,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Cell = Callable[[str], str]

_PREAMBLE_ROWS: Final = 60  # Banks put names, periods and warnings above the header.
_MARKS: Final = re.compile(r"[\s¥￥$€£]|^[A-Z]{3}(?=[-+0-9])")
_LAYOUTS: Final = "layouts"


class Layout(BaseModel):
    """What stands where in one bank's export; one YAML file per layout.

    `sign`: `signed` as on the statement, `negated` where spending is positive, `columns` for one
    column each of money in and out, `marked` for a column whose marks say which it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encodings: list[str]
    delimiter: str = ","
    columns: dict[str, str]
    optional: list[str] = Field(default_factory=list)
    constants: dict[str, str] = Field(default_factory=dict)
    date_formats: list[str]
    sign: Literal["signed", "negated", "columns", "marked"] = "signed"
    marks: dict[str, Literal["credit", "debit"]] = Field(default_factory=dict)
    decimal: Literal[".", ","] = "."
    order: Literal["oldest_first", "newest_first"] = "oldest_first"

    @property
    def required(self) -> set[str]:
        """The column names a header must have."""
        return {name for field, name in self.columns.items() if field not in self.optional}


@dataclass(frozen=True, slots=True)
class _Row:
    account: str
    booking: Booking
    balance_minor: int | None


@dataclass(slots=True)
class _Table:
    """Rows by field, with the faults found so far: a file counts in full or not at all."""

    layout: Layout
    fields: Mapping[str, int]
    rows: list[_Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@cache
def layout_names() -> tuple[str, ...]:
    """The layouts there are."""
    folder = files(__package__) / _LAYOUTS
    names = [entry.name for entry in folder.iterdir()]
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@cache
def layout_of(name: str) -> Layout:
    """A layout by name; raises Unreadable for one that is not there."""
    if name not in layout_names():
        known = ", ".join(layout_names())
        raise Unreadable.because("LAYOUT_UNKNOWN", f"there is {known}, no '{name[:40]}'", "layout")
    text = (files(__package__) / _LAYOUTS / f"{name}.yaml").read_text(encoding="utf-8")
    return Layout.model_validate(yaml.safe_load(text))


def read_csv(content: bytes, layout: Layout) -> list[Statement]:
    """The file's statements, one per account and currency; raises Unreadable with every bad row."""
    cells = _cells(content, layout)
    header, fields = _header(cells, layout)
    table = _Table(layout, fields)
    for number, row in enumerate(cells[header + 1 :], header + 2):
        if any(cell.strip() for cell in row):
            _add(table, row, f"row {number}")
    if len(table.rows) > LINES_MAX:
        raise Unreadable.because("TOO_MANY_LINES", f"at most {LINES_MAX} lines")
    if table.faults:
        raise Unreadable(table.faults)
    if not table.rows:
        raise Unreadable.because("STATEMENT_MISSING", "the file has a header and no row")
    name = hashlib.sha256(content).hexdigest()[:16]
    groups: dict[tuple[str, str], list[_Row]] = {}
    for found in table.rows:
        groups.setdefault((found.account, found.booking.currency), []).append(found)
    return [_statement(name, rows, layout) for rows in groups.values()]


def _statement(name: str, rows: Sequence[_Row], layout: Layout) -> Statement:
    ordered = rows if layout.order == "oldest_first" else rows[::-1]
    first, last = ordered[0], ordered[-1]
    chained = all(row.balance_minor is not None for row in ordered)
    opening = (first.balance_minor or 0) - first.booking.amount_minor if chained else None
    days = [row.booking.booked_on for row in ordered]
    return Statement(
        account=first.account,
        reference=f"csv-{name}-{first.booking.currency}",
        currency=first.booking.currency,
        opened_on=min(days),
        closed_on=max(days),
        opening_minor=opening,
        closing_minor=last.balance_minor if chained else None,
        bookings=tuple(row.booking for row in ordered),
    )


def _cells(content: bytes, layout: Layout) -> list[list[str]]:
    for encoding in layout.encodings:
        try:
            text = content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        if "\x00" in text:
            raise Unreadable.because("ENCODING", "the file holds U+0000")
        try:
            return list(csv.reader(io.StringIO(text), delimiter=layout.delimiter, strict=True))
        except csv.Error as problem:
            raise Unreadable.because("CSV_MALFORMED", f"this is not CSV: {problem}") from None
    raise Unreadable.because("ENCODING", f"the file is none of {', '.join(layout.encodings)}")


def _header(cells: Sequence[Sequence[str]], layout: Layout) -> tuple[int, dict[str, int]]:
    """The row that has all the required names, and where each field stands."""
    for number, row in enumerate(cells[:_PREAMBLE_ROWS]):
        names = [cell.strip() for cell in row]
        if layout.required <= set(names):
            columns = layout.columns.items()
            return number, {field: names.index(name) for field, name in columns if name in names}
    wanted = ", ".join(sorted(layout.required))
    raise Unreadable.because("HEADER_MISSING", f"no row has the columns {wanted}")


def _add(table: _Table, row: Sequence[str], where: str) -> None:
    try:
        table.rows.append(_row(table, row, where))
    except Unreadable as problem:
        table.faults.extend(problem.faults)


def _row(table: _Table, row: Sequence[str], where: str) -> _Row:
    layout = table.layout

    def cell(field: str) -> str:
        position = table.fields.get(field)
        if position is None or position >= len(row):
            return layout.constants.get(field, "")
        return row[position].strip()

    currency = cell("currency")
    account = account_of(cell("account"))
    if not account:
        raise Unreadable.because("ACCOUNT_MISSING", "the row names no account", where)
    text = plain_text([cell("text")])
    returned = says_returned(text)
    balance, charges = cell("balance"), cell("charges")
    booking = Booking(
        booked_on=_day(cell("date"), layout, where),
        amount_minor=_amount(layout, cell, currency, where),
        currency=currency,
        references=tuple(filter(None, [safe_name(cell("reference"))])),
        text=text,
        party=plain_text([cell("party")]),
        bank_id=safe_name(cell("bank_id")),
        charges_minor=abs(_signed(charges, currency, layout, where)) if charges else 0,
        returned=returned,
        because=text if returned else "",
    )
    return _Row(account, booking, _signed(balance, currency, layout, where) if balance else None)


def _amount(layout: Layout, cell: Cell, currency: str, where: str) -> int:
    if layout.sign == "columns":
        credit, debit = cell("credit"), cell("debit")
        if bool(credit) == bool(debit):
            raise Unreadable.because("SIGN_MISSING", "not exactly one of credit and debit", where)
        minor = abs(_signed(credit or debit, currency, layout, where))
        return minor if credit else -minor
    minor = _signed(cell("amount"), currency, layout, where)
    if layout.sign == "marked":
        mark = layout.marks.get(cell("mark"))
        if mark is None:
            raise Unreadable.because("SIGN_MISSING", f"'{cell('mark')[:20]}' is no mark", where)
        return abs(minor) if mark == "credit" else -abs(minor)
    return -minor if layout.sign == "negated" else minor


def _signed(text: str, currency: str, layout: Layout, where: str) -> int:
    """An amount as banks pad and decorate it: blanks, signs, currency marks, thousands."""
    plain = _MARKS.sub("", unicodedata.normalize("NFKC", text))
    thousands = "," if layout.decimal == "." else "."
    sign = -1 if plain.startswith("-") else 1
    figures = plain[1:] if plain[:1] in {"-", "+"} else plain
    if re.fullmatch(rf"\d{{1,3}}(\{thousands}\d{{3}})+(\{layout.decimal}\d*)?", figures):
        figures = figures.replace(thousands, "")
    if currency not in DIGITS:
        raise Unreadable.because("CURRENCY_UNKNOWN", f"'{currency[:16]}' is no currency", where)
    return sign * minor_of(figures.replace(layout.decimal, "."), currency, where)


def _day(text: str, layout: Layout, where: str) -> date:
    for pattern in layout.date_formats:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise Unreadable.because("DATE_FORMAT", f"'{text[:40]}' is no date of this layout", where)
