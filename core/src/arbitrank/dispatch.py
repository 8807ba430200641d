"""One crossing into a domain: a request goes in, and what comes back is checked before it counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from types import MappingProxyType
from typing import Any

import numpy as np
from msgspec.structs import replace

from arbitrank.domain import Model, Scores
from arbitrank.errors import PluginError
from arbitrank.values import Hypothesis, Request

MAX_HYPOTHESES = 100
"""Hypotheses that a domain may recognise in one request."""

_SLACK = 1e-9


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
    # A plugin may raise anything at all; whatever it is, it costs the domain its place in one answer and no more.
    except (Exception, SystemExit) as error:
        return Failed(f"{type(error).__name__}: {error}", 1e3 * (perf_counter() - began))


def _shared(request: Request) -> Request:
    """The request without anybody's hypotheses; its context can be read and not changed."""
    context: Any = MappingProxyType(request.context)
    return replace(request, hypotheses=None, context=context)


def _checked_hypotheses(name: str, found: Any) -> tuple[Hypothesis, ...]:
    hypotheses: tuple[Any, ...] = tuple(found)
    if len(hypotheses) > MAX_HYPOTHESES:
        raise PluginError(f"{len(hypotheses)} hypotheses, promised at most {MAX_HYPOTHESES}")
    for i, h in enumerate(hypotheses):
        if not isinstance(h, Hypothesis):
            raise PluginError(f"hypothesis {i} is of type {type(h).__name__}, promised a Hypothesis")
        if h.domain != name:
            raise PluginError(f"hypothesis {i} is of domain {h.domain!r}, promised {name!r}")
        for field in ("domain_confidence", "intent_confidence", "slots_confidence"):
            value = getattr(h, field)
            if value is not None and not 0.0 <= value <= 1.0:
                raise PluginError(f"hypothesis {i}: {field} is {value}, promised a number in [0, 1]")
        for key, number in h.features.items():
            if not math.isfinite(number):
                raise PluginError(f"hypothesis {i}: feature {key!r} is {number}, promised a finite number")
    return hypotheses


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
