"""The HTTP face of a service: its routes, problem documents, health, metrics, invariants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chassis import metrics, telemetry
from chassis.db import Database, Reader, Tx
from chassis.effect import Effect
from chassis.handlers import Handlers
from chassis.idempotency import WritingRoute
from chassis.pages import PageArgs, Paged
from chassis.problems import Problem, install, on_failure
from contracts.codec import TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from chassis.invariants import Invariants

__all__ = ["PageArgs", "Paged", "Problem", "Reading", "Writing", "build", "router"]

_FAILED = 500


def router() -> APIRouter:
    """A router under /v1 whose changing routes run in one transaction, once per Idempotency-Key."""
    return APIRouter(prefix="/v1", route_class=WritingRoute)


async def _reading(request: Request) -> AsyncIterator[Reader]:
    database: Database = request.app.state.database
    async with database.reader() as reader:
        yield reader


async def _writing(request: Request) -> Tx:
    tx: Tx = request.state.tx
    return tx


Reading = Annotated[Reader, Depends(_reading, scope="function")]
"""A reader for the time of the route."""
Writing = Annotated[Tx, Depends(_writing)]
"""The route's transaction; it commits after the route returns and before the answer is sent."""


def build(
    service: str,
    routes: APIRouter,
    *,
    database: Database,
    invariants: Invariants,
    checks: Callable[[], Awaitable[dict[str, str]]],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    handlers: Handlers | None = None,
) -> FastAPI:
    """The service's application; `checks` names what is not ready, empty texts meaning well."""
    from chassis.deadletters.routes import routes as of_dead_letters  # noqa: PLC0415 - made of us

    app = FastAPI(
        title=f"Ledgerbus {service}",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # Its pages load scripts from elsewhere; /openapi.json is for any tool.
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # One span a request: ours.
    )
    app.state.database = database
    app.state.effect = Effect(database, handlers or Handlers())
    install(app)
    app.middleware("http")(_observed)
    app.include_router(of_dead_letters)
    app.include_router(routes)

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        found = await checks()
        well = not any(found.values())
        body = {"status": "ready" if well else "not ready", "checks": found}
        return JSONResponse(body, status_code=200 if well else 503)

    @app.get("/metrics", include_in_schema=False)
    async def expose() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/invariants", tags=["operations"])
    async def ask_invariants() -> dict[str, Any]:
        async with database.reader() as reader:
            return await invariants.ask(reader)

    return app


async def _observed(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """A span and a count per request; probes are counted only."""
    if not request.url.path.startswith("/v1/"):
        return await call_next(request)
    given = request.headers.get("traceparent", "")
    traceparent = given if TRACEPARENT.match(given) else ""
    with trace.use_span(
        telemetry.start_request(request.method, request.url.path, traceparent), end_on_exit=True
    ) as span:
        try:
            response = await call_next(request)
        except Exception as problem:  # noqa: BLE001 - the answer to the unforeseen
            response = await on_failure(request, problem)
        route = request.scope.get("route")
        span.set_attribute("http.response.status_code", response.status_code)
        if response.status_code >= _FAILED:
            span.set_status(StatusCode.ERROR)
    metrics.HTTP_REQUESTS.labels(
        request.method, getattr(route, "path", "unknown"), str(response.status_code)
    ).inc()
    return response
