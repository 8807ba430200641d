"""Semi-supervised learning: the trained system labels utterances that nobody labelled, and learns from them too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array, vstack

from arbitrank.errors import InputError
from arbitrank.probability import sigmoid
from arbitrank.shortlist.corrections import Negative, posterior
from arbitrank.shortlist.distil import highest
from arbitrank.shortlist.epochs import Plan, Trained, train

__all__ = ["Unlabelled", "retrain"]


@dataclass(frozen=True)
class Unlabelled:
    """Utterances count whose best label has probability `least`; their `most` best are targets, of that weight."""

    least: float = 0.3
    most: int = 3
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.least <= 1.0 or self.most < 1 or self.weight <= 0.0:
            raise InputError(f"{self}: promised least in [0, 1], most of at least 1, a positive weight")


def retrain(
    trained: Trained,
    x: csr_array,
    more: csr_array,
    plan: Plan,
    rule: Unlabelled = Unlabelled(),
    refused: csr_array | None = None,
    wrong: float = Negative.wrong,
) -> Trained:
    """A new model, of the labels that the trained one ended with, and of its own probabilities for `more` utterances.

    The labels of the trained model are kept as they are: pseudo-labels have been found by then. `refused`, of shape
    (utterances of `more`, skills), says how often each skill refused each of those, a share `wrong` of it wrongly.
    """
    p = sigmoid(trained.log_odds(more).astype(np.float64))
    sure = np.flatnonzero(p.max(axis=1, initial=0.0) >= rule.least)
    if refused is not None:
        p = posterior(p, refused.toarray().astype(np.float64), wrong)
    y = csr_array(vstack([trained.labels, highest(p[sure], rule.most)]), dtype=np.float32)
    weight = np.ones(y.shape[0], np.float32)
    weight[trained.labels.shape[0] :] = rule.weight
    return train(csr_array(vstack([x, more[sure]])), y, replace(plan, pseudo=None), weight=weight)
