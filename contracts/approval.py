"""What approval says: a step waits for people, a claim is approved or rejected."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from typing import Literal
from uuid import UUID

from contracts.envelope import Event, event
from contracts.values import ClaimId, Code, Money, Reason, Text, Value


class Decision(Value):
    """Who decided which step, when, and by which version of which rule."""

    step: int
    by: Code
    at: datetime
    rule: Code
    rule_version: int


class _ClaimFact(Event):
    """What every fact about one claim carries."""

    claim_id: ClaimId
    revision: int
    company: Code
    total: Money


@event("approval.step-opened.v1")
class StepOpened(_ClaimFact):
    """People are asked; any or all of the approvers must agree before the next step."""

    task_id: UUID
    step: int
    name: Text
    approvers: list[Code]
    quorum: Literal["any", "all"]
    rule: Code
    rule_version: int


@event("approval.claim-approved.v1")
class ClaimApproved(_ClaimFact):
    """Every step has agreed, or a rule approves by itself; `total` is the approved amount."""

    route: Literal["automatic", "people"]
    rule: Code
    rule_version: int
    decisions: list[Decision]


@event("approval.claim-rejected.v1")
class ClaimRejected(_ClaimFact):
    """An approver said no, with a reason, or nobody may decide; final for this revision."""

    by: Code
    reasons: list[Reason]
