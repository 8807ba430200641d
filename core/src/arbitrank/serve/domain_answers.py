"""A loaded domain, and its replies to the calls of the protocol of remote domains (docs/reference/remote.md)."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from starlette.exceptions import HTTPException

from arbitrank.arbitration.outcomes import Failed
from arbitrank.arbitration.prepared import prepared
from arbitrank.arbitration.scaled_model import scaled, unscaled
from arbitrank.domain import Domain, Model
from arbitrank.errors import InputError
from arbitrank.isolation.greeting import facts_of
from arbitrank.isolation.worker_answers import answered, short
from arbitrank.registry import ENVIRONMENT, Loaded, Source, discover
from arbitrank.scales import domain_scales
from arbitrank.store.loading import load_model, present
from arbitrank.store.store import open_store
from arbitrank.values import Hypothesis, Request

__all__ = ["Answering", "load"]

PROTOCOL = (1, 0)
_HELD = 64  # statements of scales that are kept parsed


class RankCall(msgspec.Struct, frozen=True):
    """The body of `POST /v1/rank`, by the protocol."""

    request: Request
    protocol: tuple[int, int] = PROTOCOL
    remaining_ms: float = 1e3
    explain: bool = False
    hypotheses: tuple[Hypothesis, ...] | None = None
    scales: dict[str, str] = {}


class Answering:
    """A loaded domain, and how it answers a call; `version` names its code and weights, `facts` is what it states."""

    def __init__(self, domain: Domain, model: Model, version: str, source: Source) -> None:
        self.name, self.version = domain.name, version
        self._model, bare = model, unscaled(model)
        self._given = lru_cache(_HELD)(lambda scales: scaled(bare, domain_scales(dict(scales))))
        facts = msgspec.to_builtins(facts_of(Loaded(domain.name, source, domain)))
        shown = ("name", "package", "package_version", "title", "intent_titles", "feature_titles", "skills", "scales")
        kept = {key: facts[key] for key in (*shown, "context_keys", "fallback") if key in facts}
        self.facts = msgspec.json.encode({"protocol": PROTOCOL, "version": version, **kept})

    def reply(self, body: bytes, arrived: float) -> bytes:
        """The reply to a call. Raises `HTTPException` where its body is no call to this domain."""
        try:
            call = _decode(body)
            request = prepared(call.request)
            model = self._model if call.hypotheses is None else self._given(tuple(sorted(call.scales.items())))
        except (msgspec.MsgspecError, InputError, ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body: {short(str(error))}") from None
        if call.protocol[0] != PROTOCOL[0]:
            raise HTTPException(400, f"protocol {call.protocol[0]}, expected {PROTOCOL[0]}")
        if other := next((one.domain for one in call.hypotheses or () if one.domain != self.name), None):
            raise HTTPException(400, f"hypotheses of the domain {other!r}, expected {self.name!r}")
        if 1e3 * (perf_counter() - arrived) > call.remaining_ms:
            return _encode({"version": self.version, "failure": "no time was left when its turn came"})
        outcome = answered(self.name, model, request, call.hypotheses, call.explain)
        if isinstance(outcome, Failed):
            reason = short(outcome.reason)
            unread = {} if outcome.unread is None else {"unread": outcome.unread}
            return _encode({"version": self.version, "failure": reason, **unread})
        right, why = outcome.scores.right.tolist(), outcome.why
        if outcome.kept is not None and call.hypotheses is not None:  # repeated readings count once
            places = {place: i for i, (place, _) in enumerate(outcome.kept)}
            each = range(len(call.hypotheses))
            right = [right[places[i]] if i in places else 0.0 for i in each]
            why = None if why is None else [why[places[i]] if i in places else {} for i in each]
        found: dict[str, Any] = {"version": self.version, "mine": outcome.scores.mine, "right": right}
        if call.hypotheses is None:
            found["hypotheses"] = outcome.hypotheses
            if outcome.scales:
                found["scales"] = outcome.scales
        if why is not None:
            found["why"] = why
        return _encode({**found, "recognise_ms": outcome.recognise_ms, "rerank_ms": outcome.rerank_ms})


_decode = msgspec.json.Decoder(RankCall).decode
_encode = msgspec.json.encode


def load(domain: Domain, store: str | Path | None) -> Answering:
    """The domain with its stable or shipped weights. Raises `ArtifactError` or `PluginError` where it has none."""
    installed = discover({ENVIRONMENT: domain.name})
    sources = (one.source for one in installed if isinstance(one, Loaded) and one.name == domain.name)
    source = next(sources, Source(domain.name, "", ""))
    weights = present(domain.name, domain, open_store(store))
    named = "-".join(filter(None, (source.version, weights.manifest.version)))
    version = re.sub(r"[^A-Za-z0-9._+-]", "_", named)[-64:]
    return Answering(domain, load_model(domain, weights.folder), version, source)
