"""Each clause on a run that keeps it, and on the same run with one thing broken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from checker.clauses import CLAUSES
from checker.evidence import Evidence
from checker.judge import judge_world
from checker.verdict import Clause, Status
from checker.world import World
from tests.checker.worlds import CLAIM, FILE, LETTER, TOTAL, a_world, an_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from checker.records import Record

    Break = Callable[[World], None]

OTHER = {"amount": "9.99", "currency": "CNY"}


def rows(world: World, service: str, table: str) -> list[dict[str, Any]]:
    """The rows that `a_world` made; the clauses only read them, a breach writes into them."""
    return cast("list[dict[str, Any]]", world.tables[service][table])


def setting(service: str, table: str, **values: Any) -> Break:
    return lambda world: rows(world, service, table)[0].update(values)


def doubling(service: str, table: str, **values: Any) -> Break:
    def act(world: World) -> None:
        there = rows(world, service, table)
        there.append(there[0] | values)

    return act


def saying(number: int, **body: Any) -> Break:
    def act(world: World) -> None:
        records(world)[number].body.update(body)

    return act


def records(world: World) -> list[Record]:
    return cast("list[Record]", world.records)


def adding(*more: Record) -> Break:
    return lambda world: records(world).extend(more)


def losing(number: int) -> Break:
    def act(world: World) -> None:
        del records(world)[number]

    return act


def changed(number: int, **values: Any) -> Break:
    def act(world: World) -> None:
        records(world)[number] = replace(records(world)[number], **values)

    return act


def repeated(number: int, **values: Any) -> Break:
    def act(world: World) -> None:
        again = replace(records(world)[number], offset=90 + number, **values)
        records(world).append(again)

    return act


def journal(**line: Any) -> Break:
    def act(world: World) -> None:
        lines: Any = world.journal
        lines.append(line)

    return act


def ledger(times: int = 1, **values: Any) -> Break:
    def act(world: World) -> None:
        lines: Any = world.ledger
        lines.extend([lines[0] | values] * times)

    return act


def unread(service: str, number: int) -> Break:
    return lambda world: rows(world, service, "inbox").remove({"event_id": f"e{number:02}"})


PAID_AGAIN = an_event(
    20, "reconcile.payment-matched.v1", because=6, match_id="m2", entry_id="n1", paid=TOTAL,
    bank_line={"line_id": "l1", "amount": TOTAL},
)  # fmt: skip
RESERVED_AGAIN = an_event(20, "budget.funds-reserved.v1", because=4, allocations=[])
SUBMIT = {"what": "submit", "source": "s", "source_key": "k", "company": "C1", "answered": 201}

BREAKS: list[tuple[str, str, Break]] = [
    ("I1", "accepted is kept", journal(**SUBMIT | {"source_key": "lost"})),
    ("I1", "what was sent is on its topic",
     journal(what="duplicate", answered="acked", topic="claims.intake", event_id="gone")),
    ("I1", "the accepted is in the table", setting("claims", "claims", total_minor=999)),
    ("I2", "one end", adding(an_event(20, "approval.claim-rejected.v1", because=3))),
    ("I2", "only poison is left behind",
     lambda world: rows(world, "posting", "dead_letters").append(LETTER | {"code": "X"})),
    ("I3", "legal history", changed(1, offset=99)),
    ("I3", "revisions follow ends", doubling("claims", "claims", revision=2)),
    ("I4", "no over-reservation by table", setting("budget", "budgets", ceiling_minor=999)),
    ("I4", "balances are what cases hold", setting("budget", "budgets", spent_minor=900)),
    ("I4", "no over-reservation by fold",
     setting("budget", "budgets", limit_minor=999, ceiling_minor=999)),
    ("I5", "each reservation ends once", adding(RESERVED_AGAIN)),
    ("I5", "each reservation has a reason", losing(4)),
    ("I5", "no reservation outlives its claim", setting("budget", "cases", state="reserved")),
    ("I5", "the table is the events' last word", setting("budget", "cases", state="released")),
    ("I6", "debits equal credits", setting("posting", "journal_lines", amount_minor=999)),
    ("I6", "what finance reads balances", saying(7, lines=[("6602", 1000), ("2241", -999)])),
    ("I6", "entries are immutable", setting("posting", "journal_lines", account="6603")),
    ("I7", "one entry per claim revision",
     adding(an_event(20, "posting.entry-posted.v1", because=5, entry_id="n2"))),
    ("I7", "one row per claim revision", doubling("posting", "entries", id="n2")),
    ("I7", "the ledger has what was posted", ledger(key="key-2")),
    ("I7", "the books have what was intended", setting("posting", "intents", number="N-2")),
    ("I8", "a line is matched once", doubling("reconcile", "matches", match_id="m2")),
    ("I8", "sums fit", setting("reconcile", "allocations", amount_minor=999)),
    ("I8", "a statement closes", setting("reconcile", "statements", closing_minor=2001)),
    ("I8", "a statement is applied once", doubling("reconcile", "statements", statement_id="s2")),
    ("I8", "every file is kept", doubling("reconcile", "files", digest=FILE)),
    ("I8", "a line is told matched once", adding(PAID_AGAIN)),
    ("I9", "an id is one event", repeated(5, digest=b"other")),
    ("I9", "a key keeps its order", changed(5, sequence=f"{99:020}")),
    ("I9", "claims' state is on its topic", losing(10)),
    ("I9", "approval's state is on its topic", losing(3)),
    ("I9", "budget's state is on its topic", losing(2)),
    ("I9", "posting's state is on its topics", losing(7)),
    ("I9", "reconcile's state is on its topic", losing(9)),
    ("I10", "every event is handled", unread("posting", 5)),
    ("I10", "one event, one effect", repeated(8, id="e20", sequence=f"{20:020}")),
    ("I10", "what was handled has its effect", setting("budget", "cases", claim_id="other")),
    ("I11", "offsets are never ahead", unread("budget", 4)),
    ("I12", "conservation", saying(6, total=OTHER)),
    ("I12", "what was reserved is what was claimed",
     saying(8, allocations=[{"budget": "B1", "amount": OTHER}])),
    ("I12", "paid is what the bank shows", saying(10, paid=OTHER)),
    ("I12", "the books agree with the topics", setting("reconcile", "items", allocated_minor=9)),
    ("I12", "what was asked is what was answered",
     journal(**SUBMIT | {"total": OTHER, "revision": 1})),
    ("I13", "another person approves", saying(4, decisions=[{"by": "E1"}])),
    ("I13", "nobody decides alone", setting("approval", "approvers", approver="E1")),
    ("I13", "an entry follows a reservation", losing(5)),
    ("I13", "causes form a tree", changed(8, causation="nobody")),
    ("I15", "traces are connected", changed(6, trace="")),
    ("I17", "one key, one answer",
     journal(idempotency_key="i1", value_sha256="v1", answered=201, answer={"claim_id": "x"})),
    ("I20", "the outbox is empty",
     lambda world: rows(world, "posting", "outbox").append({"id": 1, "event_id": "e77"})),
    ("I20", "no lag", lambda world: rows(world, "budget", "offsets")[1].update(next_offset=3)),
    ("I20", "no machine waits", setting("claims", "claims", state="reserved")),
    ("I20", "no call is open", setting("posting", "intents", state="unknown")),
    ("I21", "a client never looks back",
     journal(what="read", source="s", source_key="k", answer={"state": "approved"})),
    ("I22", "bounded effort", ledger(20, outcome="error")),
]  # fmt: skip


@pytest.mark.parametrize("declared", CLAUSES, ids=lambda each: f"{each.number} {each.name}")
def test_a_clause_holds_where_nothing_is_wrong(declared: Any) -> None:
    clause: Clause = declared.over(a_world())
    assert (clause.status, clause.violations) == (Status.OK, [])


@pytest.mark.parametrize(("number", "name", "act"), BREAKS, ids=lambda each: str(each)[:40])
def test_a_breach_is_found_and_named(number: str, name: str, act: Break) -> None:
    world = a_world()
    act(world)
    found = {(c.number, c.name): c for c in judge_world(world).clauses}[number, name]
    assert found.status is Status.FAIL
    assert all(violation.subject and violation.detail for violation in found.violations)


def test_an_approved_claim_may_be_withdrawn_afterwards() -> None:
    world = a_world()
    setting("approval", "cases", state="withdrawn")(world)
    clauses = {(c.number, c.name): c for c in judge_world(world).clauses}
    assert clauses["I9", "approval's state is on its topic"].status is Status.OK


def test_every_clause_has_a_breach() -> None:
    assert {(c.number, c.name) for c in CLAUSES} == {(number, name) for number, name, _ in BREAKS}


def test_emptiness_never_passes() -> None:
    verdict = judge_world(World(records=[], journal=[], ledger=[], bank={}))
    assert {clause.status for clause in verdict.clauses} == {Status.NOT_JUDGED}
    assert verdict.status is Status.NOT_JUDGED


def test_what_has_no_evidence_is_not_judged() -> None:
    world = a_world()
    world.ledger = None
    verdict = judge_world(world)
    missing = {c.name: c.missing for c in verdict.clauses if c.status is Status.NOT_JUDGED}
    assert missing == {
        "the ledger has what was posted": ("ledger",),
        "bounded effort": ("ledger",),
    }


def test_what_cannot_be_settled_is_unknown() -> None:
    world = a_world()
    rows(world, "posting", "intents")[0].update(state="unknown")
    clause = next(c for c in judge_world(world).clauses if c.name.startswith("the ledger has"))
    assert clause.status is Status.UNKNOWN


def test_a_verdict_names_seed_commit_invariant_and_ids() -> None:
    world = a_world()
    adding(PAID_AGAIN)(world)
    verdict = judge_world(world, Evidence(seed=7, commit="abc"))
    assert verdict.failed >= {"I8", "I12"}
    assert verdict.of("I8") is Status.FAIL
    assert verdict.table().startswith("seed 7, commit abc: fail")
    assert "l1: 2000 told as paid by a line of 1000" in verdict.table()
    assert f'"{CLAIM}/1"'.encode() in verdict.json()
