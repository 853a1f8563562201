"""What every service answers about its dead letters, and lets people do to them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from chassis.deadletters import store, views
from chassis.deadletters.edits import edit
from chassis.deadletters.repair import Order, Repair, Result
from chassis.deadletters.store import Where
from chassis.http import PageArgs, Paged, Problem, Reading, Writing, router

if TYPE_CHECKING:
    from chassis.effect import Effect

routes = router()

ALONE_MAX: Final = 100  # Beyond it a mistake is no longer repaired by hand: two people answer.
ONE_RUN_MAX: Final = 1_000
_LOCK_CLASS: Final = 7_004  # The advisory lock of runs: one at a time in a service.

State = Literal["open", "replayed", "discarded"]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Text = Annotated[str, Field(max_length=300)]


class RunRequest(BaseModel):
    """Which open letters, how many, how fast; who wants it and why. Dry runs change nothing."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] | None = Field(default=None, min_length=1, max_length=ONE_RUN_MAX)
    fingerprint: Text | None = None
    code: Text | None = None
    kind: Text | None = None
    key: Text | None = None
    limit: int = Field(default=ALONE_MAX, ge=1, le=100_000)
    rate: int | None = Field(default=None, ge=1, le=1_000, description="letters per second")
    dry_run: bool = False
    reason: Name
    by: Name
    approved_by: Name | None = None
    run: UUID | None = Field(default=None, description="continues a run that had letters left")

    @property
    def where(self) -> Where:
        """The open letters meant."""
        ids = None if self.ids is None else tuple(self.ids)
        return Where("open", self.code, self.kind, self.key, self.fingerprint, ids)


class ResultView(BaseModel):
    """What became of one letter; `emits` are the kinds its handler said, or would say."""

    id: UUID
    outcome: str
    code: str | None
    detail: str | None
    emits: list[str]


class RunView(BaseModel):
    """What a run has done; `left` letters are its to do yet: ask again with its id."""

    run: UUID
    action: str
    dry_run: bool
    counts: dict[str, int]
    left: int
    results: list[ResultView]


class EditRequest(BaseModel):
    """The new value (a JSON document) or key; who wants it and why."""

    model_config = ConfigDict(extra="forbid")

    value: Any = None
    key: str | None = Field(default=None, max_length=1_000)
    reason: Name
    by: Name


class Groups(BaseModel):
    """Dead letters by cause."""

    items: list[views.GroupView]


def _filters(
    *,
    state: State | None = None,
    code: Text | None = None,
    kind: Text | None = None,
    key: Text | None = None,
    fingerprint: Text | None = None,
) -> Where:
    return Where(state, code, kind, key, fingerprint)


def _effect(request: Request) -> Effect:
    effect: Effect = request.app.state.effect
    return effect


@routes.get("/dead-letters", tags=["operations"])
async def list_letters(
    reader: Reading, page: PageArgs, where: Annotated[Where, Depends(_filters)]
) -> Paged[views.LetterView]:
    """Dead letters, oldest first."""
    after = _after(page.after)
    found = await store.letters(reader, where, after, page.limit + 1)
    return Paged.of([views.line(one) for one in found], page, key=lambda one: [one.id])


@routes.get("/dead-letters/groups", tags=["operations"])
async def list_groups(reader: Reading, state: State | None = None) -> Groups:
    """Dead letters grouped by cause: error code, handler and kind."""
    return Groups(items=[views.group(row) for row in await store.groups(reader, state)])


@routes.get("/dead-letters/{letter_id}", tags=["operations"])
async def show_letter(reader: Reading, request: Request, letter_id: UUID) -> views.LetterDetail:
    """One dead letter: its bytes, why it failed, whether it would be read today, what was done."""
    letter = await store.letter(reader, letter_id)
    if letter is None:
        raise Problem(404, "DEAD_LETTER_NOT_FOUND", f"there is no dead letter {letter_id} here")
    return views.whole(
        letter,
        _effect(request).judge(letter.record()),
        await store.waiting_behind(reader, letter.key) if letter.key is not None else 0,
        await store.actions(reader, letter_id),
    )


@routes.post("/dead-letters/replay", tags=["operations"])
async def replay(request: Request, tx: Writing, wanted: RunRequest) -> RunView:
    """Hand dead letters to their handlers again, through the inbox, each in its transaction."""
    return await _run(request, tx, wanted, "replay")


@routes.post("/dead-letters/discard", tags=["operations"])
async def discard(request: Request, tx: Writing, wanted: RunRequest) -> RunView:
    """Give dead letters up; what waits behind them goes on."""
    return await _run(request, tx, wanted, "discard")


@routes.post("/dead-letters/{letter_id}/edit", tags=["operations"])
async def edit_letter(
    request: Request, tx: Writing, letter_id: UUID, wanted: EditRequest
) -> views.LetterDetail:
    """Put another value or key in the place of a letter's own; its id stays. Replay it then."""
    letter = await store.lock(tx, letter_id)
    if letter is None:
        raise Problem(404, "DEAD_LETTER_NOT_FOUND", f"there is no dead letter {letter_id} here")
    if letter.state != "open":
        raise Problem(409, "DEAD_LETTER_SETTLED", f"it was {letter.state} before")
    changes = {name: getattr(wanted, name) for name in {"value", "key"} & wanted.model_fields_set}
    effect = _effect(request)
    edited = await edit(tx, effect, letter, changes, by=wanted.by, reason=wanted.reason)
    acts = await store.actions(tx, letter_id)
    waiting = await store.waiting_behind(tx, letter.key) if letter.key is not None else 0
    return views.whole(edited, effect.judge(edited.record()), waiting, acts)


@routes.get("/parked", tags=["operations"])
async def list_parked(
    reader: Reading, page: PageArgs, key: Text | None = None
) -> Paged[views.ParkedView]:
    """Keys whose events wait, how many, since when and behind which dead letter."""
    try:
        after = base64.b64decode(page.after[0], validate=True) if page.after else b""
    except (ValueError, IndexError):
        raise _forged() from None
    wanted = None if key is None else key.encode()
    found = await store.parked(reader, wanted, after, page.limit + 1)
    items = [views.waiting_key(row) for row in found]
    return Paged.of(items, page, key=lambda one: [one.key_base64])


def _after(after: list[str] | None) -> UUID:
    try:
        return UUID(after[0]) if after is not None else store.FIRST
    except (ValueError, IndexError):
        raise _forged() from None


def _forged() -> Problem:
    return Problem(422, "CURSOR_INVALID", "use the `next` of the page before, unchanged")


async def _run(
    request: Request, tx: Writing, wanted: RunRequest, action: Literal["replay", "discard"]
) -> RunView:
    run = wanted.run or tx.new_id()
    ids, left = await _chosen(tx, wanted, run)
    effect = _effect(request)
    repair = Repair(request.app.state.database, effect)
    order = Order(run, action, wanted.by, wanted.approved_by, wanted.reason, wanted.dry_run)
    results: list[Result] = [each async for each in repair.run(order, ids, wanted.rate)]
    counts: dict[str, int] = {}
    for each in results:
        counts[each.outcome] = counts.get(each.outcome, 0) + 1
    return RunView(
        run=run,
        action=action,
        dry_run=wanted.dry_run,
        counts=counts,
        left=left - len(results),
        results=[
            ResultView(
                id=each.id, outcome=each.outcome, code=each.code, detail=each.detail,
                emits=list(each.emits),
            )
            for each in results
        ],
    )  # fmt: skip


async def _chosen(tx: Writing, wanted: RunRequest, run: UUID) -> tuple[list[UUID], int]:
    """The letters of this request and how many the run has in all; refuses what is not allowed."""
    where = wanted.where
    if not (where.ids or where.fingerprint or where.code or where.kind or where.key):
        raise Problem(422, "SELECTION_MISSING", "name ids, a fingerprint, a code, a kind or a key")
    if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK_CLASS):
        raise Problem(409, "RUN_UNDER_WAY", "another run is under way in this service")
    before = await store.tried(tx, run)
    room = max(wanted.limit - before, 0)
    ids, found = await store.chosen(tx, where, run, min(room, ONE_RUN_MAX))
    left = min(found, room)
    alone = wanted.approved_by is None or wanted.approved_by == wanted.by
    if before + left > ALONE_MAX and alone and not wanted.dry_run:
        detail = f"{before + left} letters at once; beyond {ALONE_MAX} name another `approved_by`"
        raise Problem(422, "SECOND_PERSON_NEEDED", detail)
    return ids, left
