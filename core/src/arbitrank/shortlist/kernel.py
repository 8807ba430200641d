"""Interface of the Shortlister's kernels, which score skills by number.

A skill's number is its position in the order in which skills joined the catalogue (`arbitrank.shortlist.catalogue`),
from 0. A number is never reused, so kernels trained at different times agree on its meaning.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kernel"]


@runtime_checkable
class Kernel(Protocol):
    """Scorer of skills for an utterance. Frozen: the same utterance always gets the same scores."""

    def best(self, utterance: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The numbers and raw scores of the at most `k` best skills, both of shape (n,), best first.

        Scores are finite and higher is better; ties go to the lower number. Empty where the kernel knows no word of
        the utterance.
        """
        ...

    def scores(self, utterance: str, skills: NDArray[np.int64]) -> NDArray[np.float64]:
        """The raw scores of these skills, in their order; NaN for a skill that the kernel was not trained on."""
        ...
