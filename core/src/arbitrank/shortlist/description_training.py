"""Training of the description kernel: BM25F weights of skills' fields, with related words and what requests teach.

Each field's counts are divided by a norm of its length, weighted and summed. To these come, at lower weights, the words
related to a skill's own (`arbitrank.shortlist.concepts`), words that most skills of its owner have, and words by which
the requests of other skills ask for its own (`arbitrank.shortlist.translation`). The sum saturates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.shortlist.concepts import related_words
from arbitrank.shortlist.description_grams import description_grams, split_name
from arbitrank.shortlist.descriptions import BEGINNING, COMMON, PAIR, STEPS, DescriptionKernel
from arbitrank.shortlist.index import lookup
from arbitrank.shortlist.request_words import request_words
from arbitrank.wire.catalogue_lines import CatalogueSkill

if TYPE_CHECKING:
    from arbitrank.shortlist.translation import Translation

__all__ = ["FIELDS", "MOST_EMBEDDED", "MOST_SKILLS", "later_postings", "texts_of", "train_descriptions"]

MOST_SKILLS = 50_000
"""Skills for which a kernel is trained; more are known to the index alone, whose lookup takes a tenth of the time."""

MOST_EMBEDDED = 200_000
"""Skills for which a kernel is trained beside an encoder, whose own time exceeds that of the kernel."""

FIELDS = ("name", "description", "phrases", "parameters", "owner", "tags")
_BOOST = np.array([2.0, 1.0, 1.0, 0.5, 1.0, 0.5])
_NORM = np.array([0.3, 0.5, 0.3, 0.6, 0.3, 0.3])  # b of BM25F
_SATURATION = 0.8  # k1
_RELATED = 0.4  # counts of a related word
_SHARED, _OF_OWNER = 0.1, 0.3  # counts of a word of the owner's skills, and the share of them that must have it
_TEXT = 4_000  # characters of a field that are read
_MOST = 4_096  # postings of a gram
_BITS = 24

Grams = NDArray[np.uint32]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Tokens(NamedTuple):
    """The grams of skills' fields: the hash of each, the place of its skill, its field, and its kind.

    Kinds are those of `DescriptionGrams`, in their order.
    """

    grams: Grams
    rows: Numbers
    fields: Numbers
    kinds: Numbers


class Counts(NamedTuple):
    """Weighted counts of grams in skills, ascending by gram and skill."""

    grams: Grams
    rows: Numbers
    counts: Floats


def train_descriptions(
    skills: Sequence[CatalogueSkill], cold: NDArray[np.bool_], translation: Translation | None = None
) -> DescriptionKernel:
    """A kernel over those skills of a catalogue that are `cold`; the words of all say how rare each is."""
    tokens = _tokens(skills)
    lengths = _usual_lengths(tokens, len(skills))
    own = _own(tokens, len(skills), lengths)
    every = _joined([own, _related(own, translation), _of_owners(own, [one.domain for one in skills])])
    vocabulary = np.unique(every.grams)
    weights, unseen = _importance(vocabulary, own, tokens, len(skills), translation)
    of_cold = cold[every.rows]
    every = Counts(every.grams[of_cold], every.rows[of_cold], every.counts[of_cold])
    kept = _most(every, _MOST)
    grams = every.grams[kept]
    w = every.counts[kept] / (_SATURATION + every.counts[kept])
    starts = np.searchsorted(grams, vocabulary)
    return DescriptionKernel(
        vocabulary,
        weights.astype(np.float32),
        np.append(starts, len(grams)).astype(np.int64),
        every.rows[kept].astype(np.uint32) << np.uint32(8) | np.clip(np.round(w * STEPS), 1, STEPS).astype(np.uint32),
        lengths.astype(np.float32),
        unseen,
    )


def later_postings(kernel: DescriptionKernel, skills: Sequence[tuple[int, CatalogueSkill]]) -> dict[int, Grams]:
    """The postings, by gram, of skills that are added to a kernel."""
    tokens = _tokens(one for _, one in skills)
    own = _own(tokens, len(skills), kernel.lengths.astype(np.float64))
    every = _joined([own, _related(own, None)])
    numbers = np.array([number for number, _ in skills], np.int64)
    w = np.clip(np.round(every.counts / (_SATURATION + every.counts) * STEPS), 1, STEPS).astype(np.uint32)
    postings = numbers[every.rows].astype(np.uint32) << np.uint32(8) | w
    grams, first = np.unique(every.grams, return_index=True)
    return dict(zip(grams.tolist(), np.split(postings, first[1:]), strict=True)) if len(grams) else {}


def texts_of(one: CatalogueSkill) -> tuple[str, ...]:
    """The text of each of a skill's fields, in the order of `FIELDS`."""
    parameters = (f"{split_name(each.name)} {each.description}" for each in one.parameters)
    owner = split_name(one.domain) if one.domain != one.name else ""
    return (
        split_name(one.name),
        one.description,
        "\n".join(one.phrases),
        "\n".join(parameters),
        owner,
        " ".join(one.tags),
    )


def _tokens(skills: Iterable[CatalogueSkill]) -> Tokens:
    grams, sizes, labels = [], [], []
    for row, one in enumerate(skills):
        for field, text in enumerate(texts_of(one)):
            if not text.strip():
                continue
            for kind, found in enumerate(description_grams(text[:_TEXT])):
                grams.append(found)
                sizes.append(len(found))
                labels.append((row, field, kind))
    each = np.repeat(np.array(labels, np.int64).reshape(-1, 3), sizes, axis=0)
    return Tokens(np.concatenate([np.zeros(0, np.uint32), *grams]), each[:, 0], each[:, 1], each[:, 2])


def _usual_lengths(tokens: Tokens, n: int) -> Floats:
    """The mean words of each field that skills have."""
    sizes = _sizes(tokens, n)
    return np.array([column[column > 0].mean() if (column > 0).any() else 1.0 for column in sizes.T])


def _sizes(tokens: Tokens, n: int) -> Floats:
    words = tokens.kinds == 0
    at = tokens.rows[words] * len(FIELDS) + tokens.fields[words]
    return np.bincount(at, minlength=n * len(FIELDS)).reshape(n, len(FIELDS)).astype(np.float64)


def _own(tokens: Tokens, n: int, lengths: Floats) -> Counts:
    """Counts in the fields, each weighted by the field and its length."""
    norm = 1.0 - _NORM + _NORM * _sizes(tokens, n) / lengths
    each = (_BOOST / norm)[tokens.rows, tokens.fields]
    return _summed(tokens.grams, tokens.rows, each)


def _related(own: Counts, translation: Translation | None) -> Counts:
    """Counts of words related to a skill's own: of several the highest counts."""
    grams, first = np.unique(own.grams, return_index=True)
    ends = np.append(first[1:], len(own.grams))
    found, rows, counts = [], [], []
    concepts = related_words()
    for at, gram in enumerate(grams.tolist()):
        more = dict.fromkeys(concepts.get(gram, ()), _RELATED)
        if translation is not None:
            more |= {other: max(weight, more.get(other, 0.0)) for other, weight in translation.asked_by(gram).items()}
        here = slice(first[at], ends[at])
        strength = np.minimum(own.counts[here], 1.0)
        for other, weight in more.items():
            found.append(np.full(len(strength), other, np.uint32))
            rows.append(own.rows[here])
            counts.append(weight * strength)
    return _highest(
        np.concatenate([np.zeros(0, np.uint32), *found]),
        np.concatenate([np.zeros(0, np.int64), *rows]),
        np.concatenate([np.zeros(0), *counts]),
    )


def _of_owners(own: Counts, owners: Sequence[str]) -> Counts:
    """Counts of words that many of the owner's skills have, for all of them."""
    names, number = np.unique(np.array(owners, dtype=object).astype(str), return_inverse=True)
    size = np.bincount(number, minlength=len(names))
    key = own.grams.astype(np.int64) << _BITS | number[own.rows]
    pairs, counts = np.unique(key, return_counts=True)
    owner = pairs & (1 << _BITS) - 1
    kept = (counts > 1) & (counts >= _OF_OWNER * size[owner])
    pairs, share, owner = pairs[kept], counts[kept] / size[owner[kept]], owner[kept]
    order = np.argsort(number, kind="stable")
    begin = np.concatenate([[0], np.cumsum(size)])
    members: list[Numbers] = [order[begin[one] : begin[one + 1]] for one in owner.tolist()]
    sizes = [len(one) for one in members]
    return _highest(
        np.repeat((pairs >> _BITS).astype(np.uint32), sizes),
        np.concatenate([np.zeros(0, np.int64), *members]),
        np.repeat(_SHARED * share, sizes),
    )


def _importance(
    vocabulary: Grams, own: Counts, tokens: Tokens, n: int, translation: Translation | None
) -> tuple[Floats, float]:
    """q of each gram of the vocabulary, and that of an unknown word."""
    at = np.searchsorted(vocabulary, own.grams)
    frequency = np.bincount(at, minlength=len(vocabulary))
    rarity = np.log1p((n - np.minimum(frequency, n) + 0.5) / (frequency + 0.5))
    kind = np.zeros(len(vocabulary), np.int64)
    kind[np.searchsorted(vocabulary, tokens.grams)] = tokens.kinds
    q = rarity * np.array([1.0, PAIR, BEGINNING])[kind]
    q[lookup(request_words(), vocabulary)[1]] *= COMMON
    if translation is not None:
        q *= translation.informative(vocabulary)
    return q, float(np.log1p((n + 0.5) / 0.5))


def _joined(parts: Sequence[Counts]) -> Counts:
    return _summed(
        np.concatenate([part.grams for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )


def _summed(grams: Grams, rows: Numbers, counts: Floats) -> Counts:
    key = grams.astype(np.int64) << _BITS | rows
    keys, at = np.unique(key, return_inverse=True)
    return Counts(
        (keys >> _BITS).astype(np.uint32),
        keys & (1 << _BITS) - 1,
        np.bincount(at, counts, len(keys)).astype(np.float64),
    )


def _highest(grams: Grams, rows: Numbers, counts: Floats) -> Counts:
    key = grams.astype(np.int64) << _BITS | rows
    order = np.lexsort((-counts, key))
    key, counts = key[order], counts[order]
    first = np.concatenate([key[:1] >= 0, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.bool_)
    return Counts((key[first] >> _BITS).astype(np.uint32), key[first] & (1 << _BITS) - 1, counts[first])


def _most(every: Counts, most: int) -> NDArray[np.bool_]:
    """The postings to keep: of each gram the highest."""
    order = np.lexsort((-every.counts, every.grams))
    grams = every.grams[order]
    starts = np.searchsorted(grams, grams)
    kept = np.zeros(len(grams), np.bool_)
    kept[order[np.arange(len(grams)) - starts < most]] = True
    return kept
