"""When what happens, and who sends which claims: decided by the seed alone."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos.schedule import C1, C2, Fault, Scale, free, schedule
from chaos.workload import Story, workload

SCALES = [C1, C2, free(1, 100), free(20, 1000)]


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: f"{scale.name} {scale.faults_s}")
def test_the_same_seed_plans_the_same_faults_and_another_seed_others(scale: Scale) -> None:
    assert schedule(7, scale) == schedule(7, scale)
    assert schedule(7, scale) != schedule(8, scale)


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: f"{scale.name} {scale.faults_s}")
@pytest.mark.parametrize("seed", range(20))
def test_every_promised_fault_is_planned_within_its_time(seed: int, scale: Scale) -> None:
    faults = schedule(seed, scale)
    assert Counter(timed.fault for timed in faults) == scale.promised
    moments = [timed.at_s for timed in faults]
    assert moments == sorted(moments)
    assert all(0 <= at <= scale.faults_s for at in moments)


@pytest.mark.parametrize("seed", range(20))
def test_in_a_quarter_of_the_rounds_nothing_begins(seed: int) -> None:
    struck = {int(timed.at_s // C2.round_s) for timed in schedule(seed, C2)}
    rounds = C2.faults_s // C2.round_s
    assert len(struck) == pytest.approx(0.75 * rounds, abs=4)


def test_the_named_schedules_promise_what_they_are_known_for() -> None:
    assert (C1.promised[Fault.KILL], C1.promised[Fault.DATABASE], C1.promised[Fault.BROKER]) == (
        *(20, 5, 2),
    )
    assert C1.claims == 1_000
    assert (C2.promised[Fault.KILL], C2.promised[Fault.DATABASE], C2.promised[Fault.BROKER]) == (
        *(200, 60, 20),
    )
    assert C2.claims == 20_000
    assert C2.promised[Fault.PAUSE] == 60
    assert C2.promised[Fault.REBALANCE] == 120


def test_the_same_seed_sends_the_same_claims() -> None:
    assert workload(3, 200) == workload(3, 200)
    assert workload(3, 200) != workload(4, 200)


def test_a_workload_has_every_story_and_a_code_for_whatever_is_refused() -> None:
    pieces = workload(1, 2_000)
    assert {piece.story for piece in pieces} == set(Story)
    assert [piece.n for piece in pieces] == list(range(1, 2_001))
    for piece in pieces:
        assert bool(piece.code) == (piece.story in {Story.BAD, Story.POISON})
    shares = Counter(piece.story for piece in pieces)
    assert shares[Story.POISON] == pytest.approx(20, abs=12)
    assert {piece.company.currency for piece in pieces} == {"CNY", "EUR", "JPY"}
