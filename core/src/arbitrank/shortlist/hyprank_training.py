"""Training of HypRank: LightGBM under a softmax over each list, on lists that hold a right answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import DataError
from arbitrank.learn.calibration import Affine
from arbitrank.learn.calibration_fitting import fit_affine
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.probability import softmax
from arbitrank.shortlist.hyprank import FEATURES, HypRank, best_of_skills, features, skill_of
from arbitrank.values import Ranked, Request

__all__ = ["Listed", "train_hyprank"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

_ROUNDS = 120
_ACTS = 12  # of what systems do, the most frequent
_RARE = 20
_FOLDS = 3
_MORE_IS_NEVER_WORSE = ("mine", "right", "enabled", "preferred")


@dataclass(frozen=True)
class Listed:
    """A merged list to learn from: the request, the domains' readings in order, and the skills that were right."""

    request: Request
    ranked: Sequence[Ranked]
    right: frozenset[str]
    shortlist: Mapping[str, float]
    group: int = 0


def train_hyprank(lists: Sequence[Listed], *, seed: int = 0, rounds: int = _ROUNDS) -> HypRank:
    """Trees that sort what the lists hold; lists without a right answer are dropped, and counted.

    The calibrator is fitted to all lists, dropped ones included, by trees that haven't seen the list's group.
    Raises `DataError` where no list holds a right answer beside a wrong one.
    """
    acts = _common(act for one in lists for act in _acts(one.request))
    settings = _common(
        name for one in lists for name, value in (one.request.account or {}).items() if _is_number(value)
    )
    blocks, right = [], []
    for one in lists:
        chosen = [one.ranked[place] for place in best_of_skills(one.ranked)]
        blocks.append(features(one.request, chosen, one.shortlist, acts, settings))
        right.append(np.array([float(skill_of(c) in one.right) for c in chosen]))
    useful = np.array([y.sum() > 0.0 for y in right], bool)
    if not any(0.0 < y.sum() < len(y) for y in right):
        raise DataError(f"{len(lists)} merged lists, none with a right answer beside a wrong one: nothing to sort")
    try:
        return _trained(blocks, right, useful, [one.group for one in lists], acts, settings, seed, rounds)
    except lightgbm().basic.LightGBMError as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{len(lists)} merged lists, {int(useful.sum())} with a right answer: LightGBM grows no tree on them "
            f"({reason}); gather more of the log"
        ) from None


def _trained(
    blocks: Sequence[Floats],
    right: Sequence[Floats],
    useful: NDArray[np.bool_],
    of_groups: Sequence[int],
    acts: tuple[str, ...],
    settings: tuple[str, ...],
    seed: int,
    rounds: int,
) -> HypRank:
    grow = _Grown(blocks, right, seed, rounds)
    groups = np.array(of_groups)
    members = np.unique(groups)
    fold = np.random.default_rng(seed).permutation(len(members))[np.searchsorted(members, groups)] % _FOLDS
    claimed, came_true = [], []
    for f in range(_FOLDS):
        part, held = np.flatnonzero(useful & (fold != f)), np.flatnonzero(fold == f)
        if not len(part) or not len(held):
            continue
        p, y = grow.held(grow(part), held)
        claimed.append(p)
        came_true.append(y)
    calibrator = fit_affine(np.concatenate(claimed), np.concatenate(came_true)) if claimed else Affine()
    text = grow(np.flatnonzero(useful)).model_to_string()
    return HypRank(acts, settings, calibrator, len(blocks), int(useful.sum()), text)


class _Grown:
    """Grows trees on some of the lists; a list's softmax is what its loss is the logarithm of."""

    def __init__(self, blocks: Sequence[Floats], right: Sequence[Floats], seed: int, rounds: int) -> None:
        self._blocks, self._right, self._seed, self._rounds = blocks, right, seed, rounds

    def __call__(self, lists: Rows) -> Any:
        x, y, starts = self._stacked(lists)
        sizes = np.diff(np.append(starts, len(x)))
        target = y / np.repeat(np.add.reduceat(y, starts), sizes)

        def slopes(z: Floats, _: Any) -> tuple[Floats, Floats]:
            p = softmax(z, starts)
            return p - target, np.maximum(p * (1.0 - p), 1e-4)

        names = [f"f{i}" for i in range(x.shape[1])]
        start = np.ascontiguousarray(x[:, FEATURES.index("score")])
        data = lightgbm().Dataset(x, target, init_score=start, feature_name=names)
        monotone = [int(i < len(FEATURES) and FEATURES[i] in _MORE_IS_NEVER_WORSE) for i in range(x.shape[1])]
        parameters = {
            "objective": slopes,
            "learning_rate": 0.1,
            "num_leaves": 15,
            "min_data_in_leaf": 40,
            "lambda_l2": 1.0,
            "monotone_constraints": monotone,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": self._seed,
            "verbosity": -1,
            "boost_from_average": False,
        }
        return lightgbm().train(parameters, data, self._rounds)

    def held(self, booster: Any, lists: Rows) -> tuple[Floats, Floats]:
        """The softmax of each candidate of the lists, and whether it was right."""
        x, y, starts = self._stacked(lists)
        z = x[:, FEATURES.index("score")] + booster.predict(x, raw_score=True, num_threads=1)
        return softmax(z, starts), y

    def _stacked(self, lists: Rows) -> tuple[Floats, Floats, Rows]:
        blocks = [self._blocks[i] for i in lists if len(self._blocks[i])]
        sizes = [len(block) for block in blocks]
        y = np.concatenate([self._right[i] for i in lists])
        return np.concatenate(blocks), y, np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)


def _common(names: Any) -> tuple[str, ...]:
    counts = Counter(names)
    return tuple(sorted(name for name, n in counts.most_common(_ACTS) if n >= _RARE))


def _acts(request: Request) -> set[str]:
    done = request.dialogue.get("acts") if isinstance(request.dialogue, dict) else None
    return {act for act in done if isinstance(act, str)} if isinstance(done, list | tuple) else set()


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)
