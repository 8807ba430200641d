"""Who answers a request: the stable versions, or a candidate where the request falls into its share.

A lineup is one frozen value. A request takes it once and is answered by it to the end, so no answer mixes versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.values import Request


@dataclass(frozen=True)
class Candidate:
    """A domain's candidate, loaded, and the version that is stable beside it.

    `share` of the requests, in [0, 1], are answered by it; with `shadow`, both versions are asked and compared.
    """

    serving: Serving
    beside: str
    share: float = 0.0
    shadow: bool = False


@dataclass(frozen=True)
class Lineup:
    """The arbitrator that all requests are answered by, but for those that fall to a candidate."""

    stable: Arbitrator
    candidates: Mapping[str, Candidate] = field(default_factory=dict)

    def drawn(self, request: Request) -> frozenset[str]:
        """The domains whose candidate answers this request."""
        if not self.candidates:
            return frozenset()
        who = asker(request)
        return frozenset(
            name
            for name, one in self.candidates.items()
            if one.share and who is not None and draw(name, one.serving.version, who) < one.share
        )

    def arbitrator(self, drawn: Collection[str] = ()) -> Arbitrator:
        """The arbitrator with the candidates of these domains, which shares all other domains with the stable one."""
        if not drawn:
            return self.stable
        chosen = {name: self.candidates[name].serving for name in drawn}
        return self.stable.with_others(chosen)


def draw(domain: str, version: str, who: str) -> float:
    """A number in [0, 1) that looks drawn and is always the same; for each candidate another.

    A request falls into a share that is above it, so that who is in stays in when the share grows.
    """
    content = "\0".join((domain, version, who)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=6).digest()) / (1 << 48)


def asker(request: Request) -> str | None:
    """What a request is drawn by: its session, else its id, else its words; None where it has none of them.

    A session that is an object goes by its `id`, where it has one, as the rest of it may change.
    """
    session = request.session
    if isinstance(session, dict):
        session = msgspec.json.encode(session.get("id", session), order="deterministic").decode()
    for kind, value in (("session", session), ("id", request.id), ("words", request.utterance)):
        if value:
            return f"{kind} {value}"
    return None
