"""How a clause is declared: its number, name, the sentence that must be true, what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from checker.verdict import Clause

if TYPE_CHECKING:
    from collections.abc import Callable

    from checker.world import World

    Judge = Callable[[World, Clause], None]


@dataclass(frozen=True, slots=True)
class Declared:
    """A clause, the parts of the evidence it needs, and the function that judges it."""

    number: str
    name: str
    sentence: str
    needs: tuple[str, ...]
    judge: Judge

    def over(self, world: World) -> Clause:
        """The clause, judged over a run; unjudged where evidence is missing."""
        missing = tuple(part for part in self.needs if not world.has(part))
        clause = Clause(self.number, self.name, self.sentence, missing=missing)
        if not missing:
            self.judge(world, clause)
        return clause


CLAUSES: list[Declared] = []
"""Every clause, in the order of declaration."""


def clause(number: str, name: str, *needs: str) -> Callable[[Judge], Judge]:
    """Declare a function as the judge of a clause; the first line of its docstring is the rule."""

    def declare(judge: Judge) -> Judge:
        sentence = (judge.__doc__ or "").strip().partition("\n")[0]
        CLAUSES.append(Declared(number, name, sentence, needs, judge))
        return judge

    return declare
