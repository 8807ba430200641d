"""A Shortlister as files, in an artifact of the reserved name `shortlist`, and as the store's machinery sees it.

shortlist.json   the index's settings and the calibration's weights
skills.json      the skills' names and domains, by number
index.npz        the index's arrays, uncompressed, in which nothing is pickled
learned/         the second kernel, where there is one
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.errors import ArtifactError, InputError
from arbitrank.registry import SHORTLIST
from arbitrank.shortlist import classifier as learned
from arbitrank.shortlist.calibration import FEATURES, Calibration, personal
from arbitrank.shortlist.catalogue import Catalogue
from arbitrank.shortlist.index import MAX_SKILLS, Index, IndexSettings
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Example, Hypothesis, Name, Request

__all__ = ["NAME", "ShortlistDomain", "ShortlistModel", "load", "save"]

NAME = SHORTLIST
_DESCRIPTION, _SKILLS, _INDEX, _LEARNED = "shortlist.json", "skills.json", "index.npz", "learned"
_ARRAYS = {
    "grams": np.uint32,
    "starts": np.int32,
    "postings": np.uint32,
    "rarity": np.uint8,
    "base": np.float32,
    "missing": np.float32,
}
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class _Description(msgspec.Struct, frozen=True):
    settings: IndexSettings
    step: _Positive
    unseen: Annotated[float, msgspec.Meta(ge=0)]
    unused: float
    calibration: Calibration


class _Skills(msgspec.Struct, frozen=True):
    names: list[Name]
    domains: list[Name]


def save(shortlister: Shortlister, folder: Path) -> None:
    """Write a Shortlister's files into the folder. Raises `InputError` where skills came or went since its training."""
    catalogue, index = shortlister.catalogue, shortlister.index
    if catalogue.later or catalogue.gone:
        raise InputError("skills came or went since this shortlister was trained; train it again to keep them")
    folder.mkdir(parents=True, exist_ok=True)
    description = _Description(index.settings, index.step, index.unseen, index.unused, shortlister.calibration)
    (folder / _DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(description), indent=1))
    skills = _Skills(list(catalogue.names), list(catalogue.domains))
    (folder / _SKILLS).write_bytes(msgspec.json.encode(skills))
    with (folder / _INDEX).open("wb") as file:
        np.savez(file, **{name: getattr(index, name) for name in _ARRAYS})
    if isinstance(shortlister.learned, learned.Learned):
        learned.save(shortlister.learned, folder / _LEARNED)


def load(folder: Path, version: str | None = None) -> Shortlister:
    """Read what `save` wrote. Raises `ArtifactError` where it is damaged or its parts don't fit one another."""
    try:
        description = msgspec.json.decode((folder / _DESCRIPTION).read_bytes(), type=_Description)
        skills = msgspec.json.decode((folder / _SKILLS).read_bytes(), type=_Skills)
        with np.load(folder / _INDEX, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{folder}: not a shortlister that can be read: {error}; train it again") from error
    _check(folder, arrays, skills, description)
    own = {name: getattr(description, name) for name in ("settings", "step", "unseen", "unused")}
    index = Index(**own, **arrays)
    # Domains are few; each one's name is kept once.
    names = {name: name for name in skills.domains}
    catalogue = Catalogue(tuple(skills.names), tuple(names[name] for name in skills.domains))
    kernel = learned.load(folder / _LEARNED) if (folder / _LEARNED).is_dir() else None
    return Shortlister(catalogue, index, description.calibration, kernel, version)


class ShortlistModel(Model):
    """A Shortlister as the store's checks see it: a model that reads a request as skills, each with its score."""

    def __init__(self, shortlister: Shortlister) -> None:
        self.shortlister = shortlister

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """The shortlist, as hypotheses of the domain `shortlist` whose intents are skills."""
        found = self.shortlister.shortlist(request.utterance, known=personal(request))
        return [Hypothesis(NAME, one.skill, one.score, skill=one.skill) for one in found]

    def rerank(self, request: Request) -> Scores:
        """The scores again, cut down so far that they sum to no more than 1."""
        right = np.array([one.domain_confidence or 0.0 for one in request.hypotheses or ()])
        right = right / max(1.0, float(right.sum()))
        return Scores(min(1.0, float(right.sum())), right)


class ShortlistDomain(Domain):
    """What the store's verbs need of a domain, for the Shortlister: its name, and how a version is loaded."""

    name = NAME

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        """A Shortlister learns from all domains' skills, not from examples alone: refused."""
        raise InputError("the shortlister is no domain; run: arbitrank shortlist train")

    def load(self, folder: Path) -> ShortlistModel:
        """The Shortlister in an artifact. Raises `ArtifactError` where it can't be read."""
        return ShortlistModel(load(folder))


def _check(folder: Path, arrays: Mapping[str, Any], skills: _Skills, description: _Description) -> None:
    """Raise `ArtifactError` where a lookup could go wrong: an array of another kind or shape, a place out of bounds."""
    n, known = len(skills.names), len(arrays["grams"])
    shapes = {
        "grams": (known,),
        "starts": (known + 1,),
        "postings": (len(arrays["postings"]),),
        "rarity": (known,),
        "base": (n,),
        "missing": (n,),
    }
    problems = [
        f"{name} is {array.dtype} {array.shape}, promised {np.dtype(_ARRAYS[name])} {shapes[name]}"
        for name, array in arrays.items()
        if array.shape != shapes[name] or array.dtype != _ARRAYS[name]
    ]
    if not problems:
        starts, grams, postings = arrays["starts"], arrays["grams"], arrays["postings"]
        told = {
            "no gram is known": known == 0,
            "its grams don't ascend": bool((grams[1:] <= grams[:-1]).any()),
            "its postings are out of bounds": bool(
                starts[0] != 0 or starts[-1] != len(postings) or (np.diff(starts) < 0).any()
            ),
            "a posting is of a skill that isn't there": len(postings) > 0 and int(postings.max() >> 8) >= n,
            "its weights aren't finite": not all(np.isfinite(arrays[name]).all() for name in ("base", "missing")),
            "it has other skills than domains, or too many": n != len(skills.domains) or n > MAX_SKILLS,
            "it names a skill twice": len(set(skills.names)) != n,
            "its calibration has other features": len(description.calibration.weights) != len(FEATURES),
        }
        problems = [what for what, wrong in told.items() if wrong]
    if problems:
        raise ArtifactError(f"{folder}: not a shortlister that can be used: {problems[0]}; train it again")
