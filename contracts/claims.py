"""What claims says of a claim (submitted, refused, withdrawn, settled), and the intake commands."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field

from contracts.envelope import Event, event
from contracts.values import ClaimId, Code, Money, PaidBy, Rate, Reason, Text, Value

MAX_LINES = 500  # A longer claim is a batch in disguise; every reader may rely on the bound.


class ClaimLine(Value):
    """One expense: net + tax = gross, in the company's functional currency.

    A foreign expense keeps the original amount, the rate (functional per original unit) and
    its date.
    A refund is negative in all its amounts.
    """

    line: Annotated[int, Field(ge=1, le=MAX_LINES)]
    category: Code
    date: dt.date
    net: Money
    tax: Money
    gross: Money
    cost_center: Code
    project: Code | None = None
    merchant: Text = ""
    receipt: Code | None = None
    original: Money | None = None
    rate: Rate | None = None
    rate_date: dt.date | None = None


class DuplicateWarning(Value):
    """Another claim has the same employee, date, amount, merchant: rank it, do not block it."""

    code: Literal["POSSIBLE_DUPLICATE"] = "POSSIBLE_DUPLICATE"
    line: int
    claims: list[ClaimId]


@event("claims.submit-claim.v1", topic="claims.intake", key="source_key")
class SubmitClaim(Event):
    """Please take this claim; idempotent by (source, source_key, revision).

    A new revision is accepted after the former one was refused, rejected, failed or withdrawn.
    """

    source: Code
    source_key: Code
    revision: Annotated[int, Field(ge=1, le=1000)] = 1
    company: Code
    employee: Code
    paid_by: PaidBy
    payee: Code | None = Field(
        default=None, description="card or supplier the money goes to; the employee if absent"
    )
    purpose: Text = ""
    lines: Annotated[list[ClaimLine], Field(min_length=1, max_length=MAX_LINES)]
    total: Money


@event("claims.withdraw-claim.v1", topic="claims.intake", key="source_key")
class WithdrawClaim(Event):
    """Please forget this claim; only its owner may ask, and only before it is settled."""

    source: Code
    source_key: Code
    by: Code
    reason: Text = ""


@event("claims.claim-submitted.v1")
class ClaimSubmitted(Event):
    """A claim passed validation and policy; immutable from here on per (claim_id, revision)."""

    claim_id: ClaimId
    revision: int
    source: Code
    source_key: Code
    company: Code
    employee: Code
    paid_by: PaidBy
    payee: Code
    purpose: Text = ""
    lines: list[ClaimLine]
    total: Money
    warnings: list[DuplicateWarning] = Field(default_factory=list)


@event("claims.claim-refused.v1", key="source_key")
class ClaimRefused(Event):
    """An intake command was understood, or at least read, and refused.

    `source_key` is the caller's key; where it could not be read, the record's
    `topic/partition@offset`.
    """

    source: Text
    source_key: Text
    revision: int = 1
    claim_id: ClaimId | None = None
    company: Text = ""
    reasons: Annotated[list[Reason], Field(min_length=1)]
    total: Money | None = None


@event("claims.claim-withdrawn.v1")
class ClaimWithdrawn(Event):
    """The owner took the claim back; whatever was held for it is released."""

    claim_id: ClaimId
    revision: int
    company: Code
    total: Money
    by: Code
    reason: Text = ""


@event("claims.claim-settled.v1")
class ClaimSettled(Event):
    """The bank has shown the payment of the whole claim."""

    claim_id: ClaimId
    revision: int
    company: Code
    total: Money
    paid: Money
    settled_on: dt.date
