"""The contender of a question that a user's next words mean, and words that are a new request."""

# ruff: noqa: E501 - a table of what users say reads best with few entries a line

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

import arbitrank as ar
from arbitrank.arbitration.answer_phrases import AnswerPhrases, phrases_of, read_phrases, shipped, tokens
from arbitrank.arbitration.choose import MAX_WORDS, Choice, choose
from arbitrank.errors import InputError
from arbitrank.values import Answer, Decision, DomainReport, Ranked, Slot

TITLES = {
    "lamps": ("Lamps and lights", {"SwitchOn": "turn on a lamp"}),
    "ovens": ("Ovens", {"Heat": "heat the oven"}),
    "cars": ("Car", {"Warm": "warm up the car"}),
}


def asked(*contenders: tuple[str, str, str], titles: bool = True, between: int = 0) -> Answer:
    """A question with contenders (domain, intent, name); `between` further readings stand after each in the list."""
    ranked: list[Ranked] = []
    places = []
    for domain, intent, name in contenders:
        places.append(len(ranked))
        ranked += [Ranked(domain, intent, (Slot("name", name),), 0.4, 0.6, 0.5)]
        ranked += [Ranked(domain, "Other", (), 0.0, 0.6, 0.0)] * between
    reports = {}
    for domain, _, _ in contenders:
        title, intents = TITLES[domain] if titles else (UNSET, UNSET)
        reports[domain] = DomainReport("answered", title=title, intent_titles=intents)
    return Answer(None, Decision("clarify", tuple(places)), tuple(ranked), reports, {})


THREE = asked(("lamps", "SwitchOn", "sunrise"), ("ovens", "Heat", "sunrise"), ("cars", "Warm", "sunrise"))
TWO = asked(("lamps", "SwitchOn", "sunrise"), ("ovens", "Heat", "sunrise two thousand"))
ONE = asked(("ovens", "Heat", "sunrise"))


@pytest.mark.parametrize(
    ("words", "of_three", "of_two", "of_one"),
    [
        # positions
        ("the second one", 1, 1, None), ("second", 1, 1, None), ("2", 1, 1, None), ("two", 1, 1, None),
        ("number two", 1, 1, None), ("#2", 1, 1, None), ("No. 2", 1, 1, None), ("2nd please", 1, 1, None),
        ("Um, the second one, please!", 1, 1, None), ("option b", 1, 1, None), ("I'll take the first", 0, 0, 0),
        ("one", 0, 0, 0), ("the last one", 2, 1, 0), ("the latter", 2, 1, 0), ("the middle one", 1, None, 0),
        ("the third one", 2, None, None), ("the tenth one", None, None, None), ("ten", None, None, None),
        ("0", None, None, None), ("no, the second one", 1, 1, None), ("yes, the second one", 1, 1, None),
        # names of the domain, of what it does, and of the slot's value
        ("lamps", 0, 0, None), ("the lamp", 0, 0, None), ("the light", 0, 0, None), ("the OVEN!", 1, 1, 0),
        ("heat it", 1, 1, 0), ("heat the oven", 1, 1, 0), ("the sunrise oven", 1, 1, 0), ("ovens please", 1, 1, 0),
        ("turn it on", 0, 0, None), ("sunrise two thousand", None, 1, None), ("the two thousand one", None, 1, None),
        ("sunrise", None, 0, 0), ("yes, the oven", 1, 1, 0), ("the sunrise lamp in the cellar", None, None, None),
        # one contender
        ("yes", None, None, 0), ("Yeah, sure", None, None, 0), ("yes please", None, None, 0), ("ok", None, None, 0),
        ("that one", None, None, 0), ("do it", None, None, 0), ("yes, sunrise", None, 0, 0),
        # whichever
        ("either of them", 0, 0, 0), ("you choose", 0, 0, 0), ("I don't care", 0, 0, 0),
        # all but one
        ("not the lamp", None, 1, None), ("not the first one", None, 1, "none"), ("anything but the oven", None, 0, "none"),
        # none
        ("no", "none", "none", "none"), ("nope", "none", "none", "none"), ("No, thanks!", "none", "none", "none"),
        ("none of them", "none", "none", "none"), ("neither", "none", "none", "none"), ("never mind", "none", "none", "none"),
        ("something else, please", "none", "none", "none"), ("forget it", "none", "none", "none"),
        ("cancel", "none", "none", "none"),
        # new requests, and words that mean several
        ("heat the second oven of the house", None, None, None), ("play the second song", None, None, None),
        ("what is the second one about", None, None, None), ("turn off the radio", None, None, None),
        ("cancel my alarm", None, None, None), ("one more time", None, None, None), ("set a timer for two minutes", None, None, None),
        ("no sunrise", None, 0, None), ("both", None, None, None), ("first", 0, 0, 0), ("the other one", None, None, None),
        ("", None, None, None), ("...", None, None, None), ("\u200b", None, None, None), ("yes and no", None, None, None),
        ("the second one " * 30, None, None, None),
    ],
)  # fmt: skip
def test_the_contender_that_is_meant(words: str, of_three: object, of_two: object, of_one: object) -> None:
    for answer, expected in ((THREE, of_three), (TWO, of_two), (ONE, of_one)):
        found = choose(answer, words)
        assert (found.choice if isinstance(expected, int) or expected is None else found.kind) == expected
        assert (found.choice is None) == (found.kind != "contender")
        assert found.reason
        if expected is None:
            assert found.kind == "not_an_answer"


def test_a_choice_is_an_index_into_the_list() -> None:
    answer = asked(("lamps", "SwitchOn", "sunrise"), ("ovens", "Heat", "sunrise"), between=2)
    assert answer.decision.contenders == (0, 3)
    assert choose(answer, "the second one").choice == choose(answer, "ovens").choice == choose(answer, 3).choice == 3
    assert choose(answer, 3) == Choice(3, "contender", "its index")
    assert answer.ranked[3].domain == "ovens"


def test_without_display_names_the_names_in_code_are_read() -> None:
    answer = asked(("lamps", "SwitchOn", "sunrise"), ("ovens", "Heat", "sunrise"), titles=False)
    assert choose(answer, "switch on").choice == choose(answer, "the lamp").choice == 0
    assert choose(answer, "heat").choice == choose(answer, "ovens").choice == 1
    nowhere = msgspec.structs.replace(answer, domains={})
    assert choose(nowhere, "ovens").choice == 1


def test_a_name_is_read_before_a_position_and_a_clash_is_no_answer() -> None:
    answer = asked(("lamps", "SwitchOn", "2"), ("ovens", "Heat", "seven"), ("cars", "Warm", "Yes"))
    assert choose(answer, "seven").choice == 1  # there is no seventh
    assert choose(answer, "2").kind == "not_an_answer"  # the second, or the one named 2?
    assert choose(answer, "the second one").choice == 1
    assert choose(answer, "yes").choice == 2


@pytest.mark.parametrize(
    ("answer", "words", "error"),
    [
        (msgspec.structs.replace(TWO, decision=Decision("accept", (0,))), "yes", "accept asks nothing"),
        (msgspec.structs.replace(TWO, decision=Decision("none")), "yes", "none asks nothing"),
        (msgspec.structs.replace(TWO, decision=Decision("clarify")), "yes", "asks nothing"),
        (msgspec.structs.replace(TWO, decision=Decision("clarify", (0, 9))), "yes", "9 is out of range"),
        (msgspec.structs.replace(TWO, decision=Decision("clarify", (-1,))), "yes", "-1 is out of range"),
        (msgspec.structs.replace(TWO, decision=Decision("clarify", (0,) * 101)), "yes", "at most 100"),
        (TWO, 2, "2 is no contender, expected one of 0, 1"),
        (TWO, -1, "-1 is no contender"),
        (TWO, True, "bool, expected a text or the index"),
        (TWO, 1.0, "float, expected a text or the index"),
        (TWO, None, "NoneType, expected"),
        (TWO, "x" * (MAX_WORDS + 1), f"expected at most {MAX_WORDS}"),
    ],
)
def test_what_is_no_question_or_no_contender_is_refused(answer: Answer, words: object, error: str) -> None:
    with pytest.raises(InputError, match=error):
        choose(answer, words)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- languages

GERMAN = """
language = "de"
yes = ["ja", "genau"]
no = ["nein"]
none = ["keins von beiden", "weder noch", "vergiss es"]
ordinals = [["erste", "ersten"], ["zweite", "zweiten"]]
numbers = [["eins"], ["zwei"]]
last = ["letzte"]
fillers = ["das", "die", "den", "der", "bitte", "ich nehme", "ich meine"]
"""


def test_another_language_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "de.toml"
    path.write_text(GERMAN)
    for words, expected in (("das zweite bitte", 1), ("Ich nehme die Lamps", 0), ("zwei", 1), ("second", None)):
        assert choose(TWO, words, phrases=path).choice == expected
        assert choose(TWO, words, phrases=str(path)).choice == expected
        assert choose(TWO, words, phrases=read_phrases(path)).choice == expected
    assert choose(TWO, "weder noch", phrases=path).kind == "none"
    as_json = tmp_path / "de.json"
    as_json.write_bytes(msgspec.json.encode(read_phrases(path)))
    assert choose(TWO, "das zweite", phrases=as_json).choice == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("yes = ['ja']", "language"),
        ("language = 'de'\nja = ['ja']", "ja"),
        ("language = 'de'\nyes = 'ja'", "array"),
        ("language = 'de'\nyes = ['']", "length >= 1"),
        ("language = 'de", "phrases"),
        ("\x00", "phrases"),
    ],
)
def test_a_file_of_phrases_that_is_wrong_is_named(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "xx.toml").write_text(text)
    with pytest.raises(InputError, match=error):
        read_phrases(tmp_path / "xx.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_phrases(tmp_path / "none.toml")


def test_a_language_without_phrases_is_refused() -> None:
    assert choose(TWO, "second", language="en-GB") == choose(TWO, "second", language="EN_us") == choose(TWO, "second")
    for language in ("de", "", "../en", "e" * 1000):
        with pytest.raises(InputError, match="no phrases ship for it, expected one of en"):
            choose(TWO, "second", language=language)


@pytest.mark.parametrize("language", shipped())
def test_the_phrases_that_ship_contradict_each_other_nowhere(language: str) -> None:
    phrases = phrases_of(language)
    assert phrases.language == language
    kinds = [phrases.sets[kind] for kind in ("yes", "no", "none", "any", "last", "middle")] + [set(phrases.positions)]
    assert sum(map(len, kinds)) == len(set().union(*kinds))
    for kind in AnswerPhrases.__struct_fields__[1:]:
        assert getattr(phrases, kind), kind


def test_accents_case_and_apostrophes_are_read_alike() -> None:
    assert (
        tokens("Amélie\u2019s CAFÉ, déjà-vu")
        == tokens("amelie's cafe de\u0301ja\u0300 vu")
        == ("amelie's", "cafe", "deja", "vu")
    )
    assert tokens("第二の人") == ("第二の人",)


# ------------------------------------------------------------------------------------------------------- properties

texts = st.text(max_size=60) | st.lists(
    st.sampled_from([*tokens(" ".join(phrases_of("en").fillers)), "second", "no", "yes", "oven", "lamp", "not", "2"]),
    max_size=8,
).map(" ".join)


@given(texts)
def test_any_words_have_one_meaning_and_a_contender_is_one_of_the_question(words: str) -> None:
    for answer in (ONE, TWO, THREE):
        found = choose(answer, words)
        assert found == choose(answer, f"  {words.upper().lower()}!") or not words.isascii()
        assert found.choice in (None, *answer.decision.contenders)
        assert (found.choice is None) == (found.kind != "contender")


@given(
    st.lists(
        st.sampled_from(["sunrise", "lamp", "oven", "heat", "the", "a", "play", "turn", "on", "yes"]), max_size=6
    ).map(" ".join)
)
def test_words_of_no_name_and_no_phrase_make_it_a_new_request(words: str) -> None:
    assert choose(THREE, f"{words} xylophone {words}").kind == "not_an_answer"


def test_it_is_in_the_public_interface() -> None:
    assert ar.choose is choose
    assert ar.choose(TWO, "the second one") == ar.Choice(1, "contender", "its position: second")
    assert json.loads(msgspec.json.encode(ar.choose(TWO, "no"))) == {"choice": None, "kind": "none", "reason": "no"}
