"""What becomes of the money of a claim, as its facts arrive in whatever order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contracts.budget import (
    Allocation,
    Control,
    FundsChecked,
    FundsRefused,
    FundsReleased,
    FundsReserved,
    FundsSpent,
    ThresholdCrossed,
)
from services.budget.domain import IllegalTransition, Overdrawn, State, TotalMismatch
from tests.support.budget_books import Books, a_standing
from tests.support.budget_values import (
    a_claim,
    a_line,
    approved,
    cny,
    failed,
    posted,
    rejected,
    turned_back,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.budget.domain import Fact


def kinds(facts: list[Any]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


def test_a_submitted_claim_is_told_what_is_left_and_holds_nothing() -> None:
    books = Books(a_standing(1, 1_000, reserved=200, spent=300))
    (checked,) = books.tell(a_claim(400))
    assert isinstance(checked, FundsChecked)
    assert checked.outcome == "within"
    (seen,) = checked.budgets
    assert (seen.limit, seen.reserved, seen.spent) == (cny(1_000), cny(200), cny(300))
    assert (seen.available, seen.requested) == (cny(500), cny(400))
    assert books.figures() == {1: (200, 300)}


@pytest.mark.parametrize(
    ("control", "outcome"),
    [(Control.HARD, "over"), (Control.SOFT, "over"), (Control.NONE, "within")],
)
def test_the_check_tells_of_an_overrun_unless_the_budget_only_records(
    control: Control, outcome: str
) -> None:
    books = Books(a_standing(1, 100, control=control))
    (checked,) = books.tell(a_claim(101))
    assert isinstance(checked, FundsChecked)
    assert checked.outcome == outcome


def test_an_approved_claim_is_held_and_then_spent() -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    assert kinds(books.tell(claim)) == ["FundsChecked"]
    assert books.tell(approved(claim)) == [
        FundsReserved(
            claim_id=claim.claim_id,
            revision=1,
            company=claim.company,
            total=cny(400),
            allocations=[Allocation(budget="B1", amount=cny(400))],
        )
    ]
    assert books.figures() == {1: (400, 0)}
    assert kinds(books.tell(posted(claim))) == ["FundsSpent"]
    assert books.figures() == {1: (0, 400)}


def test_a_hard_budget_refuses_with_its_figures() -> None:
    books = Books(a_standing(1, 1_000, reserved=500, spent=200))
    claim = a_claim(301)
    said = books.tell(claim, approved(claim))
    assert kinds(said) == ["FundsChecked", "FundsRefused"]
    refused = said[1]
    assert isinstance(refused, FundsRefused)
    (reason,) = refused.reasons
    assert reason.code == "BUDGET_EXCEEDED"
    assert reason.figures == {
        "budget": "B1",
        "limit": "10.00 CNY",
        "reserved": "5.00 CNY",
        "spent": "2.00 CNY",
        "available": "3.00 CNY",
        "requested": "3.01 CNY",
    }
    assert refused.budgets[0].requested == cny(301)
    assert books.figures() == {1: (500, 200)}


def test_the_last_fen_can_be_reserved_and_no_fen_more() -> None:
    books = Books(a_standing(1, 300))
    first, second = a_claim(300), a_claim(1)
    assert kinds(books.tell(first, second, approved(first), approved(second))) == [
        "FundsChecked",
        "FundsChecked",
        "FundsReserved",
        "FundsRefused",
    ]


def test_the_second_claim_of_a_batch_sees_what_the_first_reserved() -> None:
    books = Books(a_standing(1, 300))
    claims = [a_claim(200), a_claim(200), a_claim(100)]
    books.tell_at_once(claims)
    said = books.tell_at_once([approved(claim) for claim in claims])
    assert kinds(said) == ["FundsReserved", "FundsRefused", "FundsReserved"]
    assert books.figures() == {1: (300, 0)}


def test_every_budget_from_leaf_to_root_must_carry_the_claim() -> None:
    books = Books(
        a_standing(1, 1_000, cost_center="CC-1", parent="B2"), a_standing(2, 500, project="none")
    )
    claim = a_claim(600)
    said = books.tell(claim, approved(claim))
    assert kinds(said) == ["FundsChecked", "FundsRefused"]
    assert [reason.figures["budget"] for reason in said[1].reasons] == ["B2"]
    assert books.figures() == {1: (0, 0), 2: (0, 0)}


def test_a_soft_budget_lets_an_overrun_pass_and_tells_of_it() -> None:
    books = Books(a_standing(1, 100, control=Control.SOFT, thresholds=(80,)))
    claim = a_claim(150)
    said = books.tell(claim, approved(claim))
    assert kinds(said) == ["FundsChecked", "FundsReserved", "ThresholdCrossed", "ThresholdCrossed"]
    assert [fact.percent for fact in said[2:]] == [80, 100]
    assert books.figures() == {1: (150, 0)}


def test_a_threshold_is_told_when_it_is_crossed_and_not_again() -> None:
    books = Books(a_standing(1, 1_000, thresholds=(80, 100)))
    claims = [a_claim(790), a_claim(10), a_claim(100), a_claim(100)]
    books.tell(*claims)
    said = [books.tell(approved(claim)) for claim in claims]
    assert [kinds(facts) for facts in said] == [
        ["FundsReserved"],
        ["FundsReserved", "ThresholdCrossed"],
        ["FundsReserved"],
        ["FundsReserved", "ThresholdCrossed"],
    ]
    crossed = said[1][1]
    assert isinstance(crossed, ThresholdCrossed)
    assert (crossed.budget, crossed.percent) == ("B1", 80)
    assert (crossed.limit, crossed.used) == (cny(1_000), cny(800))


def test_a_budget_of_nothing_crosses_its_thresholds_with_the_first_fen() -> None:
    books = Books(a_standing(1, 0, control=Control.NONE, thresholds=(80, 100)))
    claim = a_claim(1)
    said = books.tell(claim, approved(claim))
    assert [fact.percent for fact in said if isinstance(fact, ThresholdCrossed)] == [80, 100]


@pytest.mark.parametrize(
    ("policy", "end"),
    [
        (Control.NONE, "FundsReserved"),
        (Control.SOFT, "FundsReserved"),
        (Control.HARD, "FundsRefused"),
    ],
)
def test_the_company_decides_about_unbudgeted_money(policy: Control, end: str) -> None:
    books = Books(a_standing(1, 1_000, cost_center="CC-1"), unbudgeted=policy)
    claim = a_claim(a_line(1, 100), a_line(2, 50, cost_center="CC-2", project="P-7"))
    said = books.tell(claim, approved(claim))
    assert kinds(said) == ["FundsChecked", end]
    assert said[0].outcome == "unbudgeted"
    if isinstance(said[1], FundsRefused):
        (reason,) = said[1].reasons
        assert reason.code == "BUDGET_MISSING"
        assert reason.figures == {
            "line": "2",
            "category": "travel",
            "cost_center": "CC-2",
            "project": "P-7",
            "date": "2026-10-12",
            "requested": "0.50 CNY",
        }


def test_a_refund_holds_nothing_and_frees_nothing_until_it_is_posted() -> None:
    books = Books(a_standing(1, 1_000, spent=1_000))
    refund, claim, later = a_claim(-300), a_claim(100), a_claim(300)
    said = books.tell(refund, claim, later, approved(refund), approved(claim))
    assert kinds(said)[3:] == ["FundsReserved", "FundsRefused"]
    assert said[3].allocations == [Allocation(budget="B1", amount=cny(-300))]
    assert books.figures() == {1: (0, 1_000)}
    assert kinds(books.tell(posted(refund))) == ["FundsSpent"]
    assert books.figures() == {1: (0, 700)}
    assert kinds(books.tell(approved(later))) == ["FundsReserved"]


def test_a_refund_is_taken_by_a_budget_that_has_nothing_left() -> None:
    books = Books(a_standing(1, 100, spent=400, ceiling=400))
    refund = a_claim(-300)
    books.tell(refund, approved(refund), posted(refund))
    assert books.figures() == {1: (0, 100)}
    assert books.budgets[1].ceiling == 100


def test_a_reversed_refund_is_spent_again_even_beyond_the_limit() -> None:
    books = Books(a_standing(1, 100, spent=100))
    refund, claim = a_claim(-60), a_claim(60)
    books.tell(refund, claim, approved(refund), posted(refund), approved(claim), posted(claim))
    assert kinds(books.tell(turned_back(refund))) == ["FundsReleased"]
    assert books.figures() == {1: (0, 160)}
    assert books.budgets[1].ceiling == 160


@pytest.mark.parametrize(
    ("told", "because", "was"),
    [
        ([withdrawn], "CLAIM_WITHDRAWN", "reserved"),
        ([failed], "ENTRY_FAILED", "reserved"),
        ([posted, turned_back], "ENTRY_REVERSED", "spent"),
        ([withdrawn, failed], "CLAIM_WITHDRAWN", "reserved"),
        ([failed, withdrawn], "ENTRY_FAILED", "reserved"),
        ([posted, withdrawn, turned_back], "ENTRY_REVERSED", "spent"),
        ([turned_back, posted], "ENTRY_REVERSED", "spent"),
    ],
)
def test_money_comes_back_once_and_says_why(
    told: list[Callable[[Fact], Fact]], because: str, was: str
) -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    books.tell(claim, approved(claim))
    said = books.tell(*(tell(claim) for tell in told))
    (released,) = [fact for fact in said if isinstance(fact, FundsReleased)]
    assert (released.because, released.was) == (because, was)
    assert released.allocations == [Allocation(budget="B1", amount=cny(400))]
    assert books.figures() == {1: (0, 0)}
    assert books.tell(*(tell(claim) for tell in told)) == []


@pytest.mark.parametrize("ending", [withdrawn, rejected])
@pytest.mark.parametrize("known", [True, False])
def test_what_ended_before_approval_is_never_reserved(
    ending: Callable[[Fact], Fact], *, known: bool
) -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    facts: list[Fact] = [claim, ending(claim)] if known else [ending(claim), claim]
    said = books.tell(*facts)
    if ending is withdrawn:
        said += books.tell(approved(claim))
    assert kinds(said) == (["FundsChecked"] if known else [])
    assert books.case(claim).state is State.CLOSED
    assert books.figures() == {1: (0, 0)}


def test_an_approval_that_came_first_waits_for_the_claim() -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    assert books.tell(approved(claim)) == []
    assert kinds(books.tell(claim)) == ["FundsChecked", "FundsReserved"]


def test_an_entry_that_came_first_waits_and_is_spent_beyond_any_limit() -> None:
    books, claim = Books(a_standing(1, 100)), a_claim(400)
    assert books.tell(posted(claim)) == []
    assert kinds(books.tell(claim)) == ["FundsChecked"]
    said = books.tell(approved(claim))
    assert [kind for kind in kinds(said) if kind != "ThresholdCrossed"] == [
        "FundsReserved",
        "FundsSpent",
    ]
    assert books.figures() == {1: (0, 400)}
    late = a_claim(1)
    assert kinds(books.tell(late, approved(late))) == ["FundsChecked", "FundsRefused"]


def test_an_entry_posted_while_the_claim_was_withdrawn_is_spent_until_it_is_reversed() -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    books.tell(claim, approved(claim), withdrawn(claim))
    assert kinds(books.tell(posted(claim))) == ["FundsSpent"]
    assert books.figures() == {1: (0, 400)}
    assert kinds(books.tell(turned_back(claim))) == ["FundsReleased"]
    assert books.figures() == {1: (0, 0)}


@pytest.mark.parametrize("ending", [withdrawn, rejected])
def test_what_the_ledger_has_is_spent_though_the_claim_ended_here(
    ending: Callable[[Fact], Fact],
) -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    books.tell(claim, posted(claim))
    assert kinds(books.tell(ending(claim))) == ["FundsSpent"]
    assert books.figures() == {1: (0, 400)}


def test_each_fact_told_again_changes_nothing() -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    for fact in (claim, approved(claim), posted(claim), withdrawn(claim), turned_back(claim)):
        books.tell(fact)
        before = books.figures()
        assert books.tell(fact) == []
        assert books.figures() == before


def test_a_new_revision_is_a_case_of_its_own() -> None:
    books, first = Books(a_standing(1, 1_000)), a_claim(400)
    second = a_claim(700, claim_id=first.claim_id, revision=2)
    books.tell(first, approved(first), failed(first))
    assert kinds(books.tell(second, approved(second))) == ["FundsChecked", "FundsReserved"]
    assert books.figures() == {1: (700, 0)}


def test_a_parent_without_a_definition_holds_without_a_limit_or_figures() -> None:
    books = Books(
        a_standing(1, 1_000, cost_center="CC-1", parent="B2"),
        a_standing(2, 0, control=Control.NONE, defined=False),
    )
    claim = a_claim(400)
    said = books.tell(claim, approved(claim), posted(claim))
    assert kinds(said) == ["FundsChecked", "FundsReserved", "FundsSpent"]
    assert said[0].outcome == "within"
    assert [seen.budget for seen in said[0].budgets] == ["B1"]
    assert isinstance(said[2], FundsSpent)
    assert [part.budget for part in said[2].allocations] == ["B1", "B2"]
    assert books.figures() == {1: (0, 400), 2: (0, 400)}


def test_a_claim_of_an_undefined_company_waits_with_its_cause() -> None:
    books, claim = Books(a_standing(1, 1_000), known=False), a_claim(400)
    assert books.tell(claim, approved(claim)) == []
    case = books.case(claim)
    assert case.cause is not None
    assert case.cause.correlation_id == str(claim.claim_id)
    books.known = True
    assert kinds(books.resume(claim)) == ["FundsChecked", "FundsReserved"]
    assert books.case(claim).cause is None


@pytest.mark.parametrize(
    ("first", "second"),
    [(approved, rejected), (rejected, approved), (posted, failed), (failed, posted)],
)
def test_facts_that_exclude_each_other_are_a_defect(
    first: Callable[[Fact], Fact], second: Callable[[Fact], Fact]
) -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    books.tell(claim, first(claim))
    with pytest.raises(IllegalTransition) as defect:
        books.tell(second(claim))
    assert defect.value.code == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize("later", [approved, posted])
def test_another_amount_than_the_claims_is_a_defect(later: Callable[[Fact], Fact]) -> None:
    books, claim = Books(a_standing(1, 1_000)), a_claim(400)
    books.tell(claim)
    with pytest.raises(TotalMismatch):
        books.tell(later(claim.model_copy(update={"total": cny(401)})))


def test_lines_that_do_not_add_up_are_a_defect() -> None:
    with pytest.raises(TotalMismatch):
        Books(a_standing(1, 1_000)).tell(a_claim(400, total=cny(401)))


@pytest.mark.parametrize(
    ("reserved", "spent", "control"), [(-1, 0, Control.NONE), (60, 41, Control.HARD)]
)
def test_a_budget_that_cannot_be_is_not_made(reserved: int, spent: int, control: Control) -> None:
    with pytest.raises(Overdrawn):
        a_standing(1, 100, reserved=reserved, spent=spent, control=control)


def test_after_a_cut_the_ceiling_comes_down_with_the_use() -> None:
    budget = a_standing(1, 50, reserved=80, ceiling=80).budget
    assert budget.available == -30
    assert budget.lacks(1)
    assert budget.release(20).ceiling == 60
    assert budget.release(80).ceiling == 50
