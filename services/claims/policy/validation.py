"""Whether a claim is sound: every fault at once, each with its figures and who can mend it; pure.

A fault that repeats over the lines for one cause (an unknown cost centre, say) is told once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from contracts.values import Money, Reason, total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contracts.claims import ClaimLine, SubmitClaim
    from contracts.values import Who

EARLIEST: Final = date(2000, 1, 1)  # An older date is a typing error, not an old expense.
FARTHEST_EAST: Final = timedelta(
    hours=14
)  # Somewhere it is tomorrow already: no day in the future.
FARTHEST_WEST: Final = timedelta(hours=12)
PLAUSIBLE_AHEAD: Final = timedelta(days=366)  # Further ahead it is a typing error as well.
FX_TOLERANCE_PERCENT: Final = 1  # Rates are quoted by day and rounded by card companies.


class Entry(NamedTuple):
    """A name in the directory of a company: an employee, cost centre, project or category."""

    company: str
    kind: str
    code: str


@dataclass(frozen=True, slots=True)
class Company:
    """What a legal entity demands of its claims."""

    currency: str
    claim_age_days: int | None = None


@dataclass(frozen=True, slots=True)
class MasterData:
    """The master data a batch of claims needs; an entry is True while it is in use."""

    companies: Mapping[str, Company] = field(default_factory=dict)
    directory: Mapping[Entry, bool] = field(default_factory=dict)


UNKNOWN: Final = frozenset(
    {
        "COMPANY_UNKNOWN",
        "EMPLOYEE_UNKNOWN",
        "COST_CENTER_UNKNOWN",
        "PROJECT_UNKNOWN",
        "CATEGORY_UNKNOWN",
    }
)
"""Faults that may be none: master data comes on topics of its own and can be late."""


def faults(claim: SubmitClaim, master: MasterData, now: datetime) -> list[Reason]:
    """Everything that is wrong with a claim; empty when it is sound."""
    company = master.companies.get(claim.company)
    if company is None:
        return [_unknown_company(claim), *_amounts(claim, None), *_dates(claim, None, now)]
    return [
        *_references(claim, master),
        *_amounts(claim, company.currency),
        *_dates(claim, company.claim_age_days, now),
    ]


def references(claim: SubmitClaim) -> dict[Entry, list[int]]:
    """Every name in its company's directory that a claim uses, with the places of its lines."""
    used: defaultdict[Entry, list[int]] = defaultdict(list)
    used[Entry(claim.company, "employee", claim.employee)] = []
    for place, line in enumerate(claim.lines):
        used[Entry(claim.company, "cost_center", line.cost_center)].append(place)
        used[Entry(claim.company, "category", line.category)].append(place)
        if line.project is not None:
            used[Entry(claim.company, "project", line.project)].append(place)
    return used


def _reason(code: str, who: Who, detail: str, pointer: str, figures: dict[str, str]) -> Reason:
    return Reason(code=code, detail=detail, who=who, pointer=pointer, figures=figures)


def _unknown_company(claim: SubmitClaim) -> Reason:
    detail = f"no company is called '{claim.company}'"
    return _reason("COMPANY_UNKNOWN", "masterdata", detail, "/company", {"company": claim.company})


def _references(claim: SubmitClaim, master: MasterData) -> Iterator[Reason]:
    for entry, places in references(claim).items():
        active = master.directory.get(entry)
        if active:
            continue
        wrong, state = ("UNKNOWN", "not known") if active is None else ("INACTIVE", "not in use")
        words = entry.kind.replace("_", " ")
        figures = {entry.kind: entry.code, "company": entry.company}
        pointer = f"/{entry.kind}"
        if places:
            figures["lines"] = ", ".join(str(claim.lines[place].line) for place in places)
            pointer = f"/lines/{places[0]}/{entry.kind}"
        detail = f"the {words} '{entry.code}' is {state} in {entry.company}"
        yield _reason(f"{entry.kind.upper()}_{wrong}", "masterdata", detail, pointer, figures)


def _amounts(claim: SubmitClaim, functional: str | None) -> Iterator[Reason]:
    seen: set[int] = set()
    for index, line in enumerate(claim.lines):
        at = f"/lines/{index}"
        if line.line in seen:
            detail = f"the line number {line.line} stands twice"
            yield _reason(
                "LINE_NUMBER_REPEATED", "claimant", detail, f"{at}/line", {"line": str(line.line)}
            )
        seen.add(line.line)
        yield from _currencies(line, functional, at)
        if line.net.currency == line.tax.currency == line.gross.currency:
            yield from _line_amounts(line, at)
        yield from _exchange(line, at)
    yield from _total(claim, functional)


def _currencies(line: ClaimLine, functional: str | None, at: str) -> Iterator[Reason]:
    if functional is None:
        return
    for name, money in (("net", line.net), ("tax", line.tax), ("gross", line.gross)):
        if money.currency != functional:
            yield _not_functional(money.currency, functional, f"{at}/{name}")
            return


def _not_functional(currency: str, functional: str, pointer: str) -> Reason:
    detail = f"the company keeps its books in {functional}; put {currency} into 'original'"
    figures = {"currency": currency, "functional": functional}
    return _reason("CURRENCY_NOT_FUNCTIONAL", "claimant", detail, pointer, figures)


def _line_amounts(line: ClaimLine, at: str) -> Iterator[Reason]:
    net, tax, gross = line.net.minor, line.tax.minor, line.gross.minor
    if net + tax != gross:
        found = Money(net + tax, line.gross.currency)
        detail = f"net and tax make {found}, gross is {line.gross}"
        figures = _figures(line) | {"difference": str(line.gross - found)}
        yield _reason("SUM_MISMATCH", "claimant", detail, f"{at}/gross", figures)
    if gross == 0:
        detail = f"line {line.line} claims nothing"
        yield _reason("AMOUNT_ZERO", "claimant", detail, f"{at}/gross", _figures(line))
    if min(net, tax, gross) < 0 < max(net, tax, gross):
        detail = "net, tax and gross must all be positive, or all negative"
        yield _reason("SIGN_MISMATCH", "claimant", detail, at, _figures(line))
    elif abs(tax) > abs(net):
        detail = f"the tax {line.tax} is more than the net amount {line.net}"
        yield _reason("TAX_EXCEEDS_NET", "claimant", detail, f"{at}/tax", _figures(line))


def _figures(line: ClaimLine) -> dict[str, str]:
    return {"net": str(line.net), "tax": str(line.tax), "gross": str(line.gross)}


def _exchange(line: ClaimLine, at: str) -> Iterator[Reason]:
    original, rate, gross = line.original, line.rate, line.gross
    if original is None:
        if rate is not None:
            detail = "there is a rate but no original amount"
            yield _reason("FX_INCOMPLETE", "claimant", detail, f"{at}/original", {"rate": rate})
        return
    figures = {"original": str(original), "gross": str(gross)}
    if original.currency == gross.currency:
        if original != gross or Decimal(rate or "1") != 1:
            detail = f"{original} is no foreign amount, so it must equal gross, at a rate of 1"
            more = figures | {"rate": rate or "1"}
            yield _reason("FX_SAME_CURRENCY", "claimant", detail, f"{at}/original", more)
        return
    if rate is None:
        detail = f"a rate from {original.currency} to {gross.currency} is missing"
        yield _reason("FX_INCOMPLETE", "claimant", detail, f"{at}/rate", figures)
        return
    expected = Money.rounded(original.decimal * Decimal(rate), gross.currency)
    off = abs(expected.minor - gross.minor)
    if off > 1 and off * 100 > FX_TOLERANCE_PERCENT * abs(gross.minor):
        detail = f"{original} at {rate} is {expected}, gross is {gross}"
        more = figures | {"rate": rate, "expected": str(expected)}
        yield _reason("FX_MISMATCH", "claimant", detail, f"{at}/gross", more)


def _total(claim: SubmitClaim, functional: str | None) -> Iterator[Reason]:
    currency = claim.total.currency
    if functional is not None and currency != functional:
        yield _not_functional(currency, functional, "/total")
    if not claim.total:
        detail = "the claim comes to nothing"
        yield _reason("AMOUNT_ZERO", "claimant", detail, "/total", {"total": str(claim.total)})
    if any(line.gross.currency != currency for line in claim.lines):
        return
    added = total((line.gross for line in claim.lines), currency)
    if added != claim.total:
        detail = f"the lines add up to {added}, the total is {claim.total}"
        difference = str(claim.total - added)
        figures = {"lines": str(added), "total": str(claim.total), "difference": difference}
        yield _reason("SUM_MISMATCH", "claimant", detail, "/total", figures)


def _dates(claim: SubmitClaim, age_days: int | None, now: datetime) -> Iterator[Reason]:
    latest = (now + FARTHEST_EAST).date()
    oldest = None
    if age_days is not None:
        oldest = EARLIEST
        if age_days < (now.date() - EARLIEST).days:
            oldest = (now - FARTHEST_WEST).date() - timedelta(days=age_days)
    for index, line in enumerate(claim.lines):
        at = f"/lines/{index}"
        yield from _plausible(line.date, latest, f"{at}/date")
        if line.rate_date is not None:
            yield from _plausible(line.rate_date, latest, f"{at}/rate_date")
        if oldest is not None and EARLIEST <= line.date < oldest:
            detail = f"the expense is of {line.date}, claims are taken for {age_days} days"
            figures = {"date": str(line.date), "oldest": str(oldest), "days": str(age_days)}
            yield _reason("DATE_TOO_OLD", "claimant", detail, f"{at}/date", figures)


def _plausible(day: date, latest: date, pointer: str) -> Iterator[Reason]:
    figures = {"date": str(day), "latest": str(latest)}
    if day < EARLIEST or day - latest > PLAUSIBLE_AHEAD:
        detail = f"{day} can only be a typing error"
        yield _reason("DATE_IMPLAUSIBLE", "claimant", detail, pointer, figures)
    elif day > latest:
        yield _reason("DATE_IN_FUTURE", "claimant", f"{day} has not come yet", pointer, figures)
