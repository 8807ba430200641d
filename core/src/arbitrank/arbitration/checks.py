"""Checks of the values that a domain returned, before they are used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from numbers import Real
from typing import Any

import msgspec
import numpy as np

from arbitrank.domain import Scores
from arbitrank.errors import PluginError
from arbitrank.values import Hypothesis

MAX_HYPOTHESES = 100
"""Hypotheses that a domain may recognise in one request."""

_SLACK = 1e-9
_F64 = np.dtype(np.float64)
_FEW = 20
_CONFIDENCES = ("domain_confidence", "intent_confidence", "slots_confidence")


def checked_hypotheses(name: str, returned: Any) -> tuple[Hypothesis, ...]:
    """The hypotheses that a domain recognised, with JSON's types. Raises `PluginError` where one is invalid."""
    if not isinstance(returned, Iterable):
        raise PluginError(f"recognise returned {type(returned).__name__}, expected a sequence of Hypothesis")
    hypotheses: tuple[Any, ...] = tuple(islice(returned, MAX_HYPOTHESES + 1))
    if len(hypotheses) > MAX_HYPOTHESES:
        raise PluginError(f"recognise returned more than the {MAX_HYPOTHESES} hypotheses allowed")
    # Decoding checks types, and scores are read by their scale later; a non-finite number does not survive it.
    try:
        plain = _decode(_encode(hypotheses))
        if plain == hypotheses and all(h.domain == name for h in plain):
            return plain
    except (msgspec.MsgspecError, TypeError, ValueError):  # explained by the checks below
        pass
    for i, h in enumerate(hypotheses):
        _check_hypothesis(name, i, h)
    try:
        return _decode(_encode(hypotheses))  # numpy's numbers become Python's
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise PluginError(f"recognise returned invalid hypotheses: {error}") from error


def _check_hypothesis(name: str, i: int, hypothesis: Any) -> None:
    if not isinstance(hypothesis, Hypothesis):
        raise PluginError(f"hypothesis {i} is of type {type(hypothesis).__name__}, expected a Hypothesis")
    if hypothesis.domain != name:
        raise PluginError(f"hypothesis {i} is of domain {hypothesis.domain!r}, expected {name!r}")
    claimed = [(field, getattr(hypothesis, field)) for field in _CONFIDENCES]
    claimed += [(f"the confidence of slot {slot.name!r}", slot.confidence) for slot in hypothesis.slots]
    for field, value in claimed:
        if isinstance(value, Real) and not math.isfinite(value):  # JSON would make it a missing one
            raise PluginError(f"hypothesis {i}: {field}: {value} is out of range, expected a finite number")
    check_features(i, hypothesis)


def check_features(i: int, hypothesis: Hypothesis) -> None:
    """Raise `PluginError` where a feature of hypothesis `i` is not a finite number."""
    for key, number in hypothesis.features.items():
        if not math.isfinite(number):
            raise PluginError(f"hypothesis {i}: feature {key!r} is {number}, expected a finite number")


def _number(value: object) -> float:
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not one of JSON's types")


_encode = msgspec.json.Encoder(enc_hook=_number).encode
_decode = msgspec.json.Decoder(tuple[Hypothesis, ...]).decode


def checked_scores(scores: object, n: int) -> Scores:
    """The scores that `rerank` returned for `n` hypotheses. Raises `PluginError` where they violate the contract."""
    if not isinstance(scores, Scores):
        raise PluginError(f"rerank returned {type(scores).__name__}, expected Scores")
    mine, right = scores.mine, scores.right
    if (
        type(scores) is not Scores
        or type(mine) is not float
        or type(right) is not np.ndarray
        or right.dtype is not _F64
    ):
        mine, right = float(mine), np.asarray(right, np.float64)
        scores = Scores(mine, right)
    if right.shape != (n,):
        raise PluginError(f"right has shape {right.shape}, expected ({n},)")
    if n <= _FEW and 0.0 <= mine <= 1.0:
        numbers = right.tolist()  # of a few numbers, Python is faster than numpy
        if sum(numbers) <= mine and (not numbers or min(numbers) >= 0.0):
            return scores
    if not 0.0 <= mine <= 1.0:
        raise PluginError(f"mine is {mine}, expected a number in [0, 1]")
    if not (right >= 0.0).all() or not right.sum() <= mine + _SLACK:
        raise PluginError(
            f"right is {right.tolist()}, expected numbers of at least 0 that sum to at most mine = {mine}"
        )
    return scores


def checked_explanation(why: Any, n: int) -> Sequence[dict[str, float]]:
    """The contributions that `explain` returned for `n` hypotheses. Raises as `checked_scores` does."""
    rows = [{str(group): float(value) for group, value in row.items()} for row in why]
    if len(rows) != n or not all(math.isfinite(value) for row in rows for value in row.values()):
        raise PluginError(f"explain returned {len(rows)} rows, expected {n} of finite numbers")
    return rows
