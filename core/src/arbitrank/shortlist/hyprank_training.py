"""Training of HypRank: LightGBM under a softmax over each merged list, on lists with a right answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import DataError
from arbitrank.learn.calibration import Affine
from arbitrank.learn.calibration_fitting import fit_affine
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.probability import softmax
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.hyprank_features import FEATURES, SCORE, best_of_skills, features, skill_of
from arbitrank.shortlist.list_boosting import grown
from arbitrank.values import Ranked, Request

__all__ = ["RISING", "ROUNDS", "LabelledList", "train_hyprank"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

ROUNDS = 120
"""Trees that are grown unless another number is given."""

_ACTS = 12  # of the systems' actions, the most frequent
_RARE = 20
_FOLDS = 3
RISING = ("mine", "right", "enabled", "preferred")
"""Features more of which never lowers a score."""


@dataclass(frozen=True)
class LabelledList:
    """A merged list to train on: the request, the domains' readings in order, and the right skills.

    `shortlist` maps the listed skills to scores; lists of one `group` (a dialogue) are in the same fold.
    """

    request: Request
    ranked: Sequence[Ranked]
    right: frozenset[str]
    shortlist: Mapping[str, float]
    group: int = 0


def train_hyprank(lists: Sequence[LabelledList], *, seed: int = 0, rounds: int = ROUNDS) -> HypRank:
    """A HypRank fitted to the lists; those without a right answer are dropped from the trees' data, and counted.

    The calibrator is fitted to all lists, dropped ones included, by trees not trained on the list's group. Raises
    `DataError` where no list has a right answer beside a wrong one.
    """
    acts = _frequent(act for merged in lists for act in _acts(merged.request))
    settings = _frequent(
        name
        for merged in lists
        for name, value in (merged.request.account or {}).items()
        if isinstance(value, int | float)
    )
    blocks, right = [], []
    for merged in lists:
        chosen = [merged.ranked[index] for index in best_of_skills(merged.ranked)]
        blocks.append(features(merged.request, chosen, merged.shortlist, acts, settings))
        right.append(np.array([float(skill_of(reading) in merged.right) for reading in chosen]))
    useful = np.array([y.sum() > 0.0 for y in right], bool)
    if not any(0.0 < y.sum() < len(y) for y in right):
        raise DataError(f"{len(lists)} merged lists, none with a right answer beside a wrong one: nothing to sort")
    grow = _ListBooster(blocks, right, seed, rounds)
    try:
        calibrator = _calibrator(grow, useful, np.array([merged.group for merged in lists]), seed)
        text = grow(np.flatnonzero(useful)).model_to_string()
    except lightgbm().basic.LightGBMError as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{len(lists)} merged lists, {int(useful.sum())} with a right answer: LightGBM grows no tree on them "
            f"({reason}); collect more of the log"
        ) from None
    return HypRank(acts, settings, calibrator, len(lists), int(useful.sum()), text)


class _ListBooster:
    """Grows trees on some of the lists; the loss is the negative logarithm of a list's softmax."""

    def __init__(self, blocks: Sequence[Floats], right: Sequence[Floats], seed: int, rounds: int) -> None:
        self._blocks, self._right, self._seed, self._rounds = blocks, right, seed, rounds

    def __call__(self, lists: Rows) -> Any:
        x, y, starts = self._stacked(lists)
        target = y / np.repeat(np.add.reduceat(y, starts), np.diff(np.append(starts, len(x))))

        def slopes(z: Floats) -> tuple[Floats, Floats]:
            p = softmax(z, starts)
            return p - target, np.maximum(p * (1.0 - p), 1e-4)

        rising = [i < len(FEATURES) and FEATURES[i] in RISING for i in range(x.shape[1])]
        return grown(x, x[:, SCORE], slopes, rising, rounds=self._rounds, seed=self._seed)

    def held_out(self, booster: Any, lists: Rows) -> tuple[Floats, Floats]:
        """The softmax of each candidate of the lists, and 1 where it is right."""
        x, y, starts = self._stacked(lists)
        z = x[:, SCORE] + booster.predict(x, raw_score=True, num_threads=1)
        return softmax(z, starts), y

    def _stacked(self, lists: Rows) -> tuple[Floats, Floats, Rows]:
        blocks = [self._blocks[i] for i in lists if len(self._blocks[i])]
        y = np.concatenate([self._right[i] for i in lists])
        return np.concatenate(blocks), y, np.cumsum([0, *map(len, blocks[:-1])])


def _calibrator(grow: _ListBooster, useful: NDArray[np.bool_], groups: Rows, seed: int) -> Affine:
    """The calibrator, cross-fitted by groups; the identity where no fold has lists on both sides."""
    members = np.unique(groups)
    fold = np.random.default_rng(seed).permutation(len(members))[np.searchsorted(members, groups)] % _FOLDS
    held_out = []
    for f in range(_FOLDS):
        part, held = np.flatnonzero(useful & (fold != f)), np.flatnonzero(fold == f)
        if len(part) and len(held):
            held_out.append(grow.held_out(grow(part), held))
    return fit_affine(*map(np.concatenate, zip(*held_out, strict=True))) if held_out else Affine()


def _frequent(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name, n in Counter(names).most_common(_ACTS) if n >= _RARE))


def _acts(request: Request) -> set[str]:
    done = request.dialogue.get("acts") if isinstance(request.dialogue, dict) else None
    return {act for act in done if isinstance(act, str)} if isinstance(done, list | tuple) else set()
