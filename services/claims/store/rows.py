"""Rows as the domain knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contracts.envelope import Cause
from contracts.values import Money
from services.claims.domain import Claim, Facts

if TYPE_CHECKING:
    from chassis.db import Row

CLAIM: Final = (
    "c.claim_id, c.revision, c.company, c.total_minor, c.currency, c.facts, c.open_minor, "
    "c.paid_on, c.source, c.source_key, c.employee, c.digest"
)


def claim_of(row: Row) -> Claim:
    """The claim in a row of the columns above."""
    return Claim(
        claim_id=row["claim_id"],
        revision=row["revision"],
        company=row["company"],
        total=Money(row["total_minor"], row["currency"]),
        facts=Facts(row["facts"]),
        open_minor=row["open_minor"],
        paid_on=row["paid_on"],
        source=row["source"] or "",
        source_key=row["source_key"] or "",
        employee=row["employee"] or "",
        digest=row["digest"] or b"",
    )


def figures_of(claim: Claim) -> tuple[Any, ...]:
    """What every row of a claim begins with."""
    return *claim.key, claim.company, claim.total.minor, claim.total.currency


def cause_of(row: Row) -> Cause:
    """The cause kept in a row."""
    return Cause(row["cause_id"], row["correlation_id"], row["traceparent"], row["tracestate"])
