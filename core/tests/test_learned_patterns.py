"""Patterns learned from a corpus: values become places, near patterns are joined, what cannot be is listed."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from arbitrank.errors import InputError
from arbitrank.importers.corpora.templates import wordings
from arbitrank.learn.examples import completed
from arbitrank.nlu.patterns import generate
from arbitrank.scaffold.delexicalised import delexicalised, joined, list_values
from arbitrank.scaffold.learned import corpus_lines, learned, title_of
from arbitrank.values import Example, Request, Slot, Truth
from arbitrank.wire.requests import decode_example

NEGATIVES = {"patterns": {"chat": {"count": 30, "patterns": ["hello {=thing}"]}}, "lists": {"thing": ["you", "world"]}}


def own(text: str, intent: str = "Brew", *slots: Slot, **context: str) -> Example:
    return Example(Request(utterance=text, context=context), Truth("tea", intent, slots))


@pytest.mark.parametrize(
    ("text", "slots", "pattern"),
    [
        ("brew green tea now", [Slot("tea", "green tea", start=5, end=14)], "brew {tea} now"),
        ("brew Green Tea", [Slot("tea", "green tea")], "brew {tea}"),
        ("tea for 2", [Slot("n.guests", "2", start=8, end=9)], "tea for {n.guests}"),
        ("  a   tea ", [], "a tea"),
        ("a (hot) tea", [], "a {=character_28}hot{=character_29} tea"),
        ("tea ×3", [], "tea {=character_d7}3"),
        ("a to b", [Slot("x", "b", start=5, end=6), Slot("x", "a", start=0, end=1)], "{x} to {x}"),
    ],
)
def test_the_value_of_a_slot_becomes_a_place(text: str, slots: list[Slot], pattern: str) -> None:
    assert delexicalised(text, slots).pattern == pattern


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("tea tea", [Slot("tea", "tea")]),
        ("tea", [Slot("tea", "oolong")]),
        ("green tea", [Slot("a", "green tea", start=0, end=9), Slot("b", "tea", start=6, end=9)]),
        ("tea \ue000", []),
    ],
)
def test_an_utterance_without_a_pattern_is_refused(text: str, slots: list[Slot]) -> None:
    with pytest.raises(InputError):
        delexicalised(text, slots)


WORDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=4)


@limits(max_examples=20)
@given(st.lists(st.tuples(WORDS, st.booleans()), min_size=1, max_size=5))
@example([("0", False), ("×:", False)])
@example([("play", False), ("×", False), ("milk", True)])
@example([("twice", False), ("x", False), ("3", False)])
def test_the_patterns_of_an_utterance_draw_it(words: list[tuple[str, bool]]) -> None:
    """Whatever characters it has: of a list with one value each, the pattern yields the very utterance and slots."""
    text, slots = "", []
    for i, (word, labelled) in enumerate(words):
        text += " " if text else ""
        if labelled:
            slots.append(Slot(f"s{i}", word, start=len(text), end=len(text) + len(word)))
        text += word
    found = delexicalised(text, slots)
    with TemporaryDirectory() as folder:
        spec = f"[own.X]\ncount = 1\npatterns = [{json.dumps(found.pattern, ensure_ascii=False)}]\n"
        lists = "".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in list_values(found.values).items()
        )
        (Path(folder) / "patterns.toml").write_text(spec, encoding="utf-8")
        (Path(folder) / "lists.toml").write_text(lists, encoding="utf-8")
        (drawn,) = generate(Path(folder), "tea")
    assert drawn.request.utterance == text
    assert list(drawn.truth.slots) == slots


@given(st.dictionaries(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(" ".join), st.integers(1, 9)))
def test_joined_patterns_yield_the_same_texts_and_counts(counts: dict[str, int]) -> None:
    found = joined(counts)
    assert sum(found.values()) == sum(counts.values())
    assert sorted(text for pattern in found for text in wordings(pattern, 100)[0]) == sorted(counts)


def test_patterns_that_differ_in_one_word_are_joined_where_they_are_as_frequent() -> None:
    assert joined({"brew {tea}": 2, "make {tea}": 3, "please make {tea}": 1}) == {
        "(brew|make) {tea}": 5,
        "please make {tea}": 1,
    }
    assert joined({"brew {tea} please": 1, "brew {tea}": 2}) == {"brew {tea} [please]": 3}
    assert joined({"brew {tea}": 1, "make {tea}": 9}) == {"make {tea}": 9, "brew {tea}": 1}


def test_counts_contexts_and_lists_are_kept() -> None:
    examples = [
        own("brew oolong", "Brew", Slot("tea", "oolong"), device="kettle", room="hall"),
        own("brew milk oolong", "Brew", Slot("tea", "milk oolong", resolved="oolong"), device="kettle"),
        own("stop", "Stop"),
        own("stop", "Stop"),
        Example(Request(utterance="fly to oslo"), Truth("trips", "Fly", (Slot("city", "oslo"),))),
        *(Example(Request(utterance=f"who is {n}"), Truth(None), {"kind": "chat"}) for n in range(30)),
    ]
    found = learned(examples, "tea", NEGATIVES)
    assert found.patterns["again"] is True  # the corpus repeats utterances
    assert found.patterns["own"] == {
        "Brew": {"count": 2, "patterns": ["brew {tea} ×2"]},
        "Stop": {"count": 2, "patterns": ["stop ×2"]},
    }
    assert found.patterns["others"] == {"trips": {"count": 1, "patterns": ["fly to {=trips.city}"]}}
    numbers = "|".join(sorted(map(str, range(30))))
    assert found.patterns["none"] == {"chat": {"count": 30, "patterns": [f"who is ({numbers}) ×30"]}}
    assert found.lists == {"tea": ["oolong", {"value": "milk oolong", "resolved": "oolong"}], "trips.city": ["oslo"]}
    assert found.patterns["context"]["own"] == {"device": {"kettle": 2, "": 2}, "room": {"hall": 1, "": 3}}
    assert found.context_keys == ["room"]
    assert (found.intents, found.notes, found.left_out) == (["Brew", "Stop"], [], {})


def test_a_small_intent_draws_more_where_it_can_and_negatives_are_added_where_there_are_none() -> None:
    teas = [own(f"brew {tea}", "Brew", Slot("tea", tea)) for tea in ("oolong", "assam", "sencha")]
    found = learned(
        [*teas, own("pour oolong slowly", "Pour", Slot("tea", "oolong")), own("stop", "Stop")], "tea", NEGATIVES
    )
    assert {name: table["count"] for name, table in found.patterns["own"].items()} == {"Brew": 3, "Pour": 3, "Stop": 1}
    assert found.patterns["none"] == {"chat": {"count": 30, "patterns": ["hello {=negatives.thing}"]}}
    assert found.lists["negatives.thing"] == ["you", "world"]
    assert "that are not the domain's: 0, expected 30" in found.notes[0]


def test_what_cannot_be_taken_over_is_listed() -> None:
    examples = [
        own("brew tea"),
        own("brew it", "Brew", Slot("tea", "oolong")),
        own("x " * 150),
        Example(Request(utterance="a and b"), Truth("tea", "A", also=(Truth("tea", "B"),))),
        Example(Request(utterance="mine"), Truth("tea")),
        Example(Request(utterance="", context={"n": 3}), Truth(None)),
    ]
    found = learned(examples, "tea", NEGATIVES)
    assert {kind: n for kind, (n, _) in found.left_out.items()} == {
        "utterance without a pattern": 1,
        "utterance of more than 200 characters": 1,
        "utterance of several intents": 1,
        "own utterance without an intent": 1,
        "line without an utterance": 1,
        "context key n": 1,
    }


def test_a_pattern_of_several_intents_stays_with_the_one_that_has_it_most_often() -> None:
    teas = [own(f"brew {tea}", "Brew", Slot("tea", tea)) for tea in ("oolong", "assam")]
    found = learned(
        [own("brew sencha", "Make", Slot("tea", "sencha")), own("make it", "Make"), *teas], "tea", NEGATIVES
    )
    assert found.patterns["own"]["Make"]["patterns"] == ["make it"]
    assert found.left_out == {"pattern of several intents": (1, ["'brew {tea}' of Make, kept in Brew"])}


def test_lines_of_a_corpus_are_read_as_the_examples_that_they_were() -> None:
    examples = [
        own(
            "brew milk oolong", "Brew", Slot("tea", "milk oolong", start=5, end=16, resolved="oolong"), device="kettle"
        ),
        Example(Request(utterance="a and b"), Truth("tea", "A", also=(Truth("tea", "B"),))),
        Example(Request(utterance="who"), Truth(None), {"kind": "chat"}),
    ]
    lines = corpus_lines([*examples, own("x " * 150)], "tea")
    assert [decode_example(json.dumps(line)) for line in lines] == examples


def test_of_very_many_others_a_weighted_share_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.scaffold.learned.MOST", 10)
    others = [Example(Request(utterance=f"who is {n}"), Truth(None)) for n in range(30)]
    lines = corpus_lines([own("brew"), *others], "tea")
    assert [line.get("weight") for line in lines] == [None, *[3.0] * 10]


def test_drawn_examples_complete_what_people_said() -> None:
    said = [own("brew"), Example(Request(utterance="who"), Truth(None), {"kind": "chat"})]
    drawn = [own("Brew"), own("brew now"), own("brew it"), own("stop", "Stop"), own("stop it", "Stop")]
    found = completed(said, drawn, "tea", least=2)
    assert [example.request.utterance for example in found] == ["brew", "who", "brew now", "stop", "stop it"]


def test_a_corpus_without_an_own_utterance_is_refused() -> None:
    with pytest.raises(InputError, match="no utterance of tea with an intent in it; left out: own utterance without"):
        learned([Example(Request(utterance="mine"), Truth("tea"))], "tea", NEGATIVES)


@pytest.mark.parametrize(
    ("intent", "title"),
    [
        ("PlayGame", "play game"),
        ("play_game", "play game"),
        ("faq/opening", "faq opening"),
        ("打开", "打开"),
        ("_", "_"),
    ],
)
def test_an_intents_name_becomes_words(intent: str, title: str) -> None:
    assert title_of(intent) == title
