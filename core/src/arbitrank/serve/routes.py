"""Routes of all operations but `POST /v1/rank`: feedback, domains, their versions, health, metrics, documentation.

Those of the console are in `arbitrank.serve.console_routes`.

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

from arbitrank.answerlog.settings import Feedback
from arbitrank.arbitration.choose import choose
from arbitrank.errors import ArbitrankError, InputError
from arbitrank.live.canary_report import canary_period, from_process
from arbitrank.live.status import problem_of_previous
from arbitrank.registry import Disabled, Loaded, Refused
from arbitrank.serve import metrics_page, openapi
from arbitrank.serve.auth import Grant
from arbitrank.serve.canary_process import SECONDS, CanaryTask
from arbitrank.serve.console_routes import ConsoleHandlers
from arbitrank.serve.decoding import decode
from arbitrank.serve.messages import (
    CanaryCall,
    Changed,
    ChooseCall,
    DomainRow,
    Error,
    PromoteCall,
    RollbackCall,
    SkillsCall,
    Taken,
    Versions,
)
from arbitrank.serve.operations import OPERATIONS, Operation, route_of
from arbitrank.serve.promotion_process import PromotionTask, judged, status_of, verdict_of
from arbitrank.serve.readiness import detailed
from arbitrank.serve.replies import json_reply
from arbitrank.serve.settings import MAX_ID
from arbitrank.serve.skills_call import change_skills
from arbitrank.serve.store_calls import StoreCalls
from arbitrank.serve.watch_process import REPORT
from arbitrank.serve.worker_state import WorkerState
from arbitrank.store.kinds import RESERVED, canonical
from arbitrank.store.state import checked_reason
from arbitrank.titles import display_names

INTERNAL_ERROR = "internal error; see the service's event log"


def application(state: WorkerState) -> Starlette:
    """The application with the routes of all operations that have a handler."""
    handlers = Handlers(state)
    of_all = (handlers, ConsoleHandlers(state))
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
        self._promoting, self._reporting = asyncio.Lock(), asyncio.Lock()
        self._call_store = StoreCalls()

    async def feedback(self, call: Call, body: Feedback, grant: Grant | None) -> Response:
        if len(body.id) > MAX_ID:
            raise HTTPException(400, f"id: {len(body.id)} characters, expected at most {MAX_ID}")
        live, log = self.state.live, self.state.log
        if live is None:
            raise HTTPException(503, "not ready", {"retry-after": "1"})
        if log is not None:
            ids = call.scope["state"]["ids"]
            log.feedback(replace(body, time=None, request_id=ids.request_id, traceparent=ids.traceparent))
        counted = live.feedback(body.id, body.truth, body.outcome) and body.truth is not None
        self.state.metrics.feedback(body, live.by_name)
        return json_reply(Taken(body.id, log is not None, counted))

    async def choose(self, call: Call, body: ChooseCall, grant: Grant | None) -> Response:
        given = self.state.phrases.get(body.language.partition("-")[0].lower())
        return json_reply(choose(body.answer, body.words, language=body.language, phrases=given))

    async def domains(self, call: Call, body: None, grant: Grant | None) -> Response:
        live = self.state.live.status() if self.state.live is not None else None
        status, code = (live.domains, live.code) if live is not None else ({}, {})
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
                    release=domain.release,
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

    async def versions(self, call: Call, body: None, grant: Grant | None) -> Response:
        domain, store = self.domain(call), self.state.store
        number, state = await self._call_store(store.state, domain)
        serving = self.state.live.status().domains.get(domain) if self.state.live is not None else None
        return json_reply(Versions(domain, number, state, await self._call_store(store.versions, domain), serving))

    async def history(self, call: Call, body: None, grant: Grant | None) -> Response:
        return json_reply(await self._call_store(self.state.store.history, self.domain(call)))

    async def canary_report(self, call: Call, body: None, grant: Grant | None) -> Response:
        domain, state = self.domain(call), self.state
        period = canary_period(await self._call_store(state.store.history, domain))
        if period is None:
            raise HTTPException(409, f"{domain}: no canary; POST /v1/domains/{domain}/canary begins one")
        if state.settings.log is None:
            counted = state.live.report().get(domain) if state.live is not None else None
            return json_reply(from_process(domain, counted, period))
        if self._reporting.locked():
            raise HTTPException(503, "another report is being made; try again", {"retry-after": "1"})
        async with self._reporting:
            task = CanaryTask(domain, period, str(state.settings.log))
            command = f"arbitrank canary {domain} --on LOG"
            verdict = await verdict_of("arbitrank.serve.canary_process", task, SECONDS, command)
        return json_reply(verdict.body, verdict.status)

    async def promote(self, call: Call, body: PromoteCall, grant: Grant | None) -> Response:
        domain, settings = self._changing(call, "promote", body.reason), self.state.settings
        if body.force and not (body.reason or "").strip():
            raise HTTPException(400, "force: no reason, expected one for the history")
        if self._promoting.locked():
            raise HTTPException(503, "another version is being judged; try again", {"retry-after": "10"})
        task = PromotionTask(
            settings.store, settings.keys, domain, body.version, body.force, body.recalibrate, body.reason,
            settings.decisions, _by(grant), settings.signing,
        )  # fmt: skip
        async with self._promoting:
            verdict = await judged(task)
        self.state.events.write("promote", domain=domain, by=grant and grant.name, status=verdict.status)
        return json_reply(verdict.body, verdict.status, {"retry-after": "10"} if verdict.status == 503 else None)

    async def rollback(self, call: Call, body: RollbackCall, grant: Grant | None) -> Response:
        domain, by = self._changing(call, "rollback", body.reason), _by(grant)
        status = self.state.live.status().domains.get(domain) if self.state.live is not None else None
        if status is not None and (problem := problem_of_previous(domain, status)) is not None:
            raise HTTPException(409, problem)
        change = await self._call_store(self.state.store.rollback, domain, reason=body.reason, by=by)
        self.state.events.write("rollback", domain=domain, by=grant and grant.name)
        return json_reply(Changed(domain, change.number, change.state))

    async def canary(self, call: Call, body: CanaryCall, grant: Grant | None) -> Response:
        domain, by = self._changing(call, "canary", body.reason), _by(grant)
        change = await self._call_store(self.state.store.canary, domain, body.share, reason=body.reason, by=by)
        self.state.events.write("canary", domain=domain, share=body.share, by=grant and grant.name)
        return json_reply(Changed(domain, change.number, change.state))

    async def skills(self, call: Call, body: SkillsCall, grant: Grant | None) -> Response:
        domain = self._changing(call, "shortlist add", None)
        return json_reply(await change_skills(self.state, self._call_store, domain, body, _by(grant)))

    async def healthz(self, call: Call, body: None, grant: None) -> Response:
        return json_reply({"alive": True})

    async def readyz(self, call: Call, body: None, grant: Grant | None) -> Response:
        health = self.state.health(details=detailed(grant))
        return json_reply(health, 200 if health.ready else 503)

    async def domain_health(self, call: Call, body: None, grant: Grant | None) -> Response:
        settings = self.state.settings
        if settings.log is None or not settings.watch.on:
            raise HTTPException(409, "the domains are not watched; run: arbitrank serve --log DIR")
        try:
            report = await asyncio.to_thread((self.state.folder / REPORT).read_bytes)
        except FileNotFoundError:
            raise HTTPException(503, "the log was not read yet; try again", {"retry-after": "10"}) from None
        return Response(report, media_type="application/json")

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

    def _changing(self, call: Call, verb: str, reason: str | None) -> str:
        """The artifact's name in the path of a call that changes it.

        Raises `HTTPException`: 400 for a reason that is no line of text, 409 where this service cannot sign changes.
        """
        name, store = self.domain(call), self.state.store
        try:
            checked_reason(reason)
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        if store.keys is not None and store.key is None:
            share = " SHARE" if verb == "canary" else ""
            of = "FILE" if verb == "shortlist add" else f"{name}{share}"
            remedy = f"--sign-key FILE, or run: arbitrank {verb} {of} --keys DIR --key FILE"
            raise HTTPException(409, f"{name}: this service has no key to sign changes with; start it with {remedy}")
        return name

    def domain(self, call: Call) -> str:
        """The artifact's name in the path: an installed domain's, or a reserved one. Raises `HTTPException` 404."""
        name = canonical(call.path_params["domain"])
        if name in RESERVED or name in {found.name for found in self.state.found}:
            return name
        raise HTTPException(404, f"domain {name[:64]!r} is not installed; GET /v1/domains lists those that are")


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


def _by(grant: Grant | None) -> str | None:
    return None if grant is None else grant.name


async def _http_error(call: Call, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_reply(Error.of(error.detail), error.status_code, dict(error.headers or {}))


async def _arbitrank_error(call: Call, error: Exception) -> Response:
    assert isinstance(error, ArbitrankError)
    status = status_of(error)
    return json_reply(Error.of(str(error)), status, {"retry-after": "1"} if status == 503 else None)
