"""What reconcile says: a bank line settled claims, came back, was un-matched, or needs a person."""

from __future__ import annotations

from datetime import date  # noqa: TC003 - pydantic reads it
from typing import Literal
from uuid import UUID

from pydantic import Field

from contracts.envelope import Event, event
from contracts.values import ClaimId, Code, Money, Reason, Text, Value


class BankLine(Value):
    """Where on which statement the money was seen."""

    account: Code
    statement: Code
    line_id: UUID
    booked_on: date
    amount: Money


class Difference(Value):
    """A typed part of a line that is no claim's: allocations + differences = the line, exactly."""

    kind: Literal["fee", "rounding", "fx"]
    amount: Money


class _ClaimFact(Event):
    """What every fact about one claim carries."""

    claim_id: ClaimId
    revision: int
    company: Code
    total: Money


@event("reconcile.payment-matched.v1")
class PaymentMatched(_ClaimFact):
    """A bank line paid (part of) the claim: `paid` is its share, `open` what remains unpaid."""

    entry_id: UUID
    match_id: UUID
    paid: Money
    open: Money
    bank_line: BankLine
    differences: list[Difference]
    rule: Code
    score: int
    evidence: list[Text]


@event("reconcile.payment-returned.v1")
class PaymentReturned(_ClaimFact):
    """A payment came back; `returned` of the claim is unpaid again and `open` in all."""

    entry_id: UUID
    match_id: UUID
    returned: Money
    open: Money
    bank_line: BankLine
    because: Text = ""


@event("reconcile.payment-unmatched.v1")
class PaymentUnmatched(_ClaimFact):
    """A person undid a match; `released` of the claim is unpaid again and `open` in all."""

    entry_id: UUID
    match_id: UUID
    released: Money
    open: Money
    by: Code
    because: Text = ""


@event("reconcile.exception-opened.v1", key="exception_id")
class ExceptionOpened(Event):
    """A statement or bank line needs a person: ambiguity is never resolved by a guess."""

    exception_id: UUID
    company: Text = Field(default="", description="empty if the account is no company's")
    account: Code
    statement: Code
    bank_line: BankLine | None = None
    reason: Reason
    candidates: list[ClaimId]
