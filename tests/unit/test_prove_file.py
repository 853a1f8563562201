"""A file proven against the topics: every row has an outcome, and every penny agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledgerbus.prove_file import FileProof, prove_file
from ledgerbus.reading import Reading
from tests.support.story_values import Tale, cny, folded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contracts.envelope import Event

    ProveIt = Callable[..., FileProof]

LAYOUT = """
name: small
title: two columns
source: test
company: ACME
currency: CNY
key: "{key}"
employee: E-1
paid_by: employee
lines:
  - {category: meals, cost_center: CC-1, date: day, gross: amount}
"""
FILE = "key,day,amount\nK-1,2026-10-05,943.40\nK-2,2026-10-05,-10.00\nK-3,2026-10-05,oops\n"
PAID, REFUND, UNREADABLE = Tale(), Tale("K-2", cny("-10.00")), Tale("K-3")


@pytest.fixture
def prove(tmp_path: Path) -> ProveIt:
    (tmp_path / "small.yaml").write_text(LAYOUT, encoding="utf-8")
    (tmp_path / "file.csv").write_text(FILE, encoding="utf-8")

    def prove(*events: Event) -> FileProof:
        reading = Reading(stories=folded(*events))
        return prove_file(reading, tmp_path / "file.csv", str(tmp_path / "small.yaml"), "")

    return prove


ALL: list[Event] = [
    *PAID.whole(),
    *REFUND.until_posted(),
    UNREADABLE.refused_at_intake(readable=False),
]


def test_every_row_has_an_outcome_and_the_sums_are_the_files_own(prove: ProveIt) -> None:
    proof = prove(*ALL)
    assert proof.holds
    told = proof.plain()
    assert (told["rows"], told["claims"], told["without_readable_amount"]) == (3, 3, 1)
    assert told["sums"] == {"CNY": "933.40"}
    assert [(each["outcome"], each["claims"], each["sum"]) for each in told["outcomes"]] == [
        ("posted", 1, "-10.00"),
        ("refused SUM_MISMATCH", 1, "-"),
        ("settled", 1, "943.40"),
    ]


def test_a_row_without_an_outcome_is_named(prove: ProveIt) -> None:
    proof = prove(*PAID.whole(), UNREADABLE.refused_at_intake(readable=False))
    assert not proof.holds
    assert [each["source_key"] for each in proof.missing] == ["K-2"]


def test_a_penny_that_differs_is_named(prove: ProveIt) -> None:
    other = Tale(total=cny("943.41"))
    proof = prove(*other.whole(), *ALL[len(PAID.whole()) :])
    assert not proof.holds
    (row,) = proof.differing
    assert (row["source_key"], row["file"], row["chain"]) == ("K-1", "943.40", "943.41")


def test_a_row_refused_before_its_total_was_read_counts_with_the_files_own(prove: ProveIt) -> None:
    proof = prove(PAID.refused_at_intake(readable=False), *ALL[len(PAID.whole()) :])
    assert proof.holds
    assert proof.by_outcome["refused SUM_MISMATCH", "CNY"] == 94340
