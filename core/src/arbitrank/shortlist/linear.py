"""Linear kernel: a discriminative multinomial model of skills over words, stems and characters, and nearest requests.

    x = unit vectors of the words', of the stems' and of the characters' grams, weighted by how few skills use them
    logit(skill) = x W + b + c · max over the skill's training requests r of x · x_r

The model tells skills apart by what all of their requests have in common, the nearest request by rare grams together.
Only grams that a few hundred requests share count there; others say little, and are most of the work.

Trained in `arbitrank.shortlist.linear_training`, kept by `arbitrank.shortlist.artifact`. Its weights are bytes, each
row with a scale of its own: a thousand weights take a kilobyte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbitrank.shortlist.index import lookup
from arbitrank.shortlist.ranking_grams import ranking_grams

__all__ = ["LinearKernel"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_NEAREST = 3.0  # c, chosen on splits of the train splits of metatool, clinc150 and sgd


@dataclass(frozen=True, eq=False)
class LinearKernel:
    """Column j of `output` and `bias` is of the skill with number `skills[j]`, ascending.

    `vocabulary`: the hashes of the V known grams, ascending, uint32. `informative`: the weight of each gram in x,
    float32 (V,). `output`: int8 (V, skills), row i in units of `scale[i]`, float32 (V,).

    `first`: the first training request of each skill, int32 (skills,); requests are numbered by skill. `starts`: where
    the requests of each gram begin in `requests`, int32 (V + 1,). `requests`: int32, by gram; `shares`: the gram's
    entry in each one's x, float16.
    """

    skills: NDArray[np.int64]
    vocabulary: NDArray[np.uint32]
    informative: Singles
    output: NDArray[np.int8]
    scale: Singles
    bias: Singles
    first: NDArray[np.int32]
    starts: NDArray[np.int32]
    requests: NDArray[np.int32]
    shares: NDArray[np.float16]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        of_model = (self.skills, self.vocabulary, self.informative, self.output, self.scale, self.bias)
        of_requests = (self.first, self.starts, self.requests, self.shares)
        return sum(array.nbytes for array in (*of_model, *of_requests))

    def logits(self, utterance: str, gone: NDArray[np.int64] = np.zeros(0, np.int64)) -> Floats | None:
        """The logits of its skills, in the order of `skills`, −∞ for those with the numbers `gone`.

        None where no gram is known, or no skill is left.
        """
        rows, x = self._unit_vectors(ranking_grams(utterance))
        if not len(rows) or not len(self.skills):
            return None
        z = (x * self.scale.take(rows)) @ self.output.take(rows, axis=0).astype(np.float32) + self.bias
        logits = np.asarray(z + _NEAREST * self._nearest(rows, x), np.float64)
        if not len(gone):
            return logits
        at, known = lookup(self.skills, gone)
        logits[at[known]] = -np.inf
        return None if np.isneginf(logits).all() else logits

    def _unit_vectors(self, grams: Sequence[NDArray[np.uint32]]) -> tuple[NDArray[np.int64], Singles]:
        """The rows of the known ones of these grams, each once, and a unit vector over those of each kind."""
        at, known = lookup(self.vocabulary, np.concatenate(grams))
        kinds = np.repeat(np.arange(len(grams)), [len(kind) for kind in grams])[known]
        rows, place, counts = np.unique(at[known], return_index=True, return_counts=True)
        kinds = kinds.take(place)
        x = (1.0 + np.log(counts)) * self.informative.take(rows)
        x /= np.sqrt(np.bincount(kinds, x * x, len(grams))).take(kinds)
        return rows, x.astype(np.float32)

    def _nearest(self, rows: NDArray[np.int64], x: Singles) -> Floats:
        """The similarity of each skill's nearest training request."""
        begin = self.starts.take(rows)
        sizes = self.starts.take(rows + 1) - begin
        ends = sizes.cumsum()
        at = np.arange(ends[-1]) + (begin - ends + sizes).repeat(sizes)
        weights = x.repeat(sizes) * self.shares.take(at)
        similar = np.bincount(self.requests.take(at), weights, minlength=int(self.first[-1]) + 1)
        return np.maximum.reduceat(similar, self.first)
