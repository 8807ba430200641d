"""Training of the slot tagger, the mean of two CRFs.

The first learns from the domain's own requests. The second also sees word clusters, and others' requests that have
slots of the same names, where these help. The mean of two CRFs' log-scores is the CRF of their mean weights, and a
cluster's weight is the same for each of its words, so both end in one table of weights, as quick as a single CRF.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycrfsuite
from numpy.typing import NDArray

from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.gazetteer import PER_NAME, Gazetteer, learn_gazetteer
from arbitrank.nlu.tagger import Tagger, slot_names, spans
from arbitrank.nlu.text import crc, tokenise
from arbitrank.nlu.token_features import WORDS
from arbitrank.nlu.word_clusters import Clusters
from arbitrank.values import Slot

MOST_OTHERS = 1_000
"""Requests of others that are learned from at most; as many as the domain's own where it has more."""

_CRF = {"c1": 0.05, "c2": 0.1, "max_iterations": 50, "feature.possible_transitions": True}
_MARK = "known "  # prefix of a gazetteer's mark; clusters have names too, all other attributes are bare numbers
_HELD = 5  # one own request of so many is held out to choose whether to learn from others
_SAMPLE = 1_000  # own requests that this choice is made on at most
_WORST = -20.0  # log-probability below which a reading's loss counts no more

Weights = Mapping[tuple[str, str], float]

Values = Mapping[str, Sequence[str]]
"""Known values of slots, by the slot's name."""


class SlotRequest(NamedTuple):
    """A request to learn slots from."""

    encoded: Encoded
    slots: Sequence[Slot]


class _Crf(NamedTuple):
    """Weights of attributes by name and label, and of transitions by two labels."""

    emissions: Weights
    transitions: Weights


class _Row(NamedTuple):
    """A request as a CRF learns it: the names of each token's attributes, and each token's label."""

    attributes: list[list[str]]
    labels: list[str]


def train_tagger(
    own: Sequence[SlotRequest],
    others: Sequence[SlotRequest] = (),
    clusters: Clusters | None = None,
    values: Values | None = None,
) -> Tagger | None:
    """The tagger of a domain's own requests, helped by others', by clusters and by known values of its slots.

    None where the own requests have no slots.
    """
    labelled = [bio_labels(text.text, slots) for text, slots in own]
    labels = tuple(sorted({label for row in labelled for label in row} | {"O"}))
    if labels == ("O",):
        return None  # no slots, or none with known offsets
    clusters = clusters or {}
    others = _alike(others, slot_names(labels))
    labelled += [_within(labels, bio_labels(text.text, slots)) for text, slots in others]
    texts = [text for text, _ in (*own, *others)]
    gazetteer, known = learn_gazetteer(
        slot_names(labels), [(text.runs, spans(row)) for text, row in zip(texts, labelled, strict=True)]
    )
    rows = [_Row(_names(text, marks), row) for text, marks, row in zip(texts, known, labelled, strict=True)]
    crfs = [_fit(rows[: len(own)])]
    if others or clusters:
        rows = rows[: len(own) + max(MOST_OTHERS, len(own))]
        crfs.append(_fit([_clustered(row, text, clusters) for row, text in zip(rows, texts, strict=False)]))
    emissions = _table(labels, _mean([crf.emissions for crf in crfs]))
    transitions = np.zeros((len(labels), len(labels)), np.float32)
    for (before, after), weight in _mean([crf.transitions for crf in crfs]).items():
        transitions[labels.index(before), labels.index(after)] = weight
    return _tagger(labels, emissions, transitions, gazetteer.with_values(values or {}), clusters)


def others_help(own: Sequence[SlotRequest], others: Sequence[SlotRequest], clusters: Clusters) -> bool:
    """True where a domain's held-out requests are better explained by a tagger that has learned from others too.

    Both taggers learn from the rest of the domain's requests, of which a sample will do.
    """
    sample = sorted(own, key=lambda one: crc(f"sample {one.encoded.text}"))[:_SAMPLE]
    held = [one for one in sample if crc(one.encoded.text) % _HELD == 0]
    rest = [one for one in sample if crc(one.encoded.text) % _HELD]
    names = {slot.name for one in rest for slot in one.slots if slot.start is not None}
    if not held or not _alike(others, names):
        return False
    alone, helped = train_tagger(rest, (), clusters), train_tagger(rest, others, clusters)
    if alone is None or helped is None:
        return False
    return float(_log_probabilities(helped, held).sum()) > float(_log_probabilities(alone, held).sum())


def _log_probabilities(tagger: Tagger, held: Sequence[SlotRequest]) -> NDArray[np.float64]:
    """The log-probabilities of requests' slots, none below `_WORST`."""
    found = [tagger.log_probability(text, bio_labels(text.text, slots)) for text, slots in held]
    return np.maximum(found, _WORST)


def _alike(others: Sequence[SlotRequest], names: Collection[str]) -> list[SlotRequest]:
    """The requests that have slots of these names, with these slots alone, in an order of chance."""
    kept = [SlotRequest(text, [slot for slot in slots if slot.name in names]) for text, slots in others]
    return sorted((one for one in kept if one.slots), key=lambda one: crc(one.encoded.text))


def _within(labels: Sequence[str], row: Sequence[str]) -> list[str]:
    """The labels, O for those that the domain lacks: of a name whose values have one token there, the rest is cut."""
    return [label if label in labels else "O" for label in row]


def _names(text: Encoded, marks: Iterable[tuple[int, int]]) -> list[list[str]]:
    """The names of each token's attributes and marks."""
    named = [[str(attribute) for attribute in token] for token in text.attributes.tolist()]
    for token, mark in marks:
        named[token].append(f"{_MARK}{mark}")
    return named


def _clustered(row: _Row, text: Encoded, clusters: Clusters) -> _Row:
    """The row with the clusters of each token and of its neighbours."""
    words = text.attributes[:, WORDS].tolist()
    more = [[name for word in token for name in clusters.get(word, ())] for token in words]
    return _Row([[*names, *added] for names, added in zip(row.attributes, more, strict=True)], row.labels)


def _fit(rows: Sequence[_Row]) -> _Crf:
    """The CRF that crfsuite learns from the rows."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        path = str(Path(folder) / "crf")
        trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=_CRF, verbose=False)
        for attributes, labels in rows:
            if labels:
                trainer.append(attributes, labels)
        trainer.train(path)
        crf = pycrfsuite.Tagger()
        crf.open(path)
        info = crf.info()
        crf.close()
    return _Crf(info.state_features, info.transitions)


def _mean(parts: Sequence[Weights]) -> dict[tuple[str, str], float]:
    total: dict[tuple[str, str], float] = {}
    for part in parts:
        for key, weight in part.items():
            total[key] = total.get(key, 0.0) + weight / len(parts)
    return total


def _table(labels: Sequence[str], weights: Weights) -> dict[str, NDArray[np.float64]]:
    """A row of weights, one a label, for each name."""
    place = {label: y for y, label in enumerate(labels)}
    table: dict[str, NDArray[np.float64]] = {}
    for (name, label), weight in weights.items():
        if name not in table:
            table[name] = np.zeros(len(labels))
        table[name][place[label]] = weight
    return table


def _tagger(
    labels: tuple[str, ...],
    table: Mapping[str, NDArray[np.float64]],
    transitions: NDArray[np.float32],
    gazetteer: Gazetteer,
    clusters: Clusters,
) -> Tagger:
    """The tagger of these weights; a cluster's are added to those of its words."""
    words = {int(name): row for name, row in table.items() if name.isdigit()}
    for attribute, names in clusters.items():
        found = [table[name] for name in names if name in table]
        if found:
            words[attribute] = sum(found, words.get(attribute, np.zeros(len(labels))))
    hashes = np.array(sorted(words), np.uint32)
    emissions = np.zeros((len(hashes) + 1, len(labels)), np.float32)
    for i, attribute in enumerate(hashes.tolist()):
        emissions[i] = words[attribute]
    marks = np.zeros((PER_NAME * len(gazetteer.names), len(labels)), np.float32)
    for name, weights in table.items():
        if name.startswith(_MARK):
            marks[int(name.removeprefix(_MARK))] = weights
    return Tagger(labels, hashes, as_shipped(emissions), transitions, gazetteer, as_shipped(marks))


def as_shipped(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weights rounded as in an artifact, so that the measured model is the served one."""
    return weights.astype(np.float16).astype(np.float32)


def bio_labels(utterance: str, slots: Sequence[Slot]) -> list[str]:
    """The BIO label of each token.

    A slot's borders are moved out to whole tokens; of overlapping slots the first wins.
    """
    tokens = tokenise(utterance)
    labels = ["O"] * len(tokens)
    for slot in sorted(slots, key=lambda slot: (slot.start or 0, -(slot.end or 0))):
        if slot.start is None or slot.end is None:
            continue
        inside = [i for i, token in enumerate(tokens) if token.start < slot.end and token.end > slot.start]
        if inside and all(labels[i] == "O" for i in inside):
            labels[inside[0]] = f"B-{slot.name}"
            for i in inside[1:]:
                labels[i] = f"I-{slot.name}"
    return labels
