"""Display names of domains and intents: what a plugin gives wrongly is reported and left out."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import FakeDomain

from arbitrank.titles import DisplayNames, display_names, feature_phrases


def named(**attributes: Any) -> DisplayNames:
    domain = FakeDomain("lights")
    for name, value in attributes.items():
        setattr(domain, name, value)
    return display_names("lights", domain)


def test_a_domain_without_display_names_is_shown_by_its_names() -> None:
    names = named()
    assert (names.title, names.intent("TurnOn"), names.problems) == ("lights", "TurnOn", ())


def test_display_names_are_those_of_the_plugin() -> None:
    names = named(title="Smart lights", intent_titles={"TurnOn": "turn the lights on"})
    assert (names.title, names.intent("TurnOn"), names.intent("Dim")) == ("Smart lights", "turn the lights on", "Dim")
    assert names.problems == ()


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("title", "problem"),
    [
        (7, "title: 7 is invalid, expected a text"),
        (b"Lights", "title: b'Lights' is invalid, expected a text"),
        ("", "title: '' is invalid, expected a line of text"),
        ("  ", "title: '  ' is invalid, expected a line of text"),
        ("Li\nghts", "title: 'Li\\nghts' is invalid, expected a line of text"),
        ("\x1b[31mLights", "title: '\\x1b[31mLights' is invalid, expected a line of text"),
        ("x" * 101, "title: 101 characters, expected at most 100"),
        (Mute(), "title: Mute is invalid, expected a text"),
    ],
)
def test_a_title_that_is_no_line_of_text_is_left_out(title: Any, problem: str) -> None:
    names = named(title=title)
    assert (names.title, names.problems) == ("lights", (problem,))


@pytest.mark.parametrize(
    ("titles", "problem"),
    [
        ("TurnOn", "intent_titles: 'TurnOn' is invalid, expected a mapping to texts"),
        (["TurnOn"], "intent_titles: ['TurnOn'] is invalid, expected a mapping to texts"),
        ({"Off": None}, "intent_titles['Off']: None is invalid, expected a text"),
        ({3: "three"}, "intent_titles[3]: 3 is invalid, expected an intent's name"),
    ],
)
def test_intent_titles_that_are_no_texts_are_left_out(titles: Any, problem: str) -> None:
    assert named(intent_titles=titles).problems == (problem,)


def test_phrases_of_features_are_checked_likewise() -> None:
    domain = FakeDomain("lights")
    domain.feature_titles = {"known": "it knows the lamp", "far": 7}  # type: ignore[dict-item]
    assert feature_phrases(domain) == {"known": "it knows the lamp"}
    assert display_names("lights", domain).problems == ("feature_titles['far']: 7 is invalid, expected a text",)
    domain.feature_titles = "known"  # type: ignore[assignment]
    assert feature_phrases(domain) == {}


def test_the_others_of_a_wrong_mapping_stay() -> None:
    assert named(intent_titles={"On": "turn on", "Off": 0}).intents == {"On": "turn on"}


def test_as_many_problems_and_intents_are_kept_as_somebody_reads() -> None:
    names = named(intent_titles={f"I{i}": i for i in range(50)} | {f"J{i}": "do" for i in range(5_000)})
    assert len(names.problems) <= 6
    assert len(names.intents) <= 1_000


def test_a_title_that_raises_is_a_problem() -> None:
    class Raising(FakeDomain):
        @property
        def title(self) -> str:  # type: ignore[override]
            raise RuntimeError("not today")

        @property
        def intent_titles(self) -> Any:
            raise LookupError

    assert display_names("lights", Raising("lights")) == DisplayNames(
        "lights", {}, ("title: raises RuntimeError: not today", "intent_titles: raises LookupError")
    )
