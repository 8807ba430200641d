"""Own requests of the other installed domains, gathered in a process of its own: a neighbour that hangs costs itself.

`python -m arbitrank.testing.neighbours` is the child. To an empty line it replies the names of the installed domains,
to a name some of that domain's own requests, or the reason why there are none.
"""

from __future__ import annotations

import random
from functools import lru_cache
from time import monotonic

import msgspec

from arbitrank.child import Child, Ended, serve
from arbitrank.guard import Fault, guarded
from arbitrank.nlu.drawing import drawing
from arbitrank.registry import discover, loaded
from arbitrank.training.plugin_calls import own_examples
from arbitrank.values import Request

EACH = 60
"""Requests of a neighbour."""

MOST = 20
"""Neighbours that are read; of more, so many by chance."""

_SECONDS, _ALL_SECONDS = 30.0, 120.0  # for one neighbour, and for all of them
_DRAWN = 400  # utterances that a neighbour's patterns draw


class Neighbour(msgspec.Struct, frozen=True):
    """Another installed domain, with some of its own requests, or the reason why they cannot be read."""

    name: str
    requests: tuple[Request, ...] = ()
    reason: str = ""


@lru_cache(maxsize=1)
def neighbours_of(name: str) -> tuple[Neighbour, ...]:
    """The other installed domains, in the order of their names, fallbacks left out, as many as there is time for."""
    found: list[Neighbour] = []
    child: Child | None = None
    waiting = [""]
    by = monotonic() + _ALL_SECONDS
    try:
        while waiting and (left := by - monotonic()) > 0.0:
            child = child or Child("-m", "arbitrank.testing.neighbours")
            asked = waiting.pop(0)
            try:
                reply = child.exchange(asked.encode(), min(_SECONDS, left))
            except Ended as error:
                child.close()
                child = None
                found += [Neighbour(asked, reason=f"{error}")] if asked else []
                continue
            if asked:
                found.append(msgspec.json.decode(reply, type=Neighbour))
            else:
                names = [one for one in msgspec.json.decode(reply, type=list[str]) if one != name]
                waiting = sorted(random.Random(0).sample(names, min(len(names), MOST)))
    finally:
        if child is not None:
            child.close()
    return tuple(found)


# ------------------------------------------------------------------------------------------------------- in the child


def _replied(line: bytes) -> bytes:
    domains = loaded(discover({}))
    name = line.decode().strip()
    if not name:
        return msgspec.json.encode([one for one, domain in domains.items() if domain.fallback is not True])
    with drawing(count=_DRAWN):
        found = guarded(own_examples, domains[name])
    if isinstance(found, Fault):
        return msgspec.json.encode(Neighbour(name, reason=f"{found.error}"))
    own = {one.request.utterance: one.request for one in found[0] if one.truth.owned_by(name)}
    texts = sorted(text for text in own if text)
    chosen = random.Random(0).sample(texts, min(len(texts), EACH))
    requests = (msgspec.structs.replace(own[text], hypotheses=None) for text in chosen)
    return msgspec.json.encode(Neighbour(name, tuple(requests)))


if __name__ == "__main__":
    serve(_replied, _SECONDS)
