"""A loaded domain, and its replies to the calls of the protocol of remote domains (docs/reference/remote.md)."""

from __future__ import annotations

import re
from pathlib import Path
from time import perf_counter

import msgspec
from starlette.exceptions import HTTPException

from arbitrank.arbitration.outcomes import Failed
from arbitrank.arbitration.prepared import prepared
from arbitrank.arbitration.scaled_model import unscaled
from arbitrank.domain import Domain, Model
from arbitrank.isolation.decoders import NewerHypothesis
from arbitrank.isolation.greeting import facts_of
from arbitrank.isolation.worker_answers import TOO_LARGE, answered, short
from arbitrank.registry import ENVIRONMENT, Loaded, Source, discover
from arbitrank.remote.messages import MAX_REPLY, PROTOCOL, RemoteReply
from arbitrank.store.loading import load_model, present
from arbitrank.store.store import open_store
from arbitrank.values import Hypothesis, Request

__all__ = ["LoadedDomain", "load"]

_STATED = (
    "name", "package", "package_version", "title", "intent_titles", "feature_titles", "skills", "scales",
    "context_keys", "fallback",
)  # fmt: skip


class Call(msgspec.Struct, frozen=True):
    """A call by the protocol, as `arbitrank.remote.messages.RemoteCall` has it, with the request decoded."""

    protocol: tuple[int, int]
    remaining_ms: float
    request: Request
    explain: bool = False
    hypotheses: tuple[Hypothesis, ...] | None = None


class _NewerCall(Call, frozen=True):
    """The call of a newer core, whose hypotheses may have more fields."""

    hypotheses: tuple[NewerHypothesis, ...] | None = None


class LoadedDomain:
    """A loaded domain, and its replies; `version` names its code and weights, `stated` is the reply that states it."""

    def __init__(self, domain: Domain, model: Model, version: str, source: Source) -> None:
        self.name, self.version = domain.name, version
        self._model, self._reranker = model, unscaled(model)
        facts = msgspec.to_builtins(facts_of(Loaded(domain.name, source, domain)))
        kept = {name: facts[name] for name in _STATED if name in facts}
        self.stated = msgspec.json.encode({"protocol": PROTOCOL, "version": version, **kept})

    def reply(self, body: bytes, arrived: float) -> bytes:
        """The reply to a call that arrived then, on `time.perf_counter`. Raises `HTTPException` where it is none."""
        try:
            call = _read(body)
            request = prepared(call.request)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body: {short(str(error))}") from None
        given = call.hypotheses
        if call.protocol[0] != PROTOCOL[0]:
            raise HTTPException(400, f"protocol {call.protocol[0]}, expected {PROTOCOL[0]}")
        if other := next((one.domain for one in given or () if one.domain != self.name), None):
            raise HTTPException(400, f"hypotheses of the domain {other!r}, expected {self.name!r}")
        if 1e3 * (perf_counter() - arrived) > call.remaining_ms:
            return self._failed("no time was left when its turn came")
        # Confidences of hypotheses that are given have been read by their scale.
        outcome = answered(self.name, self._model if given is None else self._reranker, request, given, call.explain)
        if isinstance(outcome, Failed):
            return self._failed(outcome.reason)
        if given is not None and outcome.kept is not None:
            raise HTTPException(400, f"{len(outcome.kept)} distinct hypotheses of {len(given)}, expected each once")
        reply = RemoteReply(
            self.version,
            outcome.scores.mine,
            tuple(outcome.scores.right.tolist()),
            tuple(outcome.hypotheses) if given is None else None,
            None if outcome.why is None else tuple(map(dict, outcome.why)),
        )
        content = _encode(reply)
        return self._failed(TOO_LARGE) if len(content) > MAX_REPLY else content

    def _failed(self, reason: str) -> bytes:
        return _encode(RemoteReply(self.version, failure=short(reason)))


_decode, _decode_newer = msgspec.json.Decoder(Call).decode, msgspec.json.Decoder(_NewerCall).decode
_encode = msgspec.json.Encoder().encode


def _read(body: bytes) -> Call:
    try:
        return _decode(body)
    except msgspec.ValidationError:
        return msgspec.convert(msgspec.to_builtins(_decode_newer(body)), Call)


def load(domain: Domain, store: str | Path | None) -> LoadedDomain:
    """The domain with its stable or shipped weights. Raises `ArtifactError` or `PluginError` where it has none."""
    installed = discover({ENVIRONMENT: domain.name})
    sources = (one.source for one in installed if isinstance(one, Loaded) and one.name == domain.name)
    source = next(sources, Source(domain.name, "", ""))
    weights = present(domain.name, domain, open_store(store))
    named = "-".join(filter(None, (source.version, weights.manifest.version)))
    version = re.sub(r"[^A-Za-z0-9._+-]", "_", named)[-64:]
    return LoadedDomain(domain, load_model(domain, weights.folder), version, source)
