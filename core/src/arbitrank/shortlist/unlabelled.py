"""Self-training: a trained classifier labels unlabelled utterances, and a new one is trained on them too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array, vstack

from arbitrank.errors import InputError
from arbitrank.probability import sigmoid
from arbitrank.shortlist.corrections import FineTuning, posterior
from arbitrank.shortlist.epochs import TrainedNetwork, TrainingPlan, train
from arbitrank.shortlist.targets import highest

__all__ = ["SelfTraining", "retrain"]


@dataclass(frozen=True)
class SelfTraining:
    """Utterances whose best label has probability `least` count; their `most` best are targets, of that `weight`."""

    least: float = 0.3
    most: int = 3
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.least <= 1.0 or self.most < 1 or self.weight <= 0.0:
            raise InputError(f"{self}: expected least in [0, 1], most of at least 1, a positive weight")


def retrain(
    trained: TrainedNetwork,
    x: csr_array,
    more: csr_array,
    plan: TrainingPlan,
    settings: SelfTraining = SelfTraining(),
    refused: csr_array | None = None,
    wrong: float = FineTuning.wrong,
) -> TrainedNetwork:
    """A new model, of the final labels of the trained one and of its own probabilities for `more` utterances.

    The labels of the trained model stay as they are: its pseudo-labels are already found. `refused`, of shape
    (utterances of `more`, skills), counts how often each skill refused each of those, a share `wrong` of it wrongly.
    """
    p = sigmoid(trained.log_odds(more).astype(np.float64))
    sure = np.flatnonzero(p.max(axis=1, initial=0.0) >= settings.least)
    if refused is not None:
        p = posterior(p, refused.toarray().astype(np.float64), wrong)
    y = csr_array(vstack([trained.labels, highest(p[sure], settings.most)]), dtype=np.float32)
    weight = np.ones(y.shape[0], np.float32)
    weight[trained.labels.shape[0] :] = settings.weight
    return train(csr_array(vstack([x, more[sure]])), y, replace(plan, pseudo=None), weight=weight)
