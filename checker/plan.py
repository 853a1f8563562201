"""Who listens to what: the checker's own copy of the plan, for it imports nothing it judges."""

from __future__ import annotations

from typing import Final

SERVICES: Final = ("claims", "approval", "budget", "posting", "reconcile")
_MASTER: Final = (
    "companies",
    "employees",
    "cost-centers",
    "projects",
    "categories",
    "accounts",
    "periods",
    "budgets",
    "rates",
    "approval-rules",
)


def _kinds(publisher: str, *names: str) -> frozenset[str]:
    return frozenset(f"{publisher}.{name}.v1" for name in names)


def _master(**kinds: str) -> dict[str, frozenset[str]]:
    return {
        f"masterdata.{topic.replace('_', '-')}": _kinds("masterdata", kind)
        for topic, kind in kinds.items()
    }


_PEOPLE: Final = _master(
    companies="company-defined",
    employees="employee-defined",
    cost_centers="cost-center-defined",
    projects="project-defined",
)
ENTRIES: Final = _kinds("posting", "entry-posted", "entry-failed", "entry-reversed")
INTAKE: Final = "claims.intake"  # Untrusted: every record on it is answered, whatever it is.

LISTENS: Final = {
    "claims": {
        INTAKE: _kinds("claims", "submit-claim", "withdraw-claim"),
        "approval.events": _kinds("approval", "step-opened", "claim-approved", "claim-rejected"),
        "budget.events": _kinds(
            "budget",
            "funds-checked",
            "funds-reserved",
            "funds-refused",
            "funds-released",
            "funds-spent",
        ),
        "posting.events": ENTRIES | _kinds("posting", "entry-held"),
        "reconcile.events": _kinds(
            "reconcile", "payment-matched", "payment-returned", "payment-unmatched"
        ),
        **_PEOPLE,
        **_master(categories="category-defined"),
    },
    "approval": {
        "claims.events": _kinds("claims", "claim-submitted", "claim-withdrawn"),
        "budget.events": _kinds("budget", "funds-checked"),
        **_PEOPLE,
        **_master(approval_rules="approval-rule-defined"),
    },
    "budget": {
        "claims.events": _kinds("claims", "claim-submitted", "claim-withdrawn"),
        "approval.events": _kinds("approval", "claim-approved", "claim-rejected"),
        "posting.events": ENTRIES,
        **_master(companies="company-defined", budgets="budget-defined"),
    },
    "posting": {
        "claims.events": _kinds("claims", "claim-submitted", "claim-withdrawn"),
        "approval.events": _kinds("approval", "claim-rejected"),
        "budget.events": _kinds("budget", "funds-reserved", "funds-refused"),
        **_master(
            companies="company-defined",
            categories="category-defined",
            accounts="account-mapped",
            periods="period-defined",
        ),
    },
    "reconcile": {
        "posting.events": _kinds("posting", "entry-posted", "entry-reversed"),
        **_master(companies="company-defined", employees="employee-defined"),
    },
}
STREAMS: Final = tuple(f"{service}.events" for service in SERVICES)
TOPICS: Final = (
    INTAKE,
    *STREAMS,
    "posting.entries",
    *(f"masterdata.{topic}" for topic in _MASTER),
    *(f"dlq.{service}" for service in SERVICES),
)
