"""I17 and I21: what the client was answered, by its own journal."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from checker.clauses import clause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checker.verdict import Clause
    from checker.world import World

RANKS: Final = {
    state: rank
    for rank, states in enumerate(
        (
            ("awaited",),
            ("submitted",),
            ("in_approval",),
            ("approved", "rejected"),
            ("reserved", "funds_refused"),
            ("posting_held",),
            ("posted", "posting_failed"),
            ("settled", "withdrawn", "reversed"),
        )
    )
    for state in states
}


@clause("I17", "one key, one answer", "journal")
def one_answer(world: World, found: Clause) -> None:
    """The same idempotency key with the same body is answered the same; another body never is."""
    answers: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in world.journal or ():
        if line.get("idempotency_key") and isinstance(line.get("answered"), int):
            answers[line["idempotency_key"]].append(line)
    for key, lines in answers.items():
        done = [line for line in lines if 200 <= line["answered"] < 300]
        found.saw(len(done))
        bodies = {line.get("value_sha256") for line in done}
        if len(bodies) > 1:
            found.broken(key, f"{len(bodies)} bodies accepted under one key")
        told = [line.get("answer") for line in done if line.get("answer") is not None]
        if any(answer != told[0] for answer in told[1:]):
            found.broken(key, "the same request had two answers")


@clause("I21", "a client never looks back", "journal")
def never_back(world: World, found: Clause) -> None:
    """The state of a claim that a client reads never moves back."""
    seen: dict[Any, str] = {}
    for line in world.journal or ():
        state = (line.get("answer") or {}).get("state")
        if line.get("what") != "read" or state not in RANKS:
            continue
        found.saw()
        key = (line.get("source"), line.get("source_key"), line.get("revision"))
        former = seen.get(key, state)
        if RANKS[state] < RANKS[former]:
            found.broken("/".join(map(str, key)), f"{state} after {former}")
        seen[key] = state
