"""The HTTP face of claims: submit, withdraw, look up, and read a claim's whole story."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from fastapi import Request, Response  # noqa: TC002 - read at run time
from pydantic import BaseModel, ConfigDict

from chassis.errors import Retry
from chassis.http import PageArgs, Paged, Problem, Reading, Writing, router
from chassis.problems import answer
from contracts.approval import ClaimRejected
from contracts.budget import FundsRefused
from contracts.claims import ClaimLine, ClaimRefused, DuplicateWarning, SubmitClaim, WithdrawClaim
from contracts.codec import CONTENT_TYPE, Unreadable, strict_json
from contracts.posting import EntryFailed, EntryHeld
from contracts.values import ClaimId, Code, Money, PaidBy, Reason, Text
from contracts.values import claim_id as id_under
from services.claims.domain import Search, State
from services.claims.policy.intake import Outcome, Verdict, judge
from services.claims.policy.reading import plain, read_strictly, refused
from services.claims.store import chain, door, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chassis.db import Reader, Tx
    from contracts.claims import ClaimSubmitted
    from services.claims.domain import Key, Standing, Step

routes = router()
MAX_BATCH: Final = 500  # As many as a handler takes at once.
_STATUS: Final = {
    "NOT_THE_OWNER": 403,
    "ALREADY_POSTED": 409,
    "ALREADY_ENDED": 409,
    "KEY_REUSED": 409,
    "REVISION_CONFLICT": 409,
    "TOO_LARGE": 413,
}  # Whatever else is refused could be read: 422.
_WHY: Final = {
    State.REJECTED: ClaimRejected.kind,
    State.FUNDS_REFUSED: FundsRefused.kind,
    State.POSTING_HELD: EntryHeld.kind,
    State.POSTING_FAILED: EntryFailed.kind,
}
"""Which fact says why a claim stands where it stands."""
_NUMBER_MAX: Final = 2**63 - 1  # What the column holds; a cursor beyond it is forged.


class WithdrawRequest(BaseModel):
    """Who takes the claim back, and why."""

    model_config = ConfigDict(strict=True, extra="forbid")

    by: Code
    reason: Text = ""


class ClaimAnswer(BaseModel):
    """What became of one claim: the same for the same claim sent again, but `duplicate`.

    A refused claim has reasons, and no state.
    """

    outcome: Outcome
    source: str
    source_key: str
    revision: int
    claim_id: ClaimId | None
    state: State | None
    warnings: list[DuplicateWarning]
    reasons: list[Reason]


class BatchAnswer(BaseModel):
    """What became of each claim of a batch, in the order of the batch."""

    results: list[ClaimAnswer]


class ClaimSummary(BaseModel):
    """Where one revision of a claim stands; `open` is what the bank has last left unpaid."""

    claim_id: ClaimId
    revision: int
    state: State
    since: datetime
    submitted_at: datetime
    source: str
    source_key: str
    company: str
    employee: str
    total: Money
    open: Money | None
    settled_on: date | None


class RevisionView(BaseModel):
    """One revision among the others of its claim."""

    revision: int
    state: State
    since: datetime


class ClaimView(ClaimSummary):
    """One revision of a claim, whole; `reasons` say why it ended, if it was refused."""

    paid_by: PaidBy
    payee: str
    purpose: str
    lines: list[ClaimLine]
    warnings: list[DuplicateWarning]
    reasons: list[Reason]
    revisions: list[RevisionView]


class StepView(BaseModel):
    """One thing that was said about a claim: when, who acted, which figures, in which trace."""

    revision: int
    kind: str
    at: datetime
    actor: str
    figures: dict[str, Any]
    event_id: UUID
    trace_id: str | None


class JourneyView(BaseModel):
    """Everything that was said about a claim, in the order in which it became known."""

    claim_id: ClaimId
    steps: list[StepView]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON Schema in one piece: these bodies are read here, not by the framework."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def whole(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return whole(parts[node["$ref"].rpartition("/")[2]])
            return {name: whole(part) for name, part in node.items()}
        return [whole(part) for part in node] if isinstance(node, list) else node

    return dict(whole(schema))


def _body(*schemas: dict[str, Any]) -> dict[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"anyOf": list(schemas)}}}
    return {"requestBody": {"required": True, "content": content}}


_CLAIM: Final = _schema(SubmitClaim)
_CLAIMS: Final = {
    "type": "object",
    "properties": {
        "claims": {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": _CLAIM}
    },
    "required": ["claims"],
    "additionalProperties": False,
}


@routes.post(
    "/claims",
    status_code=201,
    response_model=ClaimAnswer | BatchAnswer,
    openapi_extra=_body(_CLAIM, _CLAIMS),
)
async def submit(request: Request, response: Response, tx: Writing) -> Any:
    """Take a claim (201; 200 if it was taken before), or a batch (200), each claim by itself."""
    document = await _document(request)
    place = f"http/{request.headers['Idempotency-Key']}"
    is_batch = isinstance(document, dict) and "claims" in document
    verdicts = await _judge(tx, _items(document) if is_batch else [document], place)
    if not is_batch and verdicts[0].outcome is Outcome.REFUSED:
        return await _refusal(request, tx, verdicts[0])
    said = [(fact, tx.emit(fact, because=None)) for v in verdicts for fact in v.facts]
    try:
        await door.save_verdicts(tx, verdicts, said)
    except Retry:
        detail = "the same claim is being taken at this moment; ask again"
        raise Problem(409, "CLAIM_IN_USE", detail) from None
    papers = await shown.documents(tx, {v.claim.key for v in verdicts if v.claim})
    answers = [_answer(verdict, papers) for verdict in verdicts]
    if is_batch or answers[0].outcome is Outcome.DUPLICATE:
        response.status_code = 200
    return BatchAnswer(results=answers) if is_batch else answers[0]


async def _document(request: Request) -> Any:
    """The request's body, read as strictly as a record of the intake topic."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != CONTENT_TYPE:
        raise Problem(415, "CONTENT_TYPE", f"the body must be {CONTENT_TYPE}")
    try:
        return strict_json(await request.body())
    except Unreadable as problem:
        raise Problem(400, problem.code, plain(problem.detail)) from None


def _items(document: dict[str, Any]) -> list[Any]:
    items = document["claims"]
    if len(document) > 1 or not isinstance(items, list) or not 0 < len(items) <= MAX_BATCH:
        detail = f"a batch has 'claims', a list of 1 to {MAX_BATCH} claims, and nothing else"
        raise Problem(422, "SCHEMA_INVALID", detail)
    return items


async def _judge(tx: Tx, documents: Sequence[Any], place: str) -> list[Verdict]:
    """What becomes of each document; what is no claim is refused like any other."""
    readings = [read_strictly(SubmitClaim, document) for document in documents]
    commands = [reading for reading in readings if isinstance(reading, SubmitClaim)]
    desk = await door.open_desk(tx, commands, patient=False)
    judged = iter(judge([(command, tx.now) for command in commands], desk))
    return [
        next(judged)
        if isinstance(reading, SubmitClaim)
        else Verdict(Outcome.REFUSED, (refused(document, f"{place}#{index}", reading),))
        for index, (document, reading) in enumerate(zip(documents, readings, strict=True))
    ]


def _answer(verdict: Verdict, papers: Mapping[Key, ClaimSubmitted]) -> ClaimAnswer:
    """What the sender learns of a verdict; a refused claim is known by its refusal alone."""
    claim = verdict.claim
    known = claim or next(fact for fact in verdict.facts if isinstance(fact, ClaimRefused))
    return ClaimAnswer(
        outcome=verdict.outcome,
        source=known.source,
        source_key=known.source_key,
        revision=known.revision,
        claim_id=known.claim_id,
        state=claim.state if claim else None,
        warnings=papers[claim.key].warnings if claim else [],
        reasons=verdict.reasons,
    )


async def _refusal(request: Request, tx: Tx, verdict: Verdict) -> Response:
    """The problem document of a refusal; its fact commits with it."""
    await chain.tell_own(tx, [(fact, tx.emit(fact, because=None)) for fact in verdict.facts])
    first = verdict.reasons[0]
    problem = Problem(
        _STATUS.get(first.code, 422),
        first.code,
        f"{first.pointer}: {first.detail}" if first.pointer else first.detail,
        figures=first.figures,
        errors=[reason.model_dump(exclude_none=True) for reason in verdict.reasons],
    )
    return answer(request, problem)


@routes.post(
    "/claims/{claim_id}/withdraw",
    response_model=ClaimAnswer,
    openapi_extra=_body(_schema(WithdrawRequest)),
)
async def withdraw(request: Request, claim_id: UUID, tx: Writing) -> Any:
    """Take one's own claim back while it is not posted; a second time changes nothing."""
    asked = read_strictly(WithdrawRequest, await _document(request))
    if isinstance(asked, list):
        errors = [reason.model_dump(exclude_none=True) for reason in asked]
        raise Problem(422, asked[0].code, asked[0].detail, errors=errors)
    owner = (await _revisions(tx, claim_id))[-1].claim
    command = WithdrawClaim(
        source=owner.source, source_key=owner.source_key, by=asked.by, reason=asked.reason
    )
    desk = await door.open_desk(tx, [command], patient=False)
    [verdict] = judge([(command, tx.now)], desk)
    if verdict.outcome is Outcome.REFUSED or verdict.claim is None:
        return await _refusal(request, tx, verdict)
    cause = await shown.submission(tx, verdict.claim.key)
    said = [(fact, tx.emit_after_wait(fact, because=cause)) for fact in verdict.facts]
    await door.save_verdicts(tx, [verdict], said)
    return _answer(verdict, await shown.documents(tx, [verdict.claim.key]))


async def _revisions(reader: Reader, claim_id: UUID) -> list[Standing]:
    found = await shown.revisions(reader, claim_id)
    if not found:
        raise Problem(404, "CLAIM_NOT_FOUND", "no claim was accepted under this id")
    return found


@routes.get("/claims")
async def list_claims(
    reader: Reading,
    page: PageArgs,
    company: Code | None = None,
    state: State | None = None,
    employee: Code | None = None,
    source: Code | None = None,
    source_key: Code | None = None,
) -> Paged[ClaimSummary]:
    """Claims, the newest first; `source` and `source_key` find every revision of one claim."""
    if source_key is not None and source is None:
        raise Problem(422, "QUERY_INCOMPLETE", "a source_key means nothing without its source")
    claim_id = id_under(source, source_key) if source and source_key else None
    search = Search(company, employee, source, state, claim_id)
    found = await shown.newest(reader, search, _before(page.after), page.limit + 1)
    numbers = {(one.claim.claim_id, one.claim.revision): one.number for one in found}
    return Paged.of(
        [ClaimSummary(**_summary(one)) for one in found],
        page,
        key=lambda item: [numbers[item.claim_id, item.revision]],
    )


def _before(after: list[str] | None) -> int | None:
    if after is None:
        return None
    number = after[0] if len(after) == 1 else ""
    if not (number.isascii() and number.isdigit() and int(number) <= _NUMBER_MAX):
        raise Problem(422, "CURSOR_INVALID", "use the `next` of the page before, unchanged")
    return int(number)


@routes.get("/claims/{claim_id}")
async def show_claim(reader: Reading, claim_id: UUID, revision: int | None = None) -> ClaimView:
    """One claim, its newest revision unless another one is asked for."""
    every = await _revisions(reader, claim_id)
    one = next((s for s in reversed(every) if revision in (None, s.claim.revision)), None)
    if one is None:
        raise Problem(404, "CLAIM_NOT_FOUND", "this claim has no such revision")
    paper = (await shown.documents(reader, [one.claim.key]))[one.claim.key]
    steps = await shown.story(reader, claim_id)
    said = _WHY.get(one.claim.state)
    why = [s for s in steps if s.revision == one.claim.revision and s.kind == said]
    return ClaimView(
        **_summary(one),
        paid_by=paper.paid_by,
        payee=paper.payee,
        purpose=paper.purpose,
        lines=paper.lines,
        warnings=paper.warnings,
        reasons=json.loads(why[-1].figures)["reasons"] if why else [],
        revisions=[
            RevisionView(revision=s.claim.revision, state=s.claim.state, since=s.since)
            for s in every
        ],
    )


@routes.get("/claims/{claim_id}/journey")
async def tell_journey(reader: Reading, claim_id: UUID) -> JourneyView:
    """What happened to a claim, when, who acted, with which figures and ids; refusals included."""
    steps = await shown.story(reader, claim_id)
    if not steps:
        raise Problem(404, "CLAIM_NOT_FOUND", "nothing was said about a claim of this id")
    return JourneyView(claim_id=claim_id, steps=[_step(step) for step in steps])


def _summary(standing: Standing) -> dict[str, Any]:
    claim, currency = standing.claim, standing.claim.total.currency
    return {
        "claim_id": claim.claim_id,
        "revision": claim.revision,
        "state": claim.state,
        "since": standing.since,
        "submitted_at": standing.submitted_at,
        "source": claim.source,
        "source_key": claim.source_key,
        "company": claim.company,
        "employee": claim.employee,
        "total": claim.total,
        "open": None if claim.open_minor is None else Money(claim.open_minor, currency),
        "settled_on": claim.paid_on if claim.state is State.SETTLED else None,
    }


def _step(step: Step) -> StepView:
    return StepView(
        revision=step.revision,
        kind=step.kind,
        at=step.at,
        actor=step.actor,
        figures=json.loads(step.figures),
        event_id=step.event_id,
        trace_id=step.traceparent.split("-")[1] if step.traceparent else None,
    )
