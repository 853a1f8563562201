"""The outside ledger of the fault kit: its books are sound whatever its answers are."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from chaos.ledger import BAD, Ledger, Mood

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = "claim:7:1"
DOCUMENT = {"key": KEY, "reference": "R-7", "company": "CX-FR"}
BEFORE = (Mood.FAIL_BEFORE, Mood.THROTTLE)


@asynccontextmanager
async def a_ledger(log: Path, percent: int) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    ledger = Ledger(log, seed=5, percent=percent, moods=Counter())
    address = await ledger.open()
    async with httpx.AsyncClient(base_url=address, timeout=10, trust_env=False) as client:
        yield ledger, client
    await ledger.close()


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().splitlines()]


async def test_an_entry_is_stored_once_known_after_that_and_found_under_its_key(
    tmp_path: Path,
) -> None:
    log = tmp_path / "ledger.jsonl"
    async with a_ledger(log, 0) as (ledger, client):
        absent = await client.get(f"/journal-entries/{KEY}")
        assert (absent.status_code, absent.json()) == (404, {"key": KEY})
        first = await client.put(f"/journal-entries/{KEY}", json=DOCUMENT)
        again = await client.put(f"/journal-entries/{KEY}", json=DOCUMENT)
        found = await client.get(f"/journal-entries/{KEY}")
        assert [first.status_code, again.status_code, found.status_code] == [201, 409, 200]
        assert first.json() == again.json() == found.json() == {"key": KEY, "number": "GL-000001"}
        assert list(ledger.entries) == [KEY]
    outcomes = [(line["outcome"], line["answered"]) for line in lines(log)]
    assert outcomes == [("absent", 404), ("stored", 201), ("known", 409), ("found", 200)]
    assert lines(log)[1]["document"] == DOCUMENT


@pytest.mark.parametrize("mood", BAD)
def test_a_bad_mood_has_its_effect_or_none_and_says_so_in_the_log(
    tmp_path: Path, mood: Mood
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", seed=1, percent=0, moods=Counter())
    status, _, outcome = ledger.judge("PUT", KEY, DOCUMENT, mood)
    assert (KEY in ledger.entries) == (mood not in BEFORE)
    assert (outcome == "stored") == (KEY in ledger.entries)
    assert (status >= 400) == (mood in {*BEFORE, Mood.FAIL_AFTER})


async def test_a_ledger_in_its_worst_mood_stores_each_key_once(tmp_path: Path) -> None:
    log = tmp_path / "ledger.jsonl"
    async with a_ledger(log, 60) as (ledger, client):
        client.timeout = httpx.Timeout(0.5)
        for number in range(5):
            for _ in range(2):
                try:
                    await client.put(f"/journal-entries/K-{number}", json={"reference": number})
                except httpx.HTTPError:
                    continue
        ledger.heal()
        stored = Counter(line["key"] for line in lines(log) if line["outcome"] == "stored")
        assert set(stored.values()) == {1}
        assert set(stored) == set(ledger.entries)
        assert sum(ledger.moods[mood] for mood in BAD) > 0
        for key, (told, _) in ledger.entries.items():
            answer = await client.get(f"/journal-entries/{key}")
            assert answer.json() == {"key": key, "number": told}
