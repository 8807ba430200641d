"""The index: it finds skills by their words, with and without training, at a bounded cost."""

from __future__ import annotations

import errno
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import InputError, StoreError
from arbitrank.shortlist import index_training, ngrams
from arbitrank.shortlist.index import Index, IndexSettings
from arbitrank.shortlist.index_training import train_index
from arbitrank.shortlist.ngrams import index_grams, index_grams_in_batches, words

TRAINING = [
    ("play some jazz", 0),
    ("play the next song", 0),
    ("will it rain tomorrow", 1),
    ("weather in paris", 1),
    ("wake me at seven", 2),
    ("set an alarm for seven", 2),
]
texts = st.lists(st.text(max_size=30), max_size=8)


def small(**settings: float) -> Index:
    return train_index(
        [text for text, _ in TRAINING], np.array([skill for _, skill in TRAINING]), 3, IndexSettings(**settings)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(("query", "skill"), [("rain", 1), ("alarm please", 2), ("some jazz now", 0), ("ALARM", 2)])
def test_words_of_the_training_data_find_their_skill(query: str, skill: int) -> None:
    numbers, scores = small().best(query, 3)
    assert numbers[0] == skill
    assert np.isfinite(scores).all()
    assert (np.diff(scores) <= 0).all()


def test_an_inflected_word_is_found_by_its_beginning() -> None:
    assert small().best("raining", 1)[0].tolist() == [1]


@pytest.mark.parametrize("query", ["", " ", "?!…", "xylophone zebra", "\ud800", "\x00"])
def test_an_utterance_without_a_known_word_finds_nothing(query: str) -> None:
    numbers, scores = small().best(query, 3)
    assert len(numbers) == len(scores) == 0


def test_an_empty_index_finds_nothing_and_grows() -> None:
    empty = train_index([], np.zeros(0, np.int64), 0)
    assert len(empty.best("play jazz", 3)[0]) == 0
    assert np.isnan(empty.scores("play jazz", np.array([0]))).all()
    assert empty.with_skills([["play jazz"]]).best("jazz", 3)[0].tolist() == [0]


def test_of_equal_skills_the_lower_number_comes_first() -> None:
    same = train_index(["play it"] * 6, np.arange(6), 6)
    assert same.best("play it", 4)[0].tolist() == [0, 1, 2, 3]


@given(texts, st.data())
def test_scores_agree_with_best_for_every_skill(texts: list[str], data: st.DataObject) -> None:
    """Whatever the words are: none is longer, none raises, and both ways to ask agree."""
    n = 4
    skills = np.array([data.draw(st.integers(0, n - 1)) for _ in texts], np.int64)
    index = train_index(texts, skills, n)
    query = data.draw(st.sampled_from(texts) if texts else st.text(max_size=10))
    numbers, scores = index.best(query, n)
    assert len(set(numbers.tolist())) == len(numbers) <= n
    assert index.scores(query, numbers).tolist() == scores.tolist()
    assert np.isfinite(index.scores(query, np.arange(n))).all()


@given(texts)
def test_grams_of_many_utterances_are_those_of_each(texts: list[str]) -> None:
    first = 0
    for hashes, rows, count in index_grams_in_batches(texts):
        for row, text in enumerate(texts[first : first + count]):
            assert sorted(hashes[rows == row].tolist()) == sorted(index_grams(text).tolist())
        first += count
    assert first == len(texts)


def test_words_of_scripts_without_spaces_are_their_characters() -> None:
    assert words("播放 Jazz, bitte!") == ["播", "放", "jazz", "bitte"]


def test_the_log_likelihood_is_that_of_the_formula() -> None:
    """log P(utterance, skill) up to a constant, by hand; weights are kept in 255 steps."""
    index = train_index(["red", "red", "tan"], np.array([0, 1, 1]), 2, IndexSettings(smoothing=0.1, prior=0.7))
    read, n, a = 3, np.array([1, 2]), 0.1
    in_skill = np.array([1, 1])
    w = np.log1p(in_skill / (a * 2 / read))
    expected = 0.7 * np.log(np.array([2, 3]) / 5) + np.log(a / (n + a)) + w
    np.testing.assert_allclose(index.scores("red", np.arange(2)), expected, atol=index.step)


def test_postings_of_frequent_grams_are_cut_to_the_most_informative() -> None:
    texts = [f"play {name}" for name in ("a", "b", "c", "d", "e")] + ["play a"] * 5
    index = train_index(texts, np.array([0, 1, 2, 3, 4, 0, 0, 0, 0, 0]), 5, IndexSettings(postings=2))
    assert max(np.diff(index.starts)) <= 2
    assert index.best("play e", 1)[0].tolist() == [4]


def test_an_added_skill_is_found_at_once_and_a_removed_one_never() -> None:
    before = small()
    more = before.with_skills([["turn on the lava lamp"], []])
    assert len(more) == 5
    assert more.best("lava lamp", 1)[0].tolist() == [3]
    assert len(before) == 3
    assert len(before.best("lava lamp", 1)[0]) == 0
    less = more.without([3, 1])
    assert 3 not in less.best("lava lamp", 5)[0]
    assert 1 not in less.best("weather in paris and rain", 5)[0]
    assert np.isnan(less.scores("rain", np.array([1, 3, 99]))).all()
    assert more.best("rain", 1)[0].tolist() == [1]


def test_an_added_skill_competes_with_trained_ones() -> None:
    more = small().with_skills([["play some jazz records", "jazz records"]])
    assert more.best("jazz records", 1)[0].tolist() == [3]
    assert more.best("play the next song", 1)[0].tolist() == [0]


def test_a_number_beyond_the_skills_is_refused() -> None:
    with pytest.raises(InputError, match="3 skills, the highest number 3"):
        train_index(["a"], np.array([3]), 3)


def test_training_twice_gives_the_same() -> None:
    one, two = small(), small()
    for name in ("grams", "starts", "postings", "rarity", "base", "missing"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_grams_that_are_sorted_in_files_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more utterances than are read at once; the words known from one batch to the next are bounded too."""
    texts = [f"play thing{number % 40} by someone{number % 7}" for number in range(200)]
    skills = np.arange(200) % 50
    whole = train_index(texts, skills, 50)
    monkeypatch.setattr(ngrams, "_BATCH", 13)
    monkeypatch.setattr(ngrams, "_LENGTH", 200)
    monkeypatch.setattr(ngrams, "_KNOWN", 10)
    parts = train_index(iter(texts), skills, 50)
    for name in ("grams", "starts", "postings", "rarity", "base", "missing", "step"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_a_disk_without_room_for_grams_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ngrams, "_BATCH", 2)
    monkeypatch.setattr(index_training.tempfile, "TemporaryFile", full)
    with pytest.raises(StoreError, match="No space left on device; free space or set TMPDIR"):
        small()


def test_a_request_costs_the_postings_of_its_words_whatever_the_number_of_skills() -> None:
    """Not by the clock: what is read are at most `postings` of each gram."""
    n, settings = 3_000, IndexSettings(postings=16)
    texts = [f"play thing{number} by someone{number % 7}" for number in range(n)]
    index = train_index(texts, np.arange(n), n, settings)
    query = "play thing42 by someone0"
    read = sum(len(one) for one in index._lists(index_grams(query)))
    assert read <= 16 * len(index_grams(query))
    assert index.best(query, 1)[0].tolist() == [42]
