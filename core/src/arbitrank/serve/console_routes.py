"""Routes that the console is made for: its files, trials of requests, the end of the log, and the service itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import Response

from arbitrank.answerlog.tail import LogTail
from arbitrank.context_keys import KNOWN, keys_of
from arbitrank.errors import InputError
from arbitrank.outcomes.incidents import incident_of, with_case, without_case
from arbitrank.outcomes.suite_cases import CaseNotes
from arbitrank.packages import core_version
from arbitrank.serve.auth import Grant
from arbitrank.serve.console_files import HEADERS, console_files
from arbitrank.serve.domain_messages import IncidentCall, IncidentMade
from arbitrank.serve.domain_routes import DomainHandlers
from arbitrank.serve.log_query import LogQuery, page
from arbitrank.serve.messages import ContextKey, Service, TryCall
from arbitrank.serve.replies import json_reply
from arbitrank.serve.store_calls import StoreCalls
from arbitrank.serve.trials import Trials
from arbitrank.store.kinds import RESERVED
from arbitrank.store.suites import Contents, change_suites
from arbitrank.values import Answer
from arbitrank.wire.requests import decode_request

if TYPE_CHECKING:
    from arbitrank.serve.worker_state import WorkerState


class ConsoleHandlers:
    """Handlers of the console's operations, each a method with its operation's name."""

    def __init__(self, state: WorkerState, domains: DomainHandlers) -> None:
        self.state, self._domains, self._call_store = state, domains, StoreCalls()
        self._trials = Trials(state)
        self._tail = None if state.settings.log is None else LogTail(state.settings.log)

    async def console(self, call: Call, body: None, grant: None) -> Response:
        return self._file(call, "index.html")

    async def console_file(self, call: Call, body: None, grant: None) -> Response:
        return self._file(call, call.path_params["file"])

    def _file(self, call: Call, name: str) -> Response:
        if not self.state.settings.console:
            raise HTTPException(404, "this service runs with --no-console")
        found = console_files().get(name)
        if found is None:
            raise HTTPException(404, "the console has no such file; GET / is its page")
        headers = {**HEADERS, "etag": found.tag}
        if call.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers=headers, media_type=found.media_type)

    async def service(self, call: Call, body: None, grant: Grant | None) -> Response:
        state, settings = self.state, self.state.settings
        if state.live is None:
            raise HTTPException(503, "not ready", {"retry-after": "1"})
        read: dict[str, list[str]] = {key: [] for key in KNOWN}
        open_ = []
        for name, model in sorted(state.live.by_name.items()):
            keys = keys_of(model)
            if keys is None:
                open_.append(name)
            for key in keys or ():
                read.setdefault(key, []).append(name)
        return json_reply(
            Service(
                version=core_version(),
                workers=settings.workers,
                tokens=settings.tokens is not None,
                scopes=() if grant is None else tuple(sorted(grant.scopes)),
                log=settings.log is not None,
                words=settings.log_settings.words,
                watch=settings.log is not None and settings.watch.on,
                shadow=settings.shadow is not None,
                context_keys=tuple(ContextKey(key, tuple(names)) for key, names in sorted(read.items())),
                context_open=tuple(open_),
            )
        )

    async def try_request(self, call: Call, body: TryCall, grant: Grant | None) -> Response:
        try:
            request = decode_request(msgspec.json.encode(body.request), self.state.notices)
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        found = await self._trials(request, body.versions, explain=body.explain)
        if isinstance(found, Answer):
            return json_reply(found)
        return json_reply(found.body, found.status, {"retry-after": "2"} if found.status == 503 else None)

    async def log(self, call: Call, body: None, grant: Grant | None) -> Response:
        tail, settings = self._logged(), self.state.settings
        try:
            query = LogQuery.of(call.query_params)
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        return json_reply(await asyncio.to_thread(page, tail, query, settings.log_settings.words))

    def _logged(self) -> LogTail:
        if self._tail is None:
            raise HTTPException(409, "nothing is logged; run: arbitrank serve --log DIR")
        return self._tail

    async def incident(self, call: Call, body: IncidentCall, grant: Grant | None) -> Response:
        domain, tail = self._domains.changing(call, "incident", body.reason), self._logged()
        if domain in RESERVED:
            raise HTTPException(409, f"{domain}: a stage has no cases; expected a domain")
        if grant is not None and grant.scopes.isdisjoint(("log", "admin")):
            raise HTTPException(403, "the token lacks the scope log")
        if body.undo:
            undone = await self._change_cases(
                domain, lambda before: without_case(domain, before, body.id, missing=True)
            )
            self.state.events.write("incident undone", domain=domain, id=body.id, by=grant and grant.name)
            return json_reply(IncidentMade(domain, body.id, undone, demands_truth=False))
        line = await asyncio.to_thread(tail.whole, body.id)
        if line is None:
            raise HTTPException(
                404, f"{body.id[:64]!r} is not among the last requests; run: arbitrank incident ID --log DIR"
            )
        today = time.strftime("%Y-%m-%d", time.gmtime(line.time))
        try:
            notes = CaseNotes(body.id, today, body.reason, None if grant is None else grant.name)
            case = incident_of(line, notes, domain)
        except (InputError, ValueError) as error:
            raise HTTPException(409, str(error)) from None
        made = await self._change_cases(domain, lambda before: with_case(case, before, known=body.reason is None))
        self.state.events.write("incident", domain=domain, id=body.id, by=grant and grant.name)
        return json_reply(IncidentMade(domain, body.id, made, case.truth is not None))

    async def _change_cases(self, domain: str, change: Callable[[Contents], Contents]) -> bool:
        """Change a domain's suites; False where they were so already."""
        store = self.state.store
        done = await self._call_store(change_suites, store.suite_history(domain), domain, change, store.key)
        return done is not None
