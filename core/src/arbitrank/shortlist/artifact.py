"""Files of a Shortlister, sealed as an artifact of the reserved name `shortlist`.

shortlist.json   the index's settings and the calibration's weights
skills.json      the skills' names and domains, by number
index.npz        the index's arrays, uncompressed and without pickled objects
learned/         the weights of the classifier, if there is one
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from arbitrank.errors import ArtifactError, InputError
from arbitrank.shortlist.calibration import FEATURES, CandidateCalibration
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.classifier import SkillClassifier, load_classifier, save_classifier
from arbitrank.shortlist.index import MAX_SKILLS, Index, IndexSettings
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.store.kinds import SHORTLIST
from arbitrank.values import Name

__all__ = ["NAME", "load_shortlister", "save_shortlister"]

NAME = SHORTLIST
_DESCRIPTION, _SKILLS, _INDEX, _CLASSIFIER = "shortlist.json", "skills.json", "index.npz", "learned"
_ARRAYS = {
    "grams": np.uint32,
    "starts": np.int32,
    "postings": np.uint32,
    "rarity": np.uint8,
    "base": np.float32,
    "missing": np.float32,
}


class _ShortlisterFile(msgspec.Struct, frozen=True):
    settings: IndexSettings
    step: Annotated[float, msgspec.Meta(gt=0)]
    unseen: Annotated[float, msgspec.Meta(ge=0)]
    unused: float
    calibration: CandidateCalibration


class _SkillsFile(msgspec.Struct, frozen=True):
    names: list[Name]
    domains: list[Name]


def save_shortlister(shortlister: Shortlister, folder: Path) -> None:
    """Write a Shortlister's files. Raises `InputError` where skills were added or removed since its training."""
    catalogue, index = shortlister.catalogue, shortlister.index
    if catalogue.later or catalogue.gone:
        raise InputError("skills were added or removed since this shortlister was trained; train it again to keep them")
    folder.mkdir(parents=True, exist_ok=True)
    description = _ShortlisterFile(index.settings, index.step, index.unseen, index.unused, shortlister.calibration)
    (folder / _DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(description), indent=1))
    skills = _SkillsFile(list(catalogue.names), list(catalogue.domains))
    (folder / _SKILLS).write_bytes(msgspec.json.encode(skills))
    with (folder / _INDEX).open("wb") as file:
        np.savez(file, **{name: getattr(index, name) for name in _ARRAYS})
    if isinstance(shortlister.classifier, SkillClassifier):
        save_classifier(shortlister.classifier, folder / _CLASSIFIER)


def load_shortlister(folder: Path, version: str | None = None) -> Shortlister:
    """The Shortlister in a folder. Raises `ArtifactError` where a file is damaged or the files do not fit together."""
    try:
        description = msgspec.json.decode((folder / _DESCRIPTION).read_bytes(), type=_ShortlisterFile)
        skills = msgspec.json.decode((folder / _SKILLS).read_bytes(), type=_SkillsFile)
        with np.load(folder / _INDEX, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{folder}: not a readable shortlister: {error}; train it again") from error
    problem = next(_problems(arrays, skills, description), None)
    if problem:
        raise ArtifactError(f"{folder}: not a usable shortlister: {problem}; train it again")
    scalars = {name: getattr(description, name) for name in ("settings", "step", "unseen", "unused")}
    index = Index(**scalars, **arrays)
    # Domains are few; the name of each is kept in memory once.
    names = {name: name for name in skills.domains}
    catalogue = SkillCatalogue(tuple(skills.names), tuple(names[name] for name in skills.domains))
    classifier = load_classifier(folder / _CLASSIFIER) if (folder / _CLASSIFIER).is_dir() else None
    return Shortlister(catalogue, index, description.calibration, classifier, version)


def _problems(arrays: Mapping[str, Any], skills: _SkillsFile, description: _ShortlisterFile) -> Iterator[str]:
    """The defects that a lookup would fail on: a wrong type or shape, an index out of bounds."""
    n, known = len(skills.names), len(arrays["grams"])
    shapes = {
        "grams": (known,),
        "starts": (known + 1,),
        "postings": (len(arrays["postings"]),),
        "rarity": (known,),
        "base": (n,),
        "missing": (n,),
    }
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype != _ARRAYS[name]:
            yield f"{name} is {array.dtype} {array.shape}, expected {np.dtype(_ARRAYS[name])} {shapes[name]}"
    starts, grams, postings = arrays["starts"], arrays["grams"], arrays["postings"]
    defects = {
        "it has no gram": known == 0,
        "its grams are not ascending": bool((grams[1:] <= grams[:-1]).any()),
        "its postings are out of bounds": bool(
            starts[0] != 0 or starts[-1] != len(postings) or (np.diff(starts) < 0).any()
        ),
        "a posting names a skill that does not exist": len(postings) > 0 and int(postings.max() >> 8) >= n,
        "its weights are not finite": not all(np.isfinite(arrays[name]).all() for name in ("base", "missing")),
        "it has too many skills, or not one domain per skill": n != len(skills.domains) or n > MAX_SKILLS,
        "it names a skill twice": len(set(skills.names)) != n,
        "its calibration has other features": len(description.calibration.weights) != len(FEATURES),
    }
    yield from (defect for defect, present in defects.items() if present)
