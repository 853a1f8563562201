"""What outsiders will do in a run, decided beforehand by the seed alone. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any, Final

from chaos.organisation import COMPANIES, NARROW, SMALL, WIDE
from contracts.values import Money

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.organisation import Company

SOURCE: Final = "chaos"
FIRST: Final = date(2026, 9, 1)
DAYS: Final = 28
OVER_HTTP: Final = 25  # Of a hundred claims; the others come over Kafka.
TWICE: Final = 20  # Of a hundred records, how many are published again later.
WITHDRAWN_AFTER_S: Final = 3

Document = dict[str, Any]


class Story(StrEnum):
    """What a claim is there for."""

    PLAIN = "plain"
    DEAR = "asks a person"
    NARROW = "meets a narrow budget"
    BAD = "is refused"
    POISON = "cannot be read"
    WITHDRAWN = "is withdrawn"
    REVISED = "is withdrawn and comes again"


SHARES: Final = {
    Story.PLAIN: 69,
    Story.DEAR: 12,
    Story.NARROW: 8,
    Story.BAD: 4,
    Story.POISON: 1,
    Story.WITHDRAWN: 3,
    Story.REVISED: 3,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One claim's part in the run: when it comes (as a share of the run), over what, and why."""

    n: int
    at: float
    story: Story
    http: bool
    key: str
    company: Company
    body: bytes
    total: Document | None = None
    code: str | None = None
    again_after_s: int | None = None

    @property
    def document(self) -> Document:
        """The claim as a document, for those who change it."""
        return dict(json.loads(self.body))


def workload(seed: int, claims: int) -> list[Piece]:
    """Every piece of a run, in the order of time; the same seed gives the same pieces."""
    random = Random(f"{seed} workload")
    moments = sorted(random.random() for _ in range(claims))
    stories = random.choices(list(SHARES), list(SHARES.values()), k=claims)
    return [
        _piece(random, n, at, story)
        for n, (at, story) in enumerate(zip(moments, stories, strict=True), start=1)
    ]


def _piece(random: Random, n: int, at: float, story: Story) -> Piece:
    company, key = random.choice(COMPANIES), f"C-{n:06}"
    again = random.randint(1, 20) if random.randrange(100) < TWICE else None
    http = random.randrange(100) < OVER_HTTP
    if story is Story.POISON:
        body, why = random.choice(POISONS)
        return Piece(n, at, story, http=False, key=key, company=company, body=body, code=why)
    document = _claim(random, company, key, story)
    code: str | None = None
    if story is Story.BAD:
        code, spoil = random.choice(SPOILERS)
        spoil(document)
    http = http or story is Story.REVISED
    return Piece(
        n,
        at,
        story,
        http=http,
        key=key,
        company=company,
        body=json.dumps(document).encode(),
        total=document["total"],
        code=code,
        again_after_s=again,
    )


def _claim(random: Random, company: Company, key: str, story: Story) -> Document:
    dear = story in {Story.DEAR, Story.WITHDRAWN, Story.REVISED}
    low, high = (SMALL + 1, 4 * SMALL) if dear else (100, SMALL)
    minor = [random.randint(low, high)]
    if not dear and minor[0] > 1_000 and random.randrange(3) == 0:
        part = random.randint(100, minor[0] - 100)
        minor = [part, minor[0] - part]
    lines = [_line(random, company, number, each, story) for number, each in enumerate(minor, 1)]
    return {
        "source": SOURCE,
        "source_key": key,
        "revision": 1,
        "company": company.code,
        "employee": company.staff(random.randrange(100)),
        "paid_by": random.choice(("employee", "employee", "employee", "company_card")),
        "purpose": story.value,
        "lines": lines,
        "total": _money(sum(minor), company),
    }


def _line(random: Random, company: Company, number: int, minor: int, story: Story) -> Document:
    tax = minor * random.choice((0, 6, 13)) // 113
    return {
        "line": number,
        "category": random.choice(("travel", "meals")),
        "date": (FIRST + timedelta(days=random.randrange(DAYS))).isoformat(),
        "net": _money(minor - tax, company),
        "tax": _money(tax, company),
        "gross": _money(minor, company),
        "cost_center": NARROW if story is Story.NARROW else WIDE,
    }


def _money(minor: int, company: Company) -> Document:
    return {"amount": Money(minor, company.currency).amount, "currency": company.currency}


def _unknown_employee(claim: Document) -> None:
    claim["employee"] = "NOBODY"


def _unknown_cost_center(claim: Document) -> None:
    claim["lines"][0]["cost_center"] = "NOWHERE"


def _unknown_category(claim: Document) -> None:
    claim["lines"][0]["category"] = "gifts"


def _other_total(claim: Document) -> None:
    claim["total"] = {"amount": "1", "currency": "JPY"}
    if claim["lines"][0]["gross"]["currency"] != "JPY":
        claim["total"] = {"amount": "0.01", "currency": claim["lines"][0]["gross"]["currency"]}


SPOILERS: Final[tuple[tuple[str, Callable[[Document], None]], ...]] = (
    ("EMPLOYEE_UNKNOWN", _unknown_employee),
    ("COST_CENTER_UNKNOWN", _unknown_cost_center),
    ("CATEGORY_UNKNOWN", _unknown_category),
    ("SUM_MISMATCH", _other_total),
)
POISONS: Final = (
    (b"", "BODY_EMPTY"),
    (b'{"source": "chaos", ', "JSON_MALFORMED"),
    (b'{"source": "chaos", "source": "twice"}', "DUPLICATE_KEY"),
    (b'{"source": "\xff\xfe"}', "ENCODING"),
    (b'{"source": NaN}', "JSON_MALFORMED"),
    (b'["chaos"]', "SCHEMA_INVALID"),
    (b'{"source": "chaos"}', "SCHEMA_INVALID"),
)
