"""The ASGI application: `POST /v1/rank` as directly as can be, everything else by Starlette.

A request is answered in the event loop, without a thread: the domains in this process are trusted, and each is quick.
Where some run in processes of their own, one thread waits for those.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

import msgspec

from arbitrank.errors import ArbitrankError, InputError
from arbitrank.serve import bounds
from arbitrank.serve import decoding as whole
from arbitrank.serve.auth import Refusal, refused
from arbitrank.serve.http_protocol import RANK
from arbitrank.serve.routes import Error, routes
from arbitrank.serve.settings import MAX_BATCH, Settings
from arbitrank.serve.worker_state import Service
from arbitrank.values import Answer, Request
from arbitrank.wire import decode_request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_encode = msgspec.json.Encoder().encode
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Refused(Exception):
    """Raised to answer a call with an error: its status, what is wrong, and further headers."""

    def __init__(self, status: int, error: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(error)
        self.status, self.error, self.headers = status, error, headers


class App:
    """The application of one worker."""

    def __init__(self, settings: Settings) -> None:
        self.service = Service(settings)
        self._rest = routes(self.service)
        self._batches = 0
        self.on_start: Callable[[], object] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        if scope["type"] == "http":
            if scope["raw_path"] == RANK:
                await self._rank_call(scope, receive, send)
            else:
                await self._other_call(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["state"]["gate"] = self.service.gate
        self.on_start()
        starting = asyncio.create_task(self.service.start())
        self.service.watch()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.gather(starting, return_exceptions=True)
        await self.service.stop()
        await send({"type": "lifespan.shutdown.complete"})

    # ------------------------------------------------------------------------------------------------------------ rank

    async def _rank_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        service, status = self.service, 200
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            body = await self._ranked(scope, receive)
        except Refused as refusal:
            status, extra = refusal.status, refusal.headers
            body = _encode(Error.of(refusal.error))
        except Exception as error:  # a fault of the service costs this call alone
            status, body = 500, b'{"error":"an internal error; the service\'s log says where"}'
            service.journal.failure("internal error", error, path="/v1/rank")
        finally:
            service.gate.pending -= 1
        headers = [_JSON, (b"content-length", b"%d" % len(body)), *extra]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        seconds = perf_counter() - began
        if status == 200:
            service.metrics.ranked(seconds)
        else:
            service.metrics.called("/v1/rank", status, seconds)
        if random.random() < service.settings.sample:
            service.journal.say("call", path="/v1/rank", status=status, ms=round(1e3 * seconds, 3), bytes=len(body))

    async def _ranked(self, scope: Scope, receive: Receive) -> bytes:
        """The answer, or the list of answers, to what a call brings."""
        if scope["method"] != "POST":
            raise Refused(405, f"method {scope['method']}: promised POST", (b"allow", b"POST"))
        service = self.service
        self._check_access(scope["headers"])
        body: bytes = (await receive()).get("body", b"")
        if service.live is None or service.problem:
            raise Refused(503, f"not ready: {service.problem}", (b"retry-after", b"1"))
        if body.lstrip()[:1] == b"[":
            return await self._batch(body)
        if len(body) > service.settings.limits.body:
            raise Refused(413, f"{len(body)} bytes, at most {service.settings.limits.body} are promised of one request")
        try:
            request = whole.read(decode_request, body)
            bounds.check(request)
        except InputError as error:
            raise Refused(400, str(error)) from None
        answer = service.answerer()
        if service.pool is None:
            return _encode(answer(request))
        return _encode(await asyncio.get_running_loop().run_in_executor(service.pool, answer, request))

    def _check_access(self, headers: Headers) -> None:
        service = self.service
        for name, value in headers:
            if name == b"content-type":
                if value != b"application/json" and value.partition(b";")[0].strip().lower() != b"application/json":
                    raise Refused(415, "Content-Type: promised application/json")
                break
        else:
            raise Refused(415, "no Content-Type, promised application/json")
        tokens = service.tokens
        grants = tokens.value if tokens is not None else None
        found = refused(grants, headers, "rank", loopback=service.settings.loopback)
        if isinstance(found, Refusal):
            service.metrics.refused.labels(str(found.status)).inc()
            service.journal.say_some("refused", path="/v1/rank", status=found.status, reason=found.reason)
            challenge = ((b"www-authenticate", b"Bearer"),) if found.status == 401 else ()
            raise Refused(found.status, found.reason, *challenge)

    async def _batch(self, body: bytes) -> bytes:
        """The answers to several requests, all by the same versions; others' requests are answered in between."""
        if self._batches >= self.service.settings.limits.batches:
            raise Refused(503, "too many batches are being answered; try again", (b"retry-after", b"1"))
        self._batches += 1
        try:
            requests = await _requests(body)
            answer, pool = self.service.answerer(), self.service.pool
            answers: list[Answer] = []
            for request in requests:
                if pool is None:
                    answers.append(answer(request))
                    await asyncio.sleep(0)
                else:
                    answers.append(await asyncio.get_running_loop().run_in_executor(pool, answer, request))
            return _encode(answers)
        finally:
            self._batches -= 1

    # ------------------------------------------------------------------------------------------------------- the others

    async def _other_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        status = 500

        async def sent(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._rest(scope, receive, sent)
        except Exception as error:  # answered and told of already; uvicorn would tell it again, with its text
            if status != 500:
                self.service.journal.failure("internal error", error, path="other")
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.service.metrics.called(route, status, perf_counter() - began)
            if status >= 500 or random.random() < self.service.settings.sample:
                ms = round(1e3 * (perf_counter() - began), 3)
                level = "error" if status >= 500 and route != "/readyz" else "info"
                self.service.journal.say_some("call", level, path=route, status=status, ms=ms)


async def _requests(body: bytes) -> list[Request]:
    """The requests of a batch. Raises `Refused` that names the first bad one by its place."""
    try:
        items = _decode_batch(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Refused(400, f"not JSON: {error}; promised one complete list of requests") from None
    if len(items) > MAX_BATCH:
        raise Refused(413, f"{len(items)} requests, at most {MAX_BATCH} are promised of one call")
    requests = []
    for place, raw in enumerate(items):
        try:
            request = whole.read(decode_request, bytes(raw))
            bounds.check(request)
        except ArbitrankError as error:
            raise Refused(400, f"[{place}]: {error}") from None
        requests.append(request)
        if place % 50 == 49:
            await asyncio.sleep(0)
    return requests
