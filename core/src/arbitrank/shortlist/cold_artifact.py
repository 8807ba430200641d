"""Files of the kernels of descriptions, in a Shortlister's artifact.

cold/cold.json          the weights, and the encoder's name
cold/descriptions.npz   the arrays of the description kernel
cold/vectors.npz        those of the embedding kernel, if there is one
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import structs

from arbitrank.errors import ArtifactError, InputError
from arbitrank.shortlist.cold import COLD, ColdStart, ColdWeights
from arbitrank.shortlist.description_training import FIELDS
from arbitrank.shortlist.descriptions import DescriptionKernel
from arbitrank.shortlist.embedding import PROBES, EmbeddingKernel, encoded
from arbitrank.shortlist.encoders import encoder_for

__all__ = ["load_cold", "save_cold"]

_FOLDER, _DESCRIPTION, _DESCRIPTIONS, _VECTORS = "cold", "cold.json", "descriptions.npz", "vectors.npz"
_ARRAYS = ("grams", "weights", "starts", "postings", "lengths")
_VECTOR_ARRAYS = ("skills", "vectors", "scale", "probes")
_FEWEST = 6  # features of artifacts made before the index's evidence was one
_SAME = 0.98  # cosine of a probe's vectors by one encoder on two machines

Arrays = Mapping[str, Any]


class _ColdFile(msgspec.Struct, frozen=True):
    weights: ColdWeights
    unseen: float
    encoder: str | None = None


def save_cold(cold: ColdStart, folder: Path) -> None:
    """Write the kernels' files into an artifact's folder."""
    inner = folder / _FOLDER
    inner.mkdir()
    kernel, embedding = cold.descriptions, cold.embedding
    about = _ColdFile(cold.weights, kernel.unseen, embedding.encoder.name if embedding else None)
    (inner / _DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=1))
    with (inner / _DESCRIPTIONS).open("wb") as file:
        np.savez(file, **{name: getattr(kernel, name) for name in _ARRAYS})
    if embedding is not None:
        with (inner / _VECTORS).open("wb") as file:
            np.savez(file, **{name: getattr(embedding, name) for name in _VECTOR_ARRAYS})


def load_cold(folder: Path, n: int) -> ColdStart | None:
    """The kernels of an artifact of `n` skills; None where it has none.

    Raises `ArtifactError` where a file is damaged, or the encoder is not here or another one.
    """
    inner = folder / _FOLDER
    if not inner.is_dir():
        return None
    try:
        about = msgspec.json.decode((inner / _DESCRIPTION).read_bytes(), type=_ColdFile)
        arrays = _read(inner / _DESCRIPTIONS, _ARRAYS)
        vectors = _read(inner / _VECTORS, _VECTOR_ARRAYS) if about.encoder is not None else None
    except (OSError, ValueError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{folder}: not a readable shortlister: {error}; train it again") from error
    problems = [*_problems(arrays, n), *(_vector_problems(vectors, n) if vectors else ())]
    if not _FEWEST <= len(about.weights.scores) <= len(COLD):
        problems.append("its weights of descriptions are of other features")
    if problems:
        raise ArtifactError(f"{folder}: not a usable shortlister: {problems[0]}; train it again")
    embedding = _embedding(folder, about.encoder, vectors) if about.encoder and vectors else None
    missing = (0.0,) * (len(COLD) - len(about.weights.scores))
    weights = structs.replace(about.weights, scores=about.weights.scores + missing)
    return ColdStart(DescriptionKernel(**arrays, unseen=about.unseen), embedding, weights)


def _embedding(folder: Path, name: str, vectors: Arrays) -> EmbeddingKernel:
    """The embedding kernel with the encoder of this installation, which must be the one that made its vectors."""
    try:
        encoder = encoder_for(name)
        probes = encoded(encoder, PROBES)
    except InputError as error:
        raise ArtifactError(f"{folder}: {error}") from error
    if probes.shape != vectors["probes"].shape or (probes * vectors["probes"]).sum(axis=1).min() < _SAME:
        raise ArtifactError(
            f"{folder}: the encoder {encoder.name} gives other vectors than {name!r}, with which it was trained; "
            "train it again: arbitrank shortlist train --embed"
        )
    return EmbeddingKernel(encoder, **vectors)


def _read(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names}


def _problems(arrays: Arrays, n: int) -> Iterator[str]:
    grams, starts, postings = arrays["grams"], arrays["starts"], arrays["postings"]
    types = {
        "grams": np.uint32,
        "weights": np.float32,
        "starts": np.int64,
        "postings": np.uint32,
        "lengths": np.float32,
    }
    if any(arrays[name].dtype != kind or arrays[name].ndim != 1 for name, kind in types.items()):
        yield "its arrays of descriptions have other types"
        return
    known = len(grams)
    if len(starts) != known + 1 or len(arrays["weights"]) != known or len(arrays["lengths"]) != len(FIELDS):
        yield "its arrays of descriptions do not fit together"
    elif starts[0] != 0 or starts[-1] != len(postings) or (np.diff(starts) < 0).any():
        yield "its postings of descriptions are out of bounds"
    if (grams[1:] <= grams[:-1]).any():
        yield "its grams of descriptions are not ascending"
    if len(postings) and int(postings.max() >> 8) >= n:
        yield "a description is of a skill that does not exist"
    if not (np.isfinite(arrays["weights"]).all() and (arrays["lengths"] > 0).all()):
        yield "its weights of descriptions are not finite"


def _vector_problems(arrays: Arrays, n: int) -> Iterator[str]:
    skills, vectors, probes = arrays["skills"], arrays["vectors"], arrays["probes"]
    types = {"skills": np.int64, "vectors": np.int8, "scale": np.float32, "probes": np.float32}
    shaped = vectors.ndim == 2 and len(vectors) == len(skills) == len(arrays["scale"])
    if any(arrays[name].dtype != kind for name, kind in types.items()) or not shaped:
        yield "its vectors have another type or shape"
    elif probes.shape != (len(PROBES), vectors.shape[1]):
        yield "the vectors of its probes have another shape"
    elif not (np.isfinite(arrays["scale"]).all() and np.isfinite(probes).all()):
        yield "its vectors are not finite"
    if (np.diff(skills) <= 0).any() or (len(skills) and not 0 <= skills[0] <= skills[-1] < n):
        yield "its vectors are of skills that do not exist"
