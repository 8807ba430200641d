"""Self-distillation: what the model said of an example in the last epoch is part of what it learns in the next.

It says more than a single label does: that two skills were close, or that nothing fitted. Its probabilities are mixed
into the targets, and statistics of them are an input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from arbitrank.errors import InputError

__all__ = ["Distil", "highest", "mixed"]


@dataclass(frozen=True)
class Distil:
    """`share`, in [0, 1), is the part of the targets that comes from the last epoch's outputs, from epoch `after` on.

    Of each row's outputs the `most` highest are kept. With `told` the statistics of the last outputs are an input too.
    """

    share: float = 0.3
    after: int = 2
    most: int = 8
    told: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0 or self.after < 1 or self.most < 1:
            raise InputError(f"{self}: promised a share in [0, 1), after and most of at least 1")


def highest(p: NDArray[np.floating], most: int) -> csr_array:
    """The `most` highest probabilities of each row: float32, of p's shape (rows, skills)."""
    most = min(most, p.shape[1])
    top = np.sort(np.argpartition(-p, most - 1, axis=1)[:, :most], axis=1)
    values = np.take_along_axis(p, top, axis=1).astype(np.float32)
    return csr_array((values.ravel(), top.ravel(), np.arange(len(p) + 1) * most), shape=p.shape)


def mixed(y: csr_array, said: csr_array, share: float) -> csr_array:
    """(1 − share) · y + share · said: float32, of y's shape."""
    return csr_array((1.0 - share) * y + share * said, dtype=np.float32)
