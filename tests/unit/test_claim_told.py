"""A claim's story in words: every kind has some, entries are drawn as T-accounts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from contracts.envelope import KINDS
from ledgerbus.claim import bank_lines, journey_lines, t_accounts
from ledgerbus.demo.follow import line_of
from ledgerbus.telling import sentence
from tests.support.story_values import Tale, cny

TALE = Tale()
SAID = {
    "submitted 943.40 CNY, to be paid to E-1": TALE.submitted(),
    "refused: SUM_MISMATCH: as the test wants it": TALE.refused_at_intake(),
    "withdrawn by E-1": TALE.withdrawn(),
    "settled: 943.40 CNY, 2026-10-05": TALE.settled(),
    "budget within": TALE.checked(),
    "step 1 'manager' asks any of E-2 (rule all)": TALE.asked(),
    "approved by rule all v1": TALE.approved(),
    "rejected by E-2: REJECTED: as the test wants it": TALE.rejected(),
    "reserved nothing: no budget carries it": TALE.reserved(),
    "refused: BUDGET_EXCEEDED: as the test wants it": TALE.funds_refused(),
    "entry ACME-2026-0000001 of 2026-10-05: 943.40 CNY owed to E-1": TALE.posted(),
    "not posted: PERIOD_CLOSED: as the test wants it": TALE.failed(),
    "turned back by ACME-2026-0000002": TALE.turned_back()[0],
    "paid 943.40 CNY: statement S-1, line of 2026-10-05 (reference)": TALE.paid(),
    "paid 900.00 CNY: statement S-1, line of 2026-10-05 (reference), 43.40 CNY still open": (
        TALE.paid(cny("900.00"))
    ),
    "10.00 CNY came back: statement S-1, line of 2026-10-05": (
        TALE.returned(cny("10.00"), cny("10.00"))
    ),
}


@pytest.mark.parametrize("text", SAID)
def test_a_fact_is_told_in_a_few_words(text: str) -> None:
    event = SAID[text]
    assert sentence(event.kind, orjson.loads(event.model_dump_json())) == text


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_kind_and_no_missing_figure_stops_the_telling(kind: str) -> None:
    assert sentence(kind, {})


def test_a_path_line_says_how_long_after_who_and_what() -> None:
    body = orjson.loads(TALE.posted().model_dump_json())
    line = line_of(TALE.posted().kind, body, timedelta(seconds=1.5)).plain
    assert line.startswith("     +1,500 ms  posting   entry ACME")


def an_entry(*lines: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "entry_number": "ACME-2026-0000001",
        "posting_date": "2026-10-05",
        "ledger": "embedded",
        "reverses": None,
        "lines": [
            {
                "side": side,
                "account": account,
                "account_name": "其他应付款-员工报销",
                "amount": {"amount": amount, "currency": "CNY"},
            }
            for side, account, amount in lines
        ],
    }


def test_debits_stand_left_and_credits_right_in_columns_of_one_width() -> None:
    entry = an_entry(
        ("debit", "6602", "890.00"), ("debit", "2221", "53.40"), ("credit", "2241", "943.40")
    )
    head, _, first, second, last = t_accounts(entry)
    assert head.plain == "entry ACME-2026-0000001 of 2026-10-05 (embedded)"
    assert first.cell_len <= 80
    assert "890.00  │ 2241" in first.plain
    assert second.plain.endswith("53.40  │")
    assert last.plain.endswith("balanced")
    assert "NOT" not in last.plain


def test_an_entry_whose_sides_differ_is_called_so() -> None:
    entry = an_entry(("debit", "6602", "890.00"), ("credit", "2241", "943.40"))
    assert t_accounts(entry)[-1].plain.endswith("NOT BALANCED")


def test_a_new_trace_is_named_where_it_begins() -> None:
    steps = [
        {
            "kind": "claims.claim-withdrawn.v1",
            "at": "2026-10-05T10:00:00.123456Z",
            "actor": "E-1",
            "figures": {"by": "E-1"},
            "trace_id": trace,
        }
        for trace in ("a" * 32, "a" * 32, "b" * 32)
    ]
    lines = [line.plain for line in journey_lines(steps)]
    assert [line[:8] for line in lines] == [
        "trace aa",
        "  2026-1",
        "  2026-1",
        "trace bb",
        "  2026-1",
    ]
    assert lines[1].endswith("2026-10-05 10:00:00.123  claims    withdrawn by E-1")


def test_bank_lines_tell_what_was_paid_by_which_rule_and_what_is_open() -> None:
    money = {"amount": "943.40", "currency": "CNY"}
    item = {
        "entry_number": "ACME-2026-0000001",
        "paid": money,
        "total": money,
        "open": {"amount": "0.00", "currency": "CNY"},
        "state": "paid",
        "payments": [
            {
                "booked_on": "2026-10-06",
                "kind": "payment",
                "amount": money,
                "statement": "S-1",
                "account": "CN-1",
                "rule": "own-reference",
                "score": 155,
                "evidence": ["own reference +100"],
                "undone_at": None,
            }
        ],
    }
    head, line = (line.plain for line in bank_lines(item))
    assert head == "bank ACME-2026-0000001: 943.40 CNY of 943.40 CNY paid, 0.00 CNY open (paid)"
    assert line.endswith("own-reference, 155 points (own reference +100)")
