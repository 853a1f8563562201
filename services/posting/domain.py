"""What posting knows: a claim's case, its journal entry, and what becomes of both.

    waiting ──claim + reservation──▶ posted ──withdrawn──▶ reversing ──▶ reversed
      │  │                             ▲  ▲                    ▲
      │  ├─ outside ledger ─▶ intended ┘  │                    │
      │  │                      │  └─ withdrawn ─▶ recalled ───┘ (or withdrawn, if never posted)
      │  │                      └─ refused ─▶ failed
      │  └─ account or period missing ─▶ blocked ─▶ posted or intended
      │                                    │  ▲
      │                              still ▼  │ it has come
      │                                   held ─── given up ─▶ failed
      ├─ withdrawn ─▶ withdrawn
      └─ rejected, or its money refused ─▶ refused

A case ends in posted, failed, reversed, withdrawn or refused; of these only posted can still be
turned back. What was claimed is kept only until then.
"""

from __future__ import annotations

from base64 import b32encode
from dataclasses import dataclass, field, replace
from datetime import date, datetime  # noqa: TC003 - pydantic reads it
from enum import StrEnum
from hashlib import blake2b
from typing import Final, Literal
from uuid import UUID

from contracts.approval import ClaimRejected
from contracts.budget import FundsRefused, FundsReserved
from contracts.claims import ClaimSubmitted, ClaimWithdrawn
from contracts.envelope import Cause, Event
from contracts.posting import EntryLine  # noqa: TC001 - pydantic reads it
from contracts.values import Money, MoneyMismatch, PaidBy, Reason

EMBEDDED: Final = "embedded"  # The ledger kept in this service's own tables.
LINE_TEXT_MAX: Final = 50  # The strictest ledger's limit for the text of a line.
CaseKey = tuple[UUID, int]
Origin = Event | Cause
"""What a fact follows from: an event in hand, or the stored cause of one that waited."""


class Stage(StrEnum):
    """Where a case stands; see the picture above."""

    WAITING = "waiting"
    BLOCKED = "blocked"
    HELD = "held"
    INTENDED = "intended"
    RECALLED = "recalled"
    POSTED = "posted"
    FAILED = "failed"
    REVERSING = "reversing"
    REVERSED = "reversed"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"


class Kind(StrEnum):
    """What an entry does for its claim; a claim revision has at most one of each."""

    POST = "post"
    REVERSE = "reverse"


class DateRule(StrEnum):
    """Which rule of the date policy chose the posting date."""

    DOCUMENT_DATE = "document_date"
    ORIGINAL_DATE = "original_date"
    NEXT_OPEN_PERIOD = "next_open_period"


class Unbalanced(ValueError):  # noqa: N818 - named for what the entry is
    """An entry whose debits and credits differ, or that has no lines: a defect, never a fact."""

    code = "ENTRY_UNBALANCED"


class TotalsDiffer(ValueError):  # noqa: N818 - named for what was found
    """The claim and its reservation speak of different amounts: a defect of whoever said so."""

    code = "TOTAL_MISMATCH"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One balanced entry: positive amounts on debit and credit, all in the company's currency.

    `total` is the claim's: what a posting adds to what is owed to `payee`, and a reversal
    takes back; negative when the payee owes it.
    """

    entry_id: UUID
    claim_id: UUID
    revision: int
    kind: Kind
    company: str
    ledger: str
    posting_date: date
    document_date: date
    date_rule: DateRule
    total: Money
    employee: str
    paid_by: PaidBy
    payee: str
    text: str
    lines: tuple[EntryLine, ...]
    reverses: UUID | None = None
    reverses_number: str | None = None

    def __post_init__(self) -> None:
        """Refuse to exist out of balance."""
        balance = {self.total.currency: 0}
        for line in self.lines:
            currency = line.amount.currency
            if line.amount.minor <= 0 or currency not in balance:
                msg = f"{self.key}: line {line.line} has {line.amount}, entry of {self.total}"
                raise Unbalanced(msg)
            balance[currency] += signed(line)
        if not self.lines or any(balance.values()):
            msg = f"{self.key}: {len(self.lines)} lines leave {balance} between debit and credit"
            raise Unbalanced(msg)

    @property
    def key(self) -> str:
        """The name of this entry at another ledger; the same however often it is asked for."""
        return f"{self.claim_id}:{self.revision}:{self.kind}"

    @property
    def fiscal_year(self) -> int:
        """The year of the posting date."""
        return self.posting_date.year

    @property
    def period(self) -> str:
        """The accounting period (month) of the posting date."""
        return period_of(self.posting_date)


def outside_reference(entry: JournalEntry) -> str:
    """What a payment of an entry in another ledger carries: 16 characters, known beforehand."""
    name = f"{entry.ledger}\x1f{entry.key}".encode()
    return b32encode(blake2b(name, digest_size=10).digest()).decode()


def signed(line: EntryLine) -> int:
    """The minor units of a line, credits negative."""
    return line.amount.minor if line.side == "debit" else -line.amount.minor


def period_of(day: date) -> str:
    """The accounting period (month) a day lies in."""
    return f"{day.year:04}-{day.month:02}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry that a ledger has taken, under the ledger's number.

    `sequence` is the number within the company's fiscal year; only the embedded ledger counts.
    """

    entry: JournalEntry
    number: str
    reference: str
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Expense:
    """A line of a claim as far as posting needs it, in minor units of the claim's currency."""

    category: str
    net_minor: int
    tax_minor: int
    gross_minor: int
    cost_center: str
    project: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as far as posting needs it; small, since it is kept until its money is reserved."""

    document_date: date
    employee: str
    paid_by: PaidBy
    payee: str
    purpose: str
    expenses: tuple[Expense, ...]


def claim_of(fact: ClaimSubmitted) -> Claim:
    """What posting keeps of a claim; its document is dated by the latest line."""
    for line in fact.lines:
        if {line.net.currency, line.tax.currency, line.gross.currency} != {fact.total.currency}:
            msg = f"line {line.line} of {fact.claim_id} is not in {fact.total.currency}"
            raise MoneyMismatch(msg)
    return Claim(
        document_date=max(line.date for line in fact.lines),
        employee=fact.employee,
        paid_by=fact.paid_by,
        payee=fact.payee,
        purpose=fact.purpose,
        expenses=tuple(
            Expense(
                category=line.category,
                net_minor=line.net.minor,
                tax_minor=line.tax.minor,
                gross_minor=line.gross.minor,
                cost_center=line.cost_center,
                project=line.project,
                text=line.merchant[:LINE_TEXT_MAX],
            )
            for line in fact.lines
        ),
    )


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one claim revision.

    `cause` is what the next fact will follow from: the reservation, after posting the withdrawal.
    It is set while something is still to be decided or said, and not while an intent carries it.
    """

    claim_id: UUID
    revision: int
    company: str
    total: Money
    since: datetime
    stage: Stage = Stage.WAITING
    claim: Claim | None = None
    cause: Origin | None = None

    @property
    def key(self) -> CaseKey:
        """The claim revision."""
        return self.claim_id, self.revision

    @property
    def complete(self) -> bool:
        """Whether claim and reservation are both known and no decision has been made."""
        undecided = self.stage in {Stage.WAITING, Stage.BLOCKED, Stage.HELD}
        return undecided and self.claim is not None and self.cause is not None

    @property
    def due(self) -> bool:
        """Whether something can be decided for this case now."""
        return self.complete or (self.stage is Stage.REVERSING and self.cause is not None)


Fact = ClaimSubmitted | FundsReserved | ClaimWithdrawn | ClaimRejected | FundsRefused


def case_of(fact: Fact, *, now: datetime) -> Case:
    """The case of a claim of which this is the first fact."""
    blank = Case(fact.claim_id, fact.revision, fact.company, fact.total, now)
    return learn(blank, fact, now=now)


def learn(case: Case, fact: Fact, *, now: datetime) -> Case:
    """The case after a fact; a fact known already, or one that comes too late, changes nothing."""
    if isinstance(fact, ClaimWithdrawn):
        return _withdrawn(case, fact, now)
    if case.stage is not Stage.WAITING:
        return case
    if isinstance(fact, ClaimRejected | FundsRefused):
        return case if case.cause else replace(case, stage=Stage.REFUSED, claim=None)
    if fact.total != case.total:
        msg = f"{fact.kind} says {fact.total}, known is {case.total}"
        raise TotalsDiffer(msg)
    if isinstance(fact, ClaimSubmitted):
        return case if case.claim else replace(case, claim=claim_of(fact))
    return case if case.cause else replace(case, cause=fact)


def _withdrawn(case: Case, fact: ClaimWithdrawn, now: datetime) -> Case:
    match case.stage:
        case Stage.WAITING | Stage.BLOCKED | Stage.HELD:
            return dropped(case)
        case Stage.INTENDED:
            return replace(case, stage=Stage.RECALLED, cause=fact)
        case Stage.POSTED:
            return replace(case, stage=Stage.REVERSING, cause=fact, since=now)
        case _:
            return case


def dropped(case: Case) -> Case:
    """A withdrawn case whose entry never reached a ledger."""
    return replace(case, stage=Stage.WITHDRAWN, claim=None, cause=None)


def in_books(case: Case, kind: Kind, *, now: datetime) -> Case:
    """The case of an entry that turns out to be in the books, whatever was known of it."""
    if kind is Kind.REVERSE:
        return replace(case, stage=Stage.REVERSED, claim=None, cause=None)
    if case.stage in {Stage.REVERSING, Stage.REVERSED}:
        return case
    if case.stage is Stage.RECALLED:
        return replace(case, stage=Stage.REVERSING, since=now)
    return replace(case, stage=Stage.POSTED, claim=None, cause=None)


@dataclass(frozen=True, slots=True)
class Posted:
    """The other ledger has the entry, under this number."""

    number: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The other ledger has judged the entry and will never take it."""

    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody here knows whether the other ledger has the entry."""

    detail: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The other ledger says itself that it does not have the entry."""


Outcome = Posted | Refused | Unknown
Finding = Posted | Absent | Unknown


@dataclass(frozen=True, slots=True)
class Intent:
    """An entry on its way to another ledger; committed before any call is made.

    `must_ask` says that an earlier call may have had an effect; `attempts` counts the times this
    intent was taken and names the taker; `recalled` says that the claim was withdrawn meanwhile.
    """

    entry: JournalEntry
    cause: Cause
    attempts: int = 0
    must_ask: bool = False
    recalled: bool = False

    @property
    def key(self) -> str:
        """The entry's name at the other ledger."""
        return self.entry.key


@dataclass(frozen=True, slots=True)
class Hold:
    """A claim whose entry waits for data: why, and since when."""

    claim_id: UUID
    revision: int
    company: str
    total: Money
    since: datetime
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that is missing, and how many claims and how much money wait for it."""

    code: str
    company: str
    missing: str
    claims: int
    total: Money
    since: datetime


IntentState = Literal["intended", "calling", "posted", "refused", "unknown", "cancelled"]


@dataclass(frozen=True, slots=True)
class Move:
    """One decision about a case: its new state, and the entry or the reasons that go with it.

    `number` is given by another ledger; without it the entry goes to the ledger it names.
    """

    case: Case
    because: Origin
    entry: JournalEntry | None = None
    number: str | None = None
    reasons: tuple[Reason, ...] = field(default=())
