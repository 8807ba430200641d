"""Gradient boosting of trees by a loss of whole lists, with LightGBM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.learn.lightgbm import lightgbm

__all__ = ["grown"]

Floats = NDArray[np.float64]


def grown(
    x: Floats,
    start: Floats,
    slopes: Callable[[Floats], tuple[Floats, Floats]],
    rising: Sequence[bool],
    *,
    rounds: int,
    seed: int,
) -> Any:
    """A booster over the rows x, shape (n, F), whose trees correct the scores `start`.

    `slopes` gives the first and second derivatives of the loss by the scores; more of a feature that is `rising` never
    lowers a score. Raises `LightGBMError` where the rows are too few for a tree.
    """
    data = lightgbm().Dataset(
        x, np.zeros(len(x)), init_score=np.ascontiguousarray(start), feature_name=[f"f{i}" for i in range(x.shape[1])]
    )
    parameters = {
        "objective": lambda z, _: slopes(z),
        "learning_rate": 0.1,
        "num_leaves": 15,
        "min_data_in_leaf": 40,
        "lambda_l2": 1.0,
        "monotone_constraints": [int(one) for one in rising],
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
        "boost_from_average": False,
    }
    return lightgbm().train(parameters, data, rounds)
