"""The demo bank's working days: payments become booked lines with the noise of a real bank.

Pure and repeatable: the same payments and seed give the same lines. Whatever happens to a payment
on its way, in the end the bank has paid it once, to the cent, and the truth says on which lines.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from contracts.values import Money
from ledgerbus.bank_camt import Line, Part, Statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

LINES_MAX: Final = 5_000
# Of a hundred payments, how many meet with what; a payment meets with one thing at most.
SHARES: Final = {
    "returned": 2,
    "wrong_reference": 2,
    "fee": 2,
    "late": 8,
    "in_text": 5,
    "batch": 25,
}
CARD_SHARES: Final = {"late": 8, "in_text": 5, "wrong_reference": 1}  # A card is never batched.
ONE_OF_EACH_FROM: Final = 20  # A demo with this many payments shows every kind of noise.
TWINS_MAX: Final = 2  # Pairs a day; each needs a person.
BATCH: Final = (2, 20)
FEE_MINOR: Final = (50, 1_500)
TO_BE_NAMED: Final = "*"  # The bank's own reference is given when the statement is written.


@dataclass(frozen=True, slots=True)
class Payment:
    """What one posted entry wants from the bank: money out when positive, in when negative."""

    entry_id: str
    claim_id: str
    account: str
    currency: str
    amount: int
    reference: str
    payee: str
    card: bool
    due: date


@dataclass(frozen=True, slots=True)
class Booked:
    """A line with its truth: what it really paid (or took back), by payment."""

    line: Line
    paid: tuple[tuple[Payment, int], ...]
    noise: str


@dataclass(slots=True)
class Account:
    """Where an account's chain of statements stands."""

    balance: int = 10_000_000_000
    number: int = 0
    last_day: str = ""


@dataclass(slots=True)
class Days:
    """Booked lines by day, counted from the first."""

    first: date
    booked: dict[int, list[Booked]] = field(default_factory=lambda: defaultdict(list))

    def due(self, payments: Sequence[Payment]) -> int:
        """The day on which payments can be made together: after the last of them was posted."""
        posted = max(payment.due for payment in payments)
        return max((posted - self.first).days + 1, 0)

    def book(
        self,
        day: int,
        payments: Sequence[Payment],
        parts: Sequence[Part],
        noise: str,
        *,
        charges: int = 0,
        valued: int = 0,
        bank_reference: str = TO_BE_NAMED,
    ) -> None:
        """Book the payments as one line on a day."""
        total = sum(payment.amount for payment in payments)
        on = self.first + timedelta(days=day)
        line = Line(
            kind="card" if payments[0].card else "transfer",
            booked_on=on,
            valued_on=on + timedelta(days=valued),
            amount=-total - charges,
            parts=tuple(parts),
            bank_reference=bank_reference,
            charges=charges,
        )
        paid = tuple((payment, payment.amount) for payment in payments)
        self.booked[day].append(Booked(line, paid, noise))

    def take_back(self, day: int, payment: Payment) -> None:
        """Book a payment's return: the same money the other way, under its reference."""
        on = self.first + timedelta(days=day)
        part = replace(_part(payment), text=f"RETURN {payment.reference} ACCOUNT CLOSED")
        line = Line("return", on, on, payment.amount, (part,), TO_BE_NAMED)
        self.booked[day].append(Booked(line, ((payment, -payment.amount),), "return"))


def work(payments: Sequence[Payment], *, first: date, seed: int, noise: bool) -> Days:
    """All lines of one account, each soon after its entry, until nothing is under way any more."""
    days = Days(first)
    dice = random.Random(f"{seed}/{first}")  # noqa: S311 - a seeded play, no secret
    todo = sorted(payments, key=lambda payment: payment.reference)
    if not noise:
        for payment in todo:
            days.book(days.due([payment]), [payment], [_part(payment)], "plain")
        return days
    todo = _twins(days, todo)
    pool: list[Payment] = []
    for payment, fate in _fates(todo, dice):
        if fate == "batch":
            pool.append(payment)
        else:
            _meet(days, payment, fate, dice)
    _batches(days, pool, dice)
    return days


def _fates(payments: Sequence[Payment], dice: random.Random) -> list[tuple[Payment, str]]:
    """What each payment meets with; money that comes in by transfer meets with nothing."""
    mixed = list(payments)
    dice.shuffle(mixed)
    fates = dict.fromkeys(mixed, "plain")
    fates |= _shared_out([p for p in mixed if not p.card and p.amount > 0], SHARES)
    fates |= _shared_out([p for p in mixed if p.card], CARD_SHARES)
    return [(payment, fates[payment]) for payment in payments]


def _shared_out(payments: Sequence[Payment], shares: Mapping[str, int]) -> dict[Payment, str]:
    """Fates for the first of the payments, each for its share of all of them."""
    fates: dict[Payment, str] = {}
    at = 0
    for fate, share in shares.items():
        count = len(payments) * share // 100
        count = max(count, 1) if len(payments) >= ONE_OF_EACH_FROM else count
        fates |= dict.fromkeys(payments[at : at + count], fate)
        at += count
    return fates


def _meet(days: Days, payment: Payment, fate: str, dice: random.Random) -> None:
    part, due = _part(payment), days.due([payment])
    match fate:
        case "returned":
            days.book(due, [payment], [part], fate)
            back = due + dice.randint(1, 3)
            days.take_back(back, payment)
            days.book(back + 1, [payment], [part], "paid_again")
        case "wrong_reference":
            days.book(due, [payment], [_misread(part)], fate)
        case "fee":
            days.book(due, [payment], [part], fate, charges=dice.randint(*FEE_MINOR))
        case "late":
            days.book(due + dice.randint(1, 3), [payment], [part], fate, valued=-1)
        case "in_text":
            days.book(due, [payment], [replace(part, reference="")], fate, valued=1)
        case _:
            days.book(due, [payment], [part], fate)


def _twins(days: Days, payments: list[Payment]) -> list[Payment]:
    """Book a few pairs of equal payments as lines nothing tells apart; the rest is returned."""
    alike: dict[tuple[str, int], list[Payment]] = defaultdict(list)
    for payment in payments:
        if payment.amount > 0:
            alike[payment.payee, payment.amount].append(payment)
    pairs = [group[:2] for group in alike.values() if len(group) > 1][:TWINS_MAX]
    for pair in pairs:
        for payment in pair:
            part = replace(_part(payment), reference="", text=_head(payment))
            days.book(days.due(pair), [payment], [part], "twin", bank_reference="")
    gone = {payment.entry_id for pair in pairs for payment in pair}
    return [payment for payment in payments if payment.entry_id not in gone]


def _batches(days: Days, pool: list[Payment], dice: random.Random) -> None:
    pool = sorted(pool, key=lambda payment: (payment.due, payment.reference))
    while pool:
        size = dice.randint(*BATCH)
        taken, pool = pool[:size], pool[size:]
        days.book(days.due(taken), taken, [_part(payment) for payment in taken], "batch")


def _part(payment: Payment) -> Part:
    text = f"{_head(payment)} {payment.payee} {payment.reference}"
    return Part(payment.reference, abs(payment.amount), payment.payee, text)


def _head(payment: Payment) -> str:
    return "CARD" if payment.card else "EXPENSES"


def _misread(part: Part) -> Part:
    """The reference as a clerk mistypes it: a number that no entry will ever have."""
    head, _, digits = part.reference.rpartition("-")
    return replace(part, reference=f"{head}-9{digits[1:]}", text=f"EXPENSES {part.party}")


def statements(
    days: Days, name: str, currency: str, chain: Account
) -> Iterator[tuple[Statement, list[Booked]]]:
    """The days' statements, each continuing the chain, none longer than LINES_MAX lines."""
    for day in sorted(days.booked):
        lines = days.booked[day]
        for start in range(0, len(lines), LINES_MAX):
            page = lines[start : start + LINES_MAX]
            chain.number += 1
            named = [_named(booked, name, chain.number, at) for at, booked in enumerate(page, 1)]
            statement = Statement(
                id=f"{name[-20:]}-{chain.number:05}",
                number=chain.number,
                account=name,
                currency=currency,
                day=days.first + timedelta(days=day),
                opening=chain.balance,
                lines=tuple(booked.line for booked in named),
            )
            chain.balance = statement.closing
            chain.last_day = str(statement.day)
            yield statement, named


def _named(booked: Booked, account: str, number: int, at: int) -> Booked:
    """The line with the bank's own reference, where the bank gives one."""
    if not booked.line.bank_reference:
        return booked
    reference = f"{account[-8:]}{number:05}{at:06}"
    return replace(booked, line=replace(booked.line, bank_reference=reference))


def truth(statement: Statement, booked: Booked) -> dict[str, Any]:
    """What a perfect reader would say of the line, for scoring only."""
    return {
        "statement": statement.id,
        "account": statement.account,
        "booked_on": str(booked.line.booked_on),
        "amount": Money(booked.line.amount, statement.currency).amount,
        "currency": statement.currency,
        "noise": booked.noise,
        "allocations": [
            {
                "entry_id": payment.entry_id,
                "claim_id": payment.claim_id,
                "reference": payment.reference,
                "paid": Money(paid, statement.currency).amount,
            }
            for payment, paid in booked.paid
        ],
    }
