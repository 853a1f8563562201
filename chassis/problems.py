"""Problem documents (RFC 9457): what went wrong, why, who can fix it, in English or Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
from fastapi.responses import JSONResponse
from opentelemetry import trace

from chassis.errors import catalogue, is_outage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

log = structlog.get_logger()

PROBLEM: Final = "application/problem+json"


class Problem(Exception):  # noqa: N818 - named for the document it becomes
    """An answer that refuses: an HTTP status, a stable code, and what the reader needs to act."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        figures: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.figures = dict(figures or {})
        self.errors = list(errors)


def answer(request: Request, problem: Problem) -> JSONResponse:
    """The problem document for a request, in the language it asks for."""
    entry = catalogue().get(problem.code, {})
    language = "zh" if request.headers.get("Accept-Language", "").startswith("zh") else "en"
    texts = entry.get(language, {})
    body: dict[str, Any] = {
        "type": f"urn:ledgerbus:error:{problem.code}",
        "title": texts.get("title", problem.code),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "fix": texts.get("fix", ""),
        "who": entry.get("who", "engineer"),
        "retryable": entry.get("retryable", False),
    }
    if problem.figures:
        body["figures"] = problem.figures
    if problem.errors:
        body["errors"] = problem.errors
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        body["trace_id"] = f"{context.trace_id:032x}"
    return JSONResponse(body, status_code=problem.status, media_type=PROBLEM)


async def on_problem(request: Request, problem: Exception) -> JSONResponse:
    """A refusal that a route raised."""
    if not isinstance(problem, Problem):
        raise problem
    return answer(request, problem)


async def on_invalid(request: Request, problem: Exception) -> JSONResponse:
    """A request that does not fit its schema; every fault with its JSON pointer."""
    faults = _faults(problem)
    malformed = any(fault["code"] == "json_invalid" for fault in faults)
    code = "JSON_MALFORMED" if malformed else "SCHEMA_INVALID"
    for fault in faults:
        if not fault["code"].isupper():
            fault["code"] = code
    detail = f"{faults[0]['pointer'] or 'the body'}: {faults[0]['detail']}" if faults else ""
    status = 400 if malformed else 422
    return answer(request, Problem(status, code, detail, errors=faults))


def _faults(problem: RequestValidationError | Exception) -> list[dict[str, str]]:
    errors: Sequence[Any] = getattr(problem, "errors", lambda: ())()
    return [
        {
            "pointer": "".join(f"/{part}" for part in error["loc"][1:]),
            "in": str(error["loc"][0]) if error["loc"] else "body",
            "code": str(error["type"]),
            "detail": str(error["msg"]),
        }
        for error in errors
    ]


async def on_http(request: Request, problem: HTTPException | Exception) -> JSONResponse:
    """What the framework refuses by itself: unknown path, wrong method."""
    status = getattr(problem, "status_code", 500)
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(status, "REQUEST_REFUSED")
    return answer(request, Problem(status, code, str(getattr(problem, "detail", ""))))


async def on_failure(request: Request, problem: Exception) -> JSONResponse:
    """An outage (503, try again) or a defect (500); the log has what the answer must not."""
    if is_outage(problem):
        log.warning("request met an outage", error=repr(problem), path=request.url.path)
        unavailable = Problem(503, "UNAVAILABLE", "the database does not answer; try again")
        return answer(request, unavailable)
    log.error("request failed", path=request.url.path, exc_info=problem)
    return answer(request, Problem(500, "INTERNAL", "the fault is ours; quote the trace id"))


def install(app: FastAPI) -> None:
    """Let every failure of an application become a problem document."""
    from fastapi.exceptions import RequestValidationError  # noqa: PLC0415
    from starlette.exceptions import HTTPException  # noqa: PLC0415

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_failure)
