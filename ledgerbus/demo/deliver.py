"""From the bank's desk to reconcile: its statements handed over, and its work in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.values import Money
from ledgerbus.statements import Delivery, deliver

if TYPE_CHECKING:
    from ledgerbus.bank import Desk, Working
    from ledgerbus.calls import Services


async def deliver_all(running: Services, desk: Desk) -> list[Delivery]:
    """Hand over what is undelivered, in order; the first refusal stops it."""
    deliveries = []
    for name in list(desk.undelivered):
        delivery = await deliver(running, desk.folder / name)
        if delivery.problem:
            raise delivery.problem
        deliveries.append(delivery)
        desk.undelivered.remove(name)
        desk.save()
    return deliveries


def worked(working: Working) -> str:
    """What the bank did, in a sentence or two."""
    if not working.payments:
        return "the bank found nothing new to pay"
    moved = ", ".join(str(Money(minor, code)) for code, minor in working.moved.items())
    noise = ", ".join(f"{count} {kind}" for kind, count in sorted(working.noise.items()))
    said = f"the bank paid {working.payments} entries in {working.lines} lines ({noise}): {moved}"
    if working.without_account:
        names = ", ".join(sorted(set(working.without_account)))
        said += f"; {len(working.without_account)} entries of {names} have no bank account"
    return said
