"""Model of users' reactions: a version's own probability that its action is right, recalibrated to accepted answers.

The log-odds get a slope, a bias, and a bias more for questions and for none, by a logistic regression that is pulled to
the claims as they are. Sessions are split into five parts; each is predicted by what the other four say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arbitrank.outcomes.choices import LoggedChoices, VersionChoices
from arbitrank.probability import Floats, fit_logistic, log_odds, sigmoid

_FOLDS = 5
_PULL = 5.0  # reactions that the claims as they are count as
_PRIOR = np.array([1.0, 0.0, 0.0, 0.0])


def predicted_acceptance(choices: LoggedChoices, trust: Floats) -> tuple[Floats, Floats]:
    """P(accepted) of the actions of both versions, `before` and `after`, each of shape (n,).

    `trust` is the weight of each reaction beside the others, shape (n,).
    """
    before, after = _features(choices.before), _features(choices.after)
    served = np.where(choices.before.served[:, None], before, after)
    known = choices.before.served | choices.after.served
    fold: NDArray[np.int64] = choices.session % _FOLDS
    found = np.empty((2, len(choices.session)))
    for k in range(_FOLDS):
        held, taught = fold == k, known & (fold != k)
        weights = _PRIOR
        if taught.any():
            weights = fit_logistic(served[taught], choices.accepted[taught], _PRIOR, _PULL, trust[taught])
        found[0, held], found[1, held] = sigmoid(before[held] @ weights), sigmoid(after[held] @ weights)
    return found[0], found[1]


def _features(version: VersionChoices) -> Floats:
    """Log-odds, one, a question, none: shape (n, 4)."""
    action = version.action
    columns = (log_odds(version.claim), np.ones(len(action)), action == 1, action == 2)
    return np.stack(columns, axis=1).astype(np.float64)
