"""Building of the kernels of descriptions, and fitting of their weights to requests of skills that were left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from arbitrank.shortlist.calibration_fitting import HeldRequest, conditional_weights
from arbitrank.shortlist.cold import COLD, DESCRIBED, EMBEDDED, ColdStart, ColdWeights, cold_features
from arbitrank.shortlist.description_training import MOST_EMBEDDED, MOST_SKILLS, texts_of, train_descriptions
from arbitrank.shortlist.embedding import EmbeddingKernel
from arbitrank.wire.catalogue_lines import CatalogueSkill

if TYPE_CHECKING:
    from arbitrank.shortlist.build import SkillUtterance
    from arbitrank.shortlist.shortlister import Shortlister

__all__ = ["FITTED", "ColdRequests", "cold_request", "cold_requests", "cold_start", "fit_cold"]

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

FITTED = 20_000
"""Held-out requests that weights are fitted to, about."""

_ENOUGH = 20  # requests of skills that were left out, to fit weights to
_RARER = 0.5  # share of the requests of a skill that none is known of, in those of one that was left out
_TEMPERED = 0.1  # of scores, at least, for the odds of a rarer skill
_TRANSLATED = 30_000  # requests that a translation is learned from


def cold_start(
    known: Sequence[CatalogueSkill],
    requests: Sequence[str],
    numbers: Numbers,
    embedding: EmbeddingKernel | None = None,
) -> ColdStart | None:
    """The kernels of skills without requests, where requests have the numbers of their skills.

    None where each skill has requests and none says more of itself than its name, or where they are too many.
    """
    used = np.bincount(numbers, minlength=len(known)) > 0
    most = MOST_SKILLS if embedding is None else MOST_EMBEDDED
    if len(known) > most or (used.all() and not any(one.description or one.phrases for one in known)):
        return None
    translation = None
    if used.any() and not used.all():
        with suppress(ImportError):  # without SciPy nothing is learned from other skills
            from arbitrank.shortlist.translation_learning import learn_translation

            texts = ["\n".join(texts_of(one)[:4]) for one in known]
            translation = learn_translation(texts, requests[:_TRANSLATED], numbers[:_TRANSLATED])
    kernel = train_descriptions(known, ~used, translation)
    own = embedding.only(np.flatnonzero(~used)) if embedding is not None else None
    return ColdStart(kernel, own, DESCRIBED if own is None else EMBEDDED)


class ColdRequests(NamedTuple):
    """Held-out requests with an acceptable candidate, what is fixed of the candidates' scores being the first of x.

    `of_cold`: how many are of skills without requests. `before`: the weights to begin from; `embedded`: true with an
    encoder.
    """

    held: Sequence[HeldRequest]
    of_cold: int
    before: ColdWeights
    embedded: bool


def cold_request(
    half: Shortlister,
    cold: ColdStart,
    line: SkillUtterance,
    numbers: Numbers,
    signs: Floats,
    scores: Floats,
) -> tuple[HeldRequest, NDArray[np.bool_]]:
    """The candidates of a request, with what is fixed of their scores first; and which have no requests.

    `half` is trained without any request of half of the skills, `cold` its kernels of these; numbers, signs and scores
    are its `candidate_scores`.
    """
    without = half.without_requests(numbers)
    x = np.zeros((len(numbers), 1 + len(COLD)))
    x[:, 0] = np.where(without, half.index.base[numbers], scores)
    evidence = scores - half.index.base[numbers]
    x[without, 1:] = cold_features(cold.see(line.utterance), numbers, without, signs, evidence)
    right = np.array([half.catalogue[number][0] in line.acceptable for number in numbers.tolist()], np.bool_)
    return HeldRequest(x, right, signs), without


def cold_requests(cold: ColdStart, requests: Sequence[tuple[HeldRequest, NDArray[np.bool_]]]) -> ColdRequests:
    """Requests of `cold_request`, as its kernels see them."""
    seen = [one for one, _ in requests if one.acceptable.any()]
    of_cold = sum(bool((one.acceptable & without).any()) for one, without in requests)
    return ColdRequests(seen, of_cold, cold.weights, cold.embedding is not None)


def fit_cold(requests: ColdRequests, alone: float) -> ColdWeights:
    """Weights that fit requests best; `alone` tempers the scores.

    Skills left out were as usual as others; one that no request is known of is rarer. The weights before where too few
    requests are of skills without.
    """
    if requests.of_cold < _ENOUGH:
        return requests.before
    start = np.array([1.0, *requests.before.scores])
    free = np.ones(len(start), np.bool_)
    free[[0, *(() if requests.embedded else (1 + COLD.index("embedded"),))]] = False
    tempered = [one._replace(x=alone * one.x) for one in requests.held]
    bias, *others = conditional_weights(tempered, start, free)[1:].tolist()
    return structs.replace(requests.before, scores=(bias + math.log(_RARER) / max(alone, _TEMPERED), *others))
