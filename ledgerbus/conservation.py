"""Conservation of money along the chain: where every claim stands, per company and currency.

submitted = refused + withdrawn + in approval + approved + reserved + posted unpaid + paid matched

Each figure comes from its own event, so a row whose sides differ names a claim that gained or lost
money on its way. Pure: stories in, table and contradictions out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from contracts.values import Money
from ledgerbus.losses import losses
from ledgerbus.stories import Violation
from ledgerbus.story import Heard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ledgerbus.stories import Stories
    from ledgerbus.story import Refusal, Story

COLUMNS: Final = (
    "refused",
    "withdrawn",
    "in_approval",
    "approved",
    "reserved",
    "posted_unpaid",
    "paid_matched",
)
UNKNOWN: Final = "(unknown)"
# What a fact that the topics no longer keep may explain.
BY_FORGETTING: Final = frozenset(
    {
        "approved-first",
        "reserved-first",
        "posted-first",
        "entries-paired",
        "open-adds-up",
        "paid-never-negative",
        "settled-in-full",
    }
)


@dataclass(slots=True)
class Row:
    """The money of one company in one currency, in minor units, by where it stands."""

    company: str
    currency: str
    submitted: int = 0
    columns: Counter[str] = field(default_factory=Counter)

    @property
    def gap(self) -> int:
        """What was submitted and stands nowhere; zero when money is conserved."""
        return self.submitted - sum(self.columns.values())

    def plain(self) -> dict[str, str]:
        """The row as decimal strings, for JSON."""
        figures = {"submitted": self.submitted, **{c: self.columns[c] for c in COLUMNS}}
        figures["gap"] = self.gap
        amounts = {name: Money(figure, self.currency).amount for name, figure in figures.items()}
        return {"company": self.company, "currency": self.currency} | amounts


@dataclass(slots=True)
class Table:
    """The proof: one row per company and currency, states, refusal codes, contradictions, gaps."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    by_state: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    gaps: dict[str, Money] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        """Whether every cent stands somewhere and nothing contradicts anything."""
        return not self.gaps and not self.violations

    def row(self, company: str, currency: str) -> Row:
        """The row of a company and currency, made when it is new."""
        name = (company or UNKNOWN, currency)
        return self.rows.setdefault(name, Row(*name))

    def ordered(self) -> list[Row]:
        """The rows by company and currency."""
        return [self.rows[name] for name in sorted(self.rows)]


def prove(stories: Stories, *, from_the_start: bool = True, complete: bool = True) -> Table:
    """The table over all stories.

    `from_the_start`: the topics still reach back to the first fact; otherwise what is missing may
    have been forgotten. `complete`: nothing that was said waits where the topics do not show it.
    """
    table = Table(by_code=stories.codes.copy(), violations=list(stories.violations))
    for name, story in stories.claims.items():
        if story.submitted is None:
            if from_the_start:
                table.violations += _never_submitted(name, story)
            continue
        state, amounts = standing(story)
        _enter(table, name, story, state, amounts)
        table.violations += contradictions(name, story)
        if complete:
            table.violations += [Violation(rule, name, detail) for rule, detail in losses(story)]
    for key, refusal in stories.refusals.items():
        if key not in stories.accepted:
            _enter_refusal(table, key, refusal)
    if not from_the_start:
        table.violations = [v for v in table.violations if v.invariant not in BY_FORGETTING]
    return table


def standing(story: Story) -> tuple[str, dict[str, int]]:
    """A claim's state, and in which columns its money stands."""
    posted = story.posted
    if posted is not None:
        state = "posted" if not story.paid else "partly_paid"
        if story.paid == posted:
            state = "paid" if story.settled is None else "settled"
        return state, {"posted_unpaid": posted - story.paid, "paid_matched": story.paid}
    for state, column, amount in _ends_and_waits(story):
        if amount is not None:
            return state, {column: amount}
    return "submitted", {"in_approval": story.submitted or 0}


def _ends_and_waits(story: Story) -> Iterator[tuple[str, str, int | None]]:
    """Where a claim without a standing entry may be, the furthest first."""
    yield "withdrawn", "withdrawn", story.withdrawn
    yield "reversed", "withdrawn", _turned_back(story)
    yield "posting_failed", "refused", story.failed
    yield "reserved", "reserved", story.reserved
    yield "funds_refused", "refused", story.refused
    yield "rejected", "refused", story.rejected
    yield "approved", "approved", story.approved
    yield "in_approval", "in_approval", story.asked
    yield "submitted", "in_approval", story.checked


def _turned_back(story: Story) -> int | None:
    amounts = [entry.turned_back for entry in (story.entries or {}).values()]
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _enter(table: Table, name: str, story: Story, state: str, amounts: dict[str, int]) -> None:
    row = table.row(story.company, story.currency)
    row.submitted += story.submitted or 0
    row.columns.update(amounts)
    table.by_state[state] += 1
    gap = (story.submitted or 0) - sum(amounts.values())
    if gap:
        table.gaps[name] = Money(gap, story.currency)


def _enter_refusal(table: Table, key: str, refusal: Refusal) -> None:
    table.by_state["refused_at_intake"] += 1
    if refusal.total is not None:
        row = table.row(refusal.company, refusal.currency)
        row.submitted += refusal.total
        row.columns["refused"] += refusal.total
    if refusal.heard == Heard.OTHER_TOTAL:
        subject = key.replace("\x1f", "/")
        table.violations.append(
            Violation("intake-total", subject, f"refused over {refusal.total}, asked for another")
        )


def _never_submitted(name: str, story: Story) -> list[Violation]:
    """A fact about a claim nobody submitted; facts behind the watermark alone are no evidence."""
    told = [
        fact
        for fact in ("approved", "rejected", "reserved", "refused", "failed", "withdrawn")
        if getattr(story, fact) is not None
    ]
    told += ["an entry"] * bool(story.entries) + ["a payment"] * bool(story.paid_in_all)
    if not told or "submitted" in story.late:
        return []
    return [Violation("submitted-first", name, f"{', '.join(told)}, but never submitted")]


def contradictions(name: str, story: Story) -> list[Violation]:
    """What cannot all be true about one claim."""
    return [
        Violation(invariant, name, detail)
        for invariant, detail in (*_decisions(story), *_entries(story), *_payments(story))
    ]


def _decisions(story: Story) -> Iterator[tuple[str, str]]:
    if story.approved is not None and story.rejected is not None:
        yield "one-decision", "approved and rejected"
    if story.reserved is not None and story.refused is not None:
        yield "one-answer-from-budget", "reserved and refused"
    if story.failed is not None and story.entries:
        yield "one-answer-from-posting", "posted and failed"
    if story.heard == Heard.OTHER_TOTAL:
        yield "intake-total", f"submitted over {story.submitted}, asked for another"
    if story.approved is None and story.reserved is not None and "approved" not in story.late:
        yield "approved-first", "money reserved without an approval"
    if story.reserved is None and story.entries and "reserved" not in story.late:
        yield "reserved-first", "an entry without a reservation"


def _entries(story: Story) -> Iterator[tuple[str, str]]:
    if len(story.live_entries) > 1:
        yield "posted-once", f"{len(story.live_entries)} standing entries"
    for entry_id, entry in story.own_entries:
        for what, posted, recorded, late in (
            ("entry", entry.posted, entry.recorded, entry_id),
            ("reversal of", entry.turned_back, entry.turned_back_recorded, f"turned {entry_id}"),
        ):
            halves = (posted, recorded)
            if posted == recorded or (None in halves and late in story.late):
                continue  # Of a pair published at the watermark, one half may lie behind it.
            detail = f"{what} {entry_id}: posting.events {posted}, posting.entries {recorded}"
            yield "entries-paired" if None in halves else "entries-agree", detail


def _payments(story: Story) -> Iterator[tuple[str, str]]:
    posted = story.posted
    sign = -1 if (posted or story.submitted or 0) < 0 else 1
    if sign * story.paid < 0:
        yield "paid-never-negative", f"{story.paid} paid of {posted}"
    if posted is not None and sign * story.paid > sign * posted:
        yield "never-overpaid", f"{story.paid} paid of {posted}"
    if posted is None and story.paid and not story.late:
        yield "posted-first", f"{story.paid} paid without a standing entry"
    shown = story.paid_in_all + story.paid_late
    if story.settled is not None and sign * shown < sign * story.settled:
        yield "settled-in-full", f"settled over {story.settled}, the bank has shown {shown}"


def hear(stories: Stories, keys: Iterable[str], total: int | None) -> bool:
    """Compare an intake command with its answer; False when it has none under any of its keys.

    A key that is taken refuses every other total, so a command is contradicted only when neither
    what was accepted nor any refusal under its key names its total.
    """
    for key in keys:
        answer, answered = _answer(stories, key)
        if answer is None:
            continue
        if answer.heard != Heard.SAME_TOTAL and total is not None and None not in answered:
            answer.heard = Heard.SAME_TOTAL if total in answered else Heard.OTHER_TOTAL
        return True
    return False


def _answer(stories: Stories, key: str) -> tuple[Story | Refusal | None, frozenset[int | None]]:
    """What a key was answered with, and over which totals."""
    refusal = stories.refusals.get(key)
    totals = refusal.totals if refusal else frozenset()
    if key not in stories.accepted:
        return refusal, totals
    story = stories.claims[stories.accepted[key]]
    return story, totals | {story.submitted}
