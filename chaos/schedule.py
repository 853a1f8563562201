"""When which fault happens: a pure function of a seed and of what was promised.

A run is cut into rounds; in a quarter of them nothing happens. In the others the promised faults of
each kind lie at exponential distances, and the last stretch of a run heals and drains.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

SERVICES: Final = ("claims", "approval", "budget", "posting", "reconcile")
REPLICAS: Final = 2
QUIET_SHARE: Final = 0.25


class Fault(StrEnum):
    """Everything that can be done to the system, by the name it is reported under."""

    KILL = "kill"
    RESTART = "restart"
    PAUSE = "pause"
    LOST_COMMIT = "lost commit"
    CUT = "cut"
    RESET = "reset"
    DELAY = "delay"
    THROTTLE = "throttle"
    BLACKHOLE = "blackhole"
    TERMINATE = "terminated backends"
    LOCK = "long lock"
    DATABASE = "database restart"
    BROKER = "broker restart"
    REBALANCE = "rebalance"
    CLOCK = "clock jump"
    REPUBLISH = "republishing"


ON_A_SERVER: Final = frozenset({Fault.DATABASE, Fault.BROKER})
ON_A_SERVICE: Final = frozenset({Fault.TERMINATE, Fault.LOCK, Fault.REBALANCE, Fault.REPUBLISH})
NETWORK: Final = (Fault.CUT, Fault.RESET, Fault.DELAY, Fault.THROTTLE, Fault.BLACKHOLE)


@dataclass(frozen=True, slots=True)
class Victim:
    """What a fault is done to; `link` says which of its links, where that matters."""

    service: str = ""
    replica: int = 0
    link: str = ""

    def __str__(self) -> str:
        """As it is shown: `budget/1 kafka`."""
        whole = self.service if self.service not in SERVICES else f"{self.service}/{self.replica}"
        return " ".join(filter(None, (whole, self.link)))


@dataclass(frozen=True, slots=True)
class Timed:
    """One fault: when it begins, what, to whom, for how long, and in which of its variants."""

    at_s: float
    fault: Fault
    victim: Victim
    for_s: float
    variant: int


@dataclass(frozen=True, slots=True)
class Scale:
    """How long a run is, how many claims it carries, and how often what is promised to happen."""

    name: str
    faults_s: int
    drain_s: int
    claims: int
    promised: dict[Fault, int]
    round_s: int = 30
    erp_faults: int = 10

    @property
    def total_s(self) -> int:
        """From the first claim to the end of the drain, at the latest."""
        return self.faults_s + self.drain_s


C1: Final = Scale(
    "c1",
    faults_s=70,
    drain_s=60,
    claims=1_000,
    round_s=4,
    promised={
        Fault.KILL: 20,
        Fault.DATABASE: 5,
        Fault.BROKER: 2,
        Fault.LOST_COMMIT: 2,
    },
)
C2: Final = Scale(
    "c2",
    faults_s=3_420,
    drain_s=180,
    claims=20_000,
    promised={
        Fault.KILL: 200,
        Fault.RESTART: 40,
        Fault.PAUSE: 60,
        Fault.LOST_COMMIT: 60,
        Fault.CUT: 15,
        Fault.RESET: 15,
        Fault.DELAY: 10,
        Fault.THROTTLE: 5,
        Fault.BLACKHOLE: 15,
        Fault.TERMINATE: 20,
        Fault.LOCK: 10,
        Fault.DATABASE: 60,
        Fault.BROKER: 20,
        Fault.REBALANCE: 120,
        Fault.CLOCK: 20,
        Fault.REPUBLISH: 240,
    },
)
# So many a minute in a free run; what comes to less than one happens once.
A_MINUTE: Final = {
    Fault.KILL: 6.0,
    Fault.RESTART: 1.0,
    Fault.PAUSE: 1.0,
    Fault.LOST_COMMIT: 2.0,
    Fault.CUT: 0.5,
    Fault.RESET: 1.0,
    Fault.DELAY: 0.5,
    Fault.THROTTLE: 0.3,
    Fault.BLACKHOLE: 0.5,
    Fault.TERMINATE: 1.0,
    Fault.LOCK: 0.5,
    Fault.DATABASE: 1.0,
    Fault.BROKER: 0.4,
    Fault.REBALANCE: 2.0,
    Fault.CLOCK: 0.4,
    Fault.REPUBLISH: 4.0,
}
SHORT_S: Final = 600
DRAIN_SHORT_S, DRAIN_LONG_S = 90, 180


def free(minutes: int, claims: int) -> Scale:
    """A run of any length: a minute of it has faults of every kind there is."""
    drain = DRAIN_SHORT_S if minutes * 60 <= SHORT_S else DRAIN_LONG_S
    promised = {fault: max(1, round(rate * minutes)) for fault, rate in A_MINUTE.items()}
    return Scale("free", minutes * 60, drain, claims, promised, round_s=10)


def schedule(seed: int, scale: Scale) -> list[Timed]:
    """Every fault of a run, in the order of time; the same seed and scale give the same list."""
    random = Random(f"{seed} {scale.name} {scale.faults_s}")
    rounds = _rounds(random, scale)
    busy = sum(end - start for start, end in rounds)
    faults = []
    for fault, times in scale.promised.items():
        for moment in _moments(random, times, busy):
            at = _placed(moment, rounds)
            victim = _victim(random, fault)
            for_s = _lasts(random, fault, scale.round_s)
            faults.append(Timed(round(at, 3), fault, victim, for_s, random.randrange(1 << 16)))
    return sorted(faults, key=lambda timed: timed.at_s)


def _rounds(random: Random, scale: Scale) -> list[tuple[float, float]]:
    """The stretches in which something happens: three of four, drawn anew for each seed."""
    starts = list(range(0, scale.faults_s, scale.round_s))
    still = set(random.sample(starts, round(len(starts) * QUIET_SHARE)))
    ends = (min(start + scale.round_s, scale.faults_s) for start in starts)
    return [(start, end) for start, end in zip(starts, ends, strict=True) if start not in still]


def _moments(random: Random, times: int, length: float) -> list[float]:
    """So many moments at exponential distances, stretched to fill the length."""
    gaps = [random.expovariate(1) for _ in range(times + 1)]
    whole, moments, passed = sum(gaps), [], 0.0
    for gap in gaps[:-1]:
        passed += gap
        moments.append(passed / whole * length)
    return moments


def _placed(moment: float, rounds: list[tuple[float, float]]) -> float:
    """A moment of the busy time as a moment of the run."""
    for start, end in rounds:
        if moment <= end - start:
            return start + moment
        moment -= end - start
    return rounds[-1][1]


def _victim(random: Random, fault: Fault) -> Victim:
    service, replica = random.choice(SERVICES), random.randrange(REPLICAS)
    link = random.choice(("kafka", "postgres"))
    if fault in ON_A_SERVER:
        return Victim("postgres" if fault is Fault.DATABASE else "kafka")
    if fault in ON_A_SERVICE:
        return Victim(service)
    if fault in NETWORK:
        return Victim(service, replica, link)
    return Victim(service, replica)


def _lasts(random: Random, fault: Fault, round_s: int) -> float:
    """How long a fault stands before it is healed."""
    match fault:
        case Fault.PAUSE:
            return 9.0  # Past the session timeout of six seconds: others have taken over by then.
        case Fault.KILL | Fault.DATABASE:
            return round(random.uniform(0.1, 2), 2)
        case Fault.BROKER:
            return round(random.uniform(0.5, 3), 2)
        case _:
            return round(random.uniform(1, max(2, min(round_s, 12))), 2)
