"""HypRank: sorts the skills of a merged list by all that is known of the account and the dialogue.

    z = log(score of the merged list) + trees(features)        P(skill is right) = calibrated softmax(z) over the list

Without a tree the order is that of the merged list, so what little data teach is added to what the domains say.
Trained in `arbitrank.shortlist.hyprank_training`; kept as an artifact of LightGBM's text and JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import ArtifactError
from arbitrank.learn.calibration import Affine
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.trees import Trees
from arbitrank.probability import CLIP, clipped, logit, softmax
from arbitrank.store.artifact import Manifest, replacing, seal, verified
from arbitrank.values import Ranked, Request

if TYPE_CHECKING:
    from arbitrank.store.signing import Keys

__all__ = ["FEATURES", "MOST", "NAME", "HypRank", "best_of_skills", "features", "load", "save", "skill_of"]

Floats = NDArray[np.float64]

FEATURES = (
    *("mine", "right", "score", "behind_best", "ahead_of_next", "rank", "share", "candidates"),
    *("shortlist", "enabled", "used", "preferred"),
    *("previous_skill", "previous_domain", "previous_intent", "failed_before", "has_previous", "failed", "turn"),
)
"""The columns of `features` that every HypRank has, in order; those that its training data named follow."""

MOST = 16
"""Skills of a list that are sorted; those behind stay behind."""

NAME = "hyprank"
"""What the manifest of a HypRank has in the place of a domain."""

_SPEC, _TREES = "hyprank.json", "trees.txt"
_NAN = math.nan
_LEAST = CLIP * CLIP  # a score below that counts as that


def skill_of(one: Ranked) -> str:
    """The skill of a reading: the one that it names, else its domain."""
    return one.skill or one.domain


def best_of_skills(ranked: Sequence[Ranked], most: int = MOST) -> list[int]:
    """The places of each skill's best reading in a merged list, best first, at most so many."""
    seen: dict[str, int] = {}
    for place, one in enumerate(ranked):
        seen.setdefault(skill_of(one), place)
    return list(seen.values())[:most]


def features(
    request: Request,
    candidates: Sequence[Ranked],
    shortlist: Mapping[str, float],
    acts: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> Floats:
    """What is known of each candidate: shape (n, `FEATURES` + acts + settings), NaN where it isn't known.

    Of the request are read `account` ("enabled" and "used": lists of skills; "used" may be a map to how often; each
    name in `settings`: a number or a truth value), `dialogue` ("previous_skill", "previous_domain", "previous_intent",
    "acts": what the system did last, "failed": whether that failed, "turn": a number) and, where the dialogue doesn't
    say them, `previous_domain` and `previous_intent` of the context, and its preferences. Other types count as absent.
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
    whole = [float(before is not None), failed, _number(dialogue.get("turn"))]
    whole += [float(act in done) for act in acts]
    whole += [_number(account.get(name)) for name in settings]
    scores = [math.log(max(one.score, _LEAST)) for one in candidates]
    total = sum([one.score for one in candidates]) or 1.0
    n = len(candidates)
    rows = []
    for rank, (one, score) in enumerate(zip(candidates, scores, strict=True)):
        name = one.skill or one.domain
        same = _same(name, before)
        rows += [
            logit(clipped(one.domain_probability)),
            logit(clipped(one.probability)),
            score,
            scores[0] - score,
            score - scores[rank + 1] if rank + 1 < n else _NAN,
            rank,
            one.score / total,
            n,
            logit(clipped(shortlist[name])) if name in shortlist else _NAN,
            _NAN if enabled is None else float(name in enabled),
            _NAN if used is None else _times(name, used),
            _number(context.get("preference." + one.domain)) if context else _NAN,
            same,
            _same(one.domain, domain),
            _same(one.intent, intent),
            same * failed,
            *whole,
        ]
    return np.array(rows, np.float64).reshape(n, len(FEATURES) + len(acts) + len(settings))


class HypRank(msgspec.Struct, frozen=True, dict=True):
    """The trees, what their columns are, and the map to calibrated probabilities. `text` is LightGBM's model.

    `lists` says how many merged lists there were to train on, `kept` how many of them held a right answer.
    """

    acts: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    calibrator: Affine = Affine()
    lists: int = 0
    kept: int = 0
    text: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of its features."""
        return (*FEATURES, *(f"act.{act}" for act in self.acts), *(f"account.{name}" for name in self.settings))

    @cached_property
    def trees(self) -> Trees:
        """The trees, bound for serving."""
        return Trees(lightgbm().Booster(model_str=self.text))

    def probabilities(self, request: Request, candidates: Sequence[Ranked], shortlist: Mapping[str, float]) -> Floats:
        """P(the skill of this candidate is right), shape (n,), of candidates best first."""
        rows = features(request, candidates, shortlist, self.acts, self.settings)
        z = rows[:, _SCORE] + self.trees(rows)
        return np.asarray(self.calibrator(softmax(z)))

    def sort(
        self, request: Request, ranked: tuple[Ranked, ...], shortlist: Mapping[str, float] = {}
    ) -> tuple[Ranked, ...]:
        """The merged list in HypRank's order, with its probabilities; `shortlist` has the score of each skill in it.

        A skill's readings keep their order and their shares of its probability. The score of its best reading is P(the
        skill is right), those of the others are in proportion. Skills behind the first `MOST` keep what they had, but
        come after these.
        """
        chosen = best_of_skills(ranked)
        if not chosen:
            return ranked
        found = self.probabilities(request, [ranked[place] for place in chosen], shortlist).tolist()
        best = {skill_of(ranked[place]): (p, ranked[place]) for place, p in zip(chosen, found, strict=True)}
        least = min(found)
        fresh = []
        for one in ranked:
            p, first = best.get(skill_of(one), (None, one))
            if p is None:
                p = min(one.domain_probability, least)
                score = min(one.score, least * CLIP)
            else:
                score = p * (one.score / first.score if first.score > 0.0 else 1.0)
            share = min(1.0, one.probability / one.domain_probability) if one.domain_probability > 0.0 else 0.0
            why = one.why
            if why is not None:
                why = {**why, "hyprank": math.log(max(score, _LEAST)) - math.log(max(one.score, _LEAST))}
            right = p * share
            fresh.append(Ranked(one.domain, one.intent, one.slots, score, p, right, one.version, one.skill, why))
        fresh.sort(key=_by_score)  # stable: equal ones stay in the order of the merged list
        return tuple(fresh)


def save(model: HypRank, folder: Path) -> Manifest:
    """Write a sealed artifact into `folder`: the model's trees and what they read. Raises as `replacing` does."""
    with replacing(folder) as work:
        (work / _TREES).write_text(model.text, encoding="utf-8")
        spec = msgspec.structs.replace(model, text="")
        (work / _SPEC).write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=1))
        made = Manifest(
            domain=NAME,
            package="arbitrank",
            package_version=version("arbitrank"),
            features=model.names,
            rows=model.kept,
        )
        return seal(work, made)


def load(folder: Path, keys: Keys | None = None) -> HypRank:
    """Read what `save` wrote; with `keys`, signed by one of them.

    Raises `ArtifactError` where it is damaged, nobody's that is trusted, or its features are not this core's.
    """
    remedy = f"name the folder that `arbitrank shortlist {NAME}` wrote, or train it again"
    # LightGBM ends the process over some damaged texts, so it is given none that isn't as it was written.
    made = verified(folder, keys, remedy=remedy)
    if made.domain != NAME:
        raise ArtifactError(f"{folder}: an artifact of {made.domain!r}, promised a HypRank; {remedy}")
    try:
        spec = msgspec.json.decode((folder / _SPEC).read_bytes(), type=HypRank)
        model = msgspec.structs.replace(spec, text=(folder / _TREES).read_text(encoding="utf-8"))
        seen = lightgbm().Booster(model_str=model.text).num_feature()
    except (OSError, ValueError, RecursionError, lightgbm().basic.LightGBMError) as error:
        raise ArtifactError(f"{folder}: not a HypRank that can be read: {error}; train it again") from error
    if seen != len(model.names) or model.names != made.features:
        raise ArtifactError(f"{folder}: trees over {seen} features, promised {len(model.names)}; train it again")
    return model


_SCORE = FEATURES.index("score")


def _by_score(one: Ranked) -> float:
    return -one.score


def _number(value: Any) -> float:
    return float(value) if isinstance(value, bool | int | float) else _NAN


def _same(name: str, other: Any) -> float:
    return float(name == other) if isinstance(other, str) else _NAN


def _times(name: str, used: Any) -> float:
    if isinstance(used, dict):
        return _number(used.get(name, 0))
    return float(name in used) if isinstance(used, list | tuple) else _NAN
