"""The figures of each system, with intervals: what `metrics.json` holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.metrics import calibration
from arbitrank.evaluate.results import Outcome
from arbitrank.probability import log_loss
from arbitrank.values import Example

Floats = NDArray[np.float64]

_DRAWS = 1_000
_SLICE = 30  # requests below which a slice says nothing


class Difference(msgspec.Struct, frozen=True):
    """How much a system differs from another on the same requests: the mean, and its paired bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


def summarise(
    outcomes: Mapping[str, Outcome], held: Sequence[Example], *, against: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """The metrics of each system, and its paired differences to each system named in `against`.

    Rates are in [0, 1], NLL in nats. `ci` are 95 % bootstrap intervals over requests. `per_domain` takes accuracy and
    errors over the requests that are truly the domain's, and calibration over those that it wins.
    """
    measures = {system: _measures(one) for system, one in outcomes.items()}
    names = list(next(iter(measures.values())))
    place = {pair: i for i, pair in enumerate((system, name) for system in measures for name in names)}
    draws = _bootstrap(np.column_stack([measures[system][name] for system, name in place]), seed)
    drawn = {pair: draws[:, i] for pair, i in place.items()}
    return {
        system: {
            **{name: float(values.mean()) for name, values in measures[system].items()},
            **_calibration(one.probability, one.right, seed),
            "ci": {name: _interval(drawn[system, name]) for name in names},
            "against": {
                other: {
                    name: Difference(
                        float((measures[system][name] - measures[other][name]).mean()),
                        *_interval(drawn[system, name] - drawn[other, name]),
                    )
                    for name in names
                }
                for other in against
                if other in outcomes and other != system
            },
            "per_domain": dict(_per_domain(one, held, seed)),
            "per_context": dict(_per_context(measures[system], held)),
        }
        for system, one in outcomes.items()
    }


def _measures(one: Outcome) -> dict[str, Floats]:
    """What is averaged over requests, lower being better but for the accuracy."""
    return {
        "domain_accuracy": one.domain_right,
        "irer": 1.0 - one.answer_right,
        "semer": one.semer,
        "nll": log_loss(one.probability, one.right),
        "brier": (one.probability - one.right) ** 2,
    }


def _calibration(p: Floats, y: Floats, seed: int) -> dict[str, Any]:
    figures = calibration(p, y, seed=seed)
    return {
        "ece": figures.ece,
        "ece_interval": figures.ece_interval,
        "ece_floor": figures.ece_floor,
        "ece_band": figures.ece_band,
        "over_confidence": figures.over,
    }


def _bootstrap(columns: Floats, seed: int) -> Floats:
    """The means of the columns in each draw of their n rows, shape (draws, columns); of all columns the same rows."""
    n = len(columns)
    rng = np.random.default_rng(seed)
    return np.array([np.bincount(rng.integers(0, n, n), minlength=n) @ columns for _ in range(_DRAWS)]) / n


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _per_domain(one: Outcome, held: Sequence[Example], seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    owner = np.array([example.truth.domain or "" for example in held])
    winner = np.array([hypothesis.domain if hypothesis else "" for hypothesis in one.top])
    for name in sorted({*owner, *winner} - {""}):
        own, won = owner == name, winner == name
        yield (
            str(name),
            {
                "n": int(own.sum()),
                "domain_accuracy": _mean(one.domain_right[own]),
                "irer": _mean(1.0 - one.answer_right[own]),
                "won": int(won.sum()),
                **_calibration(one.probability[won], one.right[won], seed),
            },
        )


def _per_context(measures: Mapping[str, Floats], held: Sequence[Example]) -> Iterator[tuple[str, dict[str, Any]]]:
    seen = Counter(
        (key, value) for e in held for key, value in e.request.context.items() if isinstance(value, str | bool)
    )
    for (key, value), n in sorted(seen.items(), key=str):
        if _SLICE <= n < len(held):
            mask = np.array([e.request.context.get(key) == value for e in held])
            yield f"{key}={value}", {"n": n, **{name: _mean(values[mask]) for name, values in measures.items()}}


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
