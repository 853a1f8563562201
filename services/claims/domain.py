"""What a claim is, how far it has come, and what its story remembers; pure.

One revision of a claim:

    submitted ──asked──▶ in_approval ──yes──▶ approved ──money held──▶ reserved ──entry──▶ posted
        │                    │                   │                        │               │  ▲
        │ a rule or an approver says no          │ no money left          │  paid in full │  │ paid
        ▼                    ▼                   ▼                        ▼               ▼  │ back
     rejected             rejected         funds_refused           posting_failed        settled

        reserved ──an account or an open period is missing──▶ posting_held ──it has come──▶ posted
        any state before posted ──its owner takes it back──▶ withdrawn
        posted | settled ──its entry is turned back──▶ reversed

Other services' facts come in any order between their topics, even before the claim itself (then it
is `awaited`). So a claim keeps what was said as a set, and its state is read off that set: the
furthest fact counts. What was said once is never unsaid, except that the bank may take money back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag, StrEnum, auto
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from contracts.approval import ClaimApproved, ClaimRejected, StepOpened
from contracts.budget import FundsChecked, FundsRefused, FundsReleased, FundsReserved, FundsSpent
from contracts.claims import ClaimRefused, ClaimSettled, ClaimSubmitted, ClaimWithdrawn
from contracts.posting import EntryFailed, EntryHeld, EntryPosted, EntryReversed
from contracts.reconcile import PaymentMatched, PaymentReturned, PaymentUnmatched
from contracts.values import Money

if TYPE_CHECKING:
    from datetime import date, datetime
    from uuid import UUID

    from contracts.envelope import Cause

Payment = PaymentMatched | PaymentReturned | PaymentUnmatched
Told = (
    StepOpened
    | ClaimApproved
    | ClaimRejected
    | FundsReserved
    | FundsRefused
    | EntryPosted
    | EntryFailed
    | EntryHeld
    | EntryReversed
    | Payment
)
"""Facts of other services that move a claim."""
Remark = FundsChecked | FundsReleased | FundsSpent
"""Facts of other services that only its story remembers."""
Own = ClaimSubmitted | ClaimRefused | ClaimWithdrawn | ClaimSettled
"""What claims says itself."""
Ending = ClaimWithdrawn | ClaimSettled
"""What claims says itself of a claim that was submitted before."""
Said = tuple[Own, "Cause"]
"""A fact of our own with what identifies it once it is said."""
Key = tuple["UUID", int]
"""A claim id and a revision."""


class IllegalTransition(ValueError):  # noqa: N818 - named for what was attempted
    """Two facts about one claim cannot both be true."""

    code = "ILLEGAL_TRANSITION"


class TotalMismatch(ValueError):  # noqa: N818 - named for what was found
    """A fact names another amount than the claim it is about."""

    code = "TOTAL_MISMATCH"


class State(StrEnum):
    """Where a claim stands."""

    AWAITED = "awaited"
    SUBMITTED = "submitted"
    IN_APPROVAL = "in_approval"
    APPROVED = "approved"
    RESERVED = "reserved"
    POSTED = "posted"
    SETTLED = "settled"
    REJECTED = "rejected"
    FUNDS_REFUSED = "funds_refused"
    POSTING_HELD = "posting_held"
    POSTING_FAILED = "posting_failed"
    REVERSED = "reversed"
    WITHDRAWN = "withdrawn"


CORRECTABLE: Final = frozenset(
    {
        State.REJECTED,
        State.FUNDS_REFUSED,
        State.POSTING_FAILED,
        State.REVERSED,
        State.WITHDRAWN,
    }
)
"""Ends without payment, after which a next revision may follow."""


class Facts(IntFlag):
    """What has been said about a claim; the numbers are stored, so they never change."""

    SUBMITTED = auto()
    ASKED = auto()
    APPROVED = auto()
    REJECTED = auto()
    RESERVED = auto()
    FUNDS_REFUSED = auto()
    POSTED = auto()
    FAILED = auto()
    REVERSED = auto()
    WITHDRAWN = auto()
    HELD = auto()


NOTHING: Final = Facts(0)
_CONTRADICTIONS: Final = (
    Facts.APPROVED | Facts.REJECTED,
    Facts.RESERVED | Facts.FUNDS_REFUSED,
    Facts.POSTED | Facts.FAILED,
)
_FURTHEST_FIRST: Final = (
    (Facts.REVERSED, State.REVERSED),
    (Facts.POSTED, State.POSTED),
    (Facts.FAILED, State.POSTING_FAILED),
    (Facts.FUNDS_REFUSED, State.FUNDS_REFUSED),
    (Facts.REJECTED, State.REJECTED),
    (Facts.HELD, State.POSTING_HELD),
    (Facts.RESERVED, State.RESERVED),
    (Facts.APPROVED, State.APPROVED),
    (Facts.ASKED, State.IN_APPROVAL),
    (Facts.SUBMITTED, State.SUBMITTED),
)


@cache
def _furthest(facts: Facts) -> State:
    """How far a set of facts takes a claim; what the bank has shown comes on top."""
    for pair in _CONTRADICTIONS:
        if pair in facts:
            msg = f"a claim cannot be both: {pair!r}"
            raise IllegalTransition(msg)
    if Facts.SUBMITTED not in facts:
        return State.AWAITED
    if Facts.WITHDRAWN in facts:
        return State.WITHDRAWN
    return next(state for fact, state in _FURTHEST_FIRST if fact in facts)


@dataclass(frozen=True, slots=True)
class Claim:
    """One revision of a claim; everything from `source` on is known once it is submitted.

    `open_minor` is what remains unpaid, by the bank's last word; None while it has said nothing.
    """

    claim_id: UUID
    revision: int
    company: str
    total: Money
    facts: Facts = NOTHING
    open_minor: int | None = None
    paid_on: date | None = None
    source: str = ""
    source_key: str = ""
    employee: str = ""
    digest: bytes = b""

    def __post_init__(self) -> None:
        _furthest(self.facts)

    @property
    def key(self) -> Key:
        """What tells claims apart."""
        return self.claim_id, self.revision

    @property
    def state(self) -> State:
        """Where the claim stands, by the furthest of all that was said about it."""
        state = _furthest(self.facts)
        return State.SETTLED if state is State.POSTED and self.open_minor == 0 else state

    def told(self, fact: Facts) -> Claim:
        """This claim with one more fact known."""
        return replace(self, facts=self.facts | fact)


def recalled(claim: Claim, fact: Ending) -> Claim:
    """The claim as it was once this was said; the bank's later words come again by themselves."""
    if isinstance(fact, ClaimWithdrawn):
        return claim.told(Facts.WITHDRAWN)
    paid = replace(claim, open_minor=0, paid_on=fact.settled_on)
    return paid.told(Facts.POSTED)


def awaited(fact: Told | Ending) -> Claim:
    """The claim that others speak of before it has come."""
    return Claim(fact.claim_id, fact.revision, fact.company, fact.total)


def hear(claim: Claim, fact: Told) -> tuple[Claim, tuple[ClaimSettled, ...]]:
    """The claim with one more fact known, and the word that it is settled if that completes it."""
    if fact.total != claim.total:
        msg = f"claim {claim.claim_id}: {fact.kind} names {fact.total}, claimed is {claim.total}"
        raise TotalMismatch(msg)
    after = _heard(claim, fact)
    return after, settled(claim, after)


def _heard(claim: Claim, fact: Told) -> Claim:
    match fact:
        case PaymentMatched():
            return replace(claim, open_minor=fact.open.minor, paid_on=fact.bank_line.booked_on)
        case PaymentReturned() | PaymentUnmatched():
            return replace(claim, open_minor=fact.open.minor)
        case _:
            return claim.told(_FACT_OF[type(fact)])


_FACT_OF: Final[dict[type, Facts]] = {
    StepOpened: Facts.ASKED,
    ClaimApproved: Facts.APPROVED,
    ClaimRejected: Facts.REJECTED,
    FundsReserved: Facts.RESERVED,
    FundsRefused: Facts.FUNDS_REFUSED,
    EntryPosted: Facts.POSTED,
    EntryFailed: Facts.FAILED,
    EntryHeld: Facts.HELD,
    EntryReversed: Facts.REVERSED,
}


def settled(before: Claim, after: Claim) -> tuple[ClaimSettled, ...]:
    """What is to be said when a claim has just become settled: once per time that it does."""
    if after.state is not State.SETTLED or before.state is State.SETTLED or after.paid_on is None:
        return ()
    return (
        ClaimSettled(
            claim_id=after.claim_id,
            revision=after.revision,
            company=after.company,
            total=after.total,
            paid=after.total - Money(after.open_minor or 0, after.total.currency),
            settled_on=after.paid_on,
        ),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One step in a claim's story: what was said, when, by whom, with which figures (JSON).

    `mark` is equal for the same fact under another event id, so that a story tells it once.
    """

    claim_id: UUID
    revision: int
    mark: int
    kind: str
    at: datetime
    actor: str
    figures: str
    event_id: UUID
    traceparent: str
    number: int = 0  # Given by the database: the order in which the story learnt of it.


_FIGURES: Final[dict[str, set[str]]] = {
    ClaimSubmitted.kind: {"total", "paid_by", "payee", "purpose", "warnings"},
    ClaimRefused.kind: {"total", "reasons"},
    ClaimWithdrawn.kind: {"total", "reason"},
    ClaimSettled.kind: {"paid", "settled_on"},
    FundsChecked.kind: {"outcome", "budgets"},
    FundsReserved.kind: {"allocations"},
    FundsRefused.kind: {"reasons", "budgets"},
    FundsReleased.kind: {"was", "because", "allocations"},
    FundsSpent.kind: {"allocations"},
    StepOpened.kind: {
        "task_id", "step", "name", "approvers", "quorum", "rule", "rule_version",
    },
    ClaimApproved.kind: {"route", "rule", "rule_version", "decisions"},
    ClaimRejected.kind: {"reasons"},
    EntryPosted.kind: {
        "entry_id", "entry_number", "ledger", "posting_date", "payee", "reference", "total",
    },
    EntryFailed.kind: {"reasons"},
    EntryHeld.kind: {"reasons"},
    EntryReversed.kind: {"entry_id", "entry_number", "reverses", "posting_date", "because"},
    PaymentMatched.kind: {
        "match_id", "paid", "open", "bank_line", "differences", "rule", "score", "evidence",
    },
    PaymentReturned.kind: {"match_id", "returned", "open", "bank_line", "because"},
    PaymentUnmatched.kind: {"match_id", "released", "open", "because"},
}  # fmt: skip
"""What a story keeps of each kind: its figures, and the ids that tell one from another."""


def heard_step(fact: Told | Remark) -> Step:
    """The step that another service's fact is; the same for the same fact sent again."""
    figures = fact.model_dump_json(include=_FIGURES[fact.kind])
    meta = fact.meta
    return Step(
        claim_id=fact.claim_id,
        revision=fact.revision,
        mark=_mark(fact.kind, figures),
        kind=fact.kind,
        at=meta.time,
        actor=actor_of(fact),
        figures=figures,
        event_id=meta.id,
        traceparent=meta.traceparent,
    )


def said_steps(fact: Own, cause: Cause, at: datetime) -> tuple[Step, ...]:
    """The step that a fact of our own is; none for a refusal that no claim can be named for."""
    if fact.claim_id is None:
        return ()
    return (
        Step(
            claim_id=fact.claim_id,
            revision=fact.revision,
            mark=_mark(str(cause.event_id)),
            kind=fact.kind,
            at=at,
            actor=actor_of(fact),
            figures=fact.model_dump_json(include=_FIGURES[fact.kind]),
            event_id=cause.event_id,
            traceparent=cause.traceparent,
        ),
    )


def _mark(*parts: str) -> int:
    digest = blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def actor_of(fact: Told | Remark | Own) -> str:
    """The person behind a fact, or the service that said it by itself."""
    match fact:
        case ClaimSubmitted():
            return fact.employee
        case ClaimApproved() if fact.decisions:
            return fact.decisions[-1].by
        case ClaimWithdrawn() | ClaimRejected() | PaymentUnmatched():
            return fact.by
        case _:
            return fact.kind.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Held:
    """A command that waits for master data: as it came, since when, and what caused it."""

    number: int
    kind: str
    body: bytes
    since: datetime
    cause: Cause


@dataclass(frozen=True, slots=True)
class Standing:
    """A submitted claim as stored: its place in the order of arrival, and since when it stands."""

    claim: Claim
    number: int
    since: datetime
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class Search:
    """Which claims somebody looks for; what is None does not matter."""

    company: str | None = None
    employee: str | None = None
    source: str | None = None
    state: State | None = None
    claim_id: UUID | None = None
