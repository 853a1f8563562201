"""How claims become columns, and how rows become values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from contracts.values import Money, PaidBy
from services.approval.domain import Case, Claim, State

if TYPE_CHECKING:
    from chassis.db import Row

CASES: Final = """SELECT c.claim_id, c.revision, c.state, c.outcome,
    coalesce(nullif(c.grade, ''), e.grade, ''), c.rule, c.rule_version, c.reason, c.decided_at,
    c.received_at, c.company, c.employee, c.total_minor, c.currency, c.inputs,
    coalesce(e.name, '')
    FROM cases c LEFT JOIN employees e ON e.company = c.company AND e.employee = c.employee """
"""Begins every question for cases; `case_of` reads its columns, the last is the claimant's name."""
_INPUTS: Final = ("cost_centers", "projects", "categories", "paid_by", "purpose", "warnings")


def figures_of(claim: Claim | None) -> tuple[Any, ...]:
    """The columns of a claim; all empty for one that is not here yet."""
    if claim is None:
        return (None,) * 5
    inputs = orjson.dumps({name: getattr(claim, name) for name in _INPUTS}).decode()
    return claim.company, claim.employee, claim.total.minor, claim.total.currency, inputs


def case_of(row: Row) -> Case:
    """A case out of the columns of CASES."""
    company, employee, minor, currency, inputs = row[10:15]
    claim = None
    if employee is not None:
        values = orjson.loads(inputs)
        values |= {name: tuple(values[name]) for name in _INPUTS[:3]}
        values["paid_by"] = PaidBy(values["paid_by"])
        claim = Claim(company, employee, Money(minor, currency), **values)
    return Case(row[0], row[1], State(row[2]), claim, *row[3:10])
