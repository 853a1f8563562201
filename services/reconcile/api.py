"""Reconcile over HTTP: statements in, their fate and the open questions out, people's decisions."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from chassis.db import Tx
from chassis.http import PageArgs, Paged, Problem, Reading, Writing, router
from chassis.problems import answer
from contracts.reconcile import Difference, ExceptionOpened
from contracts.values import Code, Money, Text
from services.reconcile.domain import (
    Earlier,
    Finding,
    Match,
    Statement,
    facts_of,
    opened,
    refusal_of,
)
from services.reconcile.matching import Settlement, settle
from services.reconcile.matching.by_hand import Given, settle_by_hand, undone
from services.reconcile.matching.lines import lines_of
from services.reconcile.statements import Unreadable, layout_of, read_camt, read_csv
from services.reconcile.store import boards, exceptions, settlements, shown, statements
from services.reconcile.store.shown import ExceptionView, ItemView, LineView, StatementView

routes = router()

T = TypeVar("T", UUID, int)
_XML = ("application/xml", "text/xml")
_CSV = "text/csv"
_POSITION_MAX = 2**31 - 1  # What the column holds; a cursor beyond it is forged.
LayoutName = Annotated[str, Query(min_length=1, max_length=64, description="for text/csv")]


class StatementAnswer(BaseModel):
    """What became of one statement of a file; `known` lines were on an earlier statement."""

    statement_id: UUID
    account: str
    reference: str
    outcome: Literal["accepted", "duplicate", "quarantined"]
    proven: bool
    lines: int
    known: int = 0
    skipped: int = 0
    matched: int = 0
    returned: int = 0
    exceptions: int = 0
    code: str | None = None
    figures: dict[str, str] = Field(default_factory=dict)


class ImportAnswer(BaseModel):
    """What became of each statement of a file."""

    statements: list[StatementAnswer]


class StatementDetail(BaseModel):
    """A statement, and the lines it was the first to show."""

    statement: StatementView
    lines: Paged[LineView]


class ItemsAnswer(BaseModel):
    """What a claim's entries expect from the bank."""

    items: list[ItemView]


class ClaimShare(BaseModel):
    """What a person gives of a line to a claim; against the claim's sign, it takes it back."""

    model_config = ConfigDict(extra="forbid")

    claim_id: UUID
    amount: Money


class Resolution(BaseModel):
    """The claims a line belongs to (and typed differences, exact in sum), or a dismissal."""

    model_config = ConfigDict(extra="forbid")

    by: Code
    claims: list[ClaimShare] = Field(default_factory=list, max_length=1000)
    differences: list[Difference] = Field(default_factory=list, max_length=3)
    dismiss: Annotated[Text, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Resolution":
        if bool(self.claims) == bool(self.dismiss) or (self.dismiss and self.differences):
            raise ValueError("give claims (and differences), or dismiss with a reason")
        return self


class ResolutionAnswer(BaseModel):
    """The closed exception, and the match that closed it."""

    exception_id: UUID
    state: Literal["resolved", "dismissed"]
    match_id: UUID | None = None


class Undoing(BaseModel):
    """Who takes a match back, and why."""

    model_config = ConfigDict(extra="forbid")

    by: Code
    because: Annotated[Text, Field(min_length=1)]


class UndoneAnswer(BaseModel):
    """The match taken back, and the exception its line has become."""

    match_id: UUID
    exception_id: UUID
    claims: list[UUID]


@routes.post("/statements", status_code=201, response_model=ImportAnswer)
async def import_statements(
    request: Request, tx: Writing, layout: LayoutName = "plain"
) -> ImportAnswer | JSONResponse:
    """Take a statement file (camt XML, or CSV with a layout) and match its lines.

    A file none of whose statements may be used is kept, and answered with the reason.
    """
    content = await request.body()
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    found = await _read(content, kind, layout)
    companies = await statements.companies_of(tx, (one.account for one in found))
    await boards.lock(tx, companies.values())
    refused = [await _refusal(tx, one, companies) for one in found]
    file = await statements.add_file(tx, content, kind)
    answers = [await _take(tx, file, one, companies) for one in found]
    if all(refused):  # Returned, not raised: the file stays, and what was said of it.
        return answer(request, _refused(answers, refused))
    return ImportAnswer(statements=answers)


async def _read(content: bytes, kind: str, layout: str) -> list[Statement]:
    """The statements of a file, read beside the event loop."""
    try:
        if kind in _XML:
            return await asyncio.to_thread(read_camt, content)
        if kind == _CSV:
            return await asyncio.to_thread(read_csv, content, layout_of(layout))
    except Unreadable as problem:
        first = problem.faults[0]
        errors = [
            {"code": fault.code, "detail": fault.detail, "pointer": fault.where}
            for fault in problem.faults
        ]
        detail = f"{first.where}: {first.detail}"
        raise Problem(422, first.code, detail, errors=errors) from None
    raise Problem(415, "CONTENT_TYPE", "send application/xml (camt) or text/csv (with ?layout=)")


async def _refusal(tx: Tx, statement: Statement, companies: dict[str, str]) -> Finding | None:
    earlier = await statements.earlier(tx, statement)
    if any(one.accepted and one.same_content for one in earlier):
        return None
    return refusal_of(statement, companies.get(statement.account), earlier)


def _refused(answers: Sequence[StatementAnswer], findings: Iterable[Finding | None]) -> Problem:
    reasons = [finding for finding in findings if finding]
    figures = {"statement_id": str(answers[0].statement_id), **reasons[0].figures}
    errors = [
        {"code": reason.code, "detail": reason.detail, "pointer": answer.reference}
        for answer, reason in zip(answers, reasons, strict=True)
    ]
    return Problem(422, reasons[0].code, reasons[0].detail, figures=figures, errors=errors)


async def _take(
    tx: Tx, file: bytes, statement: Statement, companies: dict[str, str]
) -> StatementAnswer:
    """One statement's way: known already, quarantined, or its lines settled."""
    company = companies.get(statement.account)
    earlier = await statements.earlier(tx, statement)
    for one in earlier:
        if one.accepted and one.same_content:
            return _answer(statement, one.statement_id, "duplicate")
    finding = refusal_of(statement, company, earlier)
    if finding is not None or company is None:
        reason = finding or Finding("ACCOUNT_UNKNOWN", "")
        return await _quarantine(tx, file, statement, company or "", reason, earlier)
    return await _settle(tx, file, statement, company, earlier)


def _answer(
    statement: Statement,
    statement_id: UUID,
    outcome: Literal["accepted", "duplicate", "quarantined"],
) -> StatementAnswer:
    return StatementAnswer(
        statement_id=statement_id,
        account=statement.account,
        reference=statement.reference,
        outcome=outcome,
        proven=statement.proven and statement.closes,
        lines=len(statement.bookings),
        skipped=statement.skipped,
    )


async def _quarantine(
    tx: Tx,
    file: bytes,
    statement: Statement,
    company: str,
    finding: Finding,
    earlier: Sequence[Earlier],
) -> StatementAnswer:
    same = next((one for one in earlier if one.same_content), None)
    if same is not None:
        statement_id = same.statement_id
    else:
        statement_id, exception_id = await statements.quarantine(
            tx, statement, finding, file=file, company=company
        )
        fact = ExceptionOpened(
            exception_id=exception_id,
            company=company,
            account=statement.account,
            statement=statement.reference,
            reason=finding.reason,
            candidates=[],
        )
        tx.emit(fact, because=None)
    answer = _answer(statement, statement_id, "quarantined")
    return answer.model_copy(update={"code": finding.code, "figures": dict(finding.figures)})


async def _settle(
    tx: Tx, file: bytes, statement: Statement, company: str, earlier: Sequence[Earlier]
) -> StatementAnswer:
    seen = lines_of(statement, company)
    known = await statements.known_lines(tx, [line.line_id for line in seen])
    fresh = [line for line in seen if line.line_id not in known]
    state = "proven" if statement.proven else "unproven"
    statement_id = await statements.add_statement(
        tx, statement, file=file, company=company, state=state, known=len(known)
    )
    board, lines = await boards.load(tx, fresh)
    settlement = await asyncio.to_thread(settle, board, lines, new_id=tx.new_id)
    unsettled = await settlements.save(
        tx, settlement, fresh={line.line_id: statement_id for line in fresh}
    )
    await statements.supersede(tx, [one.statement_id for one in earlier if not one.accepted])
    for fact, cause in settlement.facts:
        tx.emit(fact, because=cause)
    for exception_id, line, finding in unsettled:
        tx.emit(opened(exception_id, line, finding), because=None)
    returned = sum(match.kind == "return" for match in settlement.matches)
    counts = {
        "known": len(known),
        "matched": len(settlement.matches) - returned,
        "returned": returned,
        "exceptions": len(unsettled),
    }
    return _answer(statement, statement_id, "accepted").model_copy(update=counts)


def _cursor(after: list[str] | None, kind: Callable[[str], T]) -> T | None:
    try:
        return None if after is None else kind(after[0])
    except (IndexError, ValueError):
        detail = "use the `next` of the page before, unchanged"
        raise Problem(422, "CURSOR_INVALID", detail) from None


def _position(text: str) -> int:
    if not 0 <= int(text) <= _POSITION_MAX:
        raise ValueError(text)
    return int(text)


@routes.get("/statements")
async def list_statements(
    reader: Reading, page: PageArgs, account: Code | None = None
) -> Paged[StatementView]:
    """Statements, the newest first."""
    before = _cursor(page.after, UUID)
    found = await shown.statements(reader, account=account, before=before, limit=page.limit + 1)
    return Paged.of(found, page, key=lambda one: [one.statement_id])


@routes.get("/statements/{statement_id}")
async def show_statement(reader: Reading, page: PageArgs, statement_id: UUID) -> StatementDetail:
    """A statement with its lines, in its own order, and what became of each."""
    statement = await shown.statement(reader, statement_id)
    if statement is None:
        raise Problem(404, "STATEMENT_NOT_FOUND", "no statement has this id")
    after = _cursor(page.after, _position) or 0
    lines = await shown.lines(reader, statement_id, after=after, limit=page.limit + 1)
    paged = Paged.of(lines, page, key=lambda line: [line.position])
    return StatementDetail(statement=statement, lines=paged)


@routes.get("/items")
async def show_items(reader: Reading, claim_id: UUID) -> ItemsAnswer:
    """What a claim's entries expect from the bank, and every payment that was seen."""
    return ItemsAnswer(items=await shown.items(reader, claim_id))


@routes.get("/exceptions")
async def list_exceptions(
    reader: Reading,
    page: PageArgs,
    state: Literal["open", "closed"] = "open",
    company: Code | None = None,
) -> Paged[ExceptionView]:
    """What waits for a person (or no longer does), the oldest first."""
    after = _cursor(page.after, UUID)
    found = await shown.exceptions(
        reader, state=state, company=company, after=after, limit=page.limit + 1
    )
    return Paged.of(found, page, key=lambda one: [one.exception_id])


@routes.post("/exceptions/{exception_id}/resolve")
async def resolve_exception(exception_id: UUID, body: Resolution, tx: Writing) -> ResolutionAnswer:
    """A person says which claims a line belongs to, exactly, or that it belongs to none."""
    company = await exceptions.company_of_exception(tx, exception_id)
    if company is None:
        raise Problem(404, "EXCEPTION_NOT_FOUND", "no exception has this id")
    await boards.lock(tx, [company])
    question = await exceptions.question_of(tx, exception_id)
    if question is None or not question.is_open:
        raise Problem(409, "EXCEPTION_CLOSED", "somebody or something has closed it already")
    if body.dismiss:
        await exceptions.close(tx, question, state="dismissed", by=body.by, because=body.dismiss)
        return ResolutionAnswer(exception_id=exception_id, state="dismissed")
    if question.line is None:
        raise Problem(409, "NO_LINE", "this exception is about no bank line; it can be dismissed")
    _same_currency(body, question.line.currency)
    board = await exceptions.board_of_claims(tx, [one.claim_id for one in body.claims])
    match = settle_by_hand(
        board,
        question.line,
        [Given(one.claim_id, one.amount.minor) for one in body.claims],
        tuple((one.kind, one.amount.minor) for one in body.differences),
        tx.new_id,
    )
    if isinstance(match, Finding):
        raise Problem(409, match.code, match.detail, figures=match.figures)
    await settlements.save(tx, Settlement((match,), ()), fresh={})
    await exceptions.close(tx, question, state="resolved", by=body.by, because="")
    for fact, cause in facts_of(match):
        tx.emit(fact, because=cause)
    return ResolutionAnswer(exception_id=exception_id, state="resolved", match_id=match.match_id)


def _same_currency(body: Resolution, currency: str) -> None:
    amounts = [one.amount for one in body.claims] + [one.amount for one in body.differences]
    if any(amount.currency != currency for amount in amounts):
        raise Problem(422, "CURRENCY_DIFFERS", f"the line is in {currency}")


@routes.post("/matches/{match_id}/undo")
async def undo_match(match_id: UUID, body: Undoing, tx: Writing) -> UndoneAnswer:
    """A person takes a match back; its line is an exception again, held for a person."""
    company = await exceptions.company_of_match(tx, match_id)
    if company is None:
        raise Problem(404, "MATCH_NOT_FOUND", "no match has this id")
    await boards.lock(tx, [company])
    match = (await exceptions.standing_matches(tx, [match_id])).get(match_id)
    if match is None:
        raise Problem(409, "MATCH_UNDONE", "this match has been undone already")
    if await exceptions.returns_of(tx, match_id):
        raise Problem(409, "MATCH_RETURNED", "this payment came back; undo that match first")
    facts = undone(match, await _originals(tx, match), by=body.by, because=body.because)
    if isinstance(facts, Finding):
        raise Problem(409, facts.code, facts.detail, figures=facts.figures)
    claims = tuple(dict.fromkeys(share.item.claim_id for share in match.allocations))
    finding = Finding("UNDONE", f"{body.by} took the match back: {body.because}", {}, claims)
    exception_id = await exceptions.undo(tx, match, finding, by=body.by, because=body.because)
    for fact, cause in facts:
        tx.emit(fact, because=cause)
    tx.emit(opened(exception_id, match.line, finding), because=None)
    return UndoneAnswer(match_id=match_id, exception_id=exception_id, claims=list(claims))


async def _originals(tx: Tx, match: Match) -> dict[UUID, Match]:
    """The payments that a return had paired with."""
    returns = [share.returns for share in match.allocations if share.returns]
    return await exceptions.standing_matches(tx, returns) if returns else {}
