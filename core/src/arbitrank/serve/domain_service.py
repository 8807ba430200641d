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

from arbitrank.domain import Domain
from arbitrank.serve.auth import Denied, Grant, authorize, read_tokens
from arbitrank.serve.domain_answers import load
from arbitrank.serve.messages import Error
from arbitrank.serve.own_hosts import foreign_host

__all__ = ["TOKENS", "application"]

TOKENS = "ARBITRANK_SERVICE_TOKENS"
"""Environment variable that names the file of tokens, to which `arbitrank token NAME rank --tokens FILE` adds one."""

BODY_SECONDS = 10.0
"""Seconds in which a call's body has to arrive."""


def application(
    domain: Domain,
    *,
    store: str | Path | None = None,
    tokens: str | Path | None = None,
    threads: int = 8,
    pending: int = 256,
    limit_body: int = 1 << 20,
) -> Starlette:
    """The ASGI application of a domain, which loads its weights as it starts.

    `store` and `tokens` are by default those of ARBITRANK_STORE and ARBITRANK_SERVICE_TOKENS. `threads` calls are
    answered at once and `pending` are open at most; further ones get status 503. A body has at most `limit_body` bytes.
    Routes and middleware of your own can be added. Raises `InputError` where the tokens cannot be read.
    """
    path = tokens or os.environ.get(TOKENS)
    grants = read_tokens(Path(path)) if path else None
    opened = 0

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        pool = ThreadPoolExecutor(threads, thread_name_prefix=f"arbitrank {domain.name}")
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(pool, load, domain, store)
            yield {"answering": loaded, "pool": pool}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def state(call: Request) -> Response:
        check(call, grants)
        return Response(call.state.answering.facts, media_type="application/json")

    async def rank(call: Request) -> Response:
        nonlocal opened
        arrived = perf_counter()
        check(call, grants)
        if opened >= pending:
            raise HTTPException(503, f"{opened} calls are open, expected at most {pending}", {"retry-after": "1"})
        opened += 1
        try:
            body = await body_of(call, limit_body)
            answer = call.state.answering.reply
            content = await asyncio.get_running_loop().run_in_executor(call.state.pool, answer, body, arrived)
        finally:
            opened -= 1
        return Response(content, media_type="application/json")

    routes = [Route("/v1/domain", state, methods=["GET"]), Route("/v1/rank", rank, methods=["POST"])]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refused})


def check(call: Request, grants: tuple[Grant, ...] | None) -> None:
    """Raise `HTTPException` for a caller without a token of the scope `rank`, or from elsewhere without any tokens."""
    if grants is None and not _local(call.scope):
        raise HTTPException(403, f"no tokens are set, so this machine alone is served; set {TOKENS} to their file")
    host = dict(call.scope["headers"]).get(b"host")
    if grants is None and (foreign := foreign_host(host, "localhost", (), loopback=True)) is not None:
        raise HTTPException(403, f"{foreign.partition(';')[0]}; no tokens are set, so this machine alone is served")
    refused = authorize(grants, call.scope["headers"], "rank", loopback=True)
    if isinstance(refused, Denied):
        raise HTTPException(refused.status, refused.reason, {"www-authenticate": "Bearer"})


def _local(scope: Mapping[str, Any]) -> bool:
    """True where a call came to an address of this machine alone, or to a socket of its file system."""
    host, port = scope.get("server") or ("", None)
    if port is None:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def body_of(call: Request, most: int) -> bytes:
    """The body of a call. Raises `HTTPException` where it is too large, too slow, compressed or not JSON."""
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"Content-Type {kind[:100]!r}, expected application/json")
    if (coding := call.headers.get("content-encoding", "identity")) != "identity":
        raise HTTPException(415, f"Content-Encoding {coding[:100]!r}, expected none")
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in call.stream():
                content += piece
                if len(content) > most:
                    raise HTTPException(413, f"the body is too large, expected at most {most} bytes")
    except TimeoutError:
        raise HTTPException(408, "the body took too long to arrive") from None
    return bytes(content)


async def _refused(call: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    content = msgspec.json.encode(Error.of(error.detail))
    return Response(content, error.status_code, dict(error.headers or {}), "application/json")
