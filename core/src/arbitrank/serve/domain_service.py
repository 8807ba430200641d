"""A domain as a service of its own: an ASGI application that answers by the protocol of remote domains.

    app = application(WeatherDomain())       # uvicorn arbitrank_weather.service:app --port 8701

Requests and answers are those of a worker process, and pass the same checks, as JSON (docs/reference/remote.md). It
answers with the stable weights of the store, else with those that the package ships. Without tokens it serves this
machine alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from arbitrank.domain import Domain
from arbitrank.guard import Fault, guarded
from arbitrank.remote.messages import DOMAIN, RANK
from arbitrank.serve.auth import Denied, Grant, authorize, read_tokens
from arbitrank.serve.domain_answers import LoadedDomain, load
from arbitrank.serve.messages import Error
from arbitrank.serve.own_hosts import foreign_host

__all__ = ["TOKENS", "application"]

TOKENS = "ARBITRANK_SERVICE_TOKENS"
"""Environment variable that names the file of tokens, to which `arbitrank token NAME rank --tokens FILE` adds one."""

BODY_SECONDS = 10.0
"""Seconds in which a call's body has to arrive."""

_QUICK = 0.005  # seconds of a call in the mean, below which a domain is called in the event loop
_SHARE = 0.01  # of the last call in the mean


def application(
    domain: Domain,
    *,
    store: str | Path | None = None,
    tokens: str | Path | None = None,
    threads: int = 16,
    pending: int = 256,
    limit_body: int = 1 << 20,
) -> Starlette:
    """The ASGI application of a domain, which loads its weights as it starts.

    `store` and `tokens` are by default those of ARBITRANK_STORE and ARBITRANK_SERVICE_TOKENS. A domain is called in one
    of `threads`, so that slow calls do not wait for one another; in the event loop while calls take less than 5 ms in
    the mean. `pending` calls are open at most, further ones get status 503. A body has at most `limit_body` bytes.
    Routes and middleware of your own can be added. Raises `InputError` where the tokens cannot be read.
    """
    path = tokens or os.environ.get(TOKENS)
    grants = read_tokens(Path(path)) if path else None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        pool = ThreadPoolExecutor(threads, thread_name_prefix=f"arbitrank {domain.name}")
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(pool, load, domain, store)
            yield {"domain": loaded, "pool": pool}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def state(call: Request) -> Response:
        check(call.scope, grants)
        return Response(call.state.domain.stated, media_type="application/json")

    ranking = Ranking(grants, pending, limit_body)
    routes = [Route(RANK, ranking, methods=["POST"]), Route(DOMAIN, state, methods=["GET"])]
    return DomainService(ranking, routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refused})


class DomainService(Starlette):
    """Starlette's application; without middleware of its author, calls to rank go past its own, which costs more."""

    def __init__(self, ranking: Ranking, **options: Any) -> None:
        super().__init__(**options)
        self._ranking = ranking

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        quick = scope["type"] == "http" and scope["path"] == RANK and scope["method"] == "POST"
        if not quick or self.user_middleware:
            await super().__call__(scope, receive, send)
            return
        try:
            await self._ranking(scope, receive, send)
        except HTTPException as error:
            await _refusal(error)(scope, receive, send)


class Ranking:
    """The route that answers calls, as an ASGI application: Starlette's requests and replies cost more than most do."""

    def __init__(self, grants: tuple[Grant, ...] | None, pending: int, limit_body: int) -> None:
        self._grants, self._pending, self._limit = grants, pending, limit_body
        self._open, self._seconds = 0, 2 * _QUICK  # calls, and the mean time of a call; slow until it is known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call. Raises `HTTPException` where it is refused."""
        arrived = perf_counter()
        check(scope, self._grants)
        if self._open >= self._pending:
            many = f"{self._open} calls are open, expected at most {self._pending}"
            raise HTTPException(503, many, {"retry-after": "1"})
        self._open += 1
        try:
            content = await self._reply(scope["state"], await body_of(scope, receive, self._limit), arrived)
        finally:
            self._open -= 1
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _reply(self, state: Mapping[str, Any], body: bytes, arrived: float) -> bytes:
        if self._seconds < _QUICK:  # a thread would take several times as long as a quick domain does
            content, seconds = _timed(state["domain"], body, arrived)
        else:
            loop = asyncio.get_running_loop()
            content, seconds = await loop.run_in_executor(state["pool"], _timed, state["domain"], body, arrived)
        self._seconds += _SHARE * (seconds - self._seconds)
        return content


def _timed(domain: LoadedDomain, body: bytes, arrived: float) -> tuple[bytes, float]:
    began = perf_counter()
    return domain.reply(body, arrived), perf_counter() - began


def check(scope: Scope, grants: tuple[Grant, ...] | None) -> None:
    """Raise `HTTPException` for a caller without a token of the scope `rank`, or from elsewhere without any tokens."""
    if grants is None:
        found = next((value for name, value in scope["headers"] if name == b"host"), None)
        if (reason := _stranger(found, tuple(scope.get("server") or ("", None)))) is not None:
            raise HTTPException(403, f"{reason}; no tokens are set, so this machine alone is served; set {TOKENS}")
    refused = authorize(grants, scope["headers"], "rank", loopback=True)
    if isinstance(refused, Denied):
        raise HTTPException(refused.status, refused.reason, {"www-authenticate": "Bearer"})


@lru_cache(maxsize=100)
def _stranger(host: bytes | None, server: tuple[str, int | None]) -> str | None:
    """The reason why a call may not come from this machine: its Host, or the address that it came to; None if it does.

    An address without a port is a socket of the file system.
    """
    name, port = server
    if port is not None:
        address = guarded(ip_address, name)
        if isinstance(address, Fault) or not address.is_loopback:
            return f"it came to {name}"
    foreign = foreign_host(host, "localhost", (), loopback=True)
    return None if foreign is None else foreign.partition(";")[0]


async def body_of(scope: Scope, receive: Receive, most: int) -> bytes:
    """The body of a call. Raises `HTTPException` where it is too large, too slow, compressed or not JSON."""
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if kind != "application/json":
        raise HTTPException(415, f"Content-Type {kind[:100]!r}, expected application/json")
    coding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if coding != "identity":
        raise HTTPException(415, f"Content-Encoding {coding[:100]!r}, expected none")
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise HTTPException(400, "the body ends before its end")
                content += message.get("body", b"")
                if len(content) > most:
                    raise HTTPException(413, f"the body is too large, expected at most {most} bytes")
                if not message.get("more_body", False):
                    return bytes(content)
    except TimeoutError:
        raise HTTPException(408, "the body took too long to arrive") from None


async def _refused(call: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refusal(error)


def _refusal(error: HTTPException) -> Response:
    content = msgspec.json.encode(Error.of(error.detail))
    return Response(content, error.status_code, dict(error.headers or {}), "application/json")
