"""Embedding kernel: the cosine of a request's vector with those of skills' texts, by an encoder that is handed in.

    cosine(request, skill) = e(request) · e(text of the skill),   e of unit length

Vectors are kept as bytes with a scale for each skill. The artifact holds vectors and never code: the encoder comes from
the package index or from the user (`arbitrank.shortlist.encoders`), and is compared with the one that made the vectors
by the vectors of a few probes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import InputError
from arbitrank.guard import Fault, guarded
from arbitrank.shortlist.description_grams import split_name
from arbitrank.shortlist.index import lookup
from arbitrank.wire.catalogue_lines import CatalogueSkill

__all__ = ["MOST_VECTORS", "PROBES", "EmbeddingKernel", "Encoder", "embed_skills", "encoded", "text_to_embed"]

MOST_VECTORS = 100_000
"""Skills that are searched exactly; of more, only those that another kernel found are scored."""

PROBES = ("play a song by the beatles", "how cold will it be tomorrow", "summarise the attached report", "今天的新闻")
"""Texts whose vectors identify an encoder."""

_BYTE = 127
_TEXT = 250  # characters of a description, and of phrases, that are encoded
_BATCH = 32
_BLOCK = 4_096  # vectors that are made numbers of four bytes at once

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Encoder:
    """A function from texts to vectors, float (n, d), and the name that the artifact states."""

    name: str
    encode: Callable[[Sequence[str]], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class EmbeddingKernel:
    """`vectors`: int8 (m, d), row i in units of `scale[i]`, of the skill with number `skills[i]`, ascending.

    `probes`: the encoder's vectors of `PROBES`, float32 (p, d).
    """

    encoder: Encoder
    skills: NDArray[np.int64]
    vectors: NDArray[np.int8]
    scale: Singles
    probes: Singles

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.skills.nbytes + self.vectors.nbytes + self.scale.nbytes + self.probes.nbytes

    def cosines(self, utterance: str, near: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The skills that are searched, ascending, and the cosine of a request with each.

        All are searched, or of very many the `near` ones.
        """
        vector = encoded(self.encoder, [utterance])[0]
        skills, vectors, scale = self.skills, self.vectors, self.scale
        if len(skills) > MOST_VECTORS:
            at, known = lookup(skills, near)
            rows = at[known]
            skills, vectors, scale = skills[rows], vectors[rows], scale[rows]
        blocks = (vectors[at : at + _BLOCK].astype(np.float32) @ vector for at in range(0, len(vectors), _BLOCK))
        products = np.concatenate([np.zeros(0, np.float32), *blocks])
        return skills, (products * scale).astype(np.float64)

    def only(self, skills: NDArray[np.int64]) -> EmbeddingKernel:
        """A copy with these of its skills, ascending."""
        rows = lookup(self.skills, skills)[0]
        return replace(self, skills=skills, vectors=self.vectors[rows], scale=self.scale[rows])

    def with_skills(self, skills: Sequence[tuple[int, CatalogueSkill]]) -> EmbeddingKernel:
        """A copy with more skills, whose numbers are above all others."""
        more = embed_skills(self.encoder, skills)
        return replace(
            self,
            skills=np.concatenate((self.skills, more.skills)),
            vectors=np.concatenate((self.vectors, more.vectors)),
            scale=np.concatenate((self.scale, more.scale)),
        )


def embed_skills(encoder: Encoder, skills: Sequence[tuple[int, CatalogueSkill]]) -> EmbeddingKernel:
    """The kernel of skills, each with its number, ascending."""
    probes = encoded(encoder, PROBES)
    order = sorted(range(len(skills)), key=lambda at: len(text_to_embed(skills[at][1])))  # batches of like lengths
    vectors = np.zeros((len(skills), probes.shape[1]), np.float32)
    for begin in range(0, len(order), _BATCH):
        batch = order[begin : begin + _BATCH]
        vectors[batch] = encoded(encoder, [text_to_embed(skills[at][1]) for at in batch])
    scale = np.maximum(np.abs(vectors).max(axis=1, initial=0.0), 1e-9).astype(np.float32) / np.float32(_BYTE)
    packed = np.rint(vectors / scale[:, None]).astype(np.int8)
    return EmbeddingKernel(encoder, np.array([number for number, _ in skills], np.int64), packed, scale, probes)


def text_to_embed(one: CatalogueSkill) -> str:
    """The text of a skill that is encoded: its owner, its name, the beginnings of its description and its phrases."""
    owner = f"{split_name(one.domain)}: " if one.domain != one.name else ""
    texts = (one.description[: 4 * _TEXT], " ".join(one.phrases[:3])[: 4 * _TEXT])
    told = [" ".join(text.split())[:_TEXT] for text in texts if text.strip()]
    return f"{owner}{split_name(one.name)}: {' '.join(told)}" if told else f"{owner}{split_name(one.name)}"


def encoded(encoder: Encoder, texts: Sequence[str]) -> Singles:
    """The unit vectors of texts. Raises `InputError` where the encoder returns something else than vectors."""
    found = guarded(lambda: np.asarray(encoder.encode(list(texts)), np.float32))
    if isinstance(found, Fault):
        raise InputError(f"encoder {encoder.name}: raised {found.reason}")
    vectors = found
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise InputError(
            f"encoder {encoder.name}: returned {vectors.dtype} {vectors.shape} for {len(texts)} texts, "
            f"expected finite numbers of shape ({len(texts)}, d)"
        )
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)
