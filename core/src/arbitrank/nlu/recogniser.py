"""The reference recogniser: one domain's own reading of an utterance, as an n-best list with confidences.

It is of the kind the article describes: a one-against-all maximum-entropy domain classifier, a multi-class
maximum-entropy intent classifier and a CRF slot tagger, trained apart for each domain. The tagger's readings are
re-weighted for each intent (`arbitrank.nlu.intent_slots`). Recognising needs numpy alone.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import ArtifactError
from arbitrank.nlu.classifier import Classifier
from arbitrank.nlu.encoded import Encoded, encode_cached
from arbitrank.nlu.gazetteer import PER_NAME, Gazetteer
from arbitrank.nlu.intent_slots import IntentSlots
from arbitrank.nlu.tagger import Reading, Tagger, slot_names
from arbitrank.values import Hypothesis

N_BEST = 5
"""The most hypotheses that a recogniser returns."""

CANDIDATES = 8
"""Slot readings that are re-weighted for each intent; more bring no measurable gain."""

FORMAT = 4
_FORMATS = (3, FORMAT)
"""Formats that are read; the third has no `joint`."""

_UNREADABLE = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)
"""Errors that numpy, zipfile and msgspec raise for damaged files."""

_NO_SLOTS = [Reading((), 1.0)]


class _Meta(msgspec.Struct, frozen=True):
    format: int
    domain: str
    intents: tuple[str, ...]
    labels: tuple[str, ...]
    joint: float = 0.0


@dataclass(frozen=True, eq=False)
class Recogniser:
    """The recogniser of one domain; `tagger` and `fit` are None where the domain has no slots."""

    domain: str
    classifier: Classifier = field(repr=False)
    tagger: Tagger | None = field(repr=False)
    fit: IntentSlots | None = field(repr=False)

    def recognise(self, utterance: str, n: int = N_BEST) -> tuple[Hypothesis, ...]:
        """The n best readings, best first by P(intent)·P(slots | intent); none for an utterance without a token."""
        return self._n_best(encode_cached(utterance), n)

    def recognise_many(self, encoded: Sequence[Encoded], n: int = N_BEST) -> list[tuple[Hypothesis, ...]]:
        """The n best readings of each of several utterances, as `recognise` returns them."""
        return [self._n_best(one, n) for one in encoded]

    def _n_best(self, encoded: Encoded, n: int) -> tuple[Hypothesis, ...]:
        if not len(encoded.attributes):
            return ()
        mine, intents = self.classifier.classify(encoded)
        readings = self.tagger.read(encoded, CANDIDATES) if self.tagger else _NO_SLOTS
        given = self.fit.given_intents(readings) if self.fit else np.ones((len(intents), len(readings)))
        products = (intents[:, None] * given).ravel()
        own, found = _rounded(mine), []
        for at in (-products).argsort(kind="stable")[:n].tolist():
            i, j = divmod(at, len(readings))
            intent, slots = _rounded(intents.item(i)), _rounded(given.item(i, j))
            found.append(
                Hypothesis(
                    self.domain,
                    self.classifier.intents[i],
                    domain_confidence=own,
                    intent_confidence=intent,
                    slots=readings[j].slots,
                    slots_confidence=slots,
                )
            )
        return tuple(found)

    def save(self, folder: Path) -> None:
        """Write `recogniser.json`, `classifier.npz` and, where there are slots, `tagger.npz` into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        labels = self.tagger.labels if self.tagger else ()
        meta = _Meta(FORMAT, self.domain, self.classifier.intents, labels, self.classifier.joint)
        (folder / "recogniser.json").write_bytes(msgspec.json.format(msgspec.json.encode(meta), indent=1))
        c = self.classifier
        weights = c.weights[:-1].astype(np.float16)
        own = np.flatnonzero(weights[:, 1:].any(axis=1))  # intents have weights for own n-grams only
        np.savez(
            folder / "classifier.npz",
            buckets=c.buckets,
            rarity=c.rarity[:-1].astype(np.float16),
            domain=weights[:, 0],
            own=own.astype(np.uint32),
            intents=weights[own, 1:],
            bias=c.bias,
        )
        if self.tagger and self.fit:
            t = self.tagger
            attribute, label = np.nonzero(t.emissions)
            np.savez(
                folder / "tagger.npz",
                hashes=t.hashes,
                attribute=attribute.astype(np.uint32),
                label=label.astype(np.uint16),
                weight=t.emissions[attribute, label].astype(np.float16),
                transitions=t.transitions,
                runs=t.gazetteer.runs,
                places=t.gazetteer.places,
                marks=t.marks.astype(np.float16),
                present=self.fit.present,
                absent=self.fit.absent,
            )

    @classmethod
    def load(cls, folder: Path) -> Recogniser:
        """Read what `save` wrote. Raises `ArtifactError` where that is damaged or of another format."""
        try:
            meta = msgspec.json.decode((folder / "recogniser.json").read_bytes(), type=_Meta)
            if meta.format not in _FORMATS:
                known = " and ".join(map(str, _FORMATS))
                raise ArtifactError(f"{folder}: recogniser of format {meta.format}, this arbitrank reads {known}")
            tagger, fit = _load_tagger(folder, meta) if meta.labels else (None, None)
            return cls(meta.domain, _load_classifier(folder, meta), tagger, fit)
        except _UNREADABLE as error:
            raise ArtifactError(f"{folder}: not a recogniser that can be read: {error}") from error


def _load_classifier(folder: Path, meta: _Meta) -> Classifier:
    with np.load(folder / "classifier.npz", allow_pickle=False) as arrays:
        buckets, rarity, bias = arrays["buckets"], arrays["rarity"], arrays["bias"]
        domain, own, intents = arrays["domain"], arrays["own"], arrays["intents"]
    n, columns = len(buckets), 1 + len(meta.intents)
    expected = ((rarity, (n,)), (domain, (n,)), (intents, (len(own), columns - 1)), (bias, (columns,)))
    _check_shapes("classifier.npz", *expected)
    weights = np.zeros((n + 1, columns), np.float32)
    weights[:-1, 0] = domain
    weights[own, 1:] = intents
    rarity = np.append(rarity.astype(np.float32), np.float32(0.0))
    return Classifier(meta.intents, buckets, rarity, weights, bias, meta.joint)


def _load_tagger(folder: Path, meta: _Meta) -> tuple[Tagger, IntentSlots]:
    with np.load(folder / "tagger.npz", allow_pickle=False) as arrays:
        hashes, transitions = arrays["hashes"], arrays["transitions"]
        emissions = np.zeros((len(hashes) + 1, len(meta.labels)), np.float32)
        emissions[arrays["attribute"], arrays["label"]] = arrays["weight"]
        present, absent = arrays["present"], arrays["absent"]
        runs, places, marks = arrays["runs"], arrays["places"], arrays["marks"].astype(np.float32)
    names = slot_names(meta.labels)
    shape, labels = (len(meta.intents), len(names)), len(meta.labels)
    _check_shapes("tagger.npz", (transitions, (labels, labels)), (present, shape), (absent, shape))
    _check_shapes("tagger.npz", (places, runs.shape), (marks, (PER_NAME * len(names), labels)))
    if places.max(initial=0) >= len(names):
        raise ValueError(f"tagger.npz has values of slot {places.max()}, expected one of {len(names)}")
    tagger = Tagger(meta.labels, hashes, emissions, transitions, Gazetteer(names, runs, places), marks)
    return tagger, IntentSlots(names, present, absent)


def _check_shapes(name: str, *pairs: tuple[NDArray[Any], tuple[int, ...]]) -> None:
    for array, expected in pairs:
        if array.shape != expected:
            raise ValueError(f"{name} has an array of shape {array.shape}, expected {expected}")


def _rounded(confidence: float) -> float:
    return round(min(1.0, max(0.0, confidence)), 6)
