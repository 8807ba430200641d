"""What to do with the ranked list."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.decide import DecisionSettings, decide
from arbitrank.arbitration.merge import Contribution, merge
from arbitrank.domain import Scores
from arbitrank.values import Decision, Hypothesis, Ranked


def ranked(**chances: float) -> tuple[Ranked, ...]:
    """Domains with their P(mine), each with one reading that is as probable."""
    voices = [
        Contribution(name, [Hypothesis(name, "Do")], Scores(chance, np.array([chance])))
        for name, chance in chances.items()
    ]
    return merge(voices)


NONE, ACCEPT = Decision("none"), Decision("accept", (0,))


@pytest.mark.parametrize(
    ("chances", "thresholds", "expected"),
    [
        ({}, DecisionSettings(), NONE),
        ({"a": 0.9}, DecisionSettings(), ACCEPT),
        ({"a": 0.49}, DecisionSettings(), NONE),
        ({"a": 0.5}, DecisionSettings(), ACCEPT),  # 1 - 0.5 does not exceed 0.5
        ({"a": 0.4, "b": 0.1}, DecisionSettings(), NONE),  # 0.6 · 0.9 = 0.54
        ({"a": 0.4, "b": 0.2}, DecisionSettings(), ACCEPT),  # 0.6 · 0.8 = 0.48: somebody's, though no domain is sure
        ({"a": 0.9, "b": 0.1}, DecisionSettings(), ACCEPT),
        ({"a": 0.9, "b": 0.85}, DecisionSettings(), Decision("clarify", (0, 1))),
        ({"a": 0.75, "b": 0.625}, DecisionSettings(clarify=0.125), ACCEPT),  # differ by just the threshold
        ({"a": 0.75, "b": 0.7, "c": 0.68, "d": 0.2}, DecisionSettings(), Decision("clarify", (0, 1, 2))),
        # DecisionSettings at their ends are thresholds like any other.
        ({"a": 0.99}, DecisionSettings(none=0.0), NONE),
        ({"a": 1.0}, DecisionSettings(none=0.0), ACCEPT),
        ({"a": 0.0}, DecisionSettings(none=1.0), ACCEPT),
        ({}, DecisionSettings(none=1.0), NONE),
        ({"a": 0.8, "b": 0.8}, DecisionSettings(clarify=0.0), ACCEPT),
        ({"a": 1.0, "b": 0.0}, DecisionSettings(clarify=1.0), ACCEPT),
        ({"a": 0.9, "b": 0.0}, DecisionSettings(clarify=1.0), Decision("clarify", (0, 1))),
    ],
)
def test_the_decision(chances: dict[str, float], thresholds: DecisionSettings, expected: Decision) -> None:
    assert decide(ranked(**chances), thresholds) == expected


def test_the_probability_of_no_domain_comes_from_the_first_claims_also_after_winning() -> None:
    """Two domains that hardly believe in a request share it all between them; it is still out of scope."""
    assert decide(ranked(a=0.8, b=0.2), out_of_scope=0.72) == NONE
    assert decide(ranked(a=0.8, b=0.2), out_of_scope=0.2) == ACCEPT
    assert decide((), out_of_scope=0.0) == NONE


def test_contenders_are_the_best_reading_of_each_domain() -> None:
    voices = [
        Contribution("a", [Hypothesis("a", "On"), Hypothesis("a", "Off")], Scores(0.9, np.array([0.45, 0.45]))),
        Contribution("b", [Hypothesis("b", "On"), Hypothesis("b", "Off")], Scores(0.85, np.array([0.1, 0.7]))),
    ]
    entries = merge(voices)
    decision = decide(entries)
    assert decision.action == "clarify"
    assert [(entries[i].domain, entries[i].intent) for i in decision.contenders] == [("b", "Off"), ("a", "On")]


def test_several_readings_of_one_domain_are_not_contenders() -> None:
    assert decide(merge([Contribution("a", [Hypothesis("a", "x")] * 3, Scores(0.9, np.full(3, 0.3)))])) == ACCEPT


@pytest.mark.parametrize("bad", [-0.1, 1.1, "high", None])
def test_a_threshold_outside_0_and_1_is_refused(bad: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"none": bad}, DecisionSettings)


chances = st.dictionaries(st.sampled_from("abcde"), st.floats(0.0, 1.0), max_size=5)


@given(chances, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_contenders_are_of_different_domains_and_stand_in_the_lists_order(
    spoken: dict[str, float], none: float, clarify: float
) -> None:
    entries = ranked(**spoken)
    decision = decide(entries, DecisionSettings(none, clarify))
    count = len(decision.contenders)
    assert (decision.action, min(count, 2)) in {("none", 0), ("accept", 1), ("clarify", 2)}
    assert list(decision.contenders) == sorted(decision.contenders)
    assert len({entries[i].domain for i in decision.contenders}) == count


@given(chances, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_higher_threshold_none_makes_none_rarer(
    spoken: dict[str, float], low: float, high: float, clarify: float
) -> None:
    low, high = sorted((low, high))
    if decide(ranked(**spoken), DecisionSettings(high, clarify)).action == "none":
        assert decide(ranked(**spoken), DecisionSettings(low, clarify)).action == "none"
