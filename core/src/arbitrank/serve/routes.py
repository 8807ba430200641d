"""Routes of all operations but `POST /v1/rank`: feedback, domains, health, metrics, documentation.

Those of one domain are in `arbitrank.serve.domain_routes`, those of the console in `arbitrank.serve.console_routes`.

Errors are JSON: `{"error": "subject: value seen, value expected"}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from packaging.utils import canonicalize_name
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from arbitrank.answerlog.feedback import Feedback
from arbitrank.arbitration.choose import choose
from arbitrank.errors import ArbitrankError
from arbitrank.registry import Disabled, Loaded, Refused
from arbitrank.serve import metrics_page, openapi
from arbitrank.serve.auth import Grant
from arbitrank.serve.console_routes import ConsoleHandlers
from arbitrank.serve.decoding import decode
from arbitrank.serve.domain_routes import DomainHandlers
from arbitrank.serve.messages import ChooseCall, DomainRow, Error, LookAsked, Taken
from arbitrank.serve.operations import OPERATIONS, Operation, route_of
from arbitrank.serve.promotion_process import status_of
from arbitrank.serve.readiness import detailed
from arbitrank.serve.replies import json_reply
from arbitrank.serve.service_status import service_status, written
from arbitrank.serve.settings import MAX_ID
from arbitrank.serve.watch_process import ASKED, RELIABILITY, REPORT
from arbitrank.serve.worker_state import WorkerState
from arbitrank.titles import display_names

INTERNAL_ERROR = "internal error; see the service's event log"


def application(state: WorkerState) -> Starlette:
    """The application with the routes of all operations that have a handler."""
    handlers, domains = Handlers(state), DomainHandlers(state)
    of_all = (handlers, domains, ConsoleHandlers(state, domains))
    routes = [
        Route(operation.path, _endpoint(operation, of_all), methods=[operation.method])
        for operation in OPERATIONS
        if operation.name != "rank"
    ]
    errors = {HTTPException: _http_error, ArbitrankError: _arbitrank_error, Exception: handlers.internal_error}
    made = Starlette(routes=routes, exception_handlers=errors)
    made.router.redirect_slashes = False
    return made


def _endpoint(operation: Operation, handlers: Sequence[object]) -> Callable[[Call], Awaitable[Response]]:
    """The handler of an operation, called once the caller is admitted and the body decoded."""
    owner = next(one for one in handlers if hasattr(one, operation.name))
    handler: Callable[[Call, Any, Grant | None], Awaitable[Response]] = getattr(owner, operation.name)

    async def endpoint(call: Call) -> Response:
        admitted = call.scope["state"]["admitted"]
        if admitted.operation is not operation:  # the path was matched twice, and must mean the same to both
            raise RuntimeError(f"{operation.name}: admitted as {admitted.operation.name}")
        body = None if operation.body is None else await _body(call, operation.body, optional=operation.optional)
        return await handler(call, body, admitted.grant)

    return endpoint


class Handlers:
    """Handlers of the operations, each a method with its operation's name; the table documents them."""

    def __init__(self, state: WorkerState) -> None:
        self.state = state

    async def feedback(self, call: Call, body: Feedback, grant: Grant | None) -> Response:
        if len(body.id) > MAX_ID:
            raise HTTPException(400, f"id: {len(body.id)} characters, expected at most {MAX_ID}")
        live, log = self.state.live, self.state.log
        if live is None:
            raise HTTPException(503, "not ready", {"retry-after": "1"})
        if log is not None:
            ids = call.scope["state"]["ids"]
            log.feedback(replace(body, time=None, request_id=ids.request_id, traceparent=ids.traceparent))
        counted = live.feedback(body.id, body.truth, body.outcome, body.session) and body.truth is not None
        self.state.metrics.feedback(body, live.by_name)
        return json_reply(Taken(body.id, log is not None, counted))

    async def choose(self, call: Call, body: ChooseCall, grant: Grant | None) -> Response:
        given = self.state.phrases.get(body.language.partition("-")[0].lower())
        return json_reply(choose(body.answer, body.words, language=body.language, phrases=given))

    async def domains(self, call: Call, body: None, grant: Grant | None) -> Response:
        live = self.state.live.status() if self.state.live is not None else None
        status, code, remotes = (live.domains, live.code, live.remotes) if live is not None else ({}, {}, {})
        rows, changes = [], self.state.features.notes()
        for found in self.state.found:
            row = DomainRow(found.name, "loaded", found.source.distribution, found.source.version)
            domain = status.get(found.name)
            own = code.get(canonicalize_name(found.source.distribution))
            refusal = own.problem if own is not None and isinstance(found, Loaded) else None
            if isinstance(found, Loaded) and domain is not None:
                row = replace(
                    row, status="loaded" if domain.version else "failed", version=domain.version,
                    origin=domain.origin, state=domain.state, problem=domain.problem or refusal, breaker=domain.breaker,
                    release=domain.release, box=domain.box,
                    url=remotes[found.name].url if found.name in remotes else None,
                )  # fmt: skip
            elif refusal:  # it has never answered
                row = replace(row, status="failed", problem=refusal)
            elif isinstance(found, Refused | Disabled):
                row = replace(row, status=type(found).__name__.lower(), problem=found.reason)
            if isinstance(found, Loaded):
                notes = (*found.notes, *([changes[found.name]] if found.name in changes else []))
                row = replace(row, title=display_names(found.name, found.domain).title, notes=notes)
            rows.append(row)
        for one in self.state.unreadable:
            rows.append(DomainRow(one.name, "unreadable", one.name, one.version, problem=one.reason))
        return json_reply(rows)

    async def healthz(self, call: Call, body: None, grant: None) -> Response:
        return json_reply({"alive": True})

    async def readyz(self, call: Call, body: None, grant: Grant | None) -> Response:
        health = self.state.health(details=detailed(grant))
        return json_reply(health, 200 if health.ready else 503)

    async def domain_health(self, call: Call, body: None, grant: Grant | None) -> Response:
        return await self._watched(REPORT)

    async def reliability(self, call: Call, body: None, grant: Grant | None) -> Response:
        return await self._watched(RELIABILITY)

    async def look(self, call: Call, body: None, grant: Grant | None) -> Response:
        self._watching()
        last = await asyncio.to_thread(written, self.state.folder / RELIABILITY)
        await asyncio.to_thread((self.state.folder / ASKED).touch)
        return json_reply(LookAsked(last))

    def _watching(self) -> None:
        """Raise `HTTPException` 409 where nothing watches the domains."""
        settings = self.state.settings
        if settings.log is None or not settings.watch.on:
            raise HTTPException(409, "the domains are not watched; run: arbitrank serve --log DIR")

    async def _watched(self, name: str) -> Response:
        """A report of the service's watch, as that has written it."""
        self._watching()
        try:
            report = await asyncio.to_thread((self.state.folder / name).read_bytes)
        except FileNotFoundError:
            raise HTTPException(503, "the log was not read yet; try again", {"retry-after": "10"}) from None
        return Response(report, media_type="application/json")

    async def status(self, call: Call, body: None, grant: Grant | None) -> Response:
        await asyncio.to_thread(self.state.report)
        live = self.state.live
        groups = live.status().workers if live is not None else {}
        return json_reply(await asyncio.to_thread(service_status, self.state.folder, groups))

    async def metrics(self, call: Call, body: None, grant: Grant | None) -> Response:
        return Response(await self.state.metrics_page(), headers={"content-type": metrics_page.TYPE})

    async def openapi(self, call: Call, body: None, grant: None) -> Response:
        return Response(openapi.document(), media_type="application/json")

    async def docs(self, call: Call, body: None, grant: None) -> Response:
        return HTMLResponse(openapi.page(), headers={"content-security-policy": openapi.SECURITY})

    async def internal_error(self, call: Call, error: Exception) -> Response:
        """Reply 500, and log where the error was raised."""
        self.state.events.failure("internal error", error, path=route_of(call.scope))
        return json_reply(Error(INTERNAL_ERROR), 500)


async def _body(call: Call, kind: Any, *, optional: bool) -> Any:
    """The decoded body; the type's default value where an optional one is absent."""
    raw = await call.body()
    if not raw and optional:
        return kind()
    check_content_type(call.headers.get("content-type"))
    try:
        return decode(lambda text: msgspec.json.decode(text, type=kind), raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body: {error}") from None


def check_content_type(value: str | None) -> None:
    """Raise `HTTPException` 415 where a body is not declared to be JSON."""
    if value is None or value.partition(";")[0].strip().lower() != "application/json":
        seen = "no Content-Type" if value is None else f"Content-Type {value[:100]!r}"
        raise HTTPException(415, f"{seen}, expected application/json")


async def _http_error(call: Call, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_reply(Error.of(error.detail), error.status_code, dict(error.headers or {}))


async def _arbitrank_error(call: Call, error: Exception) -> Response:
    assert isinstance(error, ArbitrankError)
    status = status_of(error)
    return json_reply(Error.of(str(error)), status, {"retry-after": "1"} if status == 503 else None)
