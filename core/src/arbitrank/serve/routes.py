"""The routes beside `POST /v1/rank`: feedback, the domains and their versions, health, metrics, and what describes all.

Errors are JSON, `{"error": "who, what was seen, what was promised"}`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from arbitrank.answerlog.settings import Feedback
from arbitrank.errors import ArbitrankError
from arbitrank.registry import Disabled, Loaded, Refused
from arbitrank.serve import decoding as whole
from arbitrank.serve import metrics
from arbitrank.serve.auth import ANY, Grant, Refusal, refused
from arbitrank.serve.settings import MAX_ID
from arbitrank.serve.verdict import Reason, Task, Verdict, status_of
from arbitrank.serve.worker_state import Service
from arbitrank.store.kinds import is_domain
from arbitrank.store.state import State
from arbitrank.values import Confidence

T = TypeVar("T")
Reply = Callable[[Call], Awaitable[Response]]

_PATIENCE = 3_600.0  # seconds that a promotion may take: a large audit set is replayed


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with a call; `reasons` are the gate's, where it refused."""

    error: str
    reasons: tuple[Reason, ...] = ()

    @classmethod
    def of(cls, text: str, reasons: tuple[Reason, ...] = ()) -> Error:
        """The error that says this; what a client sent and no JSON can hold, half a surrogate pair, is written out."""
        return cls(text.encode("utf-8", "backslashreplace").decode(), reasons)


class Taken(msgspec.Struct, frozen=True):
    """What became of feedback: whether it is kept in the log, and whether this worker counted it for a canary."""

    id: str
    logged: bool
    counted: bool


class DomainRow(msgspec.Struct, frozen=True):
    """A domain as the service has it; `version` answers, `problem` is what keeps another from it.

    `breaker` says why it is not asked for a while.
    """

    name: str
    status: str
    package: str
    package_version: str
    version: str | None = None
    origin: str | None = None
    state: State | None = None
    problem: str | None = None
    breaker: str | None = None


class Versions(msgspec.Struct, frozen=True):
    """A domain's versions in the store, and its state after its last change, number `change`."""

    domain: str
    change: int
    state: State
    versions: list[str]


class PromoteCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version is to serve, the candidate by default; `force` passes over the gate and needs a `reason`."""

    version: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")] | None = None
    force: bool = False
    reason: Annotated[str, Meta(max_length=1_000)] | None = None


class RollbackCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Annotated[str, Meta(max_length=1_000)] | None = None


class CanaryCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of the requests that the candidate is to answer, and why."""

    share: Confidence
    reason: Annotated[str, Meta(max_length=1_000)] | None = None


class Changed(msgspec.Struct, frozen=True):
    """A domain's state after a change, and the change's number."""

    domain: str
    change: int
    state: State


class Health(msgspec.Struct, frozen=True):
    """Whether requests are answered, and all that is not as it should be."""

    ready: bool
    problems: tuple[str, ...]


_encode = msgspec.json.Encoder().encode


def routes(service: Service) -> Starlette:
    """The application with all of them."""
    calls = Calls(service)
    application = Starlette(
        routes=[
            Route("/v1/feedback", calls.feedback, methods=["POST"]),
            Route("/v1/domains", calls.domains, methods=["GET"]),
            Route("/v1/domains/{domain}/versions", calls.versions, methods=["GET"]),
            Route("/v1/domains/{domain}/promote", calls.promote, methods=["POST"]),
            Route("/v1/domains/{domain}/rollback", calls.rollback, methods=["POST"]),
            Route("/v1/domains/{domain}/canary", calls.canary, methods=["POST"]),
            Route("/healthz", calls.healthz, methods=["GET"]),
            Route("/readyz", calls.readyz, methods=["GET"]),
            Route("/metrics", calls.metrics, methods=["GET"]),
            Route("/openapi.json", calls.openapi, methods=["GET"]),
            Route("/docs", calls.docs, methods=["GET"]),
        ],
        exception_handlers={
            HTTPException: _http_error,
            ArbitrankError: _arbitrank_error,
            Exception: calls.internal_error,
        },
    )
    application.router.redirect_slashes = False
    return application


class Calls:
    """What answers the calls."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._promoting = asyncio.Lock()

    async def feedback(self, call: Call) -> Response:
        """What became of an answer: to the log, and to the canary's report."""
        self._admit(call, "feedback")
        told = await _body(call, Feedback)
        if told.truth is None and told.outcome is None:
            raise HTTPException(400, "neither a truth nor an outcome, promised one of them")
        if len(told.id) > MAX_ID:
            raise HTTPException(400, f"id: {len(told.id)} characters, at most {MAX_ID} are promised")
        live, log = self.service.live, self.service.log
        if live is None:
            raise HTTPException(503, "not ready", {"retry-after": "1"})
        if log is not None:
            log.feedback(replace(told, time=None))
        counted = told.truth is not None and live.feedback(told.id, told.truth)
        self.service.metrics.feedback.inc()
        return _json(Taken(told.id, log is not None, counted))

    async def domains(self, call: Call) -> Response:
        """Every installed domain, and who answers for it."""
        self._admit(call, ANY)
        status = self.service.live.status().domains if self.service.live is not None else {}
        rows = []
        for found in self.service.found:
            source, one = found.source, status.get(found.name)
            row = DomainRow(found.name, "loaded", source.distribution, source.version)
            if isinstance(found, Loaded) and one is not None:
                kind = "loaded" if one.version else "failed"
                row = replace(
                    row, status=kind, version=one.version, origin=one.origin, state=one.state, problem=one.problem,
                    breaker=one.breaker,
                )  # fmt: skip
            elif isinstance(found, Refused | Disabled):
                row = replace(row, status=type(found).__name__.lower(), problem=found.reason)
            rows.append(row)
        return _json(rows)

    async def versions(self, call: Call) -> Response:
        """A domain's versions."""
        self._admit(call, ANY)
        domain, store = self._domain(call), self.service.store

        def look() -> Versions:
            number, state = store.state(domain)
            return Versions(domain, number, state, store.versions(domain))

        return _json(await asyncio.to_thread(look))

    async def promote(self, call: Call) -> Response:
        """Make a version serve, if the gate lets it; in a process of its own, as requests are answered meanwhile."""
        domain = self._domain(call)
        grant = self._admit(call, f"publish:{domain}")
        wanted = await _body(call, PromoteCall, PromoteCall())
        if wanted.force and not (wanted.reason or "").strip():
            raise HTTPException(400, "force: no reason; promised one, it is kept in the history")
        if self._promoting.locked():
            raise HTTPException(503, "another version is being judged; try again", {"retry-after": "10"})
        settings = self.service.settings
        task = Task(
            settings.store, settings.keys, domain, wanted.version, wanted.force, _by(wanted.reason, grant),
            settings.decisions,
        )  # fmt: skip
        async with self._promoting:
            verdict = await _judged(task)
        self.service.journal.say("promote", domain=domain, by=grant and grant.name, status=verdict.status)
        if verdict.change is None or verdict.state is None:
            headers = {"retry-after": "10"} if verdict.status == 503 else None
            return _json(Error.of(verdict.error, verdict.reasons), verdict.status, headers)
        return _json(Changed(domain, verdict.change, verdict.state))

    async def rollback(self, call: Call) -> Response:
        """Make what served before serve again."""
        domain = self._domain(call)
        grant = self._admit(call, f"publish:{domain}")
        wanted = await _body(call, RollbackCall, RollbackCall())
        change = await asyncio.to_thread(self.service.store.rollback, domain, reason=_by(wanted.reason, grant))
        self.service.journal.say("rollback", domain=domain, by=grant and grant.name)
        return _json(Changed(domain, change.number, change.state))

    async def canary(self, call: Call) -> Response:
        """Have the candidate answer a share of the requests."""
        domain = self._domain(call)
        grant = self._admit(call, f"publish:{domain}")
        wanted = await _body(call, CanaryCall)
        reason = _by(wanted.reason, grant)
        change = await asyncio.to_thread(self.service.store.canary, domain, wanted.share, reason=reason)
        self.service.journal.say("canary", domain=domain, share=wanted.share, by=grant and grant.name)
        return _json(Changed(domain, change.number, change.state))

    async def healthz(self, call: Call) -> Response:
        """Whether the process is alive at all."""
        return _json({"alive": True})

    async def readyz(self, call: Call) -> Response:
        """Whether requests are answered."""
        readiness = self.service.readiness()
        return _json(Health(readiness.ready, readiness.problems), 200 if readiness.ready else 503)

    async def metrics(self, call: Call) -> Response:
        """What Prometheus is given."""
        self._admit(call, ANY)
        live, log = self.service.live, self.service.log
        page = self.service.metrics.page(
            self.service.gate, live.status() if live is not None else None, log.status() if log is not None else None
        )
        return Response(page, headers={"content-type": metrics.TYPE})

    async def openapi(self, call: Call) -> Response:
        """What describes the service to programs."""
        from arbitrank.serve import openapi

        return Response(openapi.document(), media_type="application/json")

    async def docs(self, call: Call) -> Response:
        """What describes the service to people."""
        from arbitrank.serve import openapi

        return HTMLResponse(openapi.page(), headers={"content-security-policy": openapi.SECURITY})

    async def internal_error(self, call: Call, error: Exception) -> Response:
        """A fault of the service costs one call."""
        self.service.journal.failure("internal error", error, path=getattr(call.scope.get("route"), "path", "other"))
        return _json(Error("an internal error; the service's log says where"), 500)

    # ------------------------------------------------------------------------------------------------------- inside

    def _admit(self, call: Call, scope: str) -> Grant | None:
        """Who calls. Raises `HTTPException` where the call may not be made."""
        tokens = self.service.tokens
        grants = tokens.value if tokens is not None else None
        found = refused(grants, call.scope["headers"], scope, loopback=self.service.settings.loopback)
        if isinstance(found, Refusal):
            route = getattr(call.scope.get("route"), "path", "other")
            self.service.metrics.refused.labels(str(found.status)).inc()
            self.service.journal.say_some("refused", path=route, status=found.status, reason=found.reason)
            challenge = {"www-authenticate": "Bearer"} if found.status == 401 else None
            raise HTTPException(found.status, found.reason, challenge)
        return found

    def _domain(self, call: Call) -> str:
        """The domain that the path names; 404 where nobody has it."""
        name: str = call.path_params["domain"]
        if not is_domain(name) or name not in {found.name for found in self.service.found}:
            raise HTTPException(404, f"domain {name[:64]!r} is not installed; GET /v1/domains lists those that are")
        return name


async def _body(call: Call, kind: type[T], default: T | None = None) -> T:
    """What the body says; `default` where there is none."""
    raw = await call.body()
    if not raw and default is not None:
        return default
    content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HTTPException(415, "Content-Type: promised application/json")
    try:
        return whole.read(lambda text: msgspec.json.decode(text, type=kind), raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body: {error}") from None


async def _judged(task: Task) -> Verdict:
    """What a process of its own makes of a version."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arbitrank.serve.promotion_process",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(child.communicate(msgspec.json.encode(task)), _PATIENCE)
        return msgspec.json.decode(said, type=Verdict)
    except TimeoutError:
        return Verdict(503, f"not judged after {_PATIENCE:g} s; promote it by: arbitrank promote {task.domain}")
    except msgspec.MsgspecError:
        return Verdict(500, f"the process that judges ended with status {child.returncode} and no word")
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def _by(reason: str | None, grant: Grant | None) -> str | None:
    """The reason as the history keeps it, with who called."""
    return f"{reason or 'no reason given'} (by the token of {grant.name})" if grant else reason


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(value), status, headers, "application/json")


async def _http_error(call: Call, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404 and error.detail == "Not Found":
        return _json(Error("no such path; GET /docs lists those that there are"), 404)
    if error.status_code == 405:
        return _json(Error.of(f"method {call.method[:20]}: promised {headers.get('Allow', 'another')}"), 405, headers)
    return _json(Error.of(error.detail), error.status_code, headers)


async def _arbitrank_error(call: Call, error: Exception) -> Response:
    assert isinstance(error, ArbitrankError)
    status = status_of(error)
    return _json(Error.of(str(error)), status, {"retry-after": "1"} if status == 503 else None)
