"""The boosted re-ranker: LightGBM's trees over a domain's features, alone or as corrections of the factored score.

Trained in `arbitrank.learn.boosted_training`. Its trees are kept as LightGBM's own text. Prediction uses one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.domain import Scores
from arbitrank.errors import ArtifactError
from arbitrank.explanation import BASE, exact_log_odds
from arbitrank.learn.buffers import blocks, buffer
from arbitrank.learn.contributions import added, adding_up, row_of
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.features import rows
from arbitrank.learn.lightgbm import Trees, lightgbm, missing
from arbitrank.learn.rerankers import Factored
from arbitrank.learn.trees import ParsedTrees
from arbitrank.probability import Floats, Starts, bounded, bounded_groups, log_odds, sigmoid
from arbitrank.values import Request


def feature_names(spec: FeatureSpec) -> tuple[str, ...]:
    """Names of the columns of `matrix`: those of the reading, then those of the request."""
    return (*(f"{n}@reading" for n in spec.reading_names), *(f"{n}@request" for n in spec.request_names))


def matrix(of_requests: Floats, of_readings: Floats, starts: Starts) -> Floats:
    """A row for each reading, with its request's features after its own: shape (N, G + F)."""
    sizes = np.diff(np.append(starts, len(of_readings)))
    width = of_readings.shape[1]
    whole = buffer(len(of_readings), width + of_requests.shape[1])
    request = np.repeat(np.arange(len(starts)), sizes)
    for block in blocks(len(whole)):
        whole[block, :width] = of_readings[block]
        whole[block, width:] = of_requests[request[block]]
    return whole


class Boosted(msgspec.Struct, frozen=True, tag="boosted", tag_field="kind", dict=True):
    """Trees over the toolkit's features; with a `base`, they correct its log-odds of P(right).

    `text` is LightGBM's model. Without a base P(mine) is the sum over the readings; with one it is the base's, or the
    sum where that is more. `bias` is added to the trees' sum.
    """

    spec: FeatureSpec
    base: Factored | None = None
    text: str = ""
    bias: float = 0.0

    @cached_property
    def booster(self) -> Any:
        """LightGBM's model, read from its text at first use."""
        return lightgbm().Booster(model_str=self.text)

    @cached_property
    def trees(self) -> Trees | ParsedTrees:
        """The trees, bound for serving; each process and fork has its own. Without LightGBM they are NumPy's."""
        return Trees(self.booster) if missing() is None else ParsedTrees(self.text)

    def check(self, folder: Path) -> None:
        """Raise `ArtifactError` where the trees can't be read or have other features than the toolkit's."""
        expected = len(feature_names(self.spec))
        try:
            seen = self._width()
        except (ValueError, LookupError) as error:
            raise ArtifactError(f"{folder}: trees that cannot be read: {error}") from error
        if seen != expected:
            raise ArtifactError(f"{folder}: trees over {seen} features, expected {expected}; train again")

    def _width(self) -> int:
        """Number of features of the trees. Raises `ValueError` or `LookupError` where these can't be read."""
        if missing() is not None:
            return ParsedTrees(self.text).width
        try:
            return int(self.booster.num_feature())
        except lightgbm().basic.LightGBMError as error:
            raise ValueError(f"LightGBM: {error}") from error

    def score(self, of_requests: Floats, of_readings: Floats, starts: Starts) -> tuple[Floats, Floats]:
        """P(mine) of R requests and P(right) of their N readings, from matrices of features."""
        z = self.bias + self.trees(matrix(of_requests, of_readings, starts))
        mine = np.zeros(len(starts))
        if self.base is not None:
            mine, right = self.base.score(of_requests, of_readings, starts)
            z = z + log_odds(right)
        return bounded_groups(sigmoid(z), starts, mine)

    def rerank(self, request: Request) -> Scores:
        """P(mine) and P(right) of the request's hypotheses."""
        z = self.bias + self.trees(self._columns(request))
        if self.base is None:
            return bounded(sigmoid(z))
        below = self.base.rerank(request)
        return bounded(sigmoid(z + log_odds(below.right)), below.mine)

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """The trees' own contributions, summed by group, on top of the base's."""
        parts = self.trees.contributions(self._columns(request))
        below: Sequence[Mapping[str, float]] = self.base.explain(request) if self.base else [{} for _ in parts]
        names, right = (*feature_names(self.spec), "bias"), self.rerank(request).right.tolist()
        each = (added(low, row_of(self.spec, names, row.tolist())) for row, low in zip(parts, below, strict=True))
        return [
            adding_up({**row, BASE: row[BASE] + self.bias}, exact_log_odds(p))
            for row, p in zip(each, right, strict=True)
        ]

    def _columns(self, request: Request) -> Floats:
        """The columns of `matrix` for one request."""
        of_request, of_readings = rows(self.spec, request)
        width = len(of_readings[0])
        columns = np.empty((len(of_readings), width + len(of_request)))
        columns[:, :width], columns[:, width:] = of_readings, of_request
        return columns
