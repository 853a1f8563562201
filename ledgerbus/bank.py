"""`ledgerbus demo bank`: a bank that pays what posting recorded, and writes camt.053 statements.

It reads the public topics like any outsider. What it remembers lives in `.local/bank/`: where it
left off, its statements, and apart from them the truth behind every line, for scoring only.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from contracts.codec import kind_of
from contracts.masterdata import CompanyDefined
from contracts.posting import JournalEntryRecorded
from contracts.values import Money
from ledgerbus import bank_days
from ledgerbus.bank_camt import camt053
from ledgerbus.bank_days import Account, Payment
from ledgerbus.errors import CommandError, Exit
from ledgerbus.kafka import Stretch, reader, records, stretches
from ledgerbus.sending import topic_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ledgerbus.addresses import Addresses


@dataclass(slots=True)
class Desk:
    """What the bank remembers between two runs, in one file that is replaced as a whole."""

    folder: Path
    offsets: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    undelivered: list[str] = field(default_factory=list)
    truth_bytes: int = 0

    @classmethod
    def of(cls, root: Path) -> Desk:
        """The desk of the system whose state is in `root`; a fresh one on the first day."""
        folder = root / "bank"
        file = folder / "desk.json"
        if not file.exists():
            return cls(folder)
        told = orjson.loads(file.read_bytes())
        told["accounts"] = {name: Account(**kept) for name, kept in told["accounts"].items()}
        return cls(folder, **told)

    @property
    def truth(self) -> Path:
        """The truth behind every line written so far."""
        return self.folder / "truth.jsonl"

    def save(self) -> None:
        """Remember everything, whole or not at all."""
        kept = {name: value for name, value in asdict(self).items() if name != "folder"}
        new = self.folder / "desk.json.new"
        new.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2))
        new.replace(self.folder / "desk.json")


@dataclass(slots=True)
class Working:
    """What one run has done."""

    payments: int = 0
    files: list[Path] = field(default_factory=list)
    lines: int = 0
    noise: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    moved: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    without_account: list[str] = field(default_factory=list)


async def pay(
    where: Addresses, *, seed: int, noise: bool, day: date | None = None
) -> tuple[Desk, Working]:
    """Pay every entry recorded since the last run, and write the statements that show it."""
    desk = Desk.of(where.root)
    desk.folder.mkdir(parents=True, exist_ok=True)
    if desk.truth.exists():
        os.truncate(desk.truth, desk.truth_bytes)  # A run that was interrupted left no trace.
    working = Working()
    for account, owed in (await _recorded(where, desk, working)).items():
        chain = desk.accounts.setdefault(account, Account())
        earliest = min(payment.due for payment in owed)
        first = max(filter(None, (day, _after(chain.last_day), earliest)))
        _write_statements(desk, working, account, owed, first, seed=seed, noise=noise)
    desk.save()
    return desk, working


def _after(day: str) -> date | None:
    return date.fromisoformat(day) + timedelta(days=1) if day else None


def _write_statements(
    desk: Desk,
    working: Working,
    account: str,
    owed: list[Payment],
    first: date,
    *,
    seed: int,
    noise: bool,
) -> None:
    currency = owed[0].currency
    chain = desk.accounts[account]
    days = bank_days.work(owed, first=first, seed=seed, noise=noise)
    for statement, booked in bank_days.statements(days, account, currency, chain):
        file = desk.folder / f"{statement.id}.xml"
        file.write_bytes(camt053(statement))
        with desk.truth.open("ab") as truth:
            for each in booked:
                truth.write(orjson.dumps(bank_days.truth(statement, each)) + b"\n")
                working.noise[each.noise] += 1
            desk.truth_bytes = truth.tell()
        working.files.append(file)
        working.lines += len(booked)
        working.moved[currency] += statement.closing - statement.opening
        desk.undelivered.append(file.name)
    working.payments += len(owed)


async def _recorded(where: Addresses, desk: Desk, working: Working) -> dict[str, list[Payment]]:
    """What the new entries ask for, by account."""
    accounts = await _accounts(where)
    owed: dict[str, tuple[str, Payment]] = {}
    async for entry in _new_entries(where, desk):
        if entry.get("reverses"):
            owed.pop(entry["reverses"], None)
            continue
        owed[entry["entry_id"]] = (entry["company"], _payment(entry, accounts))
    payments: dict[str, list[Payment]] = defaultdict(list)
    for company, payment in owed.values():
        if not payment.account:
            working.without_account.append(company)
        elif payment.amount:
            payments[payment.account].append(payment)
    return dict(sorted(payments.items()))


async def _accounts(where: Addresses) -> dict[str, str]:
    """The first bank account of every company that has one."""
    topic = topic_name(CompanyDefined.topic)
    accounts: dict[str, str] = {}
    async with reader(where.kafka, [topic]) as consumer:
        async for page in records(consumer, await stretches(consumer, [topic])):
            for record in page:
                if kind_of(record.headers) == CompanyDefined.kind and record.value:
                    told = orjson.loads(record.value)
                    accounts[told["company"]] = next(iter(told["bank_accounts"]), "")
    return accounts


async def _new_entries(where: Addresses, desk: Desk) -> AsyncIterator[dict[str, Any]]:
    """The entries recorded since the desk was left; it then remembers to have read them."""
    topic = topic_name(JournalEntryRecorded.topic)
    async with reader(where.kafka, [topic]) as consumer:
        wanted = {
            part: _unpaid(desk, str(part.partition), there)
            for part, there in (await stretches(consumer, [topic])).items()
        }
        async for page in records(consumer, wanted):
            for record in page:
                if kind_of(record.headers) == JournalEntryRecorded.kind:
                    yield orjson.loads(record.value)
    desk.offsets |= {str(part.partition): stretch.end for part, stretch in wanted.items()}


def _unpaid(desk: Desk, part: str, there: Stretch) -> Stretch:
    """What a partition holds beyond what the bank has read of it."""
    read = desk.offsets.get(part, 0)
    if read > there.end:
        raise CommandError(
            "the bank's desk belongs to another system",
            why=f"it has read {read} entries of partition {part}, which holds {there.end}",
            fix=f"remove {desk.folder}; the entries here are then paid from the first on",
            code=Exit.CONFLICT,
        )
    return Stretch(max(there.start, read), there.end)


def _payment(entry: dict[str, Any], accounts: dict[str, str]) -> Payment:
    money = Money.parse(entry["total"]["amount"], entry["total"]["currency"])
    return Payment(
        entry_id=entry["entry_id"],
        claim_id=entry["claim_id"],
        account=accounts.get(entry["company"], ""),
        currency=money.currency,
        amount=money.minor,
        reference=entry["reference"],
        payee=entry["payee"],
        card=entry["paid_by"] == "company_card",
        due=date.fromisoformat(entry["posting_date"]),
    )
