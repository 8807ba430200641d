"""HypRank: sorts the skills of a merged list by everything known of the account and the dialogue.

    z = log(score of the merged list) + trees(features)        P(skill is right) = calibrated softmax(z) over the list

Without a tree the order is that of the merged list, so the trees learn corrections of the domains' scores. Trained in
`arbitrank.shortlist.hyprank_training`; an artifact of LightGBM's text format and JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import ArtifactError
from arbitrank.explanation import staged
from arbitrank.learn.calibration import Affine
from arbitrank.learn.lightgbm import Trees, lightgbm
from arbitrank.packages import core_version
from arbitrank.probability import CLIP, clipped, logit, softmax
from arbitrank.store.artifact import Manifest, read_manifest, replacing, seal
from arbitrank.store.kinds import HYPRANK
from arbitrank.store.local_copies import verified_copy
from arbitrank.store.versions import wrong_name
from arbitrank.values import Ranked, Request

if TYPE_CHECKING:
    from arbitrank.store.signing import Keys

__all__ = [
    "FEATURES",
    "MOST",
    "HypRank",
    "best_of_skills",
    "features",
    "load_hyprank",
    "read_hyprank",
    "save_hyprank",
    "skill_of",
]

Floats = NDArray[np.float64]

FEATURES = (
    *("mine", "right", "score", "behind_best", "ahead_of_next", "rank", "share", "candidates"),
    *("shortlist", "enabled", "used", "preferred"),
    *("previous_skill", "previous_domain", "previous_intent", "failed_before", "has_previous", "failed", "turn"),
)
"""The columns of `features` that every HypRank has, in order; those named by its training data follow."""

MOST = 16
"""Skills of a list that are sorted; the rest keep their order behind them."""

_SPEC, _TREES = "hyprank.json", "trees.txt"
_NAN = math.nan
_LEAST = CLIP * CLIP  # lower bound of a score before its logarithm is taken
_SCORE = FEATURES.index("score")


def skill_of(reading: Ranked) -> str:
    """The skill of a reading: the one that it names, else its domain."""
    return reading.skill or reading.domain


def best_of_skills(ranked: Sequence[Ranked], most: int = MOST) -> list[int]:
    """The indices of each skill's best reading in a merged list, best first, at most so many."""
    seen: dict[str, int] = {}
    for index, reading in enumerate(ranked):
        seen.setdefault(skill_of(reading), index)
    return list(seen.values())[:most]


def features(
    request: Request,
    candidates: Sequence[Ranked],
    shortlist: Mapping[str, float],
    acts: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> Floats:
    """The features of each candidate: shape (n, `FEATURES` + acts + settings), NaN where unknown.

    Read from the request are `account` ("enabled" and "used": lists of skills; "used" may be a map to counts; each name
    in `settings`: a number or a Boolean), `dialogue` ("previous_skill", "previous_domain", "previous_intent", "acts":
    the system's last actions, "failed": true where they failed, "turn": a number) and the context: its preferences and,
    where the dialogue lacks them, `previous_domain` and `previous_intent`. Values of other types count as absent.
    """
    account = request.account or {}
    dialogue = request.dialogue if isinstance(request.dialogue, dict) else {}
    context = request.context
    enabled, used = account.get("enabled"), account.get("used")
    enabled = enabled if isinstance(enabled, list | tuple) else None
    skill = dialogue.get("previous_skill")
    domain = dialogue.get("previous_domain", context.get("previous_domain"))
    intent = dialogue.get("previous_intent", context.get("previous_intent"))
    before = skill if skill is not None else domain
    failed = _number(dialogue.get("failed"))
    done = dialogue.get("acts")
    done = done if isinstance(done, list | tuple) else ()
    common = [float(before is not None), failed, _number(dialogue.get("turn"))]
    common += [float(act in done) for act in acts]
    common += [_number(account.get(name)) for name in settings]
    products = [reading.score or 0.0 for reading in candidates]
    scores = [math.log(max(product, _LEAST)) for product in products]
    total = sum(products) or 1.0
    n = len(candidates)
    rows = []
    for rank, (reading, score) in enumerate(zip(candidates, scores, strict=True)):
        name = skill_of(reading)
        same = _same(name, before)
        rows += [
            logit(clipped(reading.domain_probability or 0.0)),
            logit(clipped(reading.probability or 0.0)),
            score,
            scores[0] - score,
            score - scores[rank + 1] if rank + 1 < n else _NAN,
            rank,
            products[rank] / total,
            n,
            logit(clipped(shortlist[name])) if name in shortlist else _NAN,
            _NAN if enabled is None else float(name in enabled),
            _NAN if used is None else _times(name, used),
            _number(context.get("preference." + reading.domain)) if context else _NAN,
            same,
            _same(reading.domain, domain),
            _same(reading.intent, intent),
            same * failed,
            *common,
        ]
    return np.array(rows, np.float64).reshape(n, len(FEATURES) + len(acts) + len(settings))


class HypRank(msgspec.Struct, frozen=True, dict=True):
    """The trees (`text` in LightGBM's format), the names of their further columns, and the calibrator.

    `lists` counts the merged lists of the training data, `kept` those with a right answer.
    """

    acts: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    calibrator: Affine = Affine()
    lists: int = 0
    kept: int = 0
    text: str = ""

    def __repr__(self) -> str:
        return f"HypRank({len(self.names)} features, {self.kept} lists)"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the feature columns."""
        return (*FEATURES, *(f"act.{act}" for act in self.acts), *(f"account.{name}" for name in self.settings))

    @cached_property
    def trees(self) -> Trees:
        """The trees, bound for serving."""
        return Trees(lightgbm().Booster(model_str=self.text))

    def probabilities(self, request: Request, candidates: Sequence[Ranked], shortlist: Mapping[str, float]) -> Floats:
        """P(the candidate's skill is right), shape (n,), of candidates in the order of the merged list."""
        rows = features(request, candidates, shortlist, self.acts, self.settings)
        return np.asarray(self.calibrator(softmax(rows[:, _SCORE] + self.trees(rows))))

    def sort(
        self, request: Request, ranked: tuple[Ranked, ...], shortlist: Mapping[str, float] = {}
    ) -> tuple[Ranked, ...]:
        """The merged list in HypRank's order, with its probabilities; `shortlist` maps the listed skills to scores.

        The readings of a skill keep their order and their shares of its probability. The score of its best reading is
        P(the skill is right), those of the others are in proportion. Skills beyond the first `MOST` keep their order
        behind these.
        """
        chosen = best_of_skills(ranked)
        if not chosen:
            return ranked
        probabilities = self.probabilities(request, [ranked[index] for index in chosen], shortlist).tolist()
        best = {skill_of(ranked[index]): (p, ranked[index]) for index, p in zip(chosen, probabilities, strict=True)}
        least = min(probabilities)
        rescored = []
        for one in ranked:
            mine, right, product = one.domain_probability or 0.0, one.probability or 0.0, one.score or 0.0
            p, first = best.get(skill_of(one), (None, one))
            if p is None:
                p = min(mine, least)
                score = min(product, least * CLIP)
            else:
                score = p * (product / first.score if first.score else 1.0)
            share = min(1.0, right / mine) if mine > 0.0 else 0.0
            why = None if one.why is None else staged(one.why, "hyprank", right, p * share)
            rescored.append(
                Ranked(
                    *(one.domain, one.intent, one.slots, score, p, p * share),
                    *(one.version, one.skill, why, one.details),
                )
            )
        rescored.sort(key=_by_score)  # stable: ties keep the order of the merged list
        return tuple(rescored)


def save_hyprank(model: HypRank, folder: Path) -> Manifest:
    """Write a sealed artifact of the trees and their features into `folder`. Raises as `replacing` does."""
    with replacing(folder) as work:
        (work / _TREES).write_text(model.text, encoding="utf-8")
        spec = msgspec.structs.replace(model, text="")
        (work / _SPEC).write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=1))
        manifest = Manifest(
            domain=HYPRANK,
            package="arbitrank",
            package_version=core_version(),
            features=model.names,
            rows=model.kept,
        )
        return seal(work, manifest)


def load_hyprank(folder: Path, keys: Keys | None = None) -> HypRank:
    """The HypRank in an artifact folder, verified; with `keys`, it has to be signed by one of them.

    Raises `ArtifactError` where it is damaged, not signed by a trusted key, or made for other features.
    """
    remedy = "name the folder that `arbitrank shortlist hyprank` wrote, or train it again"
    copied = verified_copy(folder, keys, remedy=remedy)
    try:
        if problem := wrong_name(copied.manifest, HYPRANK):
            raise ArtifactError(f"{folder}: {problem}; {remedy}")
        return read_hyprank(copied.folder)
    finally:
        copied.remove()


def read_hyprank(folder: Path) -> HypRank:
    """The HypRank in a folder that is verified already: LightGBM crashes on some damaged texts.

    Raises `ArtifactError` where its files cannot be read, or it was made for other features.
    """
    try:
        spec = msgspec.json.decode((folder / _SPEC).read_bytes(), type=HypRank)
        model = msgspec.structs.replace(spec, text=(folder / _TREES).read_text(encoding="utf-8"))
        columns = lightgbm().Booster(model_str=model.text).num_feature()
    except (OSError, ValueError, RecursionError, lightgbm().basic.LightGBMError) as error:
        raise ArtifactError(f"{folder}: not a readable HypRank: {error}; train it again") from error
    if columns != len(model.names) or model.names != read_manifest(folder).features:
        raise ArtifactError(f"{folder}: trees over {columns} features, expected {len(model.names)}; train it again")
    return model


def _by_score(reading: Ranked) -> float:
    return -(reading.score or 0.0)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, bool | int | float) else _NAN


def _same(name: str, other: Any) -> float:
    return float(name == other) if isinstance(other, str) else _NAN


def _times(name: str, used: Any) -> float:
    if isinstance(used, dict):
        return _number(used.get(name, 0))
    return float(name in used) if isinstance(used, list | tuple) else _NAN
