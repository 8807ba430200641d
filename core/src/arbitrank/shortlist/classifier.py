"""The discriminative model: hashed n-grams, linear or with one hidden layer, a sigmoid for each skill.

    h = x, or tanh(x E + c)          x has 1/√n at each of the utterance's n known n-grams
    z = h W + b                      log-odds that the skill is acceptable
    z + (s(z) − s̄) U                 where it was trained on what it said before (`arbitrank.shortlist.distil`)

Trained in `arbitrank.shortlist.network`. Weights are kept as NumPy's npz, in which nothing can be pickled.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import ArtifactError
from arbitrank.probability import sigmoid
from arbitrank.shortlist.hashing import grams

__all__ = ["STATISTICS", "WEIGHTS", "Learned", "load", "save", "statistics"]

WEIGHTS = "weights.npz"
STATISTICS = 4

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def statistics(z: NDArray[np.floating]) -> Singles:
    """What is told of a row's outputs: its best and second probability, their sum, its mean entropy; (n, 4).

    `z` are log-odds of shape (n, skills).
    """
    p = sigmoid(z.astype(np.float32))
    best = -np.sort(-np.partition(p, -2, axis=1)[:, -2:], axis=1) if p.shape[1] > 1 else np.repeat(p, 2, axis=1)
    q = np.clip(p, 1e-6, 1.0 - 1e-6)
    entropy = -(q * np.log(q) + (1.0 - q) * np.log(1.0 - q)).sum(axis=1)
    return np.stack([best[:, 0], best[:, 1], p.sum(axis=1), entropy], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Learned:
    """A trained kernel. `skills` are their numbers, rising; column j of `output` and `bias` is of skill `skills[j]`.

    `vocabulary` holds the hashes it knows, sorted; `hidden` (and `hidden_bias`) are empty in a linear model. `again`,
    of shape (4, skills), weighs the statistics of what the model itself says at first less their `usual` values; it is
    empty where it wasn't trained so.
    """

    skills: NDArray[np.int64]
    vocabulary: NDArray[np.uint32]
    output: Singles
    bias: Singles
    hidden: Singles
    hidden_bias: Singles
    again: Singles
    usual: Singles

    def best(self, utterance: str, k: int) -> tuple[NDArray[np.int64], Floats]:
        """The numbers of the best skills and their log-odds, best first; of equal ones the lower number first."""
        z = self._log_odds(utterance, None)
        if z is None or k < 1:
            return np.empty(0, np.int64), np.empty(0)
        if k < len(z):
            least = np.partition(z, -k)[-k]
            among = np.flatnonzero(z >= least)  # more than k where several are equal
        else:
            among = np.arange(len(z))
        order = among[np.argsort(-z[among], kind="stable")[:k]]
        return self.skills[order], z[order]

    def scores(self, utterance: str, skills: NDArray[np.int64]) -> Floats:
        """The log-odds of these skills; NaN for those it never learned of, and for all where it knows no word."""
        found = np.full(len(skills), np.nan)
        if not len(self.skills):
            return found
        at = np.minimum(np.searchsorted(self.skills, skills), len(self.skills) - 1)
        known = self.skills[at] == skills
        z = self._log_odds(utterance, at[known])
        if z is not None:
            found[known] = z
        return found

    def _log_odds(self, utterance: str, columns: NDArray[np.int64] | None) -> Floats | None:
        """The log-odds of those columns, of all with None; None where no n-gram is known."""
        hashes = grams(utterance)
        if not len(hashes) or not len(self.vocabulary) or not len(self.skills):
            return None
        at = np.minimum(np.searchsorted(self.vocabulary, hashes), len(self.vocabulary) - 1)
        rows = at[self.vocabulary[at] == hashes]
        if not len(rows):
            return None
        every = columns is None or self.again.size > 0  # the statistics are of all skills
        z = self._forward(rows, None if every else columns)
        if self.again.size:
            z = z + ((statistics(z[None]) - self.usual) @ self.again)[0]
        z = z if columns is None or not every else z[columns]
        return z.astype(np.float64)

    def _forward(self, rows: NDArray[np.int64], columns: NDArray[np.int64] | None) -> Singles:
        output, bias = (self.output, self.bias) if columns is None else (self.output[:, columns], self.bias[columns])
        scale = np.float32(1.0 / np.sqrt(len(rows)))
        if not self.hidden.size:
            return np.asarray(output[rows].sum(axis=0) * scale + bias)
        inner = np.tanh(self.hidden[rows].sum(axis=0) * scale + self.hidden_bias)
        return np.asarray(inner @ output + bias)


def save(model: Learned, folder: Path) -> None:
    """Write the model's weights into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / WEIGHTS).open("wb") as file:
        np.savez(file, **{field.name: getattr(model, field.name) for field in fields(model)})


def load(folder: Path) -> Learned:
    """Read what `save` wrote. Raises `ArtifactError` where it is damaged or its arrays don't fit one another."""
    path = folder / WEIGHTS
    try:
        with np.load(path, allow_pickle=False) as file:
            model = Learned(**{field.name: file[field.name] for field in fields(Learned)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path}: not a model that can be read: {error}; train it again") from error
    _check(model, path)
    return model


def _check(model: Learned, path: Path) -> None:
    k, words = len(model.skills), len(model.vocabulary)
    inner = model.hidden.shape[1] if model.hidden.size else words
    promised = {
        "skills": ((k,), np.int64),
        "vocabulary": ((words,), np.uint32),
        "output": ((inner, k), np.float32),
        "bias": ((k,), np.float32),
        "hidden": ((words, inner) if model.hidden.size else (0, 0), np.float32),
        "hidden_bias": ((inner,) if model.hidden.size else (0,), np.float32),
        "again": ((STATISTICS, k) if model.again.size else (0, 0), np.float32),
        "usual": ((STATISTICS,) if model.again.size else (0,), np.float32),
    }
    for name, (shape, kind) in promised.items():
        seen = getattr(model, name)
        if seen.shape != shape or seen.dtype != kind:
            raise ArtifactError(f"{path}: {name} is {seen.dtype} {seen.shape}, promised {np.dtype(kind)} {shape}")
        if kind is np.float32 and not np.isfinite(seen).all():
            raise ArtifactError(f"{path}: {name} holds numbers that aren't finite; train it again")
    for name in ("skills", "vocabulary"):
        if (np.diff(getattr(model, name).astype(np.int64)) <= 0).any():
            raise ArtifactError(f"{path}: {name} don't rise, promised each once and in order; train it again")
