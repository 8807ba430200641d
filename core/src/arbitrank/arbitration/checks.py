"""Checks of the values that a domain returned, before they are used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from numbers import Real
from typing import Any, get_type_hints

import msgspec
import numpy as np

from arbitrank.domain import Scores
from arbitrank.errors import PluginError
from arbitrank.guard import Fault, describe, guarded, shown
from arbitrank.values import Hypothesis, Slot

MAX_HYPOTHESES = 100
"""Hypotheses that a domain may recognise in one request."""

MAX_BYTES = 1 << 20
"""Bytes, as JSON, of the hypotheses that a domain may recognise in one request."""

_FEATURES = 10_000  # of a hypothesis that are looked at for the first that is wrong
_SLACK = 1e-9
_F64 = np.dtype(np.float64)
_FEW = 20
_CONFIDENCES = ("domain_confidence", "intent_confidence", "slots_confidence")


def checked_hypotheses(name: str, returned: Any) -> tuple[Hypothesis, ...]:
    """The hypotheses that a domain recognised, with JSON's types. Raises `PluginError` where one is invalid."""
    return packed_hypotheses(name, returned)[0]


def packed_hypotheses(name: str, returned: Any) -> tuple[tuple[Hypothesis, ...], bytes | None]:
    """The hypotheses as `checked_hypotheses` returns them, and their msgpack bytes where the check encoded them."""
    if type(returned) is not list and not isinstance(returned, Iterable):  # which asks an abstract class
        raise PluginError(f"recognise returned {type(returned).__name__}, expected a sequence of Hypothesis")
    hypotheses: tuple[Any, ...] = tuple(islice(returned, MAX_HYPOTHESES + 1))
    if len(hypotheses) > MAX_HYPOTHESES:
        raise PluginError(
            f"recognise returned more than {MAX_HYPOTHESES} hypotheses, expected at most {MAX_HYPOTHESES}"
        )
    # Decoding checks types, and scores are read by their scale later, infinite ones too; no NaN equals itself. What
    # `resolved` may hold, and integers of more than 64 bits, are JSON's.
    try:
        packed = _pack(hypotheses)
        if len(packed) <= MAX_BYTES // 2:
            plain = _unpack(packed)
            resolved = [slot for h in plain for slot in h.slots if slot.resolved is not None]  # quicker than `any`
            if plain == hypotheses and not resolved and not [h for h in plain if h.domain != name]:
                return plain, packed
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
        pass
    return json_hypotheses(name, hypotheses), None


def json_hypotheses(name: str, hypotheses: tuple[Any, ...]) -> tuple[Hypothesis, ...]:
    """The hypotheses as JSON has them, without infinite numbers. Raises `PluginError` with the first that is wrong."""
    try:  # a non-finite number does not survive it
        encoded = _encode(hypotheses)
        if len(encoded) > MAX_BYTES:
            raise PluginError(f"recognise returned {len(encoded)} bytes as JSON, expected at most {MAX_BYTES}")
        plain = _decode(encoded)
        if plain == hypotheses and all(h.domain == name for h in plain):
            return plain
    except (msgspec.MsgspecError, TypeError, ValueError):  # explained by the checks below
        pass
    for i, h in enumerate(hypotheses):
        _check_hypothesis(name, i, h)
    try:
        return _decode(_encode(hypotheses))  # numpy's numbers become Python's
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        reason = describe(error).partition(": ")[2]
        for i, h in enumerate(hypotheses):
            _check_types(i, h, reason)
        raise PluginError(f"recognise returned invalid hypotheses: {reason}") from error


def _check_hypothesis(name: str, i: int, hypothesis: Any) -> None:
    if not isinstance(hypothesis, Hypothesis):
        raise PluginError(f"hypothesis {i} is of type {type(hypothesis).__name__}, expected a Hypothesis")
    if hypothesis.domain != name:
        raise PluginError(f"hypothesis {i} is of domain {hypothesis.domain!r}, expected {name!r}")
    claimed = [(field, getattr(hypothesis, field)) for field in _CONFIDENCES]
    slots = hypothesis.slots if isinstance(hypothesis.slots, tuple | list) else ()
    claimed += [(f"the confidence of slot {one.name!r}", one.confidence) for one in slots if isinstance(one, Slot)]
    for field, value in claimed:
        if isinstance(value, Real) and not math.isfinite(value):  # JSON would make it a missing one
            raise PluginError(f"hypothesis {i}: {field}: {value} is out of range, expected a finite number")
    check_features(i, hypothesis)


def check_features(i: int, hypothesis: Hypothesis) -> None:
    """Raise `PluginError` where a feature of hypothesis `i` is not a finite number."""
    features: Any = hypothesis.features
    if not isinstance(features, Mapping):
        raise PluginError(f"hypothesis {i}: features is {shown(features)}, expected a mapping to numbers")
    for key, number in islice(features.items(), _FEATURES):
        real = isinstance(number, Real)
        if not real or not math.isfinite(number):
            said = number if real else shown(number)
            raise PluginError(f"hypothesis {i}: feature {key!r} is {said}, expected a finite number")


def _check_types(i: int, hypothesis: Hypothesis, reason: str) -> None:
    """Raise `PluginError` for the first field of hypothesis `i` that is of another type than the contract's."""
    for field in hypothesis.__struct_fields__:
        value = getattr(hypothesis, field)
        if isinstance(guarded(_again, _TYPES[field], value), Fault):
            raise PluginError(f"hypothesis {i}: {field} is {shown(value)}, expected {_EXPECTED[field]} ({reason})")


def _again(kind: Any, value: object) -> object:
    return msgspec.json.decode(_encode(value), type=kind)


def _plain(value: object) -> float | str:
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, str):  # of a class of its own, numpy's for one
        return str.__str__(value)
    raise TypeError(f"{type(value).__name__} is not one of JSON's types")


_TYPES: Mapping[str, Any] = get_type_hints(Hypothesis, include_extras=True)
_EXPECTED = {
    "domain": "a text",
    "intent": "a text, not empty",
    "slots": "a tuple of Slot, each with texts as name and value",
    "skill": "a text or None",
    "features": "a mapping of texts to numbers",
    **dict.fromkeys(_CONFIDENCES, "a number or None"),
}
_encode = msgspec.json.Encoder(enc_hook=_plain).encode
_decode = msgspec.json.Decoder(tuple[Hypothesis, ...]).decode
_pack = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_unpack = msgspec.msgpack.Decoder(tuple[Hypothesis, ...]).decode


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
        mine, right = _probability(mine), _probabilities(right)
        scores = Scores(mine, right)
    if right.shape != (n,):
        raise PluginError(f"right has shape {right.shape}, expected ({n},)")
    if n <= _FEW and adds_up(mine, right.tolist()):
        return scores
    if not 0.0 <= mine <= 1.0:
        raise PluginError(f"mine is {mine}, expected a number in [0, 1]")
    if not (right >= 0.0).all() or not right.sum() <= mine + _SLACK:
        raise PluginError(
            f"right is {_listed(right)}, expected numbers of at least 0 that sum to at most mine = {mine}"
            f"{_rounding(mine, right)}"
        )
    return scores


def adds_up(mine: float, right: Sequence[float]) -> bool:
    """True for probabilities that surely keep the contract; of a few numbers, Python tells it faster than numpy."""
    return 0.0 <= mine <= 1.0 and sum(right) <= mine and (not right or min(right) >= 0.0)


def _listed(right: Any) -> str:
    few = right.tolist() if len(right) <= _FEW else [*right[:3].tolist()]
    return (
        f"{few}"
        if len(right) <= _FEW
        else f"[{', '.join(map(repr, few))}, … {len(right)} numbers], sum {right.sum():g}"
    )


def _rounding(mine: float, right: Any) -> str:
    """The hint for a sum that exceeds `mine` by as much as single precision rounds."""
    over = float(right.sum()) - mine
    return f"; their sum is {over:.1e} above it: compute in float64" if 0.0 < over < 1e-5 else ""


def _probability(mine: Any) -> float:
    """P(mine) of another type than float. Raises `PluginError` where it is no number."""
    one = mine.item() if isinstance(mine, np.ndarray) and mine.size == 1 else mine
    if not isinstance(one, Real):
        raise PluginError(f"mine is {shown(mine)}, expected a number in [0, 1]")
    return float(one)


def _probabilities(right: Any) -> Any:
    """P(right) of each hypothesis, of another type than an array of float64. Raises as `_probability` does."""
    found = guarded(np.asarray, right)
    if not isinstance(found, Fault) and found.shape == ():
        return np.zeros(())  # of the wrong shape, whatever it is
    if isinstance(found, Fault) or not (
        found.dtype.kind in "fiub" or (found.dtype.kind == "O" and all(isinstance(one, Real) for one in found.flat))
    ):
        raise PluginError(f"right is {shown(right)}, expected an array of numbers, one for each hypothesis")
    return found.astype(np.float64)


def checked_explanation(why: Any, n: int) -> Sequence[dict[str, float]]:
    """The contributions that `explain` returned for `n` hypotheses. Raises as `checked_scores` does."""
    why = list(islice(why, n + 1)) if isinstance(why, Iterable) else why
    if not isinstance(why, list) or not all(isinstance(row, Mapping) for row in why):
        raise PluginError(f"explain returned {shown(why)}, expected a mapping of numbers for each of {n} hypotheses")
    for row in why:
        for group, value in row.items():
            if not isinstance(value, Real):
                raise PluginError(f"explain returned {group!r}: {shown(value)}, expected a finite number")
    rows = [{str(group): float(value) for group, value in row.items()} for row in why]
    if len(rows) != n or not all(math.isfinite(value) for row in rows for value in row.values()):
        raise PluginError(f"explain returned {len(rows)} rows, expected {n} of finite numbers")
    return rows
