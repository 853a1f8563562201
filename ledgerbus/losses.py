"""What was never said: facts that must follow others, and that nobody downstream would miss.

A consequence is asked for only when its cause is due, so work that is under way is no loss. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerbus.story import Due

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledgerbus.story import Story


def losses(story: Story) -> Iterator[tuple[str, str]]:
    """The rules that are broken by silence, each with what is missing after what."""
    for invariant, attribute, missing in (
        ("spent-after-posted", "spent", _unspent(story)),
        ("released-after-its-end", "let_go", _held(story)),
        ("given-back-after-reversed", "given_back", _kept(story)),
        ("settled-after-paid", "settled", _unsettled(story)),
    ):
        if missing and getattr(story, attribute) is None and attribute not in story.late:
            yield invariant, missing


def _unspent(story: Story) -> str:
    if story.reserved is None or not story.entries or Due.POSTED not in story.due:
        return ""
    return f"{story.reserved} reserved and posted, but no funds-spent"


def _held(story: Story) -> str:
    """Once an entry stands, a withdrawal gives the money back through its reversal."""
    if story.reserved is None or story.entries:
        return ""
    ends = {"posting failed": Due.FAILED, "the claim was withdrawn": Due.WITHDRAWN}
    for end, due in ends.items():
        if due in story.due:
            return f"{story.reserved} reserved, {end}, but no funds-released"
    return ""


def _kept(story: Story) -> str:
    if story.reserved is None or story.live_entries or Due.TURNED_BACK not in story.due:
        return ""
    return f"{story.reserved} reserved and posted, the entry turned back, but no funds-released"


def _unsettled(story: Story) -> str:
    changed = story.withdrawn is not None or len(story.live_entries) < len(story.own_entries)
    both = Due.POSTED | Due.PAID
    if changed or not story.paid or story.paid != story.posted or both not in story.due:
        return ""
    return f"{story.paid} paid of {story.posted}, but no claim-settled"
