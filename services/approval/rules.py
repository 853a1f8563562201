"""Which rule decides: conditions over the figures of a claim, by priority, one version of each."""

from __future__ import annotations

import operator
import re
from collections import defaultdict
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, get_args

from contracts.masterdata import ApprovalRuleDefined
from contracts.values import PaidBy
from services.approval.domain import EMPLOYEE, BudgetOutcome, Criterion, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from contracts.masterdata import Condition
    from services.approval.domain import Case

_REFERENCE: Final = re.compile(rf"manager|cost_center_owner|project_owner|{EMPLOYEE}.+")
_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,15})(\.[0-9]{1,4})?", re.ASCII)
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "in": operator.eq,  # Equal to any of the list.
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CLOSED: Final[Mapping[str, frozenset[str]]] = {  # Fields whose possible values are known.
    "budget": frozenset(get_args(BudgetOutcome)),
    "paid_by": frozenset(PaidBy),
}


class RuleInvalid(Exception):  # noqa: N818 - named for what the rule is
    """A rule that can never be applied as written; the detail says which part."""

    code = "RULE_INVALID"


class RuleVersionChanged(Exception):  # noqa: N818 - named for what happened
    """A published version of a rule came again with other content; a change needs a new version."""

    code = "RULE_VERSION_CHANGED"


def compile_rule(defined: ApprovalRuleDefined) -> Rule:
    """The rule, ready to be applied; raises RuleInvalid where it makes no sense."""
    for step in defined.steps:
        for reference in step.approvers:
            if not _REFERENCE.fullmatch(reference):
                msg = f"step '{step.name}' asks '{reference}', which is nobody"
                raise RuleInvalid(msg)
    return Rule(
        company=defined.company,
        rule=defined.rule,
        version=defined.version,
        priority=defined.priority,
        active=defined.active,
        criteria=tuple(_criterion(condition) for condition in defined.conditions),
        steps=tuple(defined.steps),
    )


@lru_cache(maxsize=4096)  # Versions never change, so what was read once holds in every replica.
def read_rule(definition: str) -> Rule:
    """The rule out of its stored definition."""
    return compile_rule(ApprovalRuleDefined.model_validate_json(definition))


def ensure_unchanged(stored: ApprovalRuleDefined, defined: ApprovalRuleDefined) -> None:
    """Refuse other content under a version that is already published."""
    if stored != defined:
        msg = f"rule {defined.rule} version {defined.version} of {defined.company} is published"
        raise RuleVersionChanged(msg)


def in_order(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    """The active rules of each company as they are tried: by priority number, then by code.

    `rules` are the newest versions that are valid today; an inactive one ends its rule.
    """
    tried: dict[str, list[Rule]] = defaultdict(list)
    for rule in sorted(rules, key=lambda rule: (rule.priority, rule.rule)):
        if rule.active:
            tried[rule.company].append(rule)
    return tried


def choose(rules: Iterable[Rule], case: Case) -> Rule | None:
    """The first of these rules whose conditions all hold for a claim of their company."""
    claim = case.known
    total = abs(claim.total.decimal)  # A refund is judged like the expense it turns back.
    figures = {
        "grade": (case.grade,),
        "category": claim.categories,
        "project": claim.projects,
        "cost_center": claim.cost_centers,
        "paid_by": (claim.paid_by.value,),
        "budget": (case.outcome or "",),
        "employee": (claim.employee,),
    }
    return next(
        (rule for rule in rules if all(_holds(one, figures, total) for one in rule.criteria)),
        None,
    )


def sentence(defined: ApprovalRuleDefined, currency: str = "") -> str:
    """The rule as a person reads it, WHEN … THEN …, amounts in the company's currency."""
    tests = [
        f"{test.field} {test.operator} {test.value or 'none'}"
        + (f" {currency}" if test.field == "total" and currency else "")
        for test in defined.conditions
    ]
    steps = [
        f"{step.name} ({step.quorum} of {', '.join(step.approvers)})" for step in defined.steps
    ]
    return f"WHEN {' AND '.join(tests) or 'always'} THEN {', then '.join(steps) or 'approve'}"


def _holds(one: Criterion, figures: Mapping[str, tuple[str, ...]], total: Decimal) -> bool:
    """Whether the claim's absolute total, or any of its values in this field, fits."""
    if one.field == "total":
        compare = _COMPARE[one.operator]
        return any(compare(total, amount) for amount in one.amounts)
    if one.operator == "!=":
        return any(value not in one.texts for value in figures[one.field])
    return any(value in one.texts for value in figures[one.field])


def _criterion(condition: Condition) -> Criterion:
    wanted = [condition.value.strip()]
    if condition.operator == "in":
        wanted = [part.strip() for part in condition.value.split(",")]
    if condition.field == "total":
        return Criterion("total", condition.operator, amounts=tuple(_amount(one) for one in wanted))
    if condition.operator not in {"=", "!=", "in"}:
        msg = f"'{condition.field} {condition.operator}' has no order to compare by"
        raise RuleInvalid(msg)
    unheard = set(wanted) - _CLOSED.get(condition.field, frozenset(wanted))
    if unheard:
        msg = f"{condition.field} is never '{min(unheard)}'"
        raise RuleInvalid(msg)
    return Criterion(condition.field, condition.operator, frozenset(wanted))


def _amount(text: str) -> Decimal:
    if not _AMOUNT.fullmatch(text):
        msg = f"'{text}' is no amount that an absolute total can be compared with"
        raise RuleInvalid(msg)
    return Decimal(text)
