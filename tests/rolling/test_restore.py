"""One service's database set back to an earlier moment: the same books, to the cent, as before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.claims import WithdrawClaim
from tests.e2e.world import SOURCE, World, a_claim
from tests.rolling.saved import back_up, set_back

if TYPE_CHECKING:
    from pathlib import Path

COMPANY = "BACK"
ACCOUNT = "GB94BARC10201530093459"
TAKES_BACK = ("posting", "budget", "claims")
ALL = ("claims", "approval", "budget", "posting", "reconcile")


async def test_a_service_set_back_takes_up_what_it_had_said(world: World, tmp_path: Path) -> None:
    await world.found(COMPANY, ACCOUNT)
    await world.publish(*[a_claim(COMPANY, f"early-{n}", f"{n + 1}.00") for n in range(20)])
    await world.publish(a_claim(COMPANY, "narrow-1", "60.00", cost_center="NARROW"))
    await world.settle()
    for service in TAKES_BACK:
        await back_up(world, service, tmp_path)

    await some_life(world)
    before = await books(world)
    for service in TAKES_BACK:
        world.where = (await set_back(world, service, tmp_path)).where
        assert "took back what was said" in log_of(world, service)
        assert await books(world) == before, service
    await world.publish(a_claim(COMPANY, "after", "9.00"))
    await world.until("after", "posted")
    after = await books(world)
    assert len(after.entries) == len(before.entries) + 1


async def some_life(world: World) -> None:
    """What the backups know nothing of: claims by both ways, a refusal, a withdrawal, people."""
    await world.publish(*[a_claim(COMPANY, f"late-{n}", f"{n + 1}.50") for n in range(20)])
    body = a_claim(COMPANY, "by-http", "30.00").model_dump(mode="json")
    taken = await world.post("claims", "/v1/claims", "late-http-1", json=body)
    assert taken.is_success, taken.text
    await world.publish(a_claim(COMPANY, "narrow-2", "70.00", cost_center="NARROW"))
    await world.publish(a_claim(COMPANY, "large", "900.00"), a_claim(COMPANY, "taken", "800.00"))
    task = await world.task_of("large")
    path = f"/v1/tasks/{task['task_id']}/approve"
    said = await world.post("approval", path, "late-yes", json={"by": f"{COMPANY}-M1"})
    assert said.is_success, said.text
    await world.task_of("taken")
    away = WithdrawClaim(source=SOURCE, source_key="taken", by=f"{COMPANY}-E1", reason="mine")
    await world.publish(away)
    for key, state in (
        ("by-http", "posted"),
        ("narrow-2", "funds_refused"),
        ("large", "posted"),
        ("taken", "withdrawn"),
    ):
        await world.until(key, state)


@dataclass(frozen=True, slots=True)
class Books:
    """What must be the same before and after."""

    states: dict[str, str]
    entries: Counter[str]
    money: dict[str, str]
    budgets: list[dict[str, Any]]


async def books(world: World) -> Books:
    """Where every claim stands and what finance has seen; everything else must be in order."""
    proof = await world.proof()
    assert proof.holds, proof.plain()["violations"]
    for service in ALL:
        asked = await world.get(service, "/v1/invariants")
        assert asked["violations"] == [], service
    claims = await world.get("claims", "/v1/claims", company=COMPANY, limit=1000)
    (row,) = [row for row in proof.table.ordered() if row.company == COMPANY]
    entries = await world.get("posting", "/v1/entries", company=COMPANY, limit=1000)
    numbers = Counter(entry["entry_number"] for entry in entries["items"])
    assert set(numbers.values()) == {1}
    budgets = await world.get("budget", "/v1/budgets", company=COMPANY)
    return Books(
        {claim["claim_id"]: claim["state"] for claim in claims["items"]},
        numbers,
        row.plain(),
        budgets["items"],
    )


def log_of(world: World, service: str) -> str:
    """What the service has written so far."""
    return (world.root / "logs" / f"{service}.log").read_text(encoding="utf-8")
