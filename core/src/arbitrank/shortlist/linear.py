"""Linear kernel: a discriminative multinomial model of skills over words, stems and their pairs.

    x = unit vectors of the words' and of the stems' grams, each weighted by how few skills use it
    log P(skill | words) = log softmax(x W + b)

Trained in `arbitrank.shortlist.linear_training`, kept by `arbitrank.shortlist.artifact`. Its weights are bytes, each
row with a scale of its own: a thousand weights take a kilobyte.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbitrank.shortlist.index import lookup
from arbitrank.shortlist.ngrams import ranking_grams

__all__ = ["LinearKernel", "unit_vector"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LinearKernel:
    """Column j of `output` and `bias` is of the skill with number `skills[j]`, ascending.

    `vocabulary`: the hashes of the V known grams, ascending, uint32. `informative`: the weight of each gram in x,
    float32 (V,). `output`: int8 (V, skills), row i in units of `scale[i]`, float32 (V,).
    """

    skills: NDArray[np.int64]
    vocabulary: NDArray[np.uint32]
    informative: Singles
    output: NDArray[np.int8]
    scale: Singles
    bias: Singles

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        own = (self.skills, self.vocabulary, self.informative, self.output, self.scale, self.bias)
        return sum(array.nbytes for array in own)

    def logits(self, utterance: str) -> Floats | None:
        """The logits of its skills, in the order of `skills`; None where no gram is known."""
        parts = [self._part(grams) for grams in ranking_grams(utterance)]
        rows = np.concatenate([rows for rows, _ in parts])
        if not len(rows) or not len(self.skills):
            return None
        x = np.concatenate([x for _, x in parts]) * self.scale[rows]
        return np.asarray(x @ self.output[rows].astype(np.float32) + self.bias, np.float64)

    def _part(self, grams: NDArray[np.uint32]) -> tuple[NDArray[np.int64], Singles]:
        """The rows of the known ones of these grams, each once, and the unit vector over them."""
        hashes, counts = np.unique(grams, return_counts=True)
        at, known = lookup(self.vocabulary, hashes)
        rows = at[known]
        return rows, unit_vector(counts[known], self.informative[rows])


def unit_vector(counts: NDArray[np.int64], informative: Singles) -> Singles:
    """Grams by their counts and weights, scaled to unit length."""
    x = (1.0 + np.log(counts)) * informative
    return np.asarray(x / max(1e-9, float(np.sqrt((x * x).sum()))), np.float32)
