from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from ledgerbus.refusal import refusal_lines, refusal_of

EXAMPLES = files("contracts") / "examples"
KEY = "EXAMPLE-2026-10-2"
CLAIM = "fead93c5-8743-5dca-9baa-df88286c6f3a"


def record_of(kind: str = "claims.claim-refused.v1", **changes: Any) -> Any:
    written = json.loads((EXAMPLES / f"{kind}.json").read_text(encoding="utf-8"))
    value = json.dumps(written["body"] | changes, separators=(",", ":")).encode()
    headers = [(name, each.encode()) for name, each in written["headers"].items()]
    return ConsumerRecord(
        topic="claims.events",
        partition=3,
        offset=17,
        timestamp=0,
        timestamp_type=0,
        key=CLAIM.encode(),
        value=value,
        checksum=None,
        serialized_key_size=len(CLAIM),
        serialized_value_size=len(value),
        headers=headers,
    )


@pytest.mark.parametrize("name", [KEY, CLAIM])
def test_a_refusal_answers_to_the_claims_id_and_to_its_key(name: str) -> None:
    told = refusal_of(record_of(), name)
    assert told is not None
    assert told["position"] == "claims.events/3@17"
    assert told["at"] == "2026-10-12T01:30:10.120000Z"
    assert told["trace_id"] == "83c874d33e8bff73caaa762c79cd1ed1"
    assert [reason["code"] for reason in told["reasons"]] == ["SUM_MISMATCH"]


def test_another_claims_refusal_is_not_told_even_if_it_mentions_the_name() -> None:
    assert refusal_of(record_of(), "travel-app") is None
    assert refusal_of(record_of(), "EXAMPLE-2026-10") is None
    assert refusal_of(record_of(), KEY, "card-feed") is None
    assert refusal_of(record_of(), KEY, "travel-app") is not None


def test_an_accepted_claim_is_no_refusal() -> None:
    submitted = record_of("claims.claim-submitted.v1")
    key = json.loads(submitted.value)["source_key"]
    assert refusal_of(submitted, key) is None


def test_a_refusal_that_cannot_be_read_is_passed_over() -> None:
    assert refusal_of(record_of(reasons=[]), KEY) is None


def test_a_person_reads_when_why_with_which_figures_and_who_can_help() -> None:
    told = refusal_of(record_of(), KEY)
    assert told is not None
    assert [line.plain for line in refusal_lines(told)] == [
        f"{CLAIM}  travel-app {KEY}, revision 1",
        "refused at intake 2026-10-12 01:30:10.120: 550.00 CNY (QHCK)",
        "  SUM_MISMATCH at /total: the lines add up to 500.00 CNY, the total is 550.00 CNY",
        "    figures: lines 500.00 CNY, total 550.00 CNY, difference 50.00 CNY",
        "    who can put it right: claimant",
        "trace 83c874d33e8bff73caaa762c79cd1ed1",
    ]


def test_a_claim_without_readable_id_and_amount_is_told_by_its_place() -> None:
    place = "claims.intake/0@4"
    told = refusal_of(record_of(source_key=place, claim_id=None, total=None, company=""), place)
    assert told is not None
    lines = [line.plain for line in refusal_lines(told)]
    assert lines[0] == f"no readable id  travel-app {place}, revision 1"
    assert lines[1].endswith(": no readable amount")
