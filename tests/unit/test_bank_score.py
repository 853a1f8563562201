"""The bank's score: a match is right when the truth of its line says so, and never otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ledgerbus.bank_score import Score, hear, read_truth, share

if TYPE_CHECKING:
    from pathlib import Path

LINE = {"statement": "S-1", "booked_on": "2026-11-02"}


def a_line(amount: str, entry: str, paid: str, noise: str = "plain") -> dict[str, Any]:
    return LINE | {
        "amount": amount,
        "noise": noise,
        "allocations": [{"entry_id": entry, "paid": paid}],
    }


def matched(amount: str, entry: str, paid: str, match: str = "m-1") -> dict[str, Any]:
    return {
        "match_id": match,
        "entry_id": entry,
        "paid": {"amount": paid, "currency": "GBP"},
        "bank_line": LINE | {"amount": {"amount": amount, "currency": "GBP"}},
    }


@pytest.fixture
def score(tmp_path: Path) -> Score:
    lines = [
        a_line("-10.00", "a", "10.00"),
        a_line("10.00", "a", "-10.00", "return"),
        a_line("-5.00", "b", "5.00", "twin"),
        a_line("-5.00", "c", "5.00", "twin"),
    ]
    file = tmp_path / "truth.jsonl"
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    score = Score()
    read_truth(file, score)
    return score


def said(score: Score, *told: tuple[str, dict[str, Any]]) -> Score:
    matches: dict[tuple[str, str], Any] = {}
    for kind, body in told:
        hear(f"reconcile.payment-{kind}.v1", body, score, matches)
    return score


def test_silence_is_precise_and_finds_nothing(score: Score) -> None:
    told = score.plain()
    assert (told["precision"], told["recall"], told["wrong"]) == ("1.0000", "0.0000", 0)
    assert told["unfound_by_noise"] == {"plain": 1, "return": 1, "twin": 2}


def test_a_match_and_its_return_are_two_allocations(score: Score) -> None:
    back = matched("10.00", "a", "0.00") | {"returned": {"amount": "10.00", "currency": "GBP"}}
    told = said(score, ("matched", matched("-10.00", "a", "10.00")), ("returned", back)).plain()
    assert (told["right"], told["wrong"], told["recall"]) == (2, 0, "0.5000")


def test_of_twins_either_line_is_right_for_either_entry(score: Score) -> None:
    both = (
        ("matched", matched("-5.00", "c", "5.00")),
        ("matched", matched("-5.00", "b", "5.00", "m-2")),
    )
    assert said(score, *both).plain()["right"] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        matched("-10.00", "b", "10.00"),
        matched("-10.00", "a", "9.99"),
        matched("-10.01", "a", "10.00"),
    ],
    ids=["another entry", "another amount", "another line"],
)
def test_an_untrue_allocation_is_wrong(score: Score, wrong: dict[str, Any]) -> None:
    told = said(score, ("matched", wrong)).plain()
    assert (told["wrong"], told["precision"]) == (1, "0.0000")


def test_an_undone_match_was_never_said(score: Score) -> None:
    once = ("matched", matched("-10.00", "a", "10.00"))
    undone = said(score, once, ("unmatched", matched("-10.00", "a", "10.00")))
    assert (undone.plain()["said"], undone.plain()["wrong"]) == (0, 0)


def test_a_share_is_never_rounded_up_to_one() -> None:
    assert (share(99_999, 100_000), share(1, 1), share(0, 0)) == ("0.9999", "1.0000", "1.0000")
