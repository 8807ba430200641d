"""Sentence encoder all-MiniLM-L6-v2, run by NumPy alone from weights that a package of the index brings.

A BERT of 6 layers over WordPieces; the vector of a text is the mean of its tokens' last states, of unit length
(Reimers and Gurevych 2019; weights by the sentence-transformers project, Apache-2.0). Weights are read from a
safetensors file, which holds numbers alone, and only where its SHA-256 is the pinned one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["MiniLm", "read_minilm", "read_tensors", "word_pieces"]

_HEAD = 32  # numbers of an attention head
_TINY = 1e-12
_MOST = 128  # tokens of a text that are read, its two marks included
_LONGEST = 100  # characters of a word; a longer one is unknown
_WORD = re.compile(r"\w+|[^\w\s]")
_ROOT = np.float32(1.0 / np.sqrt(2.0))

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MiniLm:
    """The encoder: `tensors` by name, and the numbers of the word pieces."""

    tensors: Mapping[str, Singles]
    vocabulary: Mapping[str, int]

    def encode(self, texts: Sequence[str]) -> Singles:
        """The unit vectors of texts, float32 (n, 384)."""
        every = [self._numbers(text) for text in texts]
        vectors = np.zeros((len(texts), len(self.tensors["embeddings.LayerNorm.bias"])), np.float32)
        for length in sorted({len(one) for one in every}):
            rows = [row for row, one in enumerate(every) if len(one) == length]
            vectors[rows] = self._states(np.array([every[row] for row in rows])).mean(axis=1)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY), np.float32)

    def _numbers(self, text: str) -> list[int]:
        known = self.vocabulary
        pieces = word_pieces(text, known)[: _MOST - 2]
        return [known["[CLS]"], *(known[piece] for piece in pieces), known["[SEP]"]]

    def _states(self, tokens: NDArray[np.int64]) -> Singles:
        """The last states of texts of one length: (n, length) to (n, length, 384)."""
        of = self.tensors
        length = tokens.shape[1]
        x = of["embeddings.word_embeddings.weight"][tokens]
        x = x + of["embeddings.position_embeddings.weight"][:length] + of["embeddings.token_type_embeddings.weight"][0]
        x = self._normed(x, "embeddings.LayerNorm")
        layer = 0
        while (at := f"encoder.layer.{layer}") + ".output.dense.bias" in of:
            layer += 1
            x = self._normed(x + self._attention(x, f"{at}.attention"), f"{at}.attention.output.LayerNorm")
            inner = _gelu(self._linear(x, f"{at}.intermediate.dense"))
            x = self._normed(x + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
        return x

    def _attention(self, x: Singles, at: str) -> Singles:
        n, length, size = x.shape
        q, k, v = (
            self._linear(x, f"{at}.self.{part}").reshape(n, length, -1, _HEAD).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        weights = q @ k.transpose(0, 1, 3, 2) * np.float32(1.0 / np.sqrt(_HEAD))
        weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return self._linear((weights @ v).transpose(0, 2, 1, 3).reshape(n, length, size), f"{at}.output.dense")

    def _linear(self, x: Singles, at: str) -> Singles:
        return x @ self.tensors[f"{at}.weight"].T + self.tensors[f"{at}.bias"]

    def _normed(self, x: Singles, at: str) -> Singles:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(_TINY))
        return x * self.tensors[f"{at}.weight"] + self.tensors[f"{at}.bias"]


def _gelu(x: Singles) -> Singles:
    """x·Φ(x), by the approximation of erf by Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7."""
    z = np.abs(x) * _ROOT
    t = 1.0 / (1.0 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.copysign(1.0 - series * np.exp(-z * z), x)
    return np.asarray(0.5 * x * (1.0 + erf), np.float32)


def word_pieces(text: str, vocabulary: Mapping[str, int]) -> list[str]:
    """The word pieces of a text: the longest known beginning of each word again and again; [UNK] for a word without."""
    text = unicodedata.normalize("NFD", text.lower())
    text = "".join(
        f" {c} " if "\u4e00" <= c <= "\u9fff" or "\u3400" <= c <= "\u4dbf" else c
        for c in text
        if unicodedata.category(c) != "Mn"
    )
    found: list[str] = []
    for word in _WORD.findall(text.replace("_", " _ ")):
        found += _pieces(word, vocabulary)
    return found


def _pieces(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    pieces, begin = [], 0
    while begin < len(word) <= _LONGEST:
        mark = "##" if begin else ""
        end = next((end for end in range(len(word), begin, -1) if mark + word[begin:end] in vocabulary), None)
        if end is None:
            break
        pieces.append(mark + word[begin:end])
        begin = end
    return pieces if begin == len(word) else ["[UNK]"]


def read_minilm(folder: Path) -> MiniLm:
    """The encoder whose `model.safetensors` and `vocab.txt` are in a folder."""
    lines = (folder / "vocab.txt").read_text("utf-8").splitlines()
    return MiniLm(read_tensors(folder / "model.safetensors"), {piece: number for number, piece in enumerate(lines)})


def read_tensors(path: Path) -> dict[str, Singles]:
    """The float32 tensors of a safetensors file: the length of a JSON header, the header, the numbers."""
    raw = np.memmap(path, np.uint8, "r")
    size = int.from_bytes(raw[:8].tobytes(), "little")
    header = json.loads(raw[8 : 8 + size].tobytes())
    data = raw[8 + size :]
    return {
        name: data[about["data_offsets"][0] : about["data_offsets"][1]].view(np.float32).reshape(about["shape"])
        for name, about in header.items()
        if name != "__metadata__" and about["dtype"] == "F32"
    }
