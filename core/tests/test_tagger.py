"""The slot tagger, held against crfsuite's own and against the enumeration of all label sequences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pycrfsuite
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from arbitrank.nlu.crf import transition_mask
from arbitrank.nlu.encoded import encode
from arbitrank.nlu.gazetteer import PER_NAME, Gazetteer
from arbitrank.nlu.tagger import Reading, Tagger, slot_names
from arbitrank.nlu.text import tokenise
from arbitrank.nlu.token_features import attributes
from arbitrank.values import Slot

LABELS = ("B-level", "B-room", "I-level", "I-room", "O")
Sequences = dict[tuple[str, ...], float]


def random_tagger(labels: tuple[str, ...], utterances: Sequence[str], seed: int, scale: float = 1.0) -> Tagger:
    """A tagger with a random weight for each attribute of the utterances' tokens and each pair of labels."""
    rng = np.random.default_rng(seed)
    hashes = np.unique(np.concatenate([attributes(utterance).reshape(-1) for utterance in utterances]))
    emissions = np.zeros((len(hashes) + 1, len(labels)), np.float32)
    emissions[:-1] = scale * rng.standard_normal((len(hashes), len(labels)))
    transitions = (scale * rng.standard_normal((len(labels), len(labels)))).astype(np.float32)
    return Tagger(labels, hashes, emissions, transitions, *nothing_known(labels))


def nothing_known(labels: tuple[str, ...]) -> tuple[Gazetteer, NDArray[np.float32]]:
    """A gazetteer without a value, and the worth of its marks."""
    names = slot_names(labels)
    empty = Gazetteer(names, np.zeros(0, np.uint32), np.zeros(0, np.uint16))
    return empty, np.zeros((PER_NAME * len(names), len(labels)), np.float32)


def legal(labels: Sequence[str]) -> bool:
    return all(not after.startswith("I-") or before[1:] == after[1:] for before, after in zip(("O", *labels), labels))  # noqa: B905


def enumerated(tagger: Tagger, utterance: str) -> Sequences:
    """The probability of every legal label sequence, by summing over all of them."""
    place = {h: i for i, h in enumerate(tagger.hashes.tolist())}
    tokens = [[place.get(h, -1) for h in row] for row in attributes(utterance).tolist()]
    of_token = [tagger.emissions[row].sum(axis=0, dtype=np.float64) for row in tokens]
    scores = {}
    for path in product(range(len(tagger.labels)), repeat=len(tokens)):
        if legal([tagger.labels[y] for y in path]):
            score = sum(of_token[t][y] for t, y in enumerate(path))
            score += sum(float(tagger.transitions[a, b]) for a, b in pairwise(path))
            scores[tuple(tagger.labels[y] for y in path)] = score
    return normalised(scores)


def normalised(scores: Sequences) -> Sequences:
    top = max(scores.values())
    total = sum(math.exp(score - top) for score in scores.values())
    return {labels: math.exp(score - top) / total for labels, score in scores.items()}


def spans(labels: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """The name, first and last token of each slot."""
    for t, label in enumerate(labels):
        if label.startswith("B-"):
            last = t
            while last + 1 < len(labels) and labels[last + 1] == f"I-{label[2:]}":
                last += 1
            yield label[2:], t, last


def reading(utterance: str, labels: Sequence[str], sequences: Sequences) -> Reading:
    """The reference by enumeration of all label sequences."""
    chances: dict[tuple[str, int, int], float] = defaultdict(float)
    for other, probability in sequences.items():
        for span in spans(other):
            chances[span] += probability
    tokens = tokenise(utterance)
    slots = []
    for name, first, last in spans(labels):
        start, end = tokens[first].start, tokens[last].end
        slots.append(Slot(name, utterance[start:end], chances[name, first, last], start, end))
    return Reading(tuple(slots), sequences[tuple(labels)])


def assert_same(found: Sequence[Reading], promised: Sequence[Reading]) -> None:
    assert len(found) == len(promised)
    for one, other in zip(found, promised, strict=True):
        assert one.probability == pytest.approx(other.probability, rel=1e-4, abs=1e-9)
        places = [(slot.name, slot.value, slot.start, slot.end) for slot in one.slots]
        assert places == [(slot.name, slot.value, slot.start, slot.end) for slot in other.slots]
        confidences = [slot.confidence for slot in one.slots]
        assert confidences == pytest.approx([slot.confidence for slot in other.slots], abs=2e-6)


UTTERANCES = ["dim", "dim hall", "dim the 灯", "set hall lamp 50", "a b c d e"]


@pytest.mark.parametrize("utterance", UTTERANCES)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([0.1, 0.5, 2.0]), k=st.integers(1, 7))
@settings(max_examples=8)
def test_the_k_best_readings_and_their_probabilities_are_those_of_enumeration(
    utterance: str, seed: int, scale: float, k: int
) -> None:
    tagger = random_tagger(LABELS, UTTERANCES, seed, scale)
    sequences = enumerated(tagger, utterance)
    best = sorted(sequences, key=lambda labels: -sequences[labels])[:k]
    assert_same(tagger.read(encode(utterance), k), [reading(utterance, labels, sequences) for labels in best])


def test_all_readings_together_are_certain() -> None:
    tagger = random_tagger(LABELS, UTTERANCES, 5)
    found = tagger.read(encode("dim the hall"), 1000)
    assert len(found) == len(enumerated(tagger, "dim the hall"))
    assert sum(one.probability for one in found) == pytest.approx(1.0)
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)
    assert len({one.slots for one in found}) == len(found)  # each label sequence is another reading


@pytest.mark.parametrize("labels", [("O",), ("B-room", "O"), ("B-room", "I-room"), ("B-room",)])
def test_small_sets_of_labels_work_too(labels: tuple[str, ...]) -> None:
    tagger = random_tagger(labels, UTTERANCES, 1)
    for utterance in UTTERANCES:
        sequences = enumerated(tagger, utterance)
        best = sorted(sequences, key=lambda labels: -sequences[labels])[:5]
        found = tagger.read(encode(utterance), 5)
        assert_same(found, [reading(utterance, labels, sequences) for labels in best])


def test_an_utterance_without_tokens_has_one_reading_without_slots() -> None:
    tagger = random_tagger(LABELS, UTTERANCES, 0)
    for utterance in ("", "   ", "\t"):
        assert tagger.read(encode(utterance), 3) == [Reading((), 1.0)]


def test_tokens_that_were_never_seen_weigh_nothing() -> None:
    tagger = random_tagger(LABELS, ["dim hall"], 2)
    sequences = enumerated(tagger, "ዘመን 灯")
    best = sorted(sequences, key=lambda labels: -sequences[labels])[:3]
    assert_same(tagger.read(encode("ዘመን 灯"), 3), [reading("ዘመን 灯", labels, sequences) for labels in best])


@pytest.mark.parametrize("scale", [0.01, 30.0, 300.0])
@pytest.mark.parametrize("words", [1, 40, 1000])
def test_long_utterances_and_large_weights_overflow_nothing(scale: float, words: int) -> None:
    utterance = " ".join(["a", "b", "c", "unseen"][i % 4] for i in range(words))
    for sign in (1.0, -1.0):
        tagger = random_tagger(LABELS, ["a b c"], 7, sign * scale)
        tagger.transitions[:] = -abs(scale)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            found = tagger.read(encode(utterance), 5)
        assert 1 <= len(found) <= 5
        assert all(0.0 <= one.probability <= 1.0 + 1e-9 for one in found)
        assert all(0.0 <= (slot.confidence or 0.0) <= 1.0 for one in found for slot in one.slots)
        assert all(utterance[slot.start : slot.end] == slot.value for one in found for slot in one.slots)


def test_what_may_follow_what() -> None:
    allowed = {(a, b) for (i, a), (j, b) in product(enumerate(LABELS), repeat=2) if transition_mask(LABELS)[i, j]}
    begins_or_outside = {(a, b) for a in LABELS for b in LABELS if not b.startswith("I-")}
    inside = {(f"{part}-{name}", f"I-{name}") for part in "BI" for name in ("level", "room")}
    assert allowed == begins_or_outside | inside


def crfsuite(folder: Path, data: Sequence[tuple[str, Sequence[str]]]) -> tuple[pycrfsuite.Tagger, Tagger]:
    """A model that crfsuite trained on utterances and their labels, in its own tagger and in ours."""
    trainer = pycrfsuite.Trainer(
        algorithm="lbfgs", params={"c2": 0.1, "max_iterations": 30, "feature.possible_transitions": True}, verbose=False
    )
    for utterance, labels in data:
        trainer.append(named(utterance), list(labels))
    trainer.train(str(folder / "crf"))
    theirs = pycrfsuite.Tagger()
    theirs.open(str(folder / "crf"))
    info = theirs.info()
    labels = tuple(sorted(info.labels))
    hashes = np.array(sorted({int(name) for name, _ in info.state_features}), np.uint32)
    emissions = np.zeros((len(hashes) + 1, len(labels)), np.float32)
    for (name, label), weight in info.state_features.items():
        emissions[np.searchsorted(hashes, int(name)), labels.index(label)] = weight
    transitions = np.zeros((len(labels), len(labels)), np.float32)
    for (before, after), weight in info.transitions.items():
        transitions[labels.index(before), labels.index(after)] = weight
    return theirs, Tagger(labels, hashes, emissions, transitions, *nothing_known(labels))


def named(utterance: str) -> list[list[str]]:
    return [[str(h) for h in row] for row in attributes(utterance).tolist()]


SINGLE = [
    ("dim hall 50", ["O", "B-room", "B-level"]),
    ("hall on", ["B-room", "O"]),
    ("attic to 20", ["B-room", "O", "B-level"]),
    ("on please", ["O", "O"]),
]
QUESTIONS = ["dim attic 20", "hall 50 please", "kitchen to 30 please", "on", "dim dim dim dim"]


def test_where_every_label_may_follow_every_other_the_answers_are_crfsuites(tmp_path: Path) -> None:
    """Slots of one token each: the best path, the chance of each path and of each label are crfsuite's own."""
    theirs, ours = crfsuite(tmp_path, SINGLE)
    for utterance in QUESTIONS:
        theirs.set(named(utterance))
        paths = sorted(product(theirs.labels(), repeat=len(tokenise(utterance))), key=theirs.probability, reverse=True)
        assert list(paths[0]) == theirs.tag()
        sequences = {path: theirs.probability(path) for path in paths}
        found = ours.read(encode(utterance), 6)
        assert_same(found, [reading(utterance, path, sequences) for path in paths[:6]])
        tokens = [token.start for token in tokenise(utterance)]
        theirs.set(named(utterance))  # anew: asking it for a path spoils its marginals
        for slot in found[0].slots:
            marginal = theirs.marginal(f"B-{slot.name}", tokens.index(slot.start))
            assert slot.confidence == pytest.approx(marginal, abs=2e-6)


LONGER = [
    ("dim the big hall to 50 percent", ["O", "O", "B-room", "I-room", "O", "B-level", "I-level"]),
    ("big hall on", ["B-room", "I-room", "O"]),
    ("old attic 20", ["B-room", "I-room", "B-level"]),
    ("on please", ["O", "O"]),
]


def test_where_some_labels_may_not_follow_the_answers_are_crfsuites_among_those_that_may(tmp_path: Path) -> None:
    theirs, ours = crfsuite(tmp_path, LONGER)
    for utterance in ("old hall 20 percent", "dim the attic", "hall 50", "on"):
        theirs.set(named(utterance))
        paths = [path for path in product(theirs.labels(), repeat=len(tokenise(utterance))) if legal(path)]
        weights = {path: theirs.probability(path) for path in paths}
        sequences = {path: weight / sum(weights.values()) for path, weight in weights.items()}
        best = sorted(sequences, key=lambda path: -sequences[path])[:6]
        assert_same(ours.read(encode(utterance), 6), [reading(utterance, path, sequences) for path in best])
