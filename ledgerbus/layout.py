"""Layouts: small YAML files that say which column of a claims file means what.

A layout holds no code. A text is a template (`CARD-{CARD NUMBER}`) over the cells of a row; an
amount or a date is the name of its column. `ledgerbus/layouts/*.yaml` are the ones that ship;
`--layout` also takes the path of a file of your own.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHIPPED: Final = Path(__file__).parent / "layouts"
_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")
_AMOUNT: Final = re.compile(r"^[+-]?(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d+)?$", re.ASCII)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Template(_Part):
    """A text made of cells; what a cell is to lose, and whether its digest stands for it."""

    text: str
    drop: str = Field(default="", description="characters that are taken out of every cell")
    digest: int = Field(default=0, ge=0, le=32, description="hex digits of a digest, not the cell")
    values: dict[str, str] = Field(
        default_factory=dict, description="what a cell of the file means; others stay as they are"
    )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns this template reads."""
        return tuple(_PLACEHOLDER.findall(self.text))

    @cached_property
    def _parts(self) -> tuple[str, ...]:
        return tuple(_PLACEHOLDER.split(self.text))  # Text and column names take turns.

    @cached_property
    def _is_cell(self) -> bool:
        """Whether the template is one cell, unchanged."""
        return self.text == f"{{{self._parts[1]}}}" and not (
            self.drop or self.digest or self.values
        )

    def code(self, row: Mapping[str, str]) -> str:
        """The text as an identifier: empty when any of its cells is, so that no half id appears."""
        for column in self.columns:
            if not row[column]:
                return ""
        return self._filled(row)

    def words(self, row: Mapping[str, str], most: int) -> str:
        """The text for people to read: blank cells leave no trace, the end is cut."""
        return " ".join(self._filled(row).split())[:most]

    def _filled(self, row: Mapping[str, str]) -> str:
        parts = self._parts
        if len(parts) == 1:
            return self.text
        if self._is_cell:
            return row[parts[1]]
        filled = parts[0]
        for place in range(1, len(parts), 2):
            filled += self._cell(row[parts[place]]) + parts[place + 1]
        return filled

    def _cell(self, cell: str) -> str:
        for mark in self.drop:
            cell = cell.replace(mark, "")
        cell = self.values.get(cell, cell)
        if self.digest:
            return _digest(" ".join(cell.casefold().split()))[: self.digest]
        return cell.strip()


@lru_cache(maxsize=10_000)
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _template(written: Any) -> Any:
    return {"text": written} if isinstance(written, str) else written


Text = Annotated[Template, BeforeValidator(_template)]


class TaxRate(_Part):
    """The percentage a tax code stands for, from a day on."""

    percent: Annotated[str, Field(pattern=r"^\d{1,2}(\.\d{1,2})?$")]
    since: date


class Tax(_Part):
    """Tax that is included in the gross amount, by the code in a column; other codes hold none."""

    column: str
    included: dict[str, list[TaxRate]]

    def percent(self, code: str, on: date) -> str | None:
        """The percentage of a code on a day; None where the code carries no tax."""
        valid = [rate for rate in self.included.get(code, []) if rate.since <= on]
        return max(valid, key=lambda rate: rate.since).percent if valid else None


class Original(_Part):
    """The amount in the currency it was paid in; the rate is derived where no column gives it."""

    amount: str
    currency: str
    rate: str | None = None


class Line(_Part):
    """How one row (or one amount of it) becomes a line of a claim."""

    category: Text
    cost_center: Text
    date: str
    gross: str
    net: str | None = None
    tax: str | None = None
    vat: Tax | None = None
    original: Original | None = None
    project: Text | None = None
    merchant: Text | None = None
    receipt: Text | None = None
    category_name: Text | None = None
    cost_center_name: Text | None = None
    optional: bool = Field(default=False, description="a blank or zero amount means no line")

    def columns(self) -> Iterator[str]:
        """The columns this line reads."""
        for name in ("category", "cost_center", "project", "merchant", "receipt"):
            yield from _columns_of(getattr(self, name))
        yield from _columns_of(self.category_name)
        yield from _columns_of(self.cost_center_name)
        yield from (self.date, self.gross)
        yield from (column for column in (self.net, self.tax) if column)
        if self.vat:
            yield self.vat.column
        if self.original:
            yield from (self.original.amount, self.original.currency)
            yield from [self.original.rate] if self.original.rate else []


def _columns_of(template: Template | None) -> Iterator[str]:
    if template:
        yield from template.columns


class Layout(_Part):
    """One kind of claims file; see the fields, or the layouts that ship, for what can be said."""

    name: str
    title: str
    source: str
    company: str
    company_name: str = ""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    currency_column: str | None = None
    encoding: str = "utf-8-sig"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    date_format: str = "%Y-%m-%d"
    sign: Literal[1, -1] = Field(default=1, description="-1: the file writes expenses as negative")
    key: Text | None = Field(
        default=None, description="the file's own id of a claim, if it has one"
    )
    identity: list[str] = Field(
        default_factory=list, description="columns that tell rows apart where there is no key; all"
    )
    grouped: bool = Field(default=False, description="rows of one key are the lines of one claim")
    employee: Text
    paid_by: Text
    payee: Text | None = None
    purpose: Text | None = None
    total: str | None = Field(default=None, description="column with the claim's own total")
    lines: Annotated[list[Line], Field(min_length=1)]
    accounts: dict[str, str] = Field(
        default_factory=dict, description="ledger account by category; its own code if absent"
    )

    def columns(self) -> list[str]:
        """Every column this layout reads, each once."""
        found = [self.currency_column, self.total, *self.identity]
        for template in (self.key, self.employee, self.paid_by, self.payee, self.purpose):
            found += _columns_of(template)
        for line in self.lines:
            found += line.columns()
        return list(dict.fromkeys(column for column in found if column))


@lru_cache(maxsize=10_000)
def day_of(cell: str, written: str) -> date | None:
    """The day a cell names in the layout's way of writing dates; None if it names none."""
    try:
        return datetime.strptime(cell, written).date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        return None


def plain_amount(cell: str) -> str | None:
    """An amount as people write it (`2,799.00`, `.50`) as a plain decimal; None if it is none."""
    if not _AMOUNT.match(cell) or not any(mark.isdigit() for mark in cell):
        return None
    return cell.replace(",", "")


def shipped() -> dict[str, Path]:
    """The layouts that come with Ledgerbus, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def load_layout(name: str) -> Layout:
    """A layout by its name, or by the path of its file."""
    known = shipped()
    path = known.get(name) or Path(name)
    if name not in known and not path.is_file():
        raise CommandError(
            f"no layout is called '{name}'",
            why=f"the layouts that ship are {', '.join(known)}",
            fix="name one of them, or give the path of a layout file of your own",
            code=Exit.NOT_FOUND,
        )
    try:
        return Layout.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as problem:
        raise CommandError(
            f"{path.name} is not a layout",
            why=str(problem),
            fix=f"compare it with {SHIPPED.name}/birmingham.yaml",
            code=Exit.INVALID,
        ) from problem
