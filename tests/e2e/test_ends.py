"""Every end that is no payment: with its reason, its money given back, and nothing left over."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from contracts.claims import WithdrawClaim
from contracts.masterdata import AccountMapped, PeriodDefined
from contracts.values import claim_id
from ledgerbus.stories import key_name
from tests.e2e.world import SOURCE, WITHIN, World, a_claim, pounds
from tests.support import eventually

if TYPE_CHECKING:
    from ledgerbus.prove import Proof

COMPANY = "ENDS"
ACCOUNT = "GB82WEST12345698765432"
SHUT = "SHUT"
SINCE = date(2026, 1, 1)


@pytest.fixture(scope="module")
async def ends(world: World) -> World:
    """The company these stories happen in."""
    await world.found(COMPANY, ACCOUNT)
    return world


async def reserved_in(world: World, budget: str, company: str = COMPANY) -> str:
    """What a budget holds at this moment."""
    told = await world.get("budget", f"/v1/budgets/{company}/{budget}")
    return str(told["budget"]["reserved"]["amount"])


def row_of(proof: Proof) -> dict[str, str]:
    """The company's line of the table, without what is nothing."""
    (row,) = [row.plain() for row in proof.table.ordered() if row.company == COMPANY]
    row["posted"] = str(Decimal(row.pop("posted_unpaid")) + Decimal(row.pop("paid_matched")))
    return {name: text for name, text in row.items() if text not in {"0.00", COMPANY, "GBP"}}


async def test_a_rejected_claim_tells_who_and_why(ends: World) -> None:
    await ends.publish(a_claim(COMPANY, "rejected", "600.00"))
    task = await ends.task_of("rejected")
    path = f"/v1/tasks/{task['task_id']}/reject"
    body = {"by": f"{COMPANY}-M1", "reason": "no receipt"}
    answer = await ends.post("approval", path, "rejected", json=body)
    assert answer.status_code == 200, answer.text
    await ends.until("rejected", "rejected")
    last = (await ends.journey("rejected"))[-1]
    assert last["actor"] == f"{COMPANY}-M1"
    assert "no receipt" in last["figures"]["reasons"][0]["detail"]


async def test_nobody_approves_their_own_claim_or_a_strangers(ends: World) -> None:
    await ends.publish(a_claim(COMPANY, "stays-open", "700.00"))
    task = await ends.task_of("stays-open")
    path = f"/v1/tasks/{task['task_id']}/approve"
    own = await ends.post("approval", path, "own", json={"by": f"{COMPANY}-E1"})
    other = await ends.post("approval", path, "other", json={"by": f"{COMPANY}-E2"})
    assert (own.status_code, own.json()["code"]) == (403, "SELF_APPROVAL")
    assert (other.status_code, other.json()["code"]) == (403, "NOT_AN_APPROVER")
    assert await ends.state(str(claim_id(SOURCE, "stays-open"))) == "in_approval"


async def test_a_budget_that_cannot_carry_a_claim_says_its_figures(ends: World) -> None:
    await ends.publish(a_claim(COMPANY, "fits", "80.00", cost_center="NARROW"))
    await ends.until("fits", "posted")
    await ends.publish(a_claim(COMPANY, "too-much", "20.01", cost_center="NARROW"))
    await ends.until("too-much", "funds_refused")
    claim = await ends.get("claims", f"/v1/claims/{claim_id(SOURCE, 'too-much')}")
    (reason,) = claim["reasons"]
    assert reason["code"] == "BUDGET_EXCEEDED"
    assert {"available", "requested", "limit"} <= reason["figures"].keys()
    assert await reserved_in(ends, "NARROW") == "0.00"


async def test_claims_are_held_for_what_is_missing_and_each_goes_on_when_its_own_comes(
    ends: World,
) -> None:
    account = "GB29NWBK60161331926819"
    await ends.found(SHUT, account, periods="closed", any_expense="expense:travel")
    await ends.publish(
        a_claim(SHUT, "no-period"),
        a_claim(SHUT, "no-account", category="meals"),
        a_claim(SHUT, "given-up", category="meals"),
    )
    for key in ("no-period", "no-account", "given-up"):
        await ends.until(key, "posting_held")
    claim = await ends.get("claims", f"/v1/claims/{claim_id(SOURCE, 'no-period')}")
    assert [reason["code"] for reason in claim["reasons"]] == ["PERIOD_CLOSED"]
    causes = (await ends.get("posting", "/v1/holds/causes", company=SHUT))["items"]
    assert {(cause["code"], cause["claims"]) for cause in causes} == {
        ("PERIOD_CLOSED", 3),
        ("ACCOUNT_MAPPING_MISSING", 2),
    }
    assert await reserved_in(ends, "ALL", SHUT) == "37.02"
    assert (await ends.proof()).holds

    await ends.publish(PeriodDefined(company=SHUT, period="2026-09", status="open"))
    await ends.until("no-period", "posted")
    body = {"claim_id": str(claim_id(SOURCE, "given-up")), "by": "E-7", "because": "paid in cash"}
    answer = await ends.post("posting", "/v1/holds/give-up", "given-up", json=body)
    assert answer.status_code == 200, answer.text
    await ends.until("given-up", "posting_failed")
    assert await ends.state(str(claim_id(SOURCE, "no-account"))) == "posting_held"
    await ends.publish(
        AccountMapped(company=SHUT, purpose="expense:meals", account="6711", valid_from=SINCE)
    )
    await ends.until("no-account", "posted")

    async def given_back() -> bool:
        return await reserved_in(ends, "ALL", SHUT) == "0.00"

    await eventually(given_back, within=WITHIN)


async def test_a_withdrawn_claim_holds_nothing(ends: World) -> None:
    await ends.publish(a_claim(COMPANY, "withdrawn", "800.00"))
    await ends.task_of("withdrawn")
    stranger = WithdrawClaim(source=SOURCE, source_key="withdrawn", by=f"{COMPANY}-E2")
    owner = WithdrawClaim(source=SOURCE, source_key="withdrawn", by=f"{COMPANY}-E1")
    await ends.publish(stranger, owner, owner)
    await ends.until("withdrawn", "withdrawn")
    tasks = [t["claim_id"] for t in (await ends.get("approval", "/v1/tasks"))["items"]]
    assert str(claim_id(SOURCE, "withdrawn")) not in tasks
    view = await ends.get("budget", f"/v1/claims/{claim_id(SOURCE, 'withdrawn')}")
    assert view["revisions"][0]["withdrawn"] is True
    assert view["revisions"][0]["state"] not in {"reserved", "spent"}


async def test_a_refused_claim_names_every_fault_and_may_come_again(ends: World) -> None:
    wrong = a_claim(COMPANY, "again", cost_center="NOWHERE", total=pounds("12.35"))
    await ends.publish(wrong)

    refusals = (await ends.proof()).reading.stories.refusals
    told = refusals[key_name(SOURCE, "again", 1)].codes
    assert set(told) == {"SUM_MISMATCH", "COST_CENTER_UNKNOWN"}
    await ends.publish(a_claim(COMPANY, "again"))
    await ends.until("again", "posted")


async def test_after_all_ends_every_penny_stands_in_its_column(ends: World) -> None:
    proof = await ends.proof()
    assert proof.holds, proof.plain()
    assert row_of(proof) == {
        "submitted": "2212.35",
        "refused": "620.01",
        "withdrawn": "800.00",
        "in_approval": "700.00",
        "posted": "92.34",
    }
    assert await reserved_in(ends, "ALL") == "0.00"
