"""The demo bank: noisy as a real one, and in the end every payment is made once, to the cent."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerbus.bank_camt import NAMESPACE, NO_REFERENCE, camt053
from ledgerbus.bank_days import (
    LINES_MAX,
    SHARES,
    TWINS_MAX,
    Account,
    Booked,
    Payment,
    statements,
    truth,
    work,
)

if TYPE_CHECKING:
    from ledgerbus.bank_camt import Statement

DUE = date(2026, 11, 1)
DAY = date(2026, 11, 2)
NS = {"c": NAMESPACE}
ACCOUNT = "GB33BUKB20201555555555"


def payments(count: int, *, amount: int = 0, payee: str = "") -> list[Payment]:
    return [
        Payment(
            entry_id=f"entry-{number}",
            claim_id=f"claim-{number}",
            account=ACCOUNT,
            currency="GBP",
            amount=amount or (number + 1) * 137 * (-1 if number % 10 == 9 else 1),
            reference=f"ACME-2026-{number:07}",
            payee=payee or f"E-{number % 40}",
            card=number % 4 == 0,
            due=DUE,
        )
        for number in range(count)
    ]


def written(owed: list[Payment], *, noise: bool = True) -> list[tuple[Statement, list[Booked]]]:
    days = work(owed, first=DAY, seed=7, noise=noise)
    return list(statements(days, ACCOUNT, "GBP", Account()))


@given(st.integers(1, 200), st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_payment_is_made_once_to_the_cent(count: int, noise: bool) -> None:  # noqa: FBT001
    owed = payments(count)
    paid: Counter[str] = Counter()
    for _, booked in written(owed, noise=noise):
        for each in booked:
            paid.update({payment.entry_id: amount for payment, amount in each.paid})
    assert paid == Counter({payment.entry_id: payment.amount for payment in owed})


def test_a_line_is_what_it_paid_and_what_the_bank_kept() -> None:
    for _, booked in written(payments(300)):
        for each in booked:
            paid = sum(amount for _, amount in each.paid)
            assert each.line.amount == -paid - each.line.charges
            parts = sum(part.amount for part in each.line.parts)
            assert abs(each.line.amount) == parts + each.line.charges


def test_statements_chain_from_opening_to_closing() -> None:
    balance = Account().balance
    for number, (statement, _) in enumerate(written(payments(300)), start=1):
        assert (statement.opening, statement.number) == (balance, number)
        assert {line.booked_on for line in statement.lines} == {statement.day}
        balance = statement.closing
    assert balance == Account().balance - sum(p.amount for p in payments(300)) - sum(
        each.line.charges for _, booked in written(payments(300)) for each in booked
    )


def test_all_kinds_of_noise_occur_and_without_noise_none() -> None:
    noisy = {each.noise for _, booked in written(payments(200)) for each in booked}
    assert noisy == {*SHARES, "plain", "return", "paid_again"}
    quiet = {each.noise for _, booked in written(payments(200), noise=False) for each in booked}
    assert quiet == {"plain"}


def test_the_same_payments_in_any_order_give_the_same_files() -> None:
    owed = payments(120)
    files = [camt053(statement) for statement, _ in written(owed)]
    assert [camt053(statement) for statement, _ in written(owed[::-1])] == files


def test_a_returned_payment_comes_back_and_is_paid_again_on_a_later_day() -> None:
    days: dict[str, list[tuple[str, date, int]]] = defaultdict(list)
    for _, booked in written(payments(200)):
        for each in booked:
            if each.noise in {"returned", "return", "paid_again"}:
                ((payment, amount),) = each.paid
                days[payment.entry_id].append((each.noise, each.line.booked_on, amount))
    assert days
    for story in days.values():
        assert [noise for noise, *_ in story] == ["returned", "return", "paid_again"]
        assert [day for _, day, _ in story] == sorted({day for _, day, _ in story})
        assert [amount > 0 for *_, amount in story] == [True, False, True]


def test_twins_are_told_apart_by_nothing_and_are_few() -> None:
    owed = [p for p in payments(80, amount=5000, payee="E-1") if not p.card]
    cards = [p for p in payments(80, amount=5000, payee="CARD-1") if p.card]
    assert sum(b.noise == "twin" for _, booked in written(cards) for b in booked) == 2
    twins = [b.line for _, booked in written(owed) for b in booked if b.noise == "twin"]
    assert len(twins) == 2
    assert twins[0] == twins[1]
    many = [p for group in range(9) for p in payments(8, amount=100 + group, payee="E-1")]
    found = [b for _, booked in written(many) for b in booked if b.noise == "twin"]
    assert len(found) <= 2 * TWINS_MAX


def test_a_mistyped_reference_is_no_reference_of_any_entry() -> None:
    owed = payments(300)
    known = {payment.reference for payment in owed}
    typed = [
        each.line.parts[0].reference
        for _, booked in written(owed)
        for each in booked
        if each.noise == "wrong_reference"
    ]
    assert typed
    assert not known & set(typed)


def test_every_payment_follows_its_entry_within_days() -> None:
    owed = [
        replace(payment, due=DUE + timedelta(days=number % 90))
        for number, payment in enumerate(payments(300))
    ]
    lag = Counter(
        (each.line.booked_on - payment.due).days
        for _, booked in written(owed)
        for each in booked
        for payment, _ in each.paid
        if each.noise in {"plain", "late", "wrong_reference"}
    )
    assert set(lag) == {1, 2, 3, 4}
    assert lag[1] > sum(lag.values()) / 2


def test_a_statement_holds_no_more_lines_than_allowed() -> None:
    sizes = [len(booked) for _, booked in written(payments(LINES_MAX + 10), noise=False)]
    assert sizes == [LINES_MAX, 10]


def test_the_document_says_what_the_statement_says() -> None:
    for statement, booked in written(payments(120)):
        root = fromstring(camt053(statement))
        entries = root.findall(".//c:Ntry", NS)
        assert root.findtext(".//c:Acct/c:Id/c:IBAN", namespaces=NS) == ACCOUNT
        assert len(entries) == len(booked)
        opening, closing = (_signed(balance) for balance in root.findall(".//c:Bal", NS))
        assert opening + sum(_signed(entry) for entry in entries) == closing
        for entry, each in zip(entries, booked, strict=True):
            told = [t.text for t in entry.findall(".//c:EndToEndId", NS)]
            assert told == [part.reference or NO_REFERENCE for part in each.line.parts]
            assert _signed(entry) == each.line.amount


def _signed(element: object) -> int:
    # defusedxml has types, its elements have none.
    find = element.findtext  # type: ignore[attr-defined]
    minor = int(find("c:Amt", namespaces=NS).replace(".", ""))
    return minor if find("c:CdtDbtInd", namespaces=NS) == "CRDT" else -minor


@pytest.mark.parametrize("text", ["A & B <Ltd>", '"quoted" 差旅费', "x" * 300])
def test_texts_survive_the_document(text: str) -> None:
    ((statement, _),) = written(payments(1, payee=text), noise=False)
    root = fromstring(camt053(statement))
    assert root.findtext(".//c:Cdtr//c:Nm", namespaces=NS) == text


def test_the_truth_of_a_line_names_its_entries_and_amounts() -> None:
    ((statement, (booked,)),) = written(payments(1, amount=12345), noise=False)
    told = truth(statement, booked)
    assert (told["amount"], told["noise"]) == ("-123.45", "plain")
    assert told["allocations"] == [
        {
            "entry_id": "entry-0",
            "claim_id": "claim-0",
            "reference": "ACME-2026-0000000",
            "paid": "123.45",
        }
    ]
