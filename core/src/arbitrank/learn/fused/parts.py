"""What of a domain's model can be fused: a re-ranker of the toolkit's, and its calibrator."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import LinearForm, Model
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.calibration import Calibrated, Calibrator
from arbitrank.learn.features import FeatureSpec
from arbitrank.learn.reference import ReferenceModel
from arbitrank.learn.rerankers import Factored, LogLinear, Weights

Floats = NDArray[np.float64]


class Part(NamedTuple):
    """A domain that can be fused: its re-ranker and, where there is one, its calibrator."""

    reranker: Factored | LogLinear | Boosted
    calibrator: Calibrator | None


def part(name: str, model: Model) -> Part | None:
    """What of a model can be fused, None where `rerank` is more, or other, than the toolkit's.

    Never raises what a plugin's `linear` raises; such a model speaks for itself.
    """
    if not _speaks_for_rerank(type(model)):
        return None
    reranker: Any = None
    if isinstance(model, ReferenceModel) and type(model).rerank is ReferenceModel.rerank:
        reranker = model.reranker
    else:
        try:
            reranker = _of_form(model.linear())
        except KeyboardInterrupt:
            raise
        except BaseException:  # the plugin's code; without its weights it is asked as any other
            return None
    calibrator = None
    if type(reranker) is Calibrated:
        reranker, calibrator = reranker.reranker, reranker.calibrator
    if type(reranker) not in (Factored, LogLinear, Boosted) or not _plain(name, reranker):
        return None
    return Part(reranker, calibrator)


def _speaks_for_rerank(kind: type) -> bool:
    """Whether the class that says what `linear` is knows the `rerank` that counts, or is one that overrode it."""
    order = kind.__mro__
    linear = next(i for i, one in enumerate(order) if "linear" in vars(one))
    return linear <= next(i for i, one in enumerate(order) if "rerank" in vars(one))


def _of_form(form: LinearForm | None) -> Factored | LogLinear | None:
    """The toolkit's re-ranker with these weights."""
    if form is None or not isinstance(form.features, FeatureSpec):
        return None
    spec = form.features
    if form.kind != "factored":
        return LogLinear(spec, form.kind, _weights(spec.plain_names, form.right))
    if form.mine is None:
        return None
    return Factored(spec, _weights(spec.request_names, form.mine), _weights(spec.reading_names, form.right))


def _weights(names: tuple[str, ...], values: Floats) -> Weights:
    return Weights(names, tuple(map(float, values)), (0.0,) * len(names))


def _plain(name: str, reranker: Factored | LogLinear | Boosted) -> bool:
    """Whether a re-ranker is one that the tables below can hold; odd ones speak for themselves."""
    spec = reranker.spec
    known = [(s.key, s.value) for s in spec.situations]
    weights: list[tuple[Weights, tuple[str, ...]]] = []
    if isinstance(reranker, LogLinear):
        weights = [(reranker.weights, spec.plain_names)]
    else:
        base = reranker if isinstance(reranker, Factored) else reranker.base
        if base is not None:
            weights = [(base.mine, spec.request_names), (base.right, spec.reading_names)]
            if base.spec != spec:
                return False
    return (
        spec.domain == name
        and "." not in name
        and len(set(known)) == len(known)
        and all(s.low <= 0.0 <= s.high for s in spec.situations)
        and all(len(one.values) == len(names) and all(map(math.isfinite, one.values)) for one, names in weights)
    )
