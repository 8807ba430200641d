"""Cold start: skills without requests, ranked by their descriptions among those that requests were known for.

    score(skill) = base + w · x,   x = (1, description, embedding, signs of the request, the index)

The score of such a skill takes the place of the index's, in nats; base is the index's share of the usage for a skill
without any. w is fitted to requests of skills that are left out of a training (`arbitrank.shortlist.cold_fitting`), so
that candidates of both kinds compete; without such requests it has defaults, found on other catalogues.

P(no such skill fits) comes from the share of the request's words that descriptions know, and from the best scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.errors import InputError
from arbitrank.probability import sigmoid
from arbitrank.shortlist.description_training import later_postings
from arbitrank.shortlist.descriptions import DescriptionKernel, DescriptionMatches
from arbitrank.shortlist.embedding import EmbeddingKernel
from arbitrank.shortlist.index import lookup, top
from arbitrank.wire.catalogue_lines import CatalogueSkill

__all__ = ["COLD", "ColdStart", "ColdWeights", "Described"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

COLD = ("bias", "described", "embedded", "evidence", "linear", "known", "indexed")
"""1; the description kernel's score; the embedding kernel's cosine; the signs of the request that a skill fits, as in
`arbitrank.shortlist.calibration`, but the evidence is the most for any skill; and the root of the index's nats of
evidence for this one."""

_USUAL_SHARE = 0.05  # of requests that fit no skill
_UNCOVERED = 0.05  # added to the share of known words, of which the logarithm is taken
_TINY = 1e-6


class ColdWeights(Struct, frozen=True):
    """w, in the order of `COLD`, and `fits`, those of P(a skill fits).

    `fits`: 1, the logarithm of the share of known words, the root of the best description's score, the best cosine.
    Weights of the embedding kernel are 0 without an encoder.
    """

    scores: tuple[float, ...] = (0.0, 8.8, 0.0, 0.0, 0.0, 0.0, 1.35)
    fits: tuple[float, float, float, float] = (-0.6, 1.6, 2.4, 0.0)


DESCRIBED = ColdWeights()
"""The weights without an encoder where nothing was fitted."""
EMBEDDED = ColdWeights((0.0, 5.8, 38.0, 0.0, 0.0, 0.0, 0.0), (-2.3, 1.75, 0.3, 11.4))
"""The weights with an encoder where nothing was fitted."""


@dataclass(frozen=True)
class Described:
    """A request, seen by the kernels of descriptions: matches, and the cosine of each of the embedding's skills."""

    matches: DescriptionMatches
    skills: Numbers
    cosines: Floats

    def best(self, k: int) -> Numbers:
        """The best skills of each kernel."""
        found = [skills.take(top(scores, k)) for skills, scores in self._kernels() if len(skills)]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *found]))

    def without(self, gone: Numbers) -> Described:
        """Without the skills that have these numbers, ascending."""
        if not len(gone):
            return self
        matches, stay = self.matches, ~lookup(gone, self.matches.skills)[1]
        left = replace(matches, skills=matches.skills[stay], scores=matches.scores[stay])
        stay = ~lookup(gone, self.skills)[1]
        return Described(left, self.skills[stay], self.cosines[stay])

    def of(self, skills: Numbers) -> tuple[Floats, Floats]:
        """The description kernel's scores and the cosines of skills; 0 for one that a kernel did not find."""
        scores, cosines = (np.zeros(len(skills)) for _ in range(2))
        for (known, values), into in zip(self._kernels(), (scores, cosines), strict=True):
            at, there = lookup(known, skills)
            into[there] = values[at[there]]
        return scores, cosines

    def _kernels(self) -> tuple[tuple[Numbers, Floats], tuple[Numbers, Floats]]:
        return (self.matches.skills, self.matches.scores), (self.skills, self.cosines)


@dataclass(frozen=True, eq=False)
class ColdStart:
    """The kernels of descriptions and their weights."""

    descriptions: DescriptionKernel
    embedding: EmbeddingKernel | None = None
    weights: ColdWeights = DESCRIBED

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.descriptions.nbytes + (self.embedding.nbytes if self.embedding else 0)

    @property
    def knows(self) -> bool:
        """True where there is a skill without requests."""
        return len(self.descriptions.postings) > 0 or bool(self.descriptions.added or self.descriptions.recent)

    def see(self, utterance: str) -> Described:
        """A request, seen by the kernels; by that of descriptions alone where the user's encoder fails."""
        matches = self.descriptions.matches(utterance)
        found = (np.zeros(0, np.int64), np.zeros(0))
        if self.embedding is not None:
            with suppress(InputError):
                found = self.embedding.cosines(utterance, matches.skills)
        return Described(matches, *found)

    def scores(
        self, seen: Described, skills: Numbers, without: NDArray[np.bool_], signs: Floats, evidence: Floats
    ) -> Floats:
        """The scores of those candidates that have no requests, less their base; the rest is as in `cold_features`."""
        return np.asarray(cold_features(seen, skills, without, signs, evidence) @ np.array(self.weights.scores))

    def none(self, seen: Described, outside: float | None = None) -> float:
        """P(no skill without requests fits); `outside` is the expected share of requests that fit none, if known."""
        share = min(max(_USUAL_SHARE if outside is None else outside, _TINY), 1.0 - _TINY)
        matches = seen.matches
        signs = (np.log(matches.covered + _UNCOVERED), np.sqrt(matches.scores.max(initial=0.0)))
        z = float(np.array((1.0, *signs, seen.cosines.max(initial=0.0))) @ np.array(self.weights.fits)) + np.log(
            (1.0 - share) / share
        )
        return float(sigmoid(np.array(-z)))

    def with_skills(self, skills: Sequence[tuple[int, CatalogueSkill]]) -> ColdStart:
        """A copy with more skills, numbered on from all others."""
        more = self.descriptions.with_skills(later_postings(self.descriptions, skills))
        embedding = self.embedding.with_skills(skills) if self.embedding is not None else None
        return replace(self, descriptions=more, embedding=embedding)


def cold_features(
    seen: Described, skills: Numbers, without: NDArray[np.bool_], signs: Floats, evidence: Floats
) -> Floats:
    """x of those candidates that have no requests, shape (n, len(COLD)).

    `skills` are all candidates, `evidence` the index's for each, in nats, and `without` is true for those.
    """
    scores, cosines = seen.of(skills[without])
    nats = np.maximum(evidence, 0.0)
    shared = np.broadcast_to((np.log1p(nats.max(initial=0.0)), *signs[2:]), (len(scores), len(signs) - 1))
    return np.column_stack([np.ones(len(scores)), scores, cosines, shared, np.sqrt(nats[without])])
