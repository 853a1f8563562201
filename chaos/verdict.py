"""What became of it all: the proof from the topics, the journal compared, and the void rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

import checker
from chaos.ledger import EFFECT_THEN_ERROR
from chaos.measures import quantile
from chaos.schedule import Fault
from ledgerbus.prove import Proof, proven
from ledgerbus.prove_file import outcome_of

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.run import Ran
    from checker import Evidence

CREATED: Final = frozenset({"acked", 200, 201})
OUTSIDE_REFUSAL: Final = 422
SHOWN: Final = 20


@dataclass(slots=True)
class Verdict:
    """Whether everything promised holds, and whether the run was worth anything."""

    checks: dict[str, str] = field(default_factory=dict)
    """By what was asked: empty when it holds, else what was found."""
    void: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    conservation: list[dict[str, str]] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    clauses: list[dict[str, str]] = field(default_factory=list)
    """What the checker says of each invariant."""

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not any(self.checks.values())


async def judge(ran: Ran, evidence: Evidence) -> Verdict:
    """The verdict over a run that has drained; the system still stands.

    The checker judges from the evidence, and the chain's own proof and journal are asked beside it.
    """
    proof = await proven(ran.system.where)
    journal = _read(ran.system.root / "journal.jsonl")
    verdict = Verdict(counters=_counters(ran, proof))
    verdict.conservation = [row.plain() for row in proof.table.ordered()]
    verdict.states = dict(sorted(proof.table.by_state.items()))
    verdict.checks = {
        "what was acknowledged has an answer": _lost(journal, proof),
        "what is wrong is refused for what is wrong": _refused(journal, proof),
        "one standing entry per claim": _twice(proof),
        "one document per entry outside": _twice_outside(ran),
        "the outside ledger has what was posted there": _outside_agrees(ran, proof),
        "money is conserved": _listed(f"{name}: {gap}" for name, gap in proof.table.gaps.items()),
        "no invariant is violated": _listed(
            f"{each['source']} {each['invariant']} {each['subject']}: {each['detail']}"
            for each in proof.violations
        ),
        "every service was asked": _listed(proof.unreachable),
        "nobody approved their own claim": _told(ran, "self-approvals that went through"),
        "everything came to its end": _pending(ran),
    }
    _take(verdict, await checker.judge(evidence))
    verdict.void += _void(ran, verdict)
    return verdict


def _take(verdict: Verdict, found: checker.Verdict) -> None:
    """What the checker found: a failure is one, and what it cannot settle proves nothing."""
    for clause in found.clauses:
        name = f"{clause.number} {clause.name}"
        told = [f"{each.subject}: {each.detail}" for each in clause.violations]
        verdict.checks[name] = _listed(told)
        examined = str(clause.examined)
        verdict.clauses.append({"clause": name, "status": clause.status, "examined": examined})
        if clause.status is checker.Status.UNKNOWN:
            unsure = _listed(f"{each.subject}: {each.detail}" for each in clause.unsettled)
            verdict.void.append(f"{name} cannot be settled: {unsure}")


def _read(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return [orjson.loads(line) for line in file]


def _lost(journal: list[dict[str, Any]], proof: Proof) -> str:
    """Submissions that were acknowledged and of which nobody speaks any more."""
    acknowledged = {
        (line["source"], line["source_key"])
        for line in journal
        if line["what"] == "submit" and line["revision"] == 1 and line["answered"] in CREATED
    }
    lost = (
        key for source, key in acknowledged if not outcome_of(proof.reading.stories, source, key)
    )
    return _listed(lost)


def _refused(journal: list[dict[str, Any]], proof: Proof) -> str:
    """Claims that are wrong must be refused on the bus, with the code for what is wrong."""
    wrong = []
    for line in journal:
        if line["what"] == "submit" and line["code"] and line["answered"]:
            found = outcome_of(proof.reading.stories, line["source"], line["source_key"])
            if found is None or line["code"] not in found.name:
                told = found.name if found else "no answer"
                wrong.append(f"{line['source_key']}: {told}, not {line['code']}")
    return _listed(wrong)


def _twice(proof: Proof) -> str:
    stories = proof.reading.stories.claims
    return _listed(name for name, story in stories.items() if len(story.live_entries) > 1)


def _twice_outside(ran: Ran) -> str:
    documents = Counter(
        (document.get("reference"), document.get("reverses"))
        for _, document in ran.ledger.entries.values()
    )
    return _listed(f"{reference}: {n}" for (reference, _), n in documents.items() if n > 1)


def _outside_agrees(ran: Ran, proof: Proof) -> str:
    """As many documents out there as entries that were posted and turned back there."""
    company = {d.get("company") for _, d in ran.ledger.entries.values()}
    said = sum(
        len(story.entries or {})
        for story in proof.reading.stories.claims.values()
        if story.company in company
    )
    stored = sum(not d.get("reverses") for _, d in ran.ledger.entries.values())
    return "" if said == stored else f"{stored} documents outside, {said} entries said"


def _told(ran: Ran, name: str) -> str:
    count = ran.system.tally[name]
    return f"{count} {name}" if count else ""


def _pending(ran: Ran) -> str:
    left = ", ".join(f"{count} {state}" for state, count in ran.pending.items())
    if ran.drained_s is None:
        return f"not within {ran.scale.drain_s} s: {left or 'claims still being sent'}"
    return left


def _listed(found: Any) -> str:
    items = sorted(str(each) for each in found)
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return "; ".join(items[:SHOWN]) + more


def _counters(ran: Ran, proof: Proof) -> dict[str, int]:
    counted = ran.measures.counters()
    replicas = ran.system.replicas
    commits = sum(each.postgres.ambiguous_commits for each in replicas)
    executed = sum(ran.ledger.moods[mood] for mood in EFFECT_THEN_ERROR)
    own = {
        "redeliveries": proof.reading.stories.repeats,
        "ambiguous commits": commits,
        "ERP executed, then an error": executed,
        "dead letters": max(counted["dead letters"], sum(proof.reading.dead_letters.values())),
        "rebalances": max(0, counted["assignments"] - len(replicas)),
        "kills inside a transaction": ran.system.tally["kills inside a transaction"],
        "fenced or stale": counted["fenced batches"] + counted["commits refused by a rebalance"],
    }
    return dict(counted) | own | dict(ran.system.tally)


def _void(ran: Ran, verdict: Verdict) -> list[str]:
    """Why a run proves nothing: a promised fault that did not happen, or a counter at zero."""
    short = [
        f"{fault}: {ran.done[fault]} of {promised}"
        for fault, promised in ran.scale.promised.items()
        if ran.done[fault] < promised
    ]
    needed = ["inbox duplicate hits", "budget rejections", "rebalances", "redeliveries"]
    promised = ran.scale.promised
    if promised.get(Fault.KILL):
        needed.append("kills inside a transaction")
    if promised.get(Fault.LOST_COMMIT):
        needed.append("ambiguous commits")
    if promised.get(Fault.PAUSE):
        needed.append("fenced or stale")
    if ran.scale.erp_faults:
        needed.append("ERP executed, then an error")
    return short + [f"{name}: 0" for name in needed if not verdict.counters.get(name)]


def report(ran: Ran, verdict: Verdict, commit: str, again: str) -> dict[str, Any]:
    """The report as one document."""
    return {
        "seed": ran.seed,
        "commit": commit,
        "again": again,
        "schedule": ran.scale.name,
        "claims": ran.scale.claims,
        "faults": {
            fault: {"promised": promised, "happened": ran.done[fault]}
            for fault, promised in ran.scale.promised.items()
        },
        "outside_ledger": dict(ran.ledger.moods),
        "counters": dict(sorted(verdict.counters.items())),
        "recovery_s": {
            kind: {
                "times": len(values),
                "p50": round(quantile(values, 0.5), 2),
                "p99": round(quantile(values, 0.99), 2),
            }
            for kind, values in sorted(ran.measures.recoveries.items())
        },
        "slow": ran.measures.unrecovered,
        "drained_s": ran.drained_s and round(ran.drained_s, 1),
        "states": verdict.states,
        "conservation": verdict.conservation,
        "checks": verdict.checks,
        "clauses": verdict.clauses,
        "holds": verdict.holds,
        "void": verdict.void,
    }
