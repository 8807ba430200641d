"""The boosted re-ranker: LightGBM's trees over a domain's features, alone or as corrections of the factored score.

Trained in `arbitrank.learn.boosting`. Its trees are kept as LightGBM's own text, beside `weights.json`, which names its
features. Prediction uses one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import LinearForm, Scores
from arbitrank.errors import ArtifactError
from arbitrank.learn.features import CLIP, FeatureSpec, rows
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.losses import sigmoid
from arbitrank.values import Request

Floats = NDArray[np.float64]


def feature_names(spec: FeatureSpec) -> tuple[str, ...]:
    """The names of `feature_rows`: those of the reading, then those of the request."""
    return (*(f"{n}@reading" for n in spec.reading_names), *(f"{n}@request" for n in spec.request_names))


def feature_rows(spec: FeatureSpec, request: Request) -> Floats:
    """A row for each hypothesis, float64 of shape (n, F)."""
    of_request, of_readings = rows(spec, request)
    return np.hstack([np.array(of_readings), np.tile(of_request, (len(of_readings), 1))])


@dataclass(frozen=True, eq=False)
class Boosted:
    """Trees over the toolkit's features; with a `base`, they correct its log-odds of P(right).

    `text` is LightGBM's model. Without a base P(mine) is the sum over the readings; with one it is the base's, or the
    sum where that is more.
    """

    spec: FeatureSpec
    text: str
    base: Any = None

    @cached_property
    def booster(self) -> Any:
        """LightGBM's model. Raises `ArtifactError` where its features are not as many as the toolkit's."""
        booster = lightgbm().Booster(model_str=self.text)
        promised = len(feature_names(self.spec))
        if booster.num_feature() != promised:
            raise ArtifactError(f"trees over {booster.num_feature()} features, promised {promised}; train again")
        return booster

    def rerank(self, request: Request) -> Scores:
        z = self.booster.predict(feature_rows(self.spec, request), raw_score=True, num_threads=1)
        if self.base is None:
            return bounded(sigmoid(z), 0.0)
        base = self.base.rerank(request)
        return bounded(sigmoid(z + log_odds(base.right)), base.mine)

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """LightGBM's own contributions, summed by group, on top of the base's."""
        parts = self.booster.predict(feature_rows(self.spec, request), pred_contrib=True, num_threads=1)
        base = self.base.explain(request) if self.base is not None else [{}] * len(parts)
        return [self._grouped(row[:-1], dict(below)) for row, below in zip(parts, base, strict=True)]

    def linear(self) -> LinearForm | None:
        return None

    def _grouped(self, row: Floats, groups: dict[str, float]) -> dict[str, float]:
        for name, value in zip(feature_names(self.spec), row, strict=True):
            group = name.partition(".")[0]
            if group != "bias":
                groups[group] = groups.get(group, 0.0) + float(value)
        return groups


def log_odds(p: Floats) -> Floats:
    """log(p / (1 − p)), with p clipped to [1e-6, 1 − 1e-6]."""
    p = np.clip(p, CLIP, 1.0 - CLIP)
    return np.asarray(np.log(p / (1.0 - p)))


def bounded(right: Floats, mine: float) -> Scores:
    """Scores whose P(mine) is at least the sum of the readings'; the readings are brought down where that is above 1."""
    total = float(right.sum())
    right = right / max(1.0, total)
    return Scores(min(1.0, max(mine, total)), right)
