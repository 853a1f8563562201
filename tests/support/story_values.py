"""The facts of one claim's story, built from the contracts, as the prover folds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import orjson

from contracts.approval import ClaimApproved, ClaimRejected, StepOpened
from contracts.budget import FundsChecked, FundsRefused, FundsReserved
from contracts.claims import (
    ClaimLine,
    ClaimRefused,
    ClaimSettled,
    ClaimSubmitted,
    ClaimWithdrawn,
)
from contracts.posting import (
    EntryFailed,
    EntryLine,
    EntryPosted,
    EntryReversed,
    JournalEntryRecorded,
)
from contracts.reconcile import BankLine, PaymentMatched, PaymentReturned
from contracts.values import Money, PaidBy, Reason, claim_id
from ledgerbus.stories import Fact, Stories

if TYPE_CHECKING:
    from contracts.envelope import Event

ENTRIES = UUID("6f1f9f1e-6f43-5d2b-9a37-2a4f0c1b7d99")
DAY = date(2026, 10, 5)
_numbers = count(1)


def cny(amount: str) -> Money:
    """An amount in CNY."""
    return Money.parse(amount, "CNY")


def told(*events: Event, late: bool = False) -> list[Fact]:
    """The events as facts read from topics, each with an event id of its own."""
    return [
        Fact(event.kind, next(_numbers), orjson.loads(event.model_dump_json()), late)
        for event in events
    ]


def folded(*events: Event) -> Stories:
    """The stories that the events tell."""
    stories = Stories()
    for fact in told(*events):
        stories.tell(fact)
    return stories


@dataclass(frozen=True, slots=True)
class Tale:
    """One claim's story; every fact takes the claim's total unless another is given."""

    key: str = "K-1"
    total: Money = field(default_factory=lambda: cny("943.40"))
    company: str = "ACME"
    revision: int = 1

    @property
    def claim(self) -> UUID:
        """The claim's id."""
        return claim_id("test", self.key)

    @property
    def name(self) -> str:
        """How the prover calls this revision."""
        return str(self.claim) if self.revision == 1 else f"{self.claim}/{self.revision}"

    def entry_id(self, number: int = 1) -> UUID:
        """The id of the claim's n-th entry."""
        return uuid5(ENTRIES, f"{self.name} {number}")

    def _fact(self, total: Money | None) -> dict[str, Any]:
        return {
            "claim_id": self.claim,
            "revision": self.revision,
            "company": self.company,
            "total": self.total if total is None else total,
        }

    def _entry(self, total: Money | None, number: int) -> dict[str, Any]:
        return self._fact(total) | {
            "entry_id": self.entry_id(number),
            "entry_number": f"{self.company}-2026-{number:07}",
            "ledger": "embedded",
            "posting_date": DAY,
            "document_date": DAY,
            "employee": "E-1",
            "paid_by": PaidBy.EMPLOYEE,
            "payee": "E-1",
            "reference": f"{self.company}-2026-{number:07}",
        }

    def submitted(self, total: Money | None = None) -> ClaimSubmitted:
        """The claim was taken."""
        amount = self.total if total is None else total
        line = ClaimLine(
            line=1,
            category="meals",
            date=DAY,
            net=amount,
            tax=Money.zero(amount.currency),
            gross=amount,
            cost_center="CC-1",
        )
        return ClaimSubmitted(
            **self._fact(total),
            source="test",
            source_key=self.key,
            employee="E-1",
            paid_by=PaidBy.EMPLOYEE,
            payee="E-1",
            lines=[line],
        )

    def refused_at_intake(
        self, total: Money | None = None, *, readable: bool = True
    ) -> ClaimRefused:
        """The command was refused."""
        amount = self.total if total is None else total
        return ClaimRefused(
            source="test",
            source_key=self.key,
            revision=self.revision,
            company=self.company if readable else "",
            reasons=[a_reason("SUM_MISMATCH")],
            total=amount if readable else None,
        )

    def withdrawn(self, total: Money | None = None) -> ClaimWithdrawn:
        """The owner took it back."""
        return ClaimWithdrawn(**self._fact(total), by="E-1")

    def checked(self, total: Money | None = None) -> FundsChecked:
        """Budget looked."""
        return FundsChecked(**self._fact(total), outcome="within", budgets=[])

    def asked(self, total: Money | None = None) -> StepOpened:
        """People were asked."""
        return StepOpened(
            **self._fact(total),
            task_id=self.entry_id(100),
            step=1,
            name="manager",
            approvers=["E-2"],
            quorum="any",
            rule="all",
            rule_version=1,
        )

    def approved(self, total: Money | None = None) -> ClaimApproved:
        """All agreed."""
        return ClaimApproved(
            **self._fact(total), route="automatic", rule="all", rule_version=1, decisions=[]
        )

    def rejected(self, total: Money | None = None) -> ClaimRejected:
        """Somebody said no."""
        return ClaimRejected(**self._fact(total), by="E-2", reasons=[a_reason("REJECTED")])

    def reserved(self, total: Money | None = None) -> FundsReserved:
        """The money is held."""
        return FundsReserved(**self._fact(total), allocations=[])

    def funds_refused(self, total: Money | None = None) -> FundsRefused:
        """The budget could not carry it."""
        reasons = [a_reason("BUDGET_EXCEEDED")]
        return FundsRefused(**self._fact(total), reasons=reasons, budgets=[])

    def posted(self, total: Money | None = None, *, number: int = 1) -> EntryPosted:
        """The ledger has it."""
        return EntryPosted(**self._entry(total, number))

    def recorded(
        self, total: Money | None = None, *, number: int = 1, credit: Money | None = None
    ) -> JournalEntryRecorded:
        """Finance's record of the entry; `credit` makes its sides differ."""
        amount = abs(self.total if total is None else total)
        sides = (("debit", "6602.02", amount), ("credit", "2241", credit or amount))
        return JournalEntryRecorded(
            **self._entry(total, number),
            fiscal_year=2026,
            period="2026-10",
            lines=[
                # `side` is text here; the model itself refuses anything but debit and credit.
                EntryLine(line=place, account=account, side=side, amount=part)  # type: ignore[arg-type]
                for place, (side, account, part) in enumerate(sides, start=1)
            ],
        )

    def failed(self, total: Money | None = None) -> EntryFailed:
        """The ledger refused it for good."""
        return EntryFailed(**self._fact(total), reasons=[a_reason("PERIOD_CLOSED")])

    def turned_back(self) -> tuple[EntryReversed, JournalEntryRecorded]:
        """The first entry was reversed, and finance's record of that."""
        reversal = EntryReversed(
            **self._fact(None),
            entry_id=self.entry_id(2),
            entry_number="ACME-2026-0000002",
            reverses=self.entry_id(),
            posting_date=DAY,
            because="WITHDRAWN",
        )
        record = self.recorded(number=2).model_copy(update={"reverses": self.entry_id()})
        return reversal, record

    def _bank(self, amount: Money) -> dict[str, Any]:
        line = BankLine(
            account="CN-1",
            statement="S-1",
            line_id=self.entry_id(7),
            booked_on=DAY,
            amount=amount,
        )
        return {"entry_id": self.entry_id(), "match_id": self.entry_id(8), "bank_line": line}

    def paid(self, paid: Money | None = None, *, rest: Money | None = None) -> PaymentMatched:
        """The bank has shown the money."""
        amount = self.total if paid is None else paid
        return PaymentMatched(
            **self._fact(None),
            **self._bank(-amount),
            paid=amount,
            open=self.total - amount if rest is None else rest,
            differences=[],
            rule="reference",
            score=100,
            evidence=[],
        )

    def returned(self, amount: Money, rest: Money) -> PaymentReturned:
        """The money came back."""
        return PaymentReturned(**self._fact(None), **self._bank(amount), returned=amount, open=rest)

    def settled(self) -> ClaimSettled:
        """The whole claim is paid."""
        return ClaimSettled(**self._fact(None), paid=self.total, settled_on=DAY)

    def until_posted(self) -> list[Event]:
        """From the submission to the entry, all well."""
        return [
            self.submitted(),
            self.checked(),
            self.approved(),
            self.reserved(),
            self.posted(),
            self.recorded(),
        ]

    def whole(self) -> list[Event]:
        """The story with the happy end."""
        return [*self.until_posted(), self.paid(), self.settled()]


def a_reason(code: str) -> Reason:
    """A reason with a code."""
    return Reason(code=code, detail="as the test wants it", who="finance")
