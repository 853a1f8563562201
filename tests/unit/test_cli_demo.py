from __future__ import annotations

from collections import Counter
from itertools import chain

from ledgerbus.claimfile import ClaimFile
from ledgerbus.demo.company import CATEGORIES, CURRENCY, organisation
from ledgerbus.demo.make import CLAIMS, FAULTS, HERE, TITLE, month, written_month
from ledgerbus.layout import load_layout
from ledgerbus.organisation import dangling, read_organisation, written_organisation

MONTH = ClaimFile(HERE / "month.csv", load_layout("made-month"))


def test_the_committed_files_are_what_the_seed_makes() -> None:
    assert (HERE / "month.csv").read_text(encoding="utf-8") == written_month(month())
    made = written_organisation(organisation(), TITLE)
    assert (HERE / "organisation.yaml").read_text(encoding="utf-8") == made


def test_the_organisation_is_sound() -> None:
    events = read_organisation(HERE / "organisation.yaml")
    assert events == organisation()
    assert dangling(events, []) == []


def test_the_month_has_its_claims_and_each_has_a_key_of_its_own() -> None:
    claims = list(MONTH)
    assert len(claims) == len({claim.source_key for claim in claims}) == CLAIMS
    assert {claim.source for claim in claims} == {"made-month"}


def test_some_claims_cannot_be_read_and_each_says_why() -> None:
    faults = Counter(claim.fault.code for claim in MONTH if claim.fault)
    assert faults == {"SCHEMA_INVALID": 3, "AMOUNT_FORMAT": 1, "SCALE": 1, "CURRENCY_UNKNOWN": 1}
    assert faults.total() < len(FAULTS)


def test_every_other_claim_adds_up_but_for_the_two_that_must_not() -> None:
    sound = [claim.command() for claim in MONTH if not claim.fault]
    wrong = [
        claim.source_key
        for claim in sound
        if sum(line.gross.minor for line in claim.lines) != claim.total.minor
        or any(line.net + line.tax != line.gross for line in claim.lines)
    ]
    assert len(wrong) == 2


def test_the_month_has_all_that_a_month_end_is_about() -> None:
    sound = [claim.command() for claim in MONTH if not claim.fault]
    lines = list(chain.from_iterable(claim.lines for claim in sound))
    assert {claim.paid_by.value for claim in sound} == {
        "employee",
        "company_card",
        "supplier_invoice",
    }
    assert sum(claim.total.minor < 0 for claim in sound) >= 10
    assert sum(claim.total.minor > 2_000_000 for claim in sound) >= 8
    assert sum(len(claim.lines) > 1 for claim in sound) >= 150
    assert {line.original.currency for line in lines if line.original} >= {"USD", "EUR", "JPY"}
    assert {line.category for line in lines} >= CATEGORIES.keys()
    assert {line.gross.currency for line in lines} == {CURRENCY}
