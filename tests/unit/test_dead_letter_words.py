"""What a dead letter says of its failure: no secret, short, grouped by cause."""

from __future__ import annotations

import pytest

from chassis.deadletters.words import MESSAGE_BYTES, detail_of, fingerprint, scrub

SECRETS = [
    ("connect postgresql://claims:s3cret@db/claims", "s3cret"),
    ("Authorization: Bearer abc.def.ghijkl", "abc.def.ghijkl"),
    ("password=hunter22, next", "hunter22"),
    ("api_key: 'k-123456'", "k-123456"),
    ("no employee li.wei@example.com", "li.wei"),
    ("Key (iban)=(GB15HBUK40127612345678) exists", "40127612345678"),
    ("card 4111111111111111 declined", "4111111111111111"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_scrubbed(text: str, secret: str) -> None:
    assert secret not in scrub(text)


def test_what_is_no_secret_stays() -> None:
    text = "claim 018f2b6e-7e2a-7c3d-9c1a-1234567890ab: 943.40 CNY is over by 12.00, line 1700"
    assert scrub(text) == text


@pytest.mark.parametrize("text", ["x" * 5_000, "\u9519" * 5_000, "\ud800" * 5_000, "a\x00b"])
def test_a_message_is_short_and_plain(text: str) -> None:
    kept = scrub(text).encode()
    assert len(kept) <= MESSAGE_BYTES
    assert b"\x00" not in kept


def test_a_failure_without_a_detail_is_told_by_its_class() -> None:
    assert detail_of(KeyError("cost_center")) == "KeyError: 'cost_center'"


def test_a_fingerprint_is_the_cause_not_the_record() -> None:
    first = fingerprint("TOY_POISON", "toy", "kind.v1")
    assert first == fingerprint("TOY_POISON", "toy", "kind.v1")
    assert (
        len({first, fingerprint("A", "toy", "kind.v1"), fingerprint("TOY_POISON", "toy", "b")}) == 3
    )
