"""What becomes of commands: keys, revisions, withdrawals, possible duplicates, what is held."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from contracts.claims import ClaimLine, ClaimRefused, ClaimSubmitted, ClaimWithdrawn
from contracts.codec import MAX_BYTES
from contracts.values import Reason, claim_id
from services.claims.domain import Facts
from services.claims.policy.intake import (
    GRACE,
    MAX_REASONS,
    MAX_TWINS,
    Command,
    Desk,
    Outcome,
    Verdict,
    bounded,
    judge,
    print_of,
)
from tests.support.claims_values import (
    NOON,
    a_claim,
    a_line,
    a_withdrawal,
    cny,
    master_data,
)

if TYPE_CHECKING:
    from services.claims.policy.validation import MasterData

K1 = claim_id("tests", "K1")


def desk(master: MasterData | None = None) -> Desk:
    return Desk(now=NOON, patience=NOON, master=master or master_data())


def verdicts(*commands: Command, on: Desk | None = None) -> list[Verdict]:
    return judge([(command, NOON) for command in commands], on or desk())


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def ended(fact: Facts) -> Desk:
    """A desk on which K1's first revision has come to an end."""
    [first] = verdicts(a_claim())
    assert first.claim
    table = desk()
    table.files[K1] = {1: first.claim.told(fact)}
    return table


def test_a_sound_claim_is_accepted_under_the_id_of_its_key() -> None:
    [verdict] = verdicts(a_claim())
    [fact] = verdict.facts
    assert isinstance(fact, ClaimSubmitted)
    assert (fact.claim_id, fact.revision, fact.payee) == (K1, 1, "E1")
    assert verdict.outcome is Outcome.ACCEPTED
    assert verdict.document == fact.model_dump_json().encode()


def test_a_refusal_carries_everything_its_sender_needs() -> None:
    [verdict] = verdicts(a_claim(employee="E9"))
    [fact] = verdict.facts
    assert isinstance(fact, ClaimRefused)
    assert (fact.source, fact.source_key, fact.revision) == ("tests", "K1", 1)
    assert (fact.claim_id, fact.company, fact.total) == (K1, "C1", cny("106.00"))
    assert codes(verdict) == ["EMPLOYEE_UNKNOWN"]
    assert verdict.claim is None


def test_the_same_content_again_says_nothing() -> None:
    first, again = verdicts(a_claim(), a_claim())
    assert again.outcome is Outcome.DUPLICATE
    assert again.facts == ()
    assert again.claim == first.claim


def test_other_content_under_an_accepted_key_is_refused() -> None:
    _, other = verdicts(a_claim(), a_claim(purpose="another"))
    assert codes(other) == ["KEY_REUSED"]


def test_a_refused_command_does_not_take_the_key() -> None:
    refused, corrected = verdicts(a_claim(employee="E9"), a_claim())
    assert refused.outcome is Outcome.REFUSED
    assert corrected.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    "fact", [Facts.REJECTED, Facts.FUNDS_REFUSED, Facts.FAILED, Facts.WITHDRAWN]
)
def test_the_next_revision_follows_an_end_without_payment(fact: Facts) -> None:
    [verdict] = verdicts(a_claim(revision=2), on=ended(fact))
    assert verdict.outcome is Outcome.ACCEPTED
    assert verdict.claim
    assert verdict.claim.key == (K1, 2)


@pytest.mark.parametrize("fact", [Facts.ASKED, Facts.APPROVED, Facts.RESERVED, Facts.POSTED])
def test_no_revision_follows_what_is_alive(fact: Facts) -> None:
    [verdict] = verdicts(a_claim(revision=2), on=ended(fact))
    assert codes(verdict) == ["REVISION_CONFLICT"]


def test_revisions_leave_no_gap() -> None:
    [verdict] = verdicts(a_claim(revision=3), on=ended(Facts.REJECTED))
    assert codes(verdict) == ["REVISION_CONFLICT"]
    assert verdict.reasons[0].figures == {"revision": "3", "latest": "1", "state": "rejected"}


def test_the_first_accepted_revision_may_have_any_number() -> None:
    [verdict] = verdicts(a_claim(revision=4))
    assert verdict.outcome is Outcome.ACCEPTED


def test_an_old_revision_sent_again_is_known() -> None:
    table = ended(Facts.REJECTED)
    second, first = verdicts(a_claim(revision=2), a_claim(), on=table)
    assert (second.outcome, first.outcome) == (Outcome.ACCEPTED, Outcome.DUPLICATE)


def test_a_claim_too_large_to_be_carried_is_refused() -> None:
    lines = [a_line(n, merchant="\N{CJK UNIFIED IDEOGRAPH-5546}" * 500) for n in range(1, 501)]
    [verdict] = verdicts(a_claim("K1", *lines))
    assert codes(verdict) == ["TOO_LARGE"]


def test_a_refusal_always_fits_into_a_record() -> None:
    long = "\N{CJK UNIFIED IDEOGRAPH-5546}" * 128
    lines = [a_line(n, cost_center=f"{long[:120]}{n}", category=long) for n in range(1, 501)]
    [verdict] = verdicts(a_claim("K1", *lines))
    assert len(verdict.facts[0].model_dump_json().encode()) < MAX_BYTES
    assert codes(verdict)[-1] == "MORE_REASONS"


def test_few_reasons_stay_as_they_are() -> None:
    reason = Reason(code="X", detail="x", who="claimant")
    assert bounded([reason] * MAX_REASONS) == [reason] * MAX_REASONS
    assert bounded([reason] * (MAX_REASONS + 5))[-1].figures == {"more": "5"}


def test_a_claim_that_others_spoke_of_first_goes_on_from_there() -> None:
    [alone] = verdicts(a_claim())
    assert alone.claim
    table = desk()
    awaited = replace(alone.claim, facts=Facts.APPROVED, source="", employee="", digest=b"")
    table.files[K1] = {1: awaited}
    [verdict] = verdicts(a_claim(), on=table)
    assert verdict.outcome is Outcome.ACCEPTED
    assert verdict.claim
    assert verdict.claim.state == "approved"


# Withdrawals.


def test_an_owner_takes_a_claim_back() -> None:
    _, back = verdicts(a_claim(), a_withdrawal())
    [fact] = back.facts
    assert isinstance(fact, ClaimWithdrawn)
    assert (fact.claim_id, fact.by, fact.total) == (K1, "E1", cny("106.00"))
    assert back.claim
    assert back.claim.state == "withdrawn"


def test_a_second_withdrawal_says_nothing() -> None:
    *_, again = verdicts(a_claim(), a_withdrawal(), a_withdrawal())
    assert (again.outcome, again.facts) == (Outcome.DUPLICATE, ())


def test_after_a_withdrawal_the_next_revision_may_come() -> None:
    *_, second = verdicts(a_claim(), a_withdrawal(), a_claim(revision=2))
    assert second.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("fact", "by", "code"),
    [
        (Facts.ASKED, "E2", "NOT_THE_OWNER"),
        (Facts.POSTED, "E1", "ALREADY_POSTED"),
        (Facts.REJECTED, "E1", "ALREADY_ENDED"),
        (Facts.FAILED, "E1", "ALREADY_ENDED"),
    ],
)
def test_a_withdrawal_that_cannot_be(fact: Facts, by: str, code: str) -> None:
    [verdict] = verdicts(a_withdrawal(by=by), on=ended(fact))
    assert codes(verdict) == [code]
    assert isinstance(verdict.facts[0], ClaimRefused)


def test_a_withdrawal_of_nothing_is_refused() -> None:
    [verdict] = verdicts(a_withdrawal("K9"))
    assert codes(verdict) == ["CLAIM_UNKNOWN"]


# Possible duplicates.


def warned(verdict: Verdict) -> list[tuple[int, int]]:
    [fact] = verdict.facts
    assert isinstance(fact, ClaimSubmitted)
    return [(warning.line, len(warning.claims)) for warning in fact.warnings]


def test_the_same_expense_in_another_claim_is_pointed_out_and_taken() -> None:
    first, second = verdicts(a_claim("K1"), a_claim("K2", a_line(1, date=NOON.date()), a_line(2)))
    assert warned(first) == []
    assert warned(second) == [(2, 1)]


def test_equal_lines_of_one_claim_are_its_own_business() -> None:
    [verdict] = verdicts(a_claim("K1", a_line(1), a_line(2)))
    assert warned(verdict) == []


@pytest.mark.parametrize(
    "line",
    [
        a_line(merchant="Bus"),
        a_line(date=NOON.date()),
        a_line(net=cny("106.00"), tax=cny("1.00"), gross=cny("107.00")),
    ],
)
def test_another_merchant_day_or_amount_is_another_expense(line: ClaimLine) -> None:
    _, second = verdicts(a_claim("K1"), a_claim("K2", line))
    assert warned(second) == []


def test_another_employee_is_another_expense() -> None:
    _, second = verdicts(a_claim("K1"), a_claim("K2", employee="E2"))
    assert warned(second) == []


def test_a_merchant_is_the_same_however_it_is_typed() -> None:
    assert print_of(a_claim(), a_line(merchant="Grand  Hotel ")) == print_of(
        a_claim(), a_line(merchant="grand hotel")
    )


def test_a_warning_names_only_so_many_claims() -> None:
    *_, last = verdicts(*(a_claim(f"K{n}") for n in range(MAX_TWINS + 5)))
    assert warned(last) == [(1, MAX_TWINS)]


# Patience with master data.


def patient(now_after: timedelta = timedelta()) -> Desk:
    return Desk(
        now=NOON + now_after, patience=NOON + now_after - GRACE, master=type(master_data())()
    )


def test_a_claim_ahead_of_its_master_data_is_held() -> None:
    [verdict] = verdicts(a_claim(), on=patient())
    assert (verdict.outcome, verdict.facts) == (Outcome.HELD, ())


def test_patience_ends() -> None:
    [verdict] = verdicts(a_claim(), on=patient(GRACE))
    assert codes(verdict) == ["COMPANY_UNKNOWN"]


def test_nothing_overtakes_a_held_command() -> None:
    table = patient()
    assert [v.outcome for v in verdicts(a_claim(), a_withdrawal(), on=table)] == [Outcome.HELD] * 2


def test_what_master_data_cannot_mend_is_not_held() -> None:
    table = replace(patient(), master=master_data())
    [verdict] = verdicts(a_claim(total=cny("1.00")), on=table)
    assert codes(verdict) == ["SUM_MISMATCH"]
