"""Values that events are made of: money, rates, ids, reasons."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError, core_schema

from contracts.currencies import DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

MAX_MINOR: Final = 10**15  # Far above any claim, and sums of thousands still fit a bigint.
AMOUNT_PATTERN: Final = r"^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,4})?$"
_AMOUNT: Final = re.compile(AMOUNT_PATTERN, re.ASCII)
_CLAIMS: Final = uuid.UUID("6f1f9f1e-6f43-5d2b-9a37-2a4f0c1b7d10")


class MoneyMismatch(ValueError):  # noqa: N818 - named for what it is
    """Two amounts of different currencies were combined; convert one of them first."""


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An exact amount: integer minor units of one ISO 4217 currency (943.40 CNY is 94340)."""

    minor: int
    currency: str

    @classmethod
    def parse(cls, amount: str, currency: str) -> Money:
        """Read a decimal string with exactly the currency's digits; raises a coded error if not."""
        digits = DIGITS.get(currency)
        if digits is None:
            raise PydanticCustomError(
                "CURRENCY_UNKNOWN",
                "'{currency}' is not an active ISO 4217 currency",
                {"currency": currency[:16]},
            )
        if not _AMOUNT.match(amount) or amount.endswith("\n"):
            raise PydanticCustomError(
                "AMOUNT_FORMAT", "an amount is a plain decimal string such as '943.40'"
            )
        whole, _, fraction = amount.partition(".")
        if len(fraction) != digits:
            raise PydanticCustomError(
                "SCALE",
                "{currency} takes exactly {digits} digits after the point",
                {"currency": currency, "digits": digits},
            )
        return cls(int(whole + fraction), currency).checked()

    @classmethod
    def zero(cls, currency: str) -> Money:
        """Nothing, in the given currency."""
        return cls(0, currency)

    @classmethod
    def rounded(cls, amount: Decimal, currency: str) -> Money:
        """The nearest amount the currency can express, halves away from zero."""
        minor = amount.scaleb(DIGITS[currency]).quantize(Decimal(1), rounding=ROUND_HALF_UP)
        return cls(int(minor), currency)

    @property
    def amount(self) -> str:
        """The decimal string with exactly the currency's digits."""
        digits = DIGITS[self.currency]
        sign = "-" if self.minor < 0 else ""
        figures = str(abs(self.minor)).rjust(digits + 1, "0")
        return f"{sign}{figures[:-digits]}.{figures[-digits:]}" if digits else sign + figures

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.minor).scaleb(-DIGITS[self.currency])

    def checked(self) -> Money:
        """This amount, if a bigint column can hold sums of it; otherwise the AMOUNT_RANGE error."""
        if abs(self.minor) >= MAX_MINOR:
            raise PydanticCustomError("AMOUNT_RANGE", "the amount is beyond any claim")
        return self

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            msg = f"{self} and {other} are of different currencies"
            raise MoneyMismatch(msg)
        return other.minor

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __abs__(self) -> Money:
        return Money(abs(self.minor), self.currency)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same(other)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        wire = core_schema.no_info_after_validator_function(
            lambda fields: cls.parse(fields["amount"], fields["currency"]),
            core_schema.typed_dict_schema(
                {
                    "amount": core_schema.typed_dict_field(core_schema.str_schema(strict=True)),
                    "currency": core_schema.typed_dict_field(core_schema.str_schema(strict=True)),
                },
                extra_behavior="forbid",
            ),
        )
        return core_schema.json_or_python_schema(
            json_schema=wire,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), wire]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda money: {"amount": money.amount, "currency": money.currency}
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "object",
            "title": "Money",
            "description": "An exact decimal amount with the currency's own number of digits.",
            "properties": {
                "amount": {"type": "string", "pattern": AMOUNT_PATTERN, "examples": ["943.40"]},
                "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["CNY"]},
            },
            "required": ["amount", "currency"],
            "additionalProperties": False,
        }


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum of amounts of one currency; raises MoneyMismatch on any other."""
    result = Money.zero(currency)
    for amount in amounts:
        result += amount
    return result


def claim_id(source: str, key: str) -> uuid.UUID:
    """The id of the claim that `source` calls `key`: the same for whoever computes it (UUIDv5)."""
    return uuid.uuid5(_CLAIMS, f"{source}\x1f{key}")


class Value(BaseModel):
    """A frozen part of an event; unknown fields are refused when building, ignored when reading."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


ClaimId = uuid.UUID
# What a key, code or reference may hold: printable, no control or invisible characters, trimmed.
Code = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=128,
        pattern=r"^[^\s\p{Cc}\p{Cf}](?:[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*[^\s\p{Cc}\p{Cf}])?$",
    ),
]
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
Rate = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,10})?$")]
"""An exchange rate: functional currency per unit of the original one, as a decimal string."""
Period = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]


class PaidBy(StrEnum):
    """Who has paid already; decides the credit account and what the bank must show."""

    EMPLOYEE = "employee"
    COMPANY_CARD = "company_card"
    SUPPLIER_INVOICE = "supplier_invoice"


Who = Literal["claimant", "approver", "finance", "masterdata", "engineer"]


class Reason(Value):
    """Why something was refused: a code of `errors.yaml`, the figures, and who can fix it."""

    code: Code
    detail: Text
    who: Who
    pointer: str | None = Field(default=None, description="JSON pointer to the field at fault")
    figures: dict[str, str] = Field(default_factory=dict)
