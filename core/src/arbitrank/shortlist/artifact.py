"""Files of a Shortlister, sealed as an artifact of the reserved name `.shortlist`.

shortlist.json        the index's settings and the calibration's weights
skills.json           the skills' names and domains, by number, the own names of those whose name is qualified, and the
                      last change of the store's catalogue log that they have
index.npz             the index's arrays
catalogue.jsonl       the skills with their texts, a line each, which serving does not read
learned/weights.npz   the arrays of the classifier, if there is one
linear/weights.npz    the arrays of the linear kernel, if there is one
cold/                 the kernels of descriptions, if there are any (`arbitrank.shortlist.cold_artifact`)

Arrays are kept uncompressed and without pickled objects.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from arbitrank.errors import ArtifactError, InputError
from arbitrank.shortlist.calibration import FEATURES, SIGNS, CandidateCalibration
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.classifier import STATISTICS, SkillClassifier
from arbitrank.shortlist.cold_artifact import load_cold, save_cold
from arbitrank.shortlist.index import MAX_SKILLS, Index, IndexSettings
from arbitrank.shortlist.linear import LinearKernel
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.store.kinds import SHORTLIST
from arbitrank.values import Name
from arbitrank.wire.catalogue_lines import CatalogueSkill

__all__ = ["CATALOGUE", "NAME", "load_shortlister", "read_skills", "save_catalogue", "save_shortlister"]

NAME = SHORTLIST
_DESCRIPTION, _SKILLS, _INDEX, _CLASSIFIER = "shortlist.json", "skills.json", "index.npz", "learned/weights.npz"
CATALOGUE = "catalogue.jsonl"
"""The file of the skills' texts."""
_INDEX_ARRAYS = ("grams", "starts", "postings", "rarity", "base", "missing")
_CLASSIFIER_ARRAYS = tuple(field.name for field in fields(SkillClassifier))

_LINEAR = "linear/weights.npz"
_LINEAR_ARRAYS = tuple(field.name for field in fields(LinearKernel))
_FORMAT = 2  # since 2 the calibration is of shares of all candidates, before of each candidate alone
_FIRST_FEATURES = 8  # of format 1
_OF_ODDS = 2 * SIGNS[1:]  # the signs that the odds of a share have
_MOST_REQUESTS = 1 << 24  # of a linear kernel, far more than training keeps
_LONGEST = 1_000  # characters of a qualified name: those of the owner may be escaped

Arrays = Mapping[str, Any]
Expected = Mapping[str, tuple[tuple[int, ...], type[np.generic]]]


class _ShortlisterFile(msgspec.Struct, frozen=True):
    settings: IndexSettings
    step: Annotated[float, msgspec.Meta(gt=0)]
    unseen: Annotated[float, msgspec.Meta(ge=0)]
    unused: float
    calibration: CandidateCalibration
    format: Annotated[int, msgspec.Meta(ge=1, le=_FORMAT)] = 1


class _SkillsFile(msgspec.Struct, frozen=True, omit_defaults=True):
    names: list[Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST)]]
    domains: list[Name]
    own: dict[int, Name] = {}
    change: Annotated[int, msgspec.Meta(ge=0)] = 0


def save_shortlister(shortlister: Shortlister, folder: Path) -> None:
    """Write a Shortlister's files. Raises `InputError` where skills were added or removed since its training."""
    catalogue, index = shortlister.catalogue, shortlister.index
    if catalogue.later or catalogue.gone:
        raise InputError("skills were added or removed since this shortlister was trained; train it again to keep them")
    folder.mkdir(parents=True, exist_ok=True)
    description = _ShortlisterFile(
        index.settings, index.step, index.unseen, index.unused, shortlister.calibration, _format(shortlister)
    )
    (folder / _DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(description), indent=1))
    skills = _SkillsFile(list(catalogue.names), list(catalogue.domains), dict(catalogue.own), shortlister.change)
    (folder / _SKILLS).write_bytes(msgspec.json.encode(skills))
    _save(folder / _INDEX, index, _INDEX_ARRAYS)
    if shortlister.classifier is not None:
        _save(folder / _CLASSIFIER, shortlister.classifier, _CLASSIFIER_ARRAYS)
    if shortlister.linear is not None:
        _save(folder / _LINEAR, shortlister.linear, _LINEAR_ARRAYS)
    if shortlister.cold is not None:
        save_cold(shortlister.cold, folder)


def _format(shortlister: Shortlister) -> int:
    return 1 if shortlister.calibration.odds is None else _FORMAT


def save_catalogue(skills: Iterable[CatalogueSkill], folder: Path) -> None:
    """Write the skills with their texts, from which a catalogue can be exported."""
    with (folder / CATALOGUE).open("wb") as file:
        for one in skills:
            file.write(msgspec.json.encode(one) + b"\n")


class ArtifactSkills(NamedTuple):
    """Names, domains and own names of an artifact's skills, as in a catalogue, and the last change of the log."""

    names: Sequence[str]
    domains: Sequence[str]
    own: Mapping[int, str]
    change: int

    def owned(self) -> Iterator[tuple[str, str, str]]:
        """The unique name, the owner and the own name of each skill."""
        for number, (name, domain) in enumerate(zip(self.names, self.domains, strict=True)):
            yield name, domain, self.own.get(number, name)

    def catalogue(self) -> SkillCatalogue:
        """The catalogue of these skills."""
        return SkillCatalogue(self.names, self.domains, own=self.own)


def read_skills(folder: Path) -> ArtifactSkills:
    """The skills of an artifact, without its arrays. Raises `ArtifactError`."""
    try:
        file = msgspec.json.decode((folder / _SKILLS).read_bytes(), type=_SkillsFile)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder}: not a readable shortlister: {error}; train it again") from error
    if problem := next(_skills_problems(file), None):
        raise ArtifactError(f"{folder}: not a usable shortlister: {problem}; train it again")
    # Domains are few; the name of each is kept in memory once.
    names = {name: name for name in file.domains}
    return ArtifactSkills(tuple(file.names), tuple(names[name] for name in file.domains), file.own, file.change)


def load_shortlister(folder: Path, version: str | None = None) -> Shortlister:
    """The Shortlister in a folder. Raises `ArtifactError` where a file is damaged or the files do not fit together."""
    skills = read_skills(folder)
    try:
        description = msgspec.json.decode((folder / _DESCRIPTION).read_bytes(), type=_ShortlisterFile)
        arrays = _load(folder / _INDEX, _INDEX_ARRAYS)
        # Looked for as a folder, so that a lost file is an error.
        learned = (folder / _CLASSIFIER).parent.is_dir()
        weights = _load(folder / _CLASSIFIER, _CLASSIFIER_ARRAYS) if learned else None
        linear = _load(folder / _LINEAR, _LINEAR_ARRAYS) if (folder / _LINEAR).parent.is_dir() else None
    except (OSError, ValueError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{folder}: not a readable shortlister: {error}; train it again") from error
    problems = chain(
        _problems(arrays, len(skills.names), description),
        _classifier_problems(weights) if weights else (),
        _linear_problems(linear, len(skills.names)) if linear else (),
    )
    if problem := next(problems, None):
        raise ArtifactError(f"{folder}: not a usable shortlister: {problem}; train it again")
    scalars = {name: getattr(description, name) for name in ("settings", "step", "unseen", "unused")}
    classifier = SkillClassifier(**weights) if weights else None
    kernel = LinearKernel(**linear) if linear else None
    calibration = description.calibration if description.format > 1 else replace(description.calibration, odds=None)
    index = Index(**scalars, **arrays)
    cold = load_cold(folder, len(skills.names))
    return Shortlister(skills.catalogue(), index, calibration, classifier, version, skills.change, kernel, cold)


def _save(path: Path, of: object, names: Iterable[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **{name: getattr(of, name) for name in names})


def _load(path: Path, names: Iterable[str]) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names}


def _skills_problems(skills: _SkillsFile) -> Iterator[str]:
    n = len(skills.names)
    if n != len(skills.domains) or n > MAX_SKILLS:
        yield "it has too many skills, or not one domain per skill"
    if len(set(skills.names)) != n:
        yield "it names a skill twice"
    if any(not 0 <= number < n for number in skills.own):
        yield "it has a name of a skill that does not exist"


def _problems(arrays: Arrays, n: int, description: _ShortlisterFile) -> Iterator[str]:
    """The defects that a lookup would fail on: a wrong type or shape, an index out of bounds."""
    known = len(arrays["grams"])
    starts, grams, postings = arrays["starts"], arrays["grams"], arrays["postings"]
    expected: Expected = {
        "grams": ((known,), np.uint32),
        "starts": ((known + 1,), np.int32),
        "postings": ((len(postings),), np.uint32),
        "rarity": ((known,), np.uint8),
        "base": ((n,), np.float32),
        "missing": ((n,), np.float32),
    }
    yield from _misfits(arrays, expected)
    defects = {
        "it has no gram": known == 0,
        "its grams are not ascending": bool((grams[1:] <= grams[:-1]).any()),
        "its postings are out of bounds": bool(
            starts[0] != 0 or starts[-1] != len(postings) or (np.diff(starts) < 0).any()
        ),
        "a posting names a skill that does not exist": len(postings) > 0 and int(postings.max() >> 8) >= n,
        "its calibration has other features": len(description.calibration.weights)
        != (len(FEATURES) if description.format > 1 else _FIRST_FEATURES)
        or len(description.calibration.fits or SIGNS) != len(SIGNS)
        or len(description.calibration.signs or _OF_ODDS) != len(_OF_ODDS),
    }
    yield from (defect for defect, present in defects.items() if present)


def _classifier_problems(arrays: Arrays) -> Iterator[str]:
    k, words, hidden, again = len(arrays["skills"]), len(arrays["vocabulary"]), arrays["hidden"], arrays["again"]
    inner = hidden.shape[1] if hidden.size else words
    expected: Expected = {
        "skills": ((k,), np.int64),
        "vocabulary": ((words,), np.uint32),
        "output": ((inner, k), np.float32),
        "bias": ((k,), np.float32),
        "hidden": ((words, inner) if hidden.size else (0, 0), np.float32),
        "hidden_bias": ((inner,) if hidden.size else (0,), np.float32),
        "again": ((STATISTICS, k) if again.size else (0, 0), np.float32),
        "usual": ((STATISTICS,) if again.size else (0,), np.float32),
    }
    yield from _misfits(arrays, expected)
    for name in ("skills", "vocabulary"):
        if (np.diff(arrays[name].astype(np.int64)) <= 0).any():
            yield f"{name} of the classifier are not ascending and unique"


def _linear_problems(arrays: Arrays, n: int) -> Iterator[str]:
    k, grams = len(arrays["skills"]), len(arrays["vocabulary"])
    expected: Expected = {
        "skills": ((k,), np.int64),
        "vocabulary": ((grams,), np.uint32),
        "informative": ((grams,), np.float32),
        "output": ((grams, k), np.int8),
        "scale": ((grams,), np.float32),
        "bias": ((k,), np.float32),
        "first": ((k,), np.int32),
        "starts": ((grams + 1,), np.int32),
        "requests": ((len(arrays["requests"]),), np.int32),
        "shares": ((len(arrays["requests"]),), np.float16),
    }
    yield from _misfits(arrays, expected)
    for name in ("skills", "vocabulary", "first"):
        if (np.diff(arrays[name].astype(np.int64)) <= 0).any():
            yield f"{name} of the linear kernel are not ascending and unique"
    starts, requests = arrays["starts"], arrays["requests"]
    if starts[0] != 0 or starts[-1] != len(requests) or (np.diff(starts) < 0).any():
        yield "the requests of the linear kernel are out of bounds"
    if min(arrays["first"].min(initial=0), requests.min(initial=0)) < 0 or requests.max(initial=0) >= _MOST_REQUESTS:
        yield "the linear kernel has a request that does not exist"
    if k and not 0 <= arrays["skills"][0] <= arrays["skills"][-1] < n:
        yield "the linear kernel has a skill that does not exist"


def _misfits(arrays: Arrays, expected: Expected) -> Iterator[str]:
    for name, (shape, kind) in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != kind:
            yield f"{name} is {array.dtype} {array.shape}, expected {np.dtype(kind)} {shape}"
        elif kind is np.float32 and not np.isfinite(array).all():
            yield f"{name} has values that are not finite"
