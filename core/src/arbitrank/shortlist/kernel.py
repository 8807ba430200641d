"""What a Shortlister gives, and the interface that its kernels share.

Kernels know skills by number: a skill's number is its place in the order in which skills joined the catalogue
(`arbitrank.shortlist.catalogue`), from 0 on. A number is never given to another skill, so kernels that were trained at
different times agree on what it means.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from arbitrank.values import Candidate

__all__ = ["Candidate", "Kernel"]


@runtime_checkable
class Kernel(Protocol):
    """Scores skills for words. Frozen as far as training goes: the same words, the same scores."""

    def best(self, utterance: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The numbers of the at most `k` best skills, and their raw scores, both of shape (n,), best first.

        Scores are finite; higher is better; of equal ones the lower number stands first. Empty where the kernel knows
        no word of the utterance.
        """
        ...

    def scores(self, utterance: str, skills: NDArray[np.int64]) -> NDArray[np.float64]:
        """The raw scores of these skills, in their order; NaN for a skill that the kernel has never learned of."""
        ...
