"""Training of the recogniser: labels, and hypotheses of recognisers that did not see the utterance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.nlu import training
from arbitrank.nlu.tagger_training import bio_labels
from arbitrank.nlu.text import tokenise
from arbitrank.nlu.training import cross_fit, tagger_help
from arbitrank.values import Example, Request, Slot, Truth


@pytest.mark.parametrize(
    ("utterance", "slots", "labels"),
    [
        ("dim the hall", [], "O O O"),
        ("dim the hall", [("room", 8, 12)], "O O B-room"),
        ("dim the big hall now", [("room", 8, 16)], "O O B-room I-room O"),
        ("dim the big hall now", [("size", 8, 11), ("room", 12, 16)], "O O B-size B-room O"),
        ("dim the big hall now", [("room", 12, 16), ("size", 8, 11)], "O O B-size B-room O"),
        ("hall hall", [("room", 0, 4), ("room", 5, 9)], "B-room B-room"),
        ("dim the hall", [("room", 9, 11)], "O O B-room"),  # its borders are moved out to whole tokens
        ("dim hall", [("room", 2, 6)], "B-room I-room"),
        ("dim the hall", [("room", 4, 12), ("place", 8, 12)], "O B-room I-room"),  # of overlapping slots the first wins
        ("dim the hall", [("place", 8, 12), ("room", 4, 12)], "O B-room I-room"),
        (
            "dim the hall",
            [("room", 4, 7), ("place", 4, 12)],
            "O B-place I-place",
        ),  # of those that begin together, the longer
        ("dim hall", [("room", None, None)], "O O"),
        ("dim hall", [("room", 4, None)], "O O"),
        ("dim hall", [("room", 3, 4)], "O O"),  # a blank is no token
        ("dim hall", [("room", 50, 60)], "O O"),
        ("打开卧室", [("room", 2, 4)], "O O B-room I-room"),
        ("", [("room", 0, 0)], ""),
    ],
)
def test_the_bio_label_of_each_token(
    utterance: str, slots: list[tuple[str, int | None, int | None]], labels: str
) -> None:
    given = [Slot(name, utterance[start:end], start=start, end=end) for name, start, end in slots]
    assert bio_labels(utterance, given) == labels.split()


@given(
    st.text(max_size=20), st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(0, 20)), max_size=4)
)
def test_labels_are_one_a_token_and_legal(utterance: str, slots: list[tuple[str, int, int]]) -> None:
    labels = bio_labels(utterance, [Slot(name, "", start=start, end=end) for name, start, end in slots])
    assert len(labels) == len(tokenise(utterance))
    for before, after in zip(["O", *labels], labels, strict=False):
        assert not after.startswith("I-") or before[1:] == after[1:]


def example(text: str, domain: str | None, **slots: str) -> Example:
    places = tuple(
        Slot(name, value, start=text.index(value), end=text.index(value) + len(value)) for name, value in slots.items()
    )
    return Example(Request(utterance=text), Truth(domain, "Dim" if domain else None, places))


ROOMS = ("hall", "attic", "kitchen", "shed", "garden", "cellar")
OWN = [
    example(f"{do} the {room}", "lights", room=room) for do, room in product(("dim", "Dim!", "light", "show"), ROOMS)
]
NOBODY = [
    example(f"{do} {what}", None) for do, what in product(("buy", "cook", "eat"), ("milk", "eggs", "rice", "beans"))
]
AGAIN = [example("DIM the hall", "lights", room="hall"), example("dim, the hall", "lights", room="hall")]
CORPUS = OWN + NOBODY + AGAIN


def test_cross_fitting_is_the_same_every_time_whatever_the_number_of_jobs() -> None:
    first = cross_fit("lights", CORPUS, folds=3)
    assert cross_fit("lights", CORPUS, folds=3) == first
    assert cross_fit("lights", CORPUS, folds=3, jobs=2) == first
    assert cross_fit("lights", CORPUS, folds=3, seed=1) != first


def test_folds_spread_over_processes_give_the_same_hypotheses() -> None:
    """Each part gets plain values and a file, and returns bytes."""
    aid = tagger_help("lights", CORPUS, values={"room": ("veranda",)})
    parts: list[list[object]] = []

    def spread(function: str, arguments: Sequence[Sequence[Any]]) -> list[bytes]:
        assert function == "arbitrank.nlu.training:fit_fold"
        parts.extend(msgspec.json.decode(msgspec.json.encode(arguments)))
        return [training.fit_fold(*part) for part in parts]

    assert cross_fit("lights", CORPUS, folds=3, aid=aid, spread=spread) == cross_fit("lights", CORPUS, folds=3, aid=aid)
    assert len(parts) == 3


def test_every_example_gets_its_hypotheses_in_its_place() -> None:
    found = cross_fit("lights", CORPUS, folds=4)
    assert len(found) == len(CORPUS)
    for one, n_best in zip(CORPUS, found, strict=True):
        assert n_best
        for slot in n_best[0].slots:
            assert (one.request.utterance or "")[slot.start : slot.end] == slot.value
    mine = [n_best[0].domain_confidence or 0.0 for n_best in found]
    own = [one.truth.domain == "lights" for one in CORPUS]
    assert np.mean([p for p, yes in zip(mine, own, strict=True) if yes]) > 0.7
    assert np.mean([p for p, yes in zip(mine, own, strict=True) if not yes]) < 0.4


def words(text: str) -> str:
    return " ".join(token.text for token in tokenise(text))


@pytest.mark.parametrize("folds", [2, 5, 9])
def test_no_model_recognises_words_that_it_was_trained_on(folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[set[str]] = []
    held: list[str] = []

    class Spy:
        def recognise_many(self, seen: Sequence[Any]) -> list[tuple[()]]:
            texts = [words(one.text) for one in seen]
            assert not trained[-1] & set(texts)
            held.extend(texts)
            return [()] * len(seen)

    def train(domain: str, examples: Sequence[Example], *args: object, **options: object) -> Spy:
        trained.append({words(one.request.utterance or "") for one in examples})
        return Spy()

    monkeypatch.setattr(training, "train_recogniser", train)
    cross_fit("lights", CORPUS, folds=folds)
    assert sorted(held) == sorted(words(one.request.utterance or "") for one in CORPUS)
    assert len(trained) == folds


@pytest.mark.parametrize("corpus", [OWN[:1], OWN[:1] + NOBODY[:1], NOBODY[:2] + OWN[:1], []])
def test_a_fold_whose_rest_has_nothing_of_the_domain_gives_no_hypothesis(corpus: list[Example]) -> None:
    """The one own example is held out of its own fold, and no model can be trained for it."""
    found = cross_fit("lights", corpus, folds=3)
    own = [n_best for one, n_best in zip(corpus, found, strict=True) if one.truth.domain == "lights"]
    assert own == [()] * len(own)


def test_progress_is_reported_fold_by_fold() -> None:
    told: list[tuple[str, int, int]] = []
    cross_fit("lights", CORPUS, folds=3, progress=lambda *steps: told.append(steps))
    assert told == [("cross-fitting", done, 3) for done in (0, 1, 2, 3)]
