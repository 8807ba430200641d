"""Known slot values, found again in an utterance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arbitrank.nlu.encoded import encode
from arbitrank.nlu.gazetteer import LENGTHS, PER_NAME, Gazetteer, Span, learn_gazetteer
from arbitrank.nlu.text import LONGEST_RUN, runs

NAMES = ("level", "room")


def learned(*utterances: tuple[str, list[Span]]) -> tuple[Gazetteer, list[list[tuple[int, int]]]]:
    return learn_gazetteer(NAMES, [(encode(text).runs, spans) for text, spans in utterances])


def begin(name: str, length: int) -> int:
    return PER_NAME * NAMES.index(name) + min(length, LENGTHS) - 1


def goes_on(name: str, length: int) -> int:
    return begin(name, length) + LENGTHS


def test_a_known_value_marks_its_tokens() -> None:
    gazetteer, _ = learned(("dim the living room", [("room", 2, 3)]), ("full power", [("level", 0, 0)]))
    assert gazetteer.marks(encode("living room lights full").runs) == [
        (0, begin("room", 2)),
        (1, goes_on("room", 2)),
        (3, begin("level", 1)),
    ]


def test_a_value_of_two_names_marks_with_both() -> None:
    gazetteer, _ = learned(("low", [("level", 0, 0)]), ("low", [("room", 0, 0)]))
    assert gazetteer.marks(encode("low").runs) == [(0, begin("level", 1)), (0, begin("room", 1))]


def test_part_of_a_value_is_not_known() -> None:
    gazetteer, _ = learned(("living room", [("room", 0, 1)]))
    assert gazetteer.marks(encode("living").runs) == []
    assert gazetteer.marks(encode("room").runs) == []


def test_in_training_a_value_of_no_other_example_is_new() -> None:
    _, marks = learned(("hall on", [("room", 0, 0)]), ("attic on", [("room", 0, 0)]), ("hall off", [("room", 0, 0)]))
    assert marks == [[(0, begin("room", 1))], [], [(0, begin("room", 1))]]


def test_a_value_longer_than_the_longest_run_is_left_out() -> None:
    text = " ".join("abcdefghijk")
    gazetteer, marks = learned((text, [("room", 0, 10)]), (text, [("room", 0, 10)]))
    assert len(gazetteer.runs) == 0
    assert marks == [[], []]


@given(st.lists(st.sampled_from(["hall", "attic", "on", "a"]), max_size=12), st.integers(0, 11), st.integers(0, 11))
def test_a_run_has_the_hash_of_its_words_wherever_it_stands(words: list[str], first: int, more: int) -> None:
    found = runs(words)
    assert found.shape == (len(words), LONGEST_RUN)
    last = first + more % LONGEST_RUN
    if last < len(words):
        assert found[first, last - first] == runs(words[first : last + 1])[0, last - first]


@given(st.text(max_size=40))
def test_marks_point_at_tokens(text: str) -> None:
    gazetteer, _ = learned(("hall", [("room", 0, 0)]), (text, [("level", 0, 0)] if len(encode(text).runs) else []))
    seen = encode(text)
    assert all(
        0 <= token < len(seen.attributes) and 0 <= mark < PER_NAME * 2 for token, mark in gazetteer.marks(seen.runs)
    )


def test_values_of_a_list_are_known_as_those_that_were_seen() -> None:
    seen, _ = learned(("dim the living room", [("room", 2, 3)]))
    both = seen.with_values({"room": ["Big  Attic", "living room"], "level": ["full"], "song": ["hello"]})
    every, _ = learned(("living room", [("room", 0, 1)]), ("big attic", [("room", 0, 1)]), ("full", [("level", 0, 0)]))
    assert (both.names, both.runs.tolist(), both.places.tolist()) == (
        every.names,
        every.runs.tolist(),
        every.places.tolist(),
    )


def test_values_that_are_no_run_of_tokens_are_left_out() -> None:
    seen, _ = learned(("hall", [("room", 0, 0)]))
    assert seen.with_values({"room": ["", "  ", "a " * (LONGEST_RUN + 1)]}).runs.tolist() == seen.runs.tolist()
    assert len(seen.with_values({"room": ["a " * LONGEST_RUN]}).runs) == 2
