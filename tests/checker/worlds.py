"""A small run by hand: one claim that was paid, everything about it true; tests break one thing."""

from __future__ import annotations

from typing import Any

from checker.plan import SERVICES
from checker.records import Record
from checker.world import World

CLAIM = "0cb4bd11-0d3e-5b3d-83c6-564f342a1fe7"
KEY = CLAIM.encode()
TOTAL = {"amount": "10.00", "currency": "CNY"}
FILE = b"\x01" * 32
LETTER = {"topic": "claims.events", "partition": 0, "offset": 9, "key": b"k", "state": "open"}


def an_event(number: int, kind: str, *, because: int | None = None, **body: Any) -> Record:
    """Event `number` of the run, on its publisher's stream unless it says otherwise."""
    publisher = kind.partition(".")[0]
    topic = body.pop("topic", f"{publisher}.events")
    facts = {"claim_id": CLAIM, "revision": 1, "company": "C1", "total": TOTAL} | body
    return Record(
        topic=topic,
        partition=0,
        offset=body.pop("offset", number),
        key=body.pop("key", KEY),
        digest=number.to_bytes(8, "big"),
        id=f"e{number:02}",
        kind=kind,
        sequence=f"{number:020}",
        causation="" if because is None else f"e{because:02}",
        correlation="story",
        trace="00-8d3c6686ec306db55ac57683ca4c4b96-a6b37a0dcde3e7d1-01",
        body=facts,
    )


def the_records() -> list[Record]:
    """What a claim that ends well leaves on the topics."""
    parts = [{"budget": "B1", "amount": TOTAL}]
    line = {"line_id": "l1", "amount": {"amount": "-10.00", "currency": "CNY"}}
    source: dict[str, Any] = {"source": "s", "source_key": "k"}
    return [
        an_event(0, "claims.submit-claim.v1", topic="claims.intake", claim_id=None, **source),
        an_event(
            1, "claims.claim-submitted.v1", because=0, employee="E1", gross_minor=1000,
            split_minor=1000, **source,
        ),
        an_event(2, "budget.funds-checked.v1", because=1),
        an_event(3, "approval.step-opened.v1", because=2, approvers=["M1"], task_id="t1"),
        an_event(4, "approval.claim-approved.v1", because=3, decisions=[{"by": "M1"}]),
        an_event(5, "budget.funds-reserved.v1", because=4, allocations=parts),
        an_event(6, "posting.entry-posted.v1", because=5, entry_id="n1"),
        an_event(
            7, "posting.journal-entry-recorded.v1", topic="posting.entries", because=5,
            entry_id="n1", lines=[("6602", 1000), ("2241", -1000)],
        ),
        an_event(8, "budget.funds-spent.v1", because=6, allocations=parts),
        an_event(9, "reconcile.payment-matched.v1", because=6, match_id="m1",
            entry_id="n1", paid=TOTAL,
                 bank_line=line),
        an_event(10, "claims.claim-settled.v1", because=9, paid=TOTAL),
    ]  # fmt: skip


def _machinery() -> dict[str, list[dict[str, Any]]]:
    inbox = [{"event_id": f"e{number:02}"} for number in range(11)]
    topics = ("claims.intake", *(f"{name}.events" for name in SERVICES))
    offsets = [{"topic": topic, "partition": 0, "next_offset": 11} for topic in topics]
    return {"inbox": inbox, "dead_letters": [], "parked": [], "offsets": offsets, "outbox": []}


def _tables() -> dict[str, dict[str, list[dict[str, Any]]]]:
    of = {"claim_id": CLAIM, "revision": 1}
    money = {"company": "C1", "currency": "CNY"}
    return {
        "claims": {
            "claims": [
                of | money | {"state": "settled", "facts": 1 | 64, "source": "s",
                              "source_key": "k", "total_minor": 1000, "open_minor": 0}
            ],
            "held": [],
        },
        "approval": {
            "cases": [of | {"state": "approved", "employee": "E1"}],
            "tasks": [of | {"task_id": "t1", "state": "approved"}],
            "approvers": [of | {"task_id": "t1", "approver": "M1", "verdict": "approved",
                      "employee": "E1"}],
        },
        "budget": {
            "budgets": [
                money | {"id": 1, "code": "B1", "control": "hard", "limit_minor": 5000,
                         "reserved_minor": 0, "spent_minor": 1000, "ceiling_minor": 5000}
            ],
            "cases": [
                of | {"state": "spent", "checked": True, "company": "C1", "budgets": [1],
                      "amounts": [1000]}
            ],
        },
        "posting": {
            "entries": [
                of | money | {"id": "n1", "kind": "post", "ledger": "erp", "number": "N-1",
                              "total_minor": 1000, "reverses": None}
            ],
            "journal_lines": [
                {"entry_id": "n1", "account": "6602", "amount_minor": 1000},
                {"entry_id": "n1", "account": "2241", "amount_minor": -1000},
            ],
            "cases": [of | {"stage": "posted"}],
            "intents": [
                of | {"key": "key-1", "kind": "post", "ledger": "erp", "state": "posted",
                      "attempts": 1, "number": "N-1"}
            ],
        },
        "reconcile": {
            "items": [
                of | money | {"entry_id": "n1", "total_minor": 1000, "allocated_minor": 1000,
                              "reversed_by": None}
            ],
            "lines": [money | {"line_id": "l1", "statement_id": "s1", "state": "matched",
                               "amount_minor": -1000}],
            "matches": [{"match_id": "m1", "line_id": "l1", "kind": "payment",
                         "undone_at": None}],
            "allocations": [{"match_id": "m1", "entry_id": "n1", "amount_minor": 1000,
                             "returns": None}],
            "differences": [],
            "statements": [
                {"statement_id": "s1", "account": "A", "reference": "R", "closed_on": "2026-10-31",
                 "state": "proven", "opening_minor": 3000, "closing_minor": 2000,
                 "sum_minor": -1000, "line_count": 1, "known_count": 0, "file_digest": FILE}
            ],
            "files": [{"digest": FILE}],
            "exceptions": [],
        },
    }  # fmt: skip


def a_world() -> World:
    """The whole run."""
    lines = [
        {"account": "6602", "side": "debit", "amount": "10.00"},
        {"account": "2241", "side": "credit", "amount": "10.00"},
    ]
    submit = {
        "what": "submit", "channel": "http", "source": "s", "source_key": "k", "revision": 1,
        "company": "C1", "total": TOTAL, "idempotency_key": "i1", "value_sha256": "v1",
        "answered": 201, "answer": {"claim_id": CLAIM},
    }  # fmt: skip
    sent = {"what": "duplicate", "answered": "acked", "topic": "claims.intake", "event_id": "e00"}
    read = {"what": "read", "source": "s", "source_key": "k", "answered": 200}
    poison = {
        "what": "poison", "answered": "acked", "topic": "claims.events", "key": "bad",
        "code": "ENVELOPE",
    }  # fmt: skip
    world = World(
        tables={name: _machinery() | rows for name, rows in _tables().items()},
        records=the_records(),
        ends={(f"{name}.events", 0): 11 for name in SERVICES} | {("claims.intake", 0): 11},
        commits={name: {("claims.intake", 0): 11} for name in SERVICES},
        ledger=[
            {"method": "PUT", "key": "key-1", "outcome": "stored", "number": "N-1",
             "document": {"currency": "CNY", "lines": lines}, "answered": 201}
        ],
        bank={FILE: "bank.xml"},
        journal=[
            submit, submit, sent, poison,
            read | {"answer": {"state": "posted"}}, read | {"answer": {"state": "settled"}},
        ],
    )  # fmt: skip
    letters: Any = world.tables["budget"]["dead_letters"]
    letters.append(LETTER | {"key": b"bad", "code": "ENVELOPE"})
    return world
