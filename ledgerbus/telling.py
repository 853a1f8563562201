"""Each kind of event in a few words, from its body or from what a claim's journey kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contracts.values import Money

if TYPE_CHECKING:
    from collections.abc import Callable

Body = dict[str, Any]


def sentence(kind: str, body: Body) -> str:
    """What happened, for a person; a kind without words of its own is called by its name."""
    words = _WORDS.get(kind)
    return words(body) if words else kind.partition(".")[2].replace("-", " ")


def service_of(kind: str) -> str:
    """Who said it."""
    return kind.partition(".")[0]


def money(amount: Any) -> str:
    """An amount as it is written; nothing where there is none."""
    if not isinstance(amount, dict):
        return ""
    return f"{amount.get('amount', '?')} {amount.get('currency', '')}"


def readable(figure: int, currency: str) -> str:
    """An amount in minor units, with its thousands set apart."""
    whole, point, fraction = Money(figure, currency).amount.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{point}{fraction}"


def _reasons(body: Body) -> str:
    return "; ".join(
        f"{reason.get('code')}: {reason.get('detail')}" for reason in body.get("reasons") or ()
    )


def _submitted(body: Body) -> str:
    twins = f", {len(body['warnings'])} possible duplicates" if body.get("warnings") else ""
    purpose = f" for {body['purpose']}" if body.get("purpose") else ""
    return (
        f"submitted {money(body.get('total'))}{purpose}, to be paid to {body.get('payee')}{twins}"
    )


def _checked(body: Body) -> str:
    left = ", ".join(
        f"{each['budget']} has {money(each['available'])} left"
        for each in body.get("budgets") or ()
    )
    return f"budget {body.get('outcome')}{': ' + left if left else ''}"


def _asked(body: Body) -> str:
    people = f" {body.get('quorum')} of {', '.join(body.get('approvers') or ())}"
    return f"step {body.get('step')} '{body.get('name')}' asks{people} (rule {body.get('rule')})"


def _approved(body: Body) -> str:
    rule = f"rule {body.get('rule')} v{body.get('rule_version')}"
    people = ", ".join(decision["by"] for decision in body.get("decisions") or ())
    return f"approved by {people}, {rule}" if people else f"approved by {rule}"


def _held(verb: str) -> Callable[[Body], str]:
    def tell(body: Body) -> str:
        parts = ", ".join(
            f"{money(each['amount'])} in {each['budget']}" for each in body.get("allocations") or ()
        )
        return f"{verb} {parts or 'nothing: no budget carries it'}"

    return tell


def _posted(body: Body) -> str:
    return (
        f"entry {body.get('entry_number')} of {body.get('posting_date')}: "
        f"{money(body.get('total'))} owed to {body.get('payee')}"
    )


def _line(body: Body) -> str:
    line = body.get("bank_line") or {}
    return f"statement {line.get('statement')}, line of {line.get('booked_on')}"


def _matched(body: Body) -> str:
    rest = body.get("open") or {}
    more = "" if not str(rest.get("amount", "0")).strip("-0.") else f", {money(rest)} still open"
    return f"paid {money(body.get('paid'))}: {_line(body)} ({body.get('rule')}){more}"


_WORDS: Final[dict[str, Callable[[Body], str]]] = {
    "claims.submit-claim.v1": lambda b: f"asks for {money(b.get('total'))}",
    "claims.claim-submitted.v1": _submitted,
    "claims.claim-refused.v1": lambda b: f"refused: {_reasons(b)}",
    "claims.claim-withdrawn.v1": lambda b: f"withdrawn by {b.get('by') or 'its owner'}",
    "claims.claim-settled.v1": lambda b: f"settled: {money(b.get('paid'))}, {b.get('settled_on')}",
    "budget.funds-checked.v1": _checked,
    "budget.funds-reserved.v1": _held("reserved"),
    "budget.funds-refused.v1": lambda b: f"refused: {_reasons(b)}",
    "budget.funds-released.v1": _held("released"),
    "budget.funds-spent.v1": _held("spent"),
    "budget.threshold-crossed.v1": lambda b: f"{b.get('budget')} is over {b.get('percent')} %",
    "approval.step-opened.v1": _asked,
    "approval.claim-approved.v1": _approved,
    "approval.claim-rejected.v1": lambda b: f"rejected by {b.get('by') or '?'}: {_reasons(b)}",
    "posting.entry-posted.v1": _posted,
    "posting.entry-failed.v1": lambda b: f"not posted: {_reasons(b)}",
    "posting.entry-held.v1": lambda b: f"not posted yet: {_reasons(b)}",
    "posting.entry-reversed.v1": lambda b: f"turned back by {b.get('entry_number')}",
    "posting.journal-entry-recorded.v1": lambda b: f"recorded {b.get('entry_number')} for finance",
    "reconcile.payment-matched.v1": _matched,
    "reconcile.payment-returned.v1": lambda b: f"{money(b.get('returned'))} came back: {_line(b)}",
    "reconcile.payment-unmatched.v1": lambda b: (
        f"{money(b.get('released'))} un-matched by {b.get('by')}"
    ),
}
TOLD: Final = frozenset(_WORDS)
"""The kinds that have words of their own."""
