"""ASGI application: `POST /v1/rank` directly, all other operations through Starlette.

A request is answered in the event loop, without a thread or a task: domains in this process are trusted and quick.
Where some run in worker processes, one thread waits for them. Lists have a task each, and a thread of their own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from arbitrank.errors import ArbitrankError
from arbitrank.guard import Fault, guarded, guarded_async
from arbitrank.serve.admission import Admission
from arbitrank.serve.answering import Later, RankReply
from arbitrank.serve.call_ids import CURRENT, CallIds
from arbitrank.serve.decoding import is_batch, payload_format, read_request
from arbitrank.serve.lists import Arbitrated, Lists, Record
from arbitrank.serve.messages import Error
from arbitrank.serve.operations import RANK, route_of
from arbitrank.serve.routes import INTERNAL_ERROR, application, check_content_type
from arbitrank.serve.settings import ServiceSettings
from arbitrank.serve.worker_state import WorkerState
from arbitrank.values import Request
from arbitrank.wire.json_text import BOM

if TYPE_CHECKING:
    from arbitrank.importers.payloads import PayloadFormat

_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
_RETRY = {"retry-after": "1"}
_encode = msgspec.json.Encoder().encode


class App:
    """Application of one worker."""

    def __init__(self, settings: ServiceSettings, folder: Path, number: int = 0) -> None:
        self.state = WorkerState(settings, folder, number)
        self._routes = application(self.state)
        self._lists = Lists(self.state, self._finished)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a call, or the application's lifespan."""
        if scope["type"] == "http":
            ids = scope["state"]["ids"]
            CURRENT.set(ids)
            serve, tracing = self._rank if scope["path"] == RANK else self._route, self.state.tracing
            if tracing is None:
                await serve(scope, receive, send, ids)
            else:
                await tracing.call(serve, scope, receive, send, ids)
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["state"] |= {"load": self.state.load, "admit": Admission(self.state), "at_once": self.at_once}
        starting = asyncio.create_task(self.state.start())
        reloading = asyncio.create_task(self.state.watch_files())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.gather(starting, return_exceptions=True)
        reloading.cancel()
        await self.state.stop()
        await send({"type": "lifespan.shutdown.complete"})

    # ------------------------------------------------------------------------------------------------------------ rank

    def at_once(self, scope: Scope, body: bytes, later: Callable[[RankReply], None]) -> RankReply | Later | None:
        """The reply to a call with one request; None where a task has to reply, as to a list. Never raises.

        It is `Later` where a thread answers the request; `later` is then called with the reply.
        """
        if self.state.tracing is not None:
            return None
        began, ids = perf_counter(), scope["state"]["ids"]
        CURRENT.set(ids)

        def reply(found: bytes | HTTPException | Fault) -> RankReply:
            self.state.load.end(scope["state"]["admitted"].client)
            return self._reply(scope, ids, self._defect(found) if isinstance(found, Fault) else found, began)

        def answered(arbitrated: Arbitrated, record: Record) -> None:
            CURRENT.set(ids)
            later(reply(guarded(self._settled, arbitrated, record)))

        found = guarded(self._ranked_now, scope, body, answered)
        return found if found is None or isinstance(found, Later) else reply(found)

    async def _rank(self, scope: Scope, receive: Receive, send: Send, ids: CallIds) -> None:
        began = perf_counter()
        found: bytes | HTTPException
        try:
            found = await self._ranked(scope, (await receive()).get("body", b""), receive)
        except HTTPException as error:
            found = error
        finally:
            self.state.load.end(scope["state"]["admitted"].client)
        status, headers, body, last = self._reply(scope, ids, found, began)
        headers += [_CLOSE] if last else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _reply(self, scope: Scope, ids: CallIds, found: bytes | HTTPException, began: float) -> RankReply:
        """The reply with an answer or an error, once it is counted."""
        state = self.state
        headers, seconds = [_JSON, *ids.headers], perf_counter() - began
        if isinstance(found, bytes):
            status, body = 200, found
            state.metrics.ranked(seconds)
        else:
            status, body = found.status_code, _encode(Error.of(found.detail))
            headers += [(name.encode(), value.encode()) for name, value in (found.headers or {}).items()]
            state.metrics.called("/v1/rank", status, seconds)
        headers.append((b"content-length", b"%d" % len(body)))
        if random.random() < state.settings.sample:
            state.events.write("call", path="/v1/rank", status=status, ms=round(1e3 * seconds, 3), bytes=len(body))
        return RankReply(status, headers, body, state.load.draining and scope["state"]["connection"].is_last())

    def _ranked_now(
        self, scope: Scope, body: bytes, answered: Callable[[Arbitrated, Record], None]
    ) -> bytes | HTTPException | Later | None:
        """The encoded answer to one request, or its error; None for a list.

        Where a thread answers it, the event loop calls `answered` after that.
        """
        try:
            body, payloads = self._checked(scope, body)
            if is_batch(body, payloads):
                return None
            request, pool = self._read(body, payloads), self.state.pool
            arbitrate, record = self.state.answerer()
        except HTTPException as error:
            return error
        if pool is None:
            return self._settled(guarded(arbitrate, request), record)
        loop = asyncio.get_running_loop()
        pool.submit(lambda: loop.call_soon_threadsafe(answered, guarded(arbitrate, request), record))
        return Later()

    def _settled(self, arbitrated: Arbitrated, record: Record) -> bytes | HTTPException:
        """The encoded answer, once it is recorded, or the error where a defect prevents it."""
        try:
            return self._finished(arbitrated, record)
        except HTTPException as error:
            return error

    async def _ranked(self, scope: Scope, body: bytes, receive: Receive) -> bytes:
        """The encoded answer, or list of answers. Raises `HTTPException`."""
        body, payloads = self._checked(scope, body)
        if is_batch(body, payloads):
            return await self._lists.answer(body, payloads, receive, scope["state"]["admitted"].grant)
        request, pool = self._read(body, payloads), self.state.pool
        arbitrate, record = self.state.answerer()
        if pool is None:
            arbitrated = guarded(arbitrate, request)
        else:
            arbitrated = await asyncio.get_running_loop().run_in_executor(pool, guarded, arbitrate, request)
        return self._finished(arbitrated, record)

    def _checked(self, scope: Scope, body: bytes) -> tuple[bytes, PayloadFormat | None]:
        """The body without a byte order mark, and the format of its payloads, if any. Raises `HTTPException`."""
        state = self.state
        content_type: bytes | None = scope["state"]["content_type"]
        if content_type != b"application/json":
            check_content_type(None if content_type is None else content_type.decode("latin-1"))
        if state.live is None or state.problem:
            raise HTTPException(503, f"not ready: {state.problem}", _RETRY)
        payloads = None
        if scope["query_string"]:
            try:
                payloads = payload_format(scope["query_string"], state.payloads)
            except ArbitrankError as error:
                raise HTTPException(400, str(error)) from None
        return body.removeprefix(BOM), payloads

    def _read(self, body: bytes, payloads: PayloadFormat | None) -> Request:
        """The one request of a body. Raises `HTTPException`."""
        most = self.state.settings.limits.body
        if len(body) > most:
            raise HTTPException(413, f"{len(body)} bytes, expected at most {most} of one request")
        try:
            return read_request(body, self.state.notices, payloads)
        except ArbitrankError as error:
            raise HTTPException(400, str(error)) from None

    def _finished(self, arbitrated: Arbitrated, record: Record) -> bytes:
        """The encoded answer, once it is recorded. Raises `HTTPException` 500 where a defect prevents it."""
        result = arbitrated if isinstance(arbitrated, Fault) else guarded(record, *arbitrated)
        if isinstance(result, Fault):
            raise self._defect(result)
        return result

    def _defect(self, fault: Fault) -> HTTPException:
        """The error of a call that a defect prevents from being answered, once that is reported."""
        self.state.events.failure("internal error", fault.error, path="/v1/rank")
        return HTTPException(500, INTERNAL_ERROR)

    # ---------------------------------------------------------------------------------------------------- other routes

    async def _route(self, scope: Scope, receive: Receive, send: Send, ids: CallIds) -> None:
        began = perf_counter()
        status = 500

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *ids.headers]
                if self.state.load.draining and scope["state"]["connection"].is_last():
                    message["headers"].append(_CLOSE)
            await send(message)

        result = await guarded_async(self._routes, scope, receive, observe)
        if isinstance(result, Fault) and status != 500:  # Starlette raises again what it has replied 500 to
            self.state.events.failure("internal error", result.error, path="other")
        route, seconds = route_of(scope), perf_counter() - began
        self.state.metrics.called(route, status, seconds)
        if status >= 500 or random.random() < self.state.settings.sample:
            level = "error" if status >= 500 and route != "/readyz" else "info"
            self.state.events.write_limited("call", level, path=route, status=status, ms=round(1e3 * seconds, 3))
