"""Probes: requests that stress a model, and the first guarantee of the contract that it breaks in answering them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import monotonic
from typing import Any

import numpy as np

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.outcomes import Failed
from arbitrank.arbitration.scaled_model import unscaled
from arbitrank.domain import Domain, Model
from arbitrank.guard import shown
from arbitrank.plugin_hooks import stated
from arbitrank.values import Context, Hypothesis, Request, Slot

__all__ = ["UTTERANCES", "answer_to", "named", "probes", "told_apart", "violation"]

UTTERANCES = ("", " ", "play one two three", "\u0000\ud7ff\U0001f600 ünï", "x" * 10_000, "一 二 三 " * 300)
"""Utterances that stress a recogniser."""

_MANY = 100
_SHOWN = 3  # numbers of an answer that a message shows
_LONGEST = 300  # characters of readings that it shows


def violation(domain: Domain, model: Model, seconds: float = math.inf) -> str | None:
    """The first guarantee of the contract that a model breaks, None where it breaks none.

    One that takes longer than `seconds` for all probes breaks that, too.
    """
    requests, by = list(probes(domain)), monotonic() + seconds
    answers: list[list[object]] = []
    for order in (requests, requests[::-1]):
        answers.append([])
        for request in order:
            answers[-1].append(answer_to(domain.name, model, request))
            if monotonic() > by:
                return f"{named(request)}: not done after {seconds:g} s for all of {2 * len(requests)} requests"
    for request, answer, other in zip(requests, answers[0], answers[1][::-1], strict=True):
        if isinstance(answer, str):
            return f"{named(request)}: {answer}"
        if answer != other:
            before, after = told_apart(answer, other)
            return f"{named(request)}: answered {before}, then {after}, expected the same answer in any order"
    return None


def probes(domain: Domain) -> Iterator[Request]:
    """Requests that a model has to answer: usual, empty, oversized and malformed ones."""
    name = domain.name
    phrases = [phrase for skill in stated(domain, "skills") for phrase in skill.phrases][:20]
    usual: Context = {"device": "tv", "has_screen": True, f"preference.{name}": 1.0, "previous_domain": name}
    for text in (*phrases, *UTTERANCES):
        yield Request(utterance=text, context=dict(usual))
    odd = {"device": 5, "has_screen": "yes", f"preference.{name}": "much", "locale": None, "nested": {"a": [1, {}]}}
    for readings in _readings(name):
        for context in ({}, usual, odd):
            yield Request(utterance="play one", context=dict(context), hypotheses=readings)
    yield Request(hypotheses=(Hypothesis(name, "Probe"),))


def _readings(name: str) -> Iterator[tuple[Hypothesis, ...]]:
    slots = (Slot("name", "one", 0.5), Slot("other", "two"))
    yield (Hypothesis(name, "Probe"),)
    yield (Hypothesis(name, "Probe", 0.7, 0.9, slots, 0.8, features={"unknown": 1e300, "negative": -1e300}),)
    for p in (0.0, 1.0, 5e-324):
        yield tuple(Hypothesis(name, f"Probe{k}", p, p, (Slot("name", "one", p),), p) for k in range(3))
    yield (Hypothesis(name, "Probe", 0.5), Hypothesis(name, "Probe", None, 0.5), Hypothesis(name, "P", slots=slots))
    yield tuple(Hypothesis(name, f"Probe{k}", k / _MANY, 1.0 - k / _MANY, slots * (k % 3)) for k in range(_MANY))


def answer_to(name: str, model: Model, request: Request) -> object:
    """The comparable part of a model's answer, or the reason why there is none, as a text."""
    # The hypotheses of probes are on no scale but 0..1.
    queried = model if request.hypotheses is None else unscaled(model)
    outcome = dispatch.query(name, queried, request, request.hypotheses)
    if isinstance(outcome, Failed):
        return outcome.placed
    scores = outcome.scores
    if not np.isfinite(scores.right).all():
        return "its scores are not finite"
    return [*outcome.hypotheses], scores.mine, scores.right.tolist()


def told_apart(one: object, other: object) -> tuple[str, str]:
    """Two unequal answers of `answer_to` as texts that differ: by their scores, rounded or in full, or their readings.

    Readings are compared where the scores are equal.
    """
    for show in (_rounded, _whole, _readings_of):
        before, after = (answer if isinstance(answer, str) else show(answer) for answer in (one, other))
        if before != after:
            break
    return before, after


def _rounded(answer: Any) -> str:
    return f"mine {answer[1]:.6g}, right {[float(f'{p:.6g}') for p in answer[2][:_SHOWN]]}"


def _whole(answer: Any) -> str:
    return f"mine {answer[1]!r}, right {answer[2]}"


def _readings_of(answer: Any) -> str:
    return shown(answer[0], _LONGEST)


def named(request: Request) -> str:
    """The request as a message names it."""
    if request.hypotheses is not None:
        n = len(request.hypotheses)
        return f"a request with {n} {'hypothesis' if n == 1 else 'hypotheses'}"
    text = request.utterance or ""
    return f"the utterance {text[:20]!r}{'…' if len(text) > 20 else ''}"
