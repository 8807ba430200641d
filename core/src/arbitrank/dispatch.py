"""One crossing into a domain: a request goes in, and what comes back is checked before it counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Real
from time import perf_counter
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from arbitrank.domain import Model, Scores
from arbitrank.errors import PluginError, said
from arbitrank.values import Hypothesis, Request

MAX_HYPOTHESES = 100
"""Hypotheses that a domain may recognise in one request."""

_SLACK = 1e-9
_CONFIDENCES = ("domain_confidence", "intent_confidence", "slots_confidence")


@dataclass(frozen=True)
class Answered:
    """A domain answered: its hypotheses, their scores and, where asked for, what explains them."""

    hypotheses: Sequence[Hypothesis]
    scores: Scores
    why: Sequence[Mapping[str, float]] | None
    recognise_ms: float
    rerank_ms: float


@dataclass(frozen=True)
class Failed:
    """A domain raised, or broke a promise of the contract: why, and after how long."""

    reason: str
    ms: float


NOTHING = Scores(0.0, np.zeros(0))
"""What a domain without a reading thinks of a request: not mine."""


def ask(
    name: str, model: Model, request: Request, hypotheses: Sequence[Hypothesis] | None, *, explain: bool = False
) -> Answered | Failed:
    """Have one domain read (unless hypotheses are given) and score a request. Never raises what the plugin raises."""
    began = perf_counter()
    try:
        shared = _shared(request)
        if hypotheses is None:
            hypotheses = _checked_hypotheses(name, model.recognise(shared))
        read = perf_counter()
        scores = NOTHING
        why: Sequence[Mapping[str, float]] | None = () if explain else None
        if hypotheses:
            own = replace(shared, hypotheses=tuple(hypotheses))
            scores = _checked_scores(model.rerank(own), len(hypotheses))
            if explain:
                why = _checked_why(model.explain(own), len(hypotheses))
        done = perf_counter()
        return Answered(hypotheses, scores, why, 1e3 * (read - began), 1e3 * (done - read))
    except KeyboardInterrupt:
        raise
    # A plugin may raise anything at all; whatever it is, it costs the domain its place in one answer and no more.
    except BaseException as error:
        return Failed(said(error), 1e3 * (perf_counter() - began))


def _shared(request: Request) -> Request:
    """The request without anybody's hypotheses, in which nothing can be changed that another domain would see."""
    return replace(
        request,
        hypotheses=None,
        context=_frozen(request.context),
        session=_frozen(request.session),
        account=_frozen(request.account),
        dialogue=_frozen(request.dialogue),
    )


def _frozen(value: Any) -> Any:
    """A JSON value that can be read and not changed: objects as mapping proxies, lists as tuples."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(inner) for key, inner in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _checked_hypotheses(name: str, found: Any) -> tuple[Hypothesis, ...]:
    if not isinstance(found, Iterable):
        raise PluginError(f"recognise returned {type(found).__name__}, promised a sequence of Hypothesis")
    hypotheses: tuple[Any, ...] = tuple(islice(found, MAX_HYPOTHESES + 1))
    if len(hypotheses) > MAX_HYPOTHESES:
        raise PluginError(f"recognise returned more than the {MAX_HYPOTHESES} hypotheses promised")
    for i, h in enumerate(hypotheses):
        if not isinstance(h, Hypothesis):
            raise PluginError(f"hypothesis {i} is of type {type(h).__name__}, promised a Hypothesis")
        if h.domain != name:
            raise PluginError(f"hypothesis {i} is of domain {h.domain!r}, promised {name!r}")
        claimed = [(field, getattr(h, field)) for field in _CONFIDENCES]
        claimed += [(f"the confidence of slot {slot.name!r}", slot.confidence) for slot in h.slots]
        for field, value in claimed:
            if value is not None and not 0.0 <= value <= 1.0:
                raise PluginError(f"hypothesis {i}: {field} is {value}, promised a number in [0, 1]")
        for key, number in h.features.items():
            if not math.isfinite(number):
                raise PluginError(f"hypothesis {i}: feature {key!r} is {number}, promised a finite number")
    return _plain(hypotheses)


def _number(value: object) -> float:
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"saw {type(value).__name__}, promised JSON's types")


_encode = msgspec.json.Encoder(enc_hook=_number).encode
_decode = msgspec.json.Decoder(tuple[Hypothesis, ...]).decode


def _plain(hypotheses: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
    """The hypotheses as they would come from JSON, in which an answer has to go out, numpy's numbers as Python's."""
    try:
        return _decode(_encode(hypotheses))
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise PluginError(f"recognise returned hypotheses that are not what they promise: {error}") from error


def _checked_scores(scores: Any, n: int) -> Scores:
    if not isinstance(scores, Scores):
        raise PluginError(f"rerank returned {type(scores).__name__}, promised Scores")
    mine, right = float(scores.mine), np.asarray(scores.right, np.float64)
    if right.shape != (n,):
        raise PluginError(f"right has shape {right.shape}, promised ({n},)")
    if not 0.0 <= mine <= 1.0:
        raise PluginError(f"mine is {mine}, promised a number in [0, 1]")
    if not (right >= 0.0).all() or not right.sum() <= mine + _SLACK:
        raise PluginError(
            f"right is {right.tolist()}, promised numbers of at least 0 that sum to at most mine = {mine}"
        )
    return Scores(mine, right)


def _checked_why(why: Any, n: int) -> list[dict[str, float]]:
    rows = [{str(group): float(value) for group, value in row.items()} for row in why]
    if len(rows) != n or not all(math.isfinite(value) for row in rows for value in row.values()):
        raise PluginError(f"explain gave {len(rows)} rows, promised {n} of finite numbers")
    return rows
