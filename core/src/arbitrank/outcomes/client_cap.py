"""Cap on the share of one client in the weight of reactions, so that none decides what all are taken to say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats

CAP = 0.05
"""The largest share of a weight that one client has."""

PRIOR = 1 / CAP
"""Weight of what is believed beforehand, of which no client has a share: with few clients each has next to nothing."""

_STEPS, _CLOSE = 100, 1e-9


def capped_weights(client: NDArray[np.int64], weight: Floats, certain: float = PRIOR) -> Floats:
    """The weights, scaled down so that no client has more than the share `CAP` of all, shape (n,).

    All includes `certain`, the weight of the prior and of what is known from elsewhere, which is never scaled.
    """
    clients, places = np.unique(client, return_inverse=True)
    sums = np.bincount(places, weight, len(clients))
    total = certain + float(sums.sum())
    for _ in range(_STEPS):
        limited = certain + float(np.minimum(sums, CAP * total).sum())
        if total - limited < _CLOSE * total:
            break
        total = limited
    scale = np.minimum(1.0, CAP * total / np.maximum(sums, 1e-300))
    return np.asarray(weight * scale[places])
