"""HypRank: sorts the skills of a merged list, and the tools of a shortlist, by everything known of the request.

    z = log(score of the merged list) + trees(features)        P(skill is right) = calibrated softmax(z) over the list

Without a tree the order is that of the merged list, so the trees learn corrections of the domains' scores. Trained in
`arbitrank.shortlist.hyprank_training`; an artifact of LightGBM's text format and JSON. That of the tools is in
`arbitrank.shortlist.tool_order`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import ArtifactError
from arbitrank.explanation import staged
from arbitrank.learn.calibration import Affine
from arbitrank.learn.lightgbm import Trees, lightgbm
from arbitrank.packages import core_version
from arbitrank.probability import CLIP, softmax
from arbitrank.shortlist.hyprank_features import FEATURES, SCORE, best_of_skills, features, skill_of
from arbitrank.shortlist.tool_order import TOOL_FEATURES, ToolOrder
from arbitrank.store.artifact import Manifest, read_manifest, replacing, seal
from arbitrank.store.kinds import HYPRANK
from arbitrank.store.local_copies import verified_copy
from arbitrank.store.versions import wrong_name
from arbitrank.values import Candidate, Ranked, Request

if TYPE_CHECKING:
    from arbitrank.store.signing import Keys

__all__ = ["HypRank", "load_hyprank", "read_hyprank", "save_hyprank"]

Floats = NDArray[np.float64]

_SPEC, _TREES, _TOOLS = "hyprank.json", "trees.txt", "tools.json"


class HypRank(msgspec.Struct, frozen=True, dict=True):
    """The trees (`text` in LightGBM's format), the names of their further columns, the calibrator, and `tools`.

    `lists` counts the merged lists of the training data, `kept` those with a right answer. Without trees, merged lists
    stay in their order; without `tools`, shortlists do.
    """

    acts: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    calibrator: Affine = Affine()
    lists: int = 0
    kept: int = 0
    text: str = ""
    tools: ToolOrder | None = None

    def __repr__(self) -> str:
        return f"HypRank({len(self.names)} features, {self.kept} lists{f', {self.tools}' if self.tools else ''})"

    @property
    def sorts_readings(self) -> bool:
        """True where it has trees for merged lists."""
        return bool(self.text)

    def sort_tools(self, request: Request, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """The candidates of a shortlist in its order, with its probabilities."""
        return candidates if self.tools is None else self.tools.sort(request, candidates)

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
        return np.asarray(self.calibrator(softmax(rows[:, SCORE] + self.trees(rows))))

    def sort(
        self, request: Request, ranked: tuple[Ranked, ...], shortlist: Mapping[str, float] = {}
    ) -> tuple[Ranked, ...]:
        """The merged list in HypRank's order, with its probabilities; `shortlist` maps the listed skills to scores.

        The readings of a skill keep their order and their shares of its probability. The score of its best reading is
        P(the skill is right), those of the others are in proportion. Skills beyond the first `MOST` keep their order
        behind these.
        """
        chosen = best_of_skills(ranked) if self.sorts_readings else []
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
        spec = msgspec.to_builtins(msgspec.structs.replace(model, text="", tools=None))
        del spec["tools"]
        (work / _SPEC).write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=1))
        if model.tools is not None:
            (work / _TOOLS).write_bytes(msgspec.json.encode(model.tools))
        manifest = Manifest(
            domain=HYPRANK,
            package="arbitrank",
            package_version=core_version(),
            features=model.names,
            rows=model.kept + (model.tools.kept if model.tools else 0),
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
        tools = None
        if (folder / _TOOLS).is_file():
            tools = msgspec.json.decode((folder / _TOOLS).read_bytes(), type=ToolOrder)
        text = (folder / _TREES).read_text(encoding="utf-8")
        model = msgspec.structs.replace(spec, text=text, tools=tools)
        expected = [(text, model.names)] if text or tools is None else []
        expected += [(tools.text, TOOL_FEATURES)] if tools and tools.text else []
        columns = [(lightgbm().Booster(model_str=one).num_feature(), len(names)) for one, names in expected]
    except (OSError, ValueError, RecursionError, lightgbm().basic.LightGBMError) as error:
        raise ArtifactError(f"{folder}: not a readable HypRank: {error}; train it again") from error
    for found, known in columns:
        if found != known:
            raise ArtifactError(f"{folder}: trees over {found} features, expected {known}; train it again")
    if model.names != read_manifest(folder).features:
        raise ArtifactError(
            f"{folder}: features {', '.join(model.names)}, expected those of its manifest; train it again"
        )
    if tools is not None and (problem := tools.words.problem):
        raise ArtifactError(f"{folder}: {problem}; train it again")
    return model


def _by_score(reading: Ranked) -> float:
    return -(reading.score or 0.0)
