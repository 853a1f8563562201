"""Which amounts add up to a sum: all answers up to a limit; and the differences a bank makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TERMS: Final = (
    16  # Two halves of 256 sums each; a longer list has too many chance answers anyway.
)
FEE_MAX_MINOR: Final = 5_000  # 50.00 of most currencies: more than a transfer costs.
FX_MAX_PERCENT: Final = 3  # What a rate moves between the expense and the payment.

Differences = tuple[tuple[str, int], ...]


def subsets(amounts: Sequence[int], target: int, *, limit: int = 2) -> list[tuple[int, ...]]:
    """Up to `limit` different sets of positions whose amounts add up to the target exactly.

    Meets in the middle; raises ValueError beyond MAX_TERMS amounts.
    """
    if len(amounts) > MAX_TERMS:
        msg = f"{len(amounts)} amounts are more than {MAX_TERMS}"
        raise ValueError(msg)
    half = len(amounts) // 2
    left: dict[int, list[int]] = {}
    for mask, total in enumerate(_sums(amounts[:half])):
        left.setdefault(total, []).append(mask)
    found = []
    for mask, total in enumerate(_sums(amounts[half:])):
        for other in left.get(target - total, ()):
            positions = other | mask << half
            if positions:
                found.append(tuple(n for n in range(len(amounts)) if positions >> n & 1))
            if len(found) == limit:
                return found
    return found


def _sums(amounts: Sequence[int]) -> list[int]:
    """The sum of every subset, indexed by its bit mask."""
    sums = [0]
    for amount in amounts:
        sums += [total + amount for total in sums]
    return sums


def differences(
    *, pays: int, expected: int, terms: int, charges: int, foreign: bool
) -> Differences | None:
    """The typed differences that make a payment exact; empty if it is exact, None if nothing fits.

    A fee is what the line itself shows as charges, and always a cost. Rounding is at most one minor
    unit per item. An exchange difference needs a line whose own figures show another currency.
    """
    rest = pays - expected
    if rest == 0:
        return ()
    fees = [0, charges] if 0 < charges <= FEE_MAX_MINOR else [0]
    if rest == fees[-1]:
        return (("fee", rest),)
    for fee in fees:
        shown = (("fee", fee),) if fee else ()
        if abs(rest - fee) <= terms:
            return (*shown, ("rounding", rest - fee))
        if foreign and abs(rest - fee) * 100 <= abs(expected) * FX_MAX_PERCENT:
            return (*shown, ("fx", rest - fee))
    return None
