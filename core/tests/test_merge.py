"""One list of all domains' readings."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.domain import Scores
from arbitrank.merge import Voice, merge
from arbitrank.values import Hypothesis, Slot


def voice(domain: str, mine: float, *right: float, version: str | None = None) -> Voice:
    hypotheses = [Hypothesis(domain, f"i{i}") for i in range(len(right))]
    return Voice(domain, hypotheses, Scores(mine, np.array(right)), version)


def test_the_order_is_by_the_domains_chance_times_the_readings() -> None:
    ranked = merge([voice("a", 0.9, 0.3, 0.6), voice("b", 0.5, 0.5)])
    assert [(entry.domain, entry.intent) for entry in ranked] == [("a", "i1"), ("a", "i0"), ("b", "i0")]
    assert [round(entry.score, 9) for entry in ranked] == [0.54, 0.27, 0.25]
    assert [entry.domain_probability for entry in ranked] == [0.9, 0.9, 0.5]
    assert [entry.probability for entry in ranked] == [0.6, 0.3, 0.5]


def test_whose_request_it_is_comes_before_which_reading() -> None:
    """A domain that is surer of the request goes first although its best reading is less sure."""
    assert [entry.domain for entry in merge([voice("sure", 0.9, 0.4), voice("doubtful", 0.5, 0.5)])] == [
        "sure",
        "doubtful",
    ]


def test_ties_fall_by_domain_then_by_position() -> None:
    ranked = merge([voice("b", 0.5, 0.2, 0.2), voice("c", 0.4, 0.25), voice("a", 0.5, 0.2)])
    assert [(entry.domain, entry.intent) for entry in ranked] == [("a", "i0"), ("b", "i0"), ("b", "i1"), ("c", "i0")]


def test_scores_of_zero_are_listed_too_and_tie_like_others() -> None:
    assert [entry.domain for entry in merge([voice("b", 0.0, 0.0), voice("a", 0.0, 0.0)])] == ["a", "b"]


def test_nobody_and_domains_without_a_reading_add_nothing() -> None:
    assert merge([]) == ()
    assert merge([voice("a", 0.0)]) == ()


def test_an_entry_keeps_what_the_reading_said_its_version_and_why() -> None:
    reading = Hypothesis("a", "On", slots=(Slot("room", "hall"),), skill="lamp")
    (entry,) = merge([Voice("a", [reading], Scores(0.5, np.array([0.5])), "v1", [{"domain": 0.25}])])
    assert (entry.intent, entry.slots, entry.skill, entry.version) == ("On", reading.slots, "lamp", "v1")
    assert entry.why == {"domain": 0.25}
    assert merge([voice("a", 0.5, 0.5)])[0].why is None


# Few values, so that ties are common.
chances = st.sampled_from([0.0, 0.25, 0.5, 1.0])
voices = st.lists(
    st.tuples(st.sampled_from("abcdef"), chances, st.lists(chances, max_size=3)),
    max_size=5,
    unique_by=lambda entry: entry[0],
).map(lambda entries: [voice(domain, mine, *right) for domain, mine, right in entries])


@given(voices, st.randoms())
def test_the_list_does_not_depend_on_the_order_of_the_domains(spoken: list[Voice], random: object) -> None:
    shuffled = list(spoken)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == merge(spoken)


@given(voices)
def test_the_list_holds_every_reading_once_best_first(spoken: list[Voice]) -> None:
    ranked = merge(spoken)
    assert sorted((entry.domain, entry.intent) for entry in ranked) == sorted(
        (voice.domain, hypothesis.intent) for voice in spoken for hypothesis in voice.hypotheses
    )
    assert all(before.score >= after.score for before, after in itertools.pairwise(ranked))
    assert all(entry.score == entry.domain_probability * entry.probability for entry in ranked)


@given(voices, chances, chances)
def test_another_domains_coming_never_reorders_the_rest(spoken: list[Voice], mine: float, right: float) -> None:
    with_one_more = merge([*spoken, voice("z", mine, right)])
    assert tuple(entry for entry in with_one_more if entry.domain != "z") == merge(spoken)
