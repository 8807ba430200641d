"""Made requests to domains of which it is known what they should claim."""

from __future__ import annotations

import numpy as np

from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.probability import sigmoid

NAMES = ("a", "b", "c")


def observed(
    n: int,
    *,
    none: float = 0.1,
    strength: float = 1.0,
    seed: int = 0,
    reading: float = 0.9,
    learned: float | None = None,
) -> Observed:
    """Requests to three domains, a share `none` of them out of scope, with evidence of each domain's own.

    Each domain states the true log-odds that the request is its own, times `strength`; its reading is then right with
    the probability `reading`. The domains were trained where the share was `learned`, by default the same.
    """
    rng = np.random.default_rng(seed)
    shares = [*[(1.0 - none) / 3] * 3, none]
    owner = rng.choice(4, n, p=shares)
    evidence = rng.normal(np.where(np.arange(3) == owner[:, None], 1.5, -1.5), 1.2)  # likelihood ratio exp(3 z / 1.44)
    own = (1.0 - (none if learned is None else learned)) / 3
    odds = evidence * 3.0 / 1.44 + np.log(own / (1.0 - own))
    mine = sigmoid(strength * odds)
    right = (np.arange(3) == owner[:, None]) & (rng.random((n, 1)) < reading)
    readings = [BestReadings(p, p * reading, np.zeros(n, np.int32), p * reading) for p in mine.T]
    return Observed(NAMES, tuple(readings), right, np.arange(4) == owner[:, None])
