"""Word clusters: words that texts use alike are together, whatever their labels."""

from __future__ import annotations

from itertools import product

import pytest

from arbitrank.nlu.encoded import Encoded, encode
from arbitrank.nlu.token_features import WORDS, attributes, word_attributes
from arbitrank.nlu.word_clusters import learn_clusters

ROOMS = ("hall", "attic", "kitchen", "shed", "garden", "cellar")
LEVELS = ("ten", "twenty", "fifty", "ninety", "forty", "sixty")


def texts() -> list[Encoded]:
    rooms = [f"{do} the {room} {now}" for do, room, now in product(("dim", "light"), ROOMS, ("now", "please"))]
    levels = [f"set {it} to {level} percent" for it, level in product(("lamp", "bulb", "spot"), LEVELS)]
    return [encode(text) for text in rooms + levels]


def of(word: str) -> tuple[str, ...]:
    return learn_clusters(texts())[word_attributes(word)[0]]


def test_a_word_has_an_attribute_for_each_place_it_can_stand_in() -> None:
    columns = attributes("a b c d e")[:, WORDS]
    token, before, after, before2, after2 = word_attributes("c")
    assert (columns[2, 0], columns[3, 1], columns[1, 2], columns[4, 3], columns[0, 4]) == (
        token,
        before,
        after,
        before2,
        after2,
    )


def test_words_that_are_used_alike_share_a_cluster_and_others_do_not() -> None:
    assert len({of(room) for room in ROOMS}) == 1
    assert len({of(level) for level in LEVELS}) == 1
    assert of("hall") != of("ten")


def test_clusters_name_the_place_that_the_word_stands_in() -> None:
    clusters = learn_clusters(texts())
    names = [clusters[attribute] for attribute in word_attributes("hall")]
    assert len(set(names)) == len(names)
    assert [len(one) for one in names] == [2] * len(names)  # a coarse and a fine one


def test_learning_twice_gives_the_same_clusters() -> None:
    assert learn_clusters(texts(), seed=3) == learn_clusters(texts(), seed=3)


def test_rare_words_have_no_cluster() -> None:
    clusters = learn_clusters([*texts(), encode("once upon a time")])
    assert not any(attribute in clusters for attribute in word_attributes("upon"))


@pytest.mark.parametrize("few", [[], [""], ["", "  "], ["dim the hall"], ["a a a a a"], ["on", "on", "off", "off"]])
def test_texts_with_few_words_have_no_clusters(few: list[str]) -> None:
    assert learn_clusters([encode(text) for text in few]) == {}


@pytest.mark.parametrize("words", [8, 9, 30])
def test_small_vocabularies_are_clustered_too(words: int) -> None:
    same = [encode(" ".join(f"w{i}" for i in range(words)))] * 3
    alone = [encode(f"w{i}") for i in range(words)] * 2  # no neighbour but the utterance's ends
    for few in (same, alone):
        assert len(learn_clusters(few)) == 5 * words
