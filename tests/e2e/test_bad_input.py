"""Bad input at every entry: each gets its code, nothing stops, every cent is conserved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from contracts.claims import SubmitClaim
from contracts.codec import headers_of
from contracts.values import Money, claim_id
from ledgerbus.bank_camt import Line, Part, Statement, camt053
from ledgerbus.sending import meta_of
from ledgerbus.stories import key_name
from tests.e2e.bad_claims import BODIES, COMPANY, HEADERS, Document, good, told
from tests.e2e.world import DAY, SOURCE, WITHIN, World, a_claim
from tests.support import eventually

if TYPE_CHECKING:
    from contracts.codec import Headers

ACCOUNT = "GB15HBUK40127612345678"
TOPICS = ("claims.events", "approval.events", "budget.events", "posting.events", "reconcile.events")


@pytest.fixture(scope="module")
async def bad(world: World) -> World:
    """The company these stories happen in."""
    await world.found(COMPANY, ACCOUNT)
    return world


def headers(key: str) -> Headers:
    """The headers of a sound command."""
    subject = str(claim_id(SOURCE, key))
    return headers_of(meta_of(SubmitClaim.kind, SubmitClaim.topic, key=key, subject=subject))


class Raw:
    """Publishes records as they are, and remembers where each went."""

    def __init__(self, world: World) -> None:
        self.producer = AIOKafkaProducer(bootstrap_servers=world.where.kafka, acks="all")

    async def send(self, topic: str, key: str | None, heads: Headers, value: bytes | None) -> str:
        """The position of the record, as refusals name it."""
        mark = await self.producer.send_and_wait(
            topic, value, key=key.encode() if key else None, headers=heads
        )
        return f"{topic}/{mark.partition}@{mark.offset}"


@pytest.fixture
async def raw(bad: World) -> Raw:
    """A producer of anything."""
    raw = Raw(bad)
    await raw.producer.start()
    return raw


async def test_every_bad_command_is_refused_with_its_code_and_nothing_stops(
    bad: World, raw: Raw
) -> None:
    sent: dict[str, tuple[str, str]] = {}
    for name, (make, code) in BODIES.items():
        key = f"bad {name}"
        sent[key] = await raw.send("claims.intake", key, headers(key), make(key)), code
    for name, (change, code) in HEADERS.items():
        key = f"bad {name}"
        heads = change(headers(key))
        sent[key] = await raw.send("claims.intake", key, heads, told(good(key))), code
    heads = headers("bad key")
    sent["bad key"] = (
        await raw.send("claims.intake", "x", heads, told(good("bad key"))),
        "KEY_MISMATCH",
    )
    sent["no key"] = (
        await raw.send("claims.intake", None, heads, told(good("no key"))),
        "KEY_MISMATCH",
    )
    sent["gone"] = await raw.send("claims.intake", "gone", headers("gone"), None), "TOMBSTONE"
    await bad.publish(a_claim(COMPANY, "good after all"))
    await bad.until("good after all", "posted")
    proof = await bad.proof()
    found = {
        key: codes_of(proof.reading.stories.refusals, key, position)
        for key, (position, _) in sent.items()
    }
    assert {key: code for key, (_, code) in sent.items() if code not in found[key]} == {}, found
    assert proof.holds, proof.violations
    await raw.producer.stop()


def codes_of(refusals: Document, key: str, position: str) -> tuple[str, ...]:
    """The codes a command was refused with, under its key or its position."""
    names = (key_name(SOURCE, key, 1), key_name("unknown", position, 1))
    return tuple(code for name in names if name in refusals for code in refusals[name].codes)


TOLERATED: dict[str, tuple[bytes, Headers]] = {
    "S1 unknown field": (told(good("S1 unknown field") | {"status": "approved"}), []),
    "S12 traceparent": (told(good("S12 traceparent")), [("traceparent", b"00-zz-zz-01")]),
    "foreign header": (told(good("foreign header")), [("x-anything", b"\xff\xfe")]),
}


@pytest.mark.parametrize("key", TOLERATED)
async def test_what_is_only_strange_is_taken(bad: World, raw: Raw, key: str) -> None:
    body, more = TOLERATED[key]
    heads = [head for head in headers(key) if head[0] != "traceparent"]
    await raw.send("claims.intake", key, [*heads, *more], body)
    await bad.until(key, "posted")
    await raw.producer.stop()


async def test_a_key_is_taken_once_whatever_comes_after(bad: World) -> None:
    first = a_claim(COMPANY, "O1")
    await bad.publish(first, first, a_claim(COMPANY, "O1", "99.00"))
    await bad.publish(a_claim(COMPANY, "O1", "99.00", revision=2))
    await bad.until("O1", "posted")
    proof = await bad.proof()
    assert proof.reading.stories.claims[str(claim_id(SOURCE, "O1"))].posted == 1234
    refusals = proof.reading.stories.refusals
    assert refusals[key_name(SOURCE, "O1", 1)].codes == ("KEY_REUSED",)
    assert refusals[key_name(SOURCE, "O1", 2)].codes == ("REVISION_CONFLICT",)
    assert proof.holds, proof.violations


async def test_rubbish_on_every_topic_becomes_dead_letters_and_nothing_stops(
    bad: World, raw: Raw
) -> None:
    before = sum((await bad.proof()).reading.dead_letters.values())
    for topic in TOPICS:
        await raw.send(topic, None, [], b"\x00rubbish")
        await raw.send(topic, "k", [("ce_type", b"no.such-kind.v1")], b"{}")
    await bad.publish(a_claim(COMPANY, "after rubbish"))
    await bad.until("after rubbish", "posted")

    async def buried() -> bool:
        proof = await bad.proof()
        return sum(proof.reading.dead_letters.values()) > before and proof.holds

    await eventually(buried, within=WITHIN)
    await raw.producer.stop()


JSON = {"content-type": "application/json"}
REQUESTS = [
    ("claims", "/v1/claims", b"", 400, "BODY_EMPTY"),
    ("claims", "/v1/claims", b'{"a": 1', 400, "JSON_MALFORMED"),
    ("claims", "/v1/claims", b'{"a": 1, "a": 2}', 400, "DUPLICATE_KEY"),
    ("claims", "/v1/claims", told(good("H1") | {"status": "paid"}), 422, "SCHEMA_INVALID"),
    ("claims", "/v1/claims", BODIES["M8 sums"][0]("H2"), 422, "SUM_MISMATCH"),
    ("claims", "/v1/claims", BODIES["M2 digits"][0]("H3"), 422, "SCALE"),
    (
        "approval",
        "/v1/tasks/00000000-0000-0000-0000-000000000000/approve",
        b"{",
        400,
        "JSON_MALFORMED",
    ),
    ("reconcile", "/v1/statements", b"{}", 415, "CONTENT_TYPE"),
]


@pytest.mark.parametrize(("service", "path", "body", "status", "code"), REQUESTS)
async def test_a_bad_request_is_a_problem_with_a_code(
    bad: World, service: str, path: str, body: bytes, status: int, code: str
) -> None:
    answer = await bad.post(service, path, f"{path} {code}", content=body, headers=JSON)
    problem = answer.json()
    codes = {problem["code"], *(error["code"] for error in problem.get("errors", ()))}
    assert answer.status_code == status, answer.text
    assert code in codes
    assert answer.headers["content-type"] == "application/problem+json"


def a_statement(account: str = ACCOUNT, off: int = 0) -> bytes:
    """A statement of one line; `off` is what its closing balance lies about."""
    part = Part("NO-SUCH-ENTRY-1234567", 500, "SOMEBODY", "EXPENSES")
    line = Line("transfer", DAY, DAY, -500, (part,), "BANK-REFERENCE-1")
    statement = Statement(f"S-{off}", 1, account, "GBP", DAY, 10_000, (line,))
    text = camt053(statement).decode()
    closing = Money(statement.closing, "GBP").amount
    return text.replace(closing, Money(statement.closing + off, "GBP").amount).encode()


STATEMENTS = [
    (b"no xml at all", "XML_MALFORMED"),
    (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "XML_FORBIDDEN"),
    (b"<Document/>", "STATEMENT_MISSING"),
    (a_statement(off=1), "STATEMENT_UNBALANCED"),
    (a_statement("GB00NOBODY"), "ACCOUNT_UNKNOWN"),
]


@pytest.mark.parametrize(("content", "code"), STATEMENTS, ids=[code for _, code in STATEMENTS])
async def test_a_bad_statement_is_kept_away_from_the_books(
    bad: World, content: bytes, code: str
) -> None:
    kind = {"content-type": "application/xml"}
    answer = await bad.post("reconcile", "/v1/statements", code, content=content, headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_line_nobody_knows_is_an_exception_once_however_often_it_comes(bad: World) -> None:
    kind = {"content-type": "application/xml"}
    for key, outcome in (("first", "accepted"), ("second", "duplicate")):
        answer = await bad.post(
            "reconcile", "/v1/statements", key, content=a_statement(), headers=kind
        )
        assert answer.is_success, answer.text
        assert answer.json()["statements"][0]["outcome"] == outcome
    found = await bad.get("reconcile", "/v1/exceptions", company=COMPANY)
    assert [one["code"] for one in found["items"] if one["line"]] == ["NO_CANDIDATE"]
    proof = await bad.proof()
    assert proof.holds, proof.violations
