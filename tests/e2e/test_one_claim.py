"""One claim from a file to its settlement, over the command line, in one connected story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contracts.values import claim_id
from tests.e2e.world import WITHIN, World
from tests.support import eventually

if TYPE_CHECKING:
    from pathlib import Path

COMPANY = "NORTH"
ACCOUNT = "GB33BUKB20201555555555"
SERVICES = ["approval", "budget", "claims", "cli", "posting", "reconcile"]
LAYOUT = f"""
name: north
title: A small file of the tests
source: north-file
company: {COMPANY}
currency: GBP
key: "{{number}}"
grouped: true
employee: "{{employee}}"
paid_by: "{{paid by}}"
purpose: "{{purpose}}"
lines:
  - {{category: "{{category}}", cost_center: "{{center}}", date: day, gross: amount}}
"""
HEADER = "number,employee,paid by,purpose,category,center,day,amount\n"


@pytest.fixture(scope="module")
async def north(world: World) -> World:
    """The company these stories happen in."""
    await world.found(COMPANY, ACCOUNT)
    return world


@pytest.fixture
def layout(tmp_path: Path) -> str:
    """The layout of the tests' files."""
    path = tmp_path / "north.yaml"
    path.write_text(LAYOUT, encoding="utf-8")
    return str(path)


async def story_of(world: World, claim: str) -> list[str]:
    """The kinds of everything that was said about a claim."""
    steps = (await world.get("claims", f"/v1/claims/{claim}/journey"))["steps"]
    return [step["kind"] for step in steps]


async def test_a_claim_goes_from_a_file_to_settled_under_connected_traces(
    north: World, tmp_path: Path, layout: str
) -> None:
    file = tmp_path / "claims.csv"
    rows = "N-1,NORTH-E1,employee,Fair,travel,WIDE,2026-09-15,400.00\n"
    rows += "N-1,NORTH-E1,employee,Fair,meals,WIDE,2026-09-16,312.50\n"
    file.write_text(HEADER + rows, encoding="utf-8")
    claim = str(claim_id("north-file", "N-1"))
    tally = await north.command("import", "claims", str(file), "--layout", layout, "--json")
    assert (tally["rows"], tally["claims"], tally["sums"][0]["sum"]) == (2, 1, "712.50")

    task = await north.task_of_claim(claim)
    assert (task["total"]["amount"], task["budget"]) == ("712.50", "within")
    path = f"/v1/tasks/{task['task_id']}/approve"
    answer = await north.post("approval", path, "N-1", json={"by": "NORTH-M1"})
    assert answer.status_code == 200, answer.text
    await north.until_claim(claim, "posted")

    paid = await north.command("demo", "bank", "--noise", "off", "--deliver", "--json")
    assert paid["payments"] >= 1
    assert paid["deliveries"][0]["statements"][0]["outcome"] == "accepted"
    await north.until_claim(claim, "settled")

    shown = await north.command("claim", "show", claim, "--json")
    (entry,) = shown["entries"]["items"]
    assert sum(int(x["amount"]["amount"].replace(".", "")) for x in entry["lines"]) == 2 * 71250
    assert shown["bank"]["items"][0]["state"] == "paid"
    assert "settled" in await north.command("claim", "show", "N-1")
    await the_trace_is_whole(north, claim)

    proof = await north.command("prove", "--file", str(file), "--layout", layout, "--json")
    assert proof["holds"] is True
    assert proof["file"]["outcomes"] == [
        {"outcome": "settled", "currency": "GBP", "claims": 1, "sum": "712.50"}
    ]
    assert (await north.command("demo", "score", "--json"))["wrong"] == 0


async def the_trace_is_whole(world: World, claim: str) -> None:
    """Two traces, linked where a person was waited for; within each, every span has its parent."""

    async def traced() -> dict[str, Any] | None:
        told = await world.command("trace", claim, "--json")
        services = {span["service"] for trace in told["traces"] for span in trace["spans"]}
        return told if sorted(services) == SERVICES else None

    told: dict[str, Any] = await eventually(traced, within=WITHIN)
    before, after = told["traces"]
    beside = {trace["trace_id"] for trace in told["linked"]}  # The whole statement's delivery.
    assert set(after["links"]) == {before["trace_id"], *beside}
    for trace in (before, after):
        spans = {span["span_id"]: span for span in trace["spans"]}
        roots = [span for span in trace["spans"] if span["parent_id"] is None]
        assert len(roots) == 1
        assert not [span for span in trace["spans"] if span["parent_missing"]]
        for span in trace["spans"]:
            parent = spans.get(span["parent_id"] or "", roots[0])
            assert span["offset_ns"] >= parent["offset_ns"]
    assert roots[0]["name"].startswith("POST /v1/tasks/")


async def test_the_same_file_again_changes_nothing(
    north: World, tmp_path: Path, layout: str
) -> None:
    file = tmp_path / "claims.csv"
    row = "N-2,NORTH-E2,employee,,travel,WIDE,2026-09-15,10.00\n"
    file.write_text(HEADER + row, encoding="utf-8")
    claim = str(claim_id("north-file", "N-2"))
    await north.command("import", "claims", str(file), "--layout", layout)
    await north.until_claim(claim, "posted")
    before = await story_of(north, claim)
    await north.command("import", "claims", str(file), "--layout", layout)
    await north.settle()
    assert await story_of(north, claim) == before
