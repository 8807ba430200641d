"""Searches and the calls that followed them, as lines of the answer log.

Each search is a line, and each call a line of its own with the search's words: its truth is the tool where the call
succeeded, its outcome says whether it did. `arbitrank shortlist train --data LOG --skills intent` learns from them.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

from msgspec import UNSET

from arbitrank.answerlog.writer import AnswerLog
from arbitrank.values import Answer, Context, Decision, Ranked, Request, Shortlist, Truth
from arbitrank.wire.requests import Logged
from arbitrank_mcp.catalogue import FoundTool, FoundTools

__all__ = ["CallLog", "Search"]

_SEARCHES = 1_000  # remembered at most
_RECENT = 10  # searches that a call may follow without naming one


@dataclass(frozen=True)
class Search:
    """A search: its request, and the tools that it found."""

    request: Request
    found: FoundTools
    calls: count[int] = field(default_factory=lambda: count(1))

    @property
    def id(self) -> str:
        """The id, which calls name."""
        return self.request.id or ""

    def place(self, server: str, tool: str) -> int | None:
        """The tool's place among those that were found; None where it is not."""
        return next((i for i, one in enumerate(self.found.tools) if (one.server, one.name) == (server, tool)), None)


class CallLog:
    """The latest searches, and the log that they are written to, if any.

    `shared`: several clients search, so that a call belongs to a search only where it names the search's id.
    `arguments` of calls are written only where that is set.
    """

    def __init__(self, log: AnswerLog | None, *, shared: bool = False, arguments: bool = False) -> None:
        self._log, self._shared, self._arguments = log, shared, arguments
        self._searches: OrderedDict[str, Search] = OrderedDict()
        self._session = None if shared else secrets.token_hex(8)
        self._previous: Context = {}

    def request(self, query: str) -> Request:
        """The request of a search, with the tool that was called before; one agent's searches are a session."""
        return Request(id=secrets.token_hex(8), utterance=query, session=self._session, context={**self._previous})

    def search(self, request: Request, found: FoundTools) -> Search:
        """Remember a search and log it."""
        search = Search(request, found)
        self._searches[search.id] = search
        if len(self._searches) > _SEARCHES:
            self._searches.popitem(last=False)
        if self._log is not None:
            self._log.append(
                Logged(
                    id=search.id,
                    utterance=request.utterance,
                    context=request.context,
                    session=request.session,
                    answer=_answer(search.id, found, found.tools, None),
                    arms=dict(found.arms) or None,
                )
            )
        return search

    def before(self, id: str | None, server: str, tool: str) -> Search | None:
        """The search that a call follows: the one it names, else the latest of ten that found the tool."""
        if id is not None:
            return self._searches.get(id)
        if self._shared:
            return None
        recent = islice(reversed(self._searches.values()), _RECENT)
        return next((one for one in recent if one.place(server, tool) is not None), None)

    def call(
        self, search: Search | None, server: str, tool: str, unique: str, arguments: dict[str, Any], *, failed: bool
    ) -> None:
        """Log a call that followed a search, and whether it failed; a call that followed none is not logged."""
        if not self._shared:
            self._previous = {"previous_domain": server, "previous_intent": unique}
        if self._log is None or search is None:
            return
        place, tools = search.place(server, tool), search.found.tools
        if place is None:
            place, tools = len(tools), (*tools, FoundTool(server, tool, unique, 0.0))
        id, request = f"{search.id}.{next(search.calls)}", search.request
        self._log.append(
            Logged(
                id=id,
                utterance=request.utterance,
                dialogue=search.id,
                session=request.session,
                context={**request.context, "arguments": arguments} if self._arguments else request.context,
                answer=_answer(id, search.found, tools, place),
                truth=None if failed else Truth(server, tool),
                outcome="rejected" if failed else "accepted",
                arms=dict(search.found.arms) or None,
            )
        )


def _answer(id: str, search: FoundTools, found: Sequence[FoundTool], called: int | None) -> Answer:
    ranked = tuple(
        Ranked(one.server, one.name, score=one.probability, domain_probability=None, probability=one.probability,
               skill=one.unique)
        for one in found
    )  # fmt: skip
    if called is not None:
        decision = Decision("accept", (called,))
    else:
        decision = Decision("clarify", tuple(range(len(found)))) if found else Decision("none")
    none = UNSET if search.none is None else search.none
    shortlist = Shortlist(search.candidates, not search.candidates, 0, search.version, none)
    return Answer(id, decision, ranked, {}, {}, shortlist)
