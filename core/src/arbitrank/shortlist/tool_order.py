"""Order of the tools of a shortlist by all that is known of them, the account and the dialogue: part of a HypRank.

    p0 = P(the tool fits), as the Shortlister says, times its rate of success relative to that of other tools, where
         that is below 1; else the rate multiplies the odds
    z  = log p0 + trees(features)                  δ = log of a tool's share in exp z less that of its share in p0
    P(the tool fits, and its call succeeds) = sigmoid(a + b · logit p0 + c · δ)

Without trees it is p0, and without outcomes of calls that is the Shortlister's own score: what is not known changes
nothing. Trained in `arbitrank.shortlist.tool_order_training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from msgspec import UNSET, Struct
from numpy.typing import NDArray

from arbitrank.learn.lightgbm import Trees, lightgbm
from arbitrank.probability import log_odds, sigmoid
from arbitrank.shortlist.hyprank_features import FEATURES, MOST, features
from arbitrank.shortlist.tool_outcomes import OutcomeTally
from arbitrank.shortlist.tool_words import WORD_FEATURES, ToolWords
from arbitrank.values import Candidate, Ranked, Request

__all__ = ["TOOL_FEATURES", "ToolOrder", "as_shortlisted", "corrections", "expected", "tool_features"]

Floats = NDArray[np.float64]

TOOL_FEATURES = (*FEATURES, "success", *WORD_FEATURES)
"""The columns of `tool_features`: those of a merged list, the success of calls, and the words."""

_LEAST, _MOST = 1e-12, 1.0 - 1e-9


class ToolOrder(Struct, frozen=True, dict=True):
    """The outcomes of calls, the words of the tools, the trees (`text` in LightGBM's format), and a, b and c.

    `lists` counts the shortlists of the training data, `kept` those that say which tool was right, or which was not.
    """

    tally: OutcomeTally = OutcomeTally()
    words: ToolWords = ToolWords()
    odds: tuple[float, float, float] = (0.0, 1.0, 1.0)
    lists: int = 0
    kept: int = 0
    text: str = ""

    def __repr__(self) -> str:
        return f"ToolOrder({self.kept} lists, outcomes of {len(self.tally.tools)} tools)"

    @cached_property
    def trees(self) -> Trees:
        """The trees, bound for serving."""
        return Trees(lightgbm().Booster(model_str=self.text))

    def sort(
        self,
        request: Request,
        candidates: Sequence[Candidate],
        *,
        tally: OutcomeTally | None = None,
        words: ToolWords | None = None,
    ) -> tuple[Candidate, ...]:
        """The candidates in the order of P(it fits, and its call succeeds), which is their score.

        Their `shortlisted` is the Shortlister's own score. Those beyond the first `MOST` keep their order behind these.
        `tally` and `words` are later ones than its own.
        """
        tally, words = tally or self.tally, words or self.words
        chosen, rest = as_shortlisted(candidates[:MOST]), as_shortlisted(candidates[MOST:])
        success = np.array([tally.success(one.skill) for one in chosen])
        if not chosen or (not self.text and not success.any()):
            return tuple(candidates)
        p = p0 = expected(chosen, success)
        if self.text:
            delta = corrections(p0, self.trees(tool_features(request, chosen, success, words)))
            a, b, c = self.odds
            p = sigmoid(a + b * log_odds(p0) + c * delta)
        order = np.argsort(-p, kind="stable").tolist()
        found = [Candidate(chosen[i].skill, chosen[i].domain, float(p[i]), chosen[i].score) for i in order]
        least = found[-1].score
        return (*found, *(Candidate(one.skill, one.domain, min(one.score, least), one.score) for one in rest))


def as_shortlisted(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with the Shortlister's own scores, best first, whatever sorted them since."""
    own = [one if one.shortlisted is UNSET else Candidate(one.skill, one.domain, one.shortlisted) for one in candidates]
    return sorted(own, key=lambda one: -one.score)


def expected(candidates: Sequence[Candidate], success: Floats) -> Floats:
    """p0 of candidates, shape (n,): a rate below the usual divides the probability, one above it adds to its odds."""
    p = np.clip(np.array([one.score for one in candidates]), _LEAST, _MOST)
    rate = np.exp(success)
    return np.asarray(np.clip(np.where(rate < 1.0, rate * p, rate * p / (1.0 - p + rate * p)), _LEAST, _MOST))


def corrections(p0: Floats, raw: Floats) -> Floats:
    """δ of a list: the logarithm of what the trees' raw scores make of each share of the list."""
    share = p0 / p0.sum()
    return np.asarray(raw - np.log(np.maximum(share @ np.exp(raw - raw.max()), _LEAST)) - raw.max())


def tool_features(request: Request, candidates: Sequence[Candidate], success: Floats, words: ToolWords) -> Floats:
    """The features of each candidate: shape (n, `TOOL_FEATURES`), NaN where unknown."""
    readings = [
        Ranked(one.domain, one.skill, (), one.score, one.score, one.score, None, one.skill) for one in candidates
    ]
    scores = {one.skill: one.score for one in candidates}
    parts = features(request, readings, scores), success[:, None], words.features(request.utterance, candidates)
    return np.ascontiguousarray(np.concatenate(parts, axis=1))
