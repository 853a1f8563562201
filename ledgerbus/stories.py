"""What the topics say about each claim: a pure fold of facts, lean enough for millions of them.

A fact is folded from its decoded body; each figure is kept from its own event and never derived, so
that a wrong amount anywhere shows up as a gap. The same event read twice is folded once, and so is
the same fact under another event id: a service that is set back to a backup says it again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from pydantic_core import PydanticCustomError

from contracts.values import Money
from ledgerbus.story import Due, Entry, Refusal, Story

if TYPE_CHECKING:
    from collections.abc import Callable


GIVEN_IDS: Final = frozenset({"entry_id", "match_id"})  # New whenever the same is done again.


class Fact(NamedTuple):
    """One record of a topic; a `late` one lies behind the watermark and can only excuse others.

    Of a `due` one the consequences must be out: who listens to it has taken it long enough ago.
    """

    kind: str
    event_id: int
    body: dict[str, Any]
    late: bool = False
    due: bool = False


class Violation(NamedTuple):
    """Something that must never be: which rule, about what, with which figures."""

    invariant: str
    subject: str
    detail: str


@dataclass(slots=True)
class Stories:
    """Everything folded so far; feed claims.events first and claims.intake last."""

    claims: dict[str, Story] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    repeats: int = 0
    facts: int = 0
    _seen: set[int] = field(default_factory=set)
    _said: set[int] = field(default_factory=set)

    def tell(self, fact: Fact) -> None:
        """Fold one fact; kinds without a part in the sums are passed over."""
        teller = _TELLERS.get(fact.kind)
        if teller is None:
            return
        if fact.event_id in self._seen:
            self.repeats += 1
            return
        self._seen.add(fact.event_id)
        self.facts += not fact.late
        try:
            teller(self, fact)
        except (KeyError, TypeError, ValueError, PydanticCustomError) as problem:
            subject = str(fact.body.get("claim_id", fact.kind))
            self.accuse("fact-readable", subject, f"{fact.kind} lacks a readable {problem}")

    def accuse(self, invariant: str, subject: str, detail: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(invariant, subject, detail))

    def repeated(self, fact: Fact, turn: int = 0) -> bool:
        """Whether the same was said before, under another event id; it counts as redelivered."""
        mark = mark_of(fact, turn)
        if mark not in self._said:
            self._said.add(mark)
            return False
        self.repeats += 1
        self.facts -= 1
        return True

    def of(self, body: dict[str, Any]) -> tuple[str, Story]:
        """The story a fact belongs to; a new one when it is the first."""
        name = story_name(body["claim_id"], body["revision"])
        story = self.claims.get(name)
        if story is None:
            story = self.claims[name] = Story()
        return name, story


def mark_of(fact: Fact, turn: int = 0) -> int:
    """A number for what a fact says, whichever ids it was given when it was said."""
    body = {name: value for name, value in fact.body.items() if name not in GIVEN_IDS}
    line = body.get("bank_line")
    if isinstance(line, dict):
        body["bank_line"] = {name: value for name, value in line.items() if name != "line_id"}
    return hash((fact.kind, turn, orjson.dumps(body, option=orjson.OPT_SORT_KEYS)))


def story_name(claim_id: str, revision: int) -> str:
    """How a claim's revision is called in tables and violations: the bare id for the first."""
    return claim_id if revision == 1 else f"{claim_id}/{revision}"


def key_name(source: str, source_key: str, revision: int) -> str:
    """The name of an intake command: whose, which, and which attempt."""
    return f"{source}\x1f{source_key}\x1f{revision}"


def minor(stories: Stories, name: str, story: Story, amount: dict[str, str]) -> int:
    """The amount in minor units; another currency than the claim's is a violation."""
    money = Money.parse(amount["amount"], amount["currency"])
    if not story.currency:
        story.currency = money.currency
    elif story.currency != money.currency:
        stories.accuse("one-currency", name, f"{money} in a story that began in {story.currency}")
    known = story.submitted
    return known if known == money.minor and known is not None else money.minor


def _once(attribute: str, due: Due = Due.NOTHING) -> Callable[[Stories, Fact], None]:
    """A teller for a fact that may be said once per claim revision."""

    def tell(stories: Stories, fact: Fact) -> None:
        name, story = stories.of(fact.body)
        if fact.late:
            story.late |= {attribute}
            return
        story.mark(due, reached=fact.due)
        if stories.repeated(fact):
            return
        _same_company(stories, name, story, fact)
        if getattr(story, attribute) is not None:
            stories.accuse("said-once", name, f"a second {fact.kind}, and it says something else")
        setattr(story, attribute, minor(stories, name, story, fact.body["total"]))
        stories.codes.update({reason["code"] for reason in fact.body.get("reasons", ())})

    return tell


def _latest(attribute: str) -> Callable[[Stories, Fact], None]:
    """A teller for a fact that may be said again; the last counts."""

    def tell(stories: Stories, fact: Fact) -> None:
        name, story = stories.of(fact.body)
        if fact.late:
            story.late |= {attribute}
            return
        _same_company(stories, name, story, fact)
        setattr(story, attribute, minor(stories, name, story, fact.body["total"]))

    return tell


_let_go, _given_back = _latest("let_go"), _latest("given_back")


def _released(stories: Stories, fact: Fact) -> None:
    teller = _given_back if fact.body["was"] == "spent" else _let_go
    teller(stories, fact)


def _same_company(stories: Stories, name: str, story: Story, fact: Fact) -> None:
    company = fact.body["company"]
    if not story.company:
        story.company = company
    elif story.company != company:
        stories.accuse(
            "one-company", name, f"{fact.kind} names {company}, the claim is {story.company}'s"
        )


_taken = _once("submitted")


def _submitted(stories: Stories, fact: Fact) -> None:
    _taken(stories, fact)
    body = fact.body
    name, story = stories.of(body)
    if fact.late:
        return
    key = key_name(body["source"], body["source_key"], body["revision"])
    story.key = key
    stories.accepted[key] = name


def _refused_at_intake(stories: Stories, fact: Fact) -> None:
    body = fact.body
    if fact.late:
        return
    total = body.get("total")
    money = Money.parse(total["amount"], total["currency"]) if total else None
    codes = tuple(dict.fromkeys(reason["code"] for reason in body["reasons"]))
    stories.codes.update(codes)
    key = key_name(body["source"], body["source_key"], body.get("revision", 1))
    former = stories.refusals.get(key)
    totals = former.totals if former else frozenset()
    totals |= {money.minor if money else None}
    if money is None and former is not None:
        former.totals = totals
        return  # A refused withdrawal, say, takes no figure away from the refused claim.
    stories.refusals[key] = Refusal(
        company=body.get("company", ""),
        currency=money.currency if money else "",
        total=money.minor if money else None,
        codes=codes,
        totals=totals,
    )


def _entry(story: Story, entry_id: str) -> Entry:
    if story.entries is None:
        story.entries = {}
    return story.entries.setdefault(entry_id, Entry())


def _entry_posted(stories: Stories, fact: Fact) -> None:
    name, story = stories.of(fact.body)
    entry_id = fact.body["entry_id"]
    if fact.late:
        story.late |= {entry_id}
        return
    _same_company(stories, name, story, fact)
    story.mark(Due.POSTED, reached=fact.due)
    mark = mark_of(fact)
    for known in (story.entries or {}).values():
        if known.mark == mark and story.entries is not None:
            story.entries[entry_id] = known  # The same number, dates and payee: posted again.
            return
    entry = _entry(story, entry_id)
    entry.mark = mark
    entry.posted = minor(stories, name, story, fact.body["total"])


def _entry_reversed(stories: Stories, fact: Fact) -> None:
    name, story = stories.of(fact.body)
    if fact.late:
        story.late |= {f"turned {fact.body['reverses']}"}
        return
    story.mark(Due.TURNED_BACK, reached=fact.due)
    amount = minor(stories, name, story, fact.body["total"])
    _entry(story, fact.body["reverses"]).turned_back = amount


def _entry_recorded(stories: Stories, fact: Fact) -> None:
    name, story = stories.of(fact.body)
    body = fact.body
    if fact.late:
        story.late |= {f"turned {body['reverses']}" if body.get("reverses") else body["entry_id"]}
        return
    amount = minor(stories, name, story, body["total"])
    if body.get("reverses"):
        _entry(story, body["reverses"]).turned_back_recorded = amount
    else:
        _entry(story, body["entry_id"]).recorded = amount
    sides: Counter[str] = Counter()
    for line in body["lines"]:
        sides[line["side"]] += minor(stories, name, story, line["amount"])
    if sides["debit"] != sides["credit"]:
        stories.accuse(
            "entries-balance",
            name,
            f"entry {body['entry_number']}: debits {sides['debit']}, credits {sides['credit']}",
        )


def _payment(attribute: str, sign: int) -> Callable[[Stories, Fact], None]:
    """A teller for money the bank has shown, or taken back."""

    def tell(stories: Stories, fact: Fact) -> None:
        name, story = stories.of(fact.body)
        amount = sign * minor(stories, name, story, fact.body[attribute])
        if fact.late:
            story.paid_late += max(sign, 0) * amount
            return
        story.mark(Due.PAID, reached=fact.due)
        story.turns += story.turns % 2 != (sign < 0)  # Money may come again after it went back.
        if stories.repeated(fact, story.turns):
            return
        story.paid += amount
        story.paid_in_all += amount if sign > 0 else 0
        rest = minor(stories, name, story, fact.body["open"])
        owed = minor(stories, name, story, fact.body["total"])
        if owed - story.paid != rest:
            stories.accuse(
                "open-adds-up",
                name,
                f"{fact.kind} says {rest} is open; {owed} less {story.paid} paid is not that",
            )

    return tell


_TELLERS: Final[dict[str, Callable[[Stories, Fact], None]]] = {
    "claims.claim-submitted.v1": _submitted,
    "claims.claim-refused.v1": _refused_at_intake,
    "claims.claim-withdrawn.v1": _once("withdrawn", Due.WITHDRAWN),
    "claims.claim-settled.v1": _latest("settled"),
    "budget.funds-checked.v1": _latest("checked"),
    "approval.step-opened.v1": _latest("asked"),
    "approval.claim-approved.v1": _once("approved"),
    "approval.claim-rejected.v1": _once("rejected"),
    "budget.funds-reserved.v1": _once("reserved"),
    "budget.funds-refused.v1": _once("refused"),
    "budget.funds-spent.v1": _latest("spent"),
    "budget.funds-released.v1": _released,
    "posting.entry-posted.v1": _entry_posted,
    "posting.entry-failed.v1": _once("failed", Due.FAILED),
    "posting.entry-reversed.v1": _entry_reversed,
    "posting.journal-entry-recorded.v1": _entry_recorded,
    "reconcile.payment-matched.v1": _payment("paid", 1),
    "reconcile.payment-returned.v1": _payment("returned", -1),
    "reconcile.payment-unmatched.v1": _payment("released", -1),
}
COUNTED: Final = frozenset(_TELLERS)
"""The kinds that a fold needs; a reader may skip every other by its header."""
