"""What holds for any budgets and any facts in any order."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hypothesis import given as whenever
from hypothesis import settings
from hypothesis import strategies as st

from contracts.budget import (
    Control,
    FundsChecked,
    FundsRefused,
    FundsReleased,
    FundsReserved,
    FundsSpent,
)
from services.budget.domain import State
from tests.support.budget_books import Books, a_standing
from tests.support.budget_values import (
    a_claim,
    a_line,
    approved,
    failed,
    posted,
    rejected,
    turned_back,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.claims import ClaimSubmitted
    from services.budget.domain import Fact

CENTERS = ("CC-1", "CC-2", "CC-3")  # The third has no budget below the root.
ENDINGS: list[list[Callable[[Fact], Fact]]] = [
    [],
    [approved],
    [rejected],
    [withdrawn],
    [approved, withdrawn],
    [approved, failed],
    [approved, posted],
    [approved, posted, withdrawn, turned_back],
    [approved, withdrawn, posted, turned_back],
    [approved, withdrawn, posted],  # The ledger may be unable to turn an entry back.
]

BRIEF = settings(max_examples=25, deadline=None)  # Seconds count, and a busy machine is no defect.

amounts = st.one_of(st.integers(200, 700), st.integers(-300, -1))
controls = st.sampled_from(Control)


@st.composite
def some_claims(draw: st.DrawFn) -> list[ClaimSubmitted]:
    claims = []
    for number in range(draw(st.integers(3, 6))):
        lines = draw(st.lists(st.tuples(amounts, st.sampled_from(CENTERS)), min_size=1, max_size=3))
        made = [
            a_line(place, minor, cost_center=center)
            for place, (minor, center) in enumerate(lines, start=1)
        ]
        claims.append(a_claim(*made, claim_id=UUID(int=number + 1)))
    return claims


@st.composite
def some_books(draw: st.DrawFn, control: st.SearchStrategy[Control] = controls) -> Books:
    limits = st.integers(0, 1_200)
    return Books(
        a_standing(1, draw(limits), control=draw(control), cost_center="CC-1", parent="B3"),
        a_standing(2, draw(limits), control=draw(control), cost_center="CC-2", parent="B3"),
        a_standing(
            3, draw(limits), control=draw(control), project="none", parent="B4", thresholds=(50,)
        ),
        a_standing(4, draw(limits), control=draw(control), project="none", thresholds=(80, 100)),
        unbudgeted=draw(controls),
    )


@st.composite
def stories(draw: st.DrawFn) -> list[list[Fact]]:
    """For each claim all that is told of it, in its proper order."""
    return [
        [claim, *(tell(claim) for tell in draw(st.sampled_from(ENDINGS)))]
        for claim in draw(some_claims())
    ]


@st.composite
def any_order(draw: st.DrawFn) -> list[Fact]:
    """All facts of some claims, shuffled, some told twice."""
    facts: list[Fact] = [fact for story in draw(stories()) for fact in story]
    again = draw(st.lists(st.sampled_from(facts), max_size=5))
    return draw(st.permutations([*facts, *again]))


@st.composite
def interleaved(draw: st.DrawFn) -> list[Fact]:
    """The facts of some claims between each other, each claim's own in their order."""
    waiting = [list(story) for story in draw(stories())]
    facts: list[Fact] = []
    while waiting := [story for story in waiting if story]:
        facts.append(draw(st.sampled_from(waiting)).pop(0))
    return facts


def judge(books: Books) -> None:
    """What holds after every fact."""
    held: Counter[int] = Counter()
    spent: Counter[int] = Counter()
    for case in books.cases.values():
        for number, amount in case.held.items():
            if case.state is State.RESERVED:
                held[number] += max(amount, 0)
            if case.state is State.SPENT:
                spent[number] += amount
    for number, budget in books.budgets.items():
        assert budget.limit == budget.available + budget.reserved + budget.spent
        assert (budget.reserved, budget.spent) == (held[number], spent[number])


@BRIEF
@whenever(some_books(), any_order())
def test_whatever_the_order_figures_are_what_the_cases_hold(
    books: Books, facts: list[Fact]
) -> None:
    for fact in facts:
        for said in books.tell(fact):
            for seen in getattr(said, "budgets", []):
                assert seen.limit == seen.available + seen.reserved + seen.spent
        judge(books)


@BRIEF
@whenever(some_books(st.just(Control.HARD)), interleaved())
def test_a_hard_budget_is_never_over_reserved(books: Books, facts: list[Fact]) -> None:
    """The ledger posts and fails only what was reserved; refunds are not turned back here."""
    for fact in facts:
        case = books.cases.get((fact.claim_id, fact.revision))
        ledgers = fact.kind.startswith("posting.")
        unheld = case is None or case.state not in (State.RESERVED, State.SPENT)
        refund = case is not None and any(amount < 0 for amount in case.held.values())
        if ledgers and (unheld or (refund and fact.kind.startswith("posting.entry-reversed"))):
            continue
        books.tell(fact)
        for budget in books.budgets.values():
            assert budget.reserved >= 0
            assert budget.used <= budget.limit == budget.ceiling
        judge(books)


@BRIEF
@whenever(some_books(), interleaved(), st.data())
def test_a_batch_equals_its_facts_one_by_one(
    books: Books, facts: list[Fact], data: st.DataObject
) -> None:
    other = Books(unbudgeted=books.unbudgeted)
    other.budgets, other.tree = dict(books.budgets), books.tree
    one_by_one = books.tell(*facts)
    at_once: list[Any] = []
    rest = facts
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        at_once += other.tell_at_once(rest[:size])
        rest = rest[size:]
    assert at_once == one_by_one
    assert other.budgets == books.budgets
    assert other.cases == books.cases


@BRIEF
@whenever(
    some_books(st.just(Control.NONE)), st.lists(any_order(), min_size=1, max_size=1), st.data()
)
def test_without_limits_the_order_of_facts_does_not_matter(
    books: Books, orders: list[list[Fact]], data: st.DataObject
) -> None:
    books.unbudgeted = Control.NONE
    other = Books(unbudgeted=Control.NONE)
    other.budgets, other.tree = dict(books.budgets), books.tree
    books.tell(*orders[0])
    other.tell(*data.draw(st.permutations(orders[0])))
    assert other.figures() == books.figures()


@BRIEF
@whenever(some_books(), any_order())
def test_money_is_reserved_once_and_leaves_once(books: Books, facts: list[Fact]) -> None:
    said = books.tell(*facts)
    for key, case in books.cases.items():
        own = [fact for fact in said if (fact.claim_id, fact.revision) == key]
        count = Counter(type(fact) for fact in own)
        assert count[FundsChecked] <= 1
        assert count[FundsReserved] + count[FundsRefused] <= 1
        assert count[FundsSpent] <= 1
        releases = [fact for fact in own if isinstance(fact, FundsReleased)]
        assert len({fact.was for fact in releases}) == len(releases)
        if case.state is State.RESERVED:
            assert count[FundsReserved] == 1
            assert not releases
