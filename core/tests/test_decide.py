"""The decision on the ranked list, and the same on many lists at once."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from arbitrank.arbitration.conditioning import after_winning
from arbitrank.arbitration.decide import ACTIONS, DecisionSettings, decide, margin, p_out_of_scope
from arbitrank.arbitration.merge import BestReadings, Contribution, merge, merge_heads
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
        ({"a": 0.9, "b": 0.87}, DecisionSettings(), Decision("clarify", (0, 1))),
        ({"a": 0.9, "b": 0.8}, DecisionSettings(), ACCEPT),  # odds 9 and 4
        ({"a": 0.999, "b": 0.93}, DecisionSettings(), ACCEPT),  # odds 999 and 13
        ({"a": 0.999, "b": 0.9988}, DecisionSettings(), Decision("clarify", (0, 1))),
        ({"a": 1.0, "b": 0.9}, DecisionSettings(), ACCEPT),
        ({"a": 1.0, "b": 1.0}, DecisionSettings(), Decision("clarify", (0, 1))),
        ({"a": 0.75, "b": 0.6}, DecisionSettings(clarify=1 / 3), ACCEPT),  # odds 3 and 1.5 differ by just the threshold
        ({"a": 0.75, "b": 0.7, "c": 0.68, "d": 0.2}, DecisionSettings(), Decision("clarify", (0, 1, 2))),
        # The floor of P(right).
        ({"a": 0.55}, DecisionSettings(accept=0.6), Decision("clarify", (0,))),
        ({"a": 0.45}, DecisionSettings(accept=0.6), NONE),  # P(out of scope) = 0.55 comes first
        ({"a": 0.6}, DecisionSettings(accept=0.6), ACCEPT),
        ({"a": 0.55, "b": 0.52}, DecisionSettings(accept=0.6), Decision("clarify", (0, 1))),
        ({"a": 0.01}, DecisionSettings(none=1.0), Decision("clarify", (0,))),
        # Conditioned on one domain owning the request, P(mine) are compared themselves.
        ({"a": 0.55, "b": 0.45}, DecisionSettings(normalise=True, clarify=0.15), Decision("clarify", (0, 1))),
        ({"a": 0.55, "b": 0.45}, DecisionSettings(clarify=0.15), ACCEPT),
        # DecisionSettings at their ends are thresholds like any other.
        ({"a": 0.99}, DecisionSettings(none=0.0), NONE),
        ({"a": 1.0}, DecisionSettings(none=0.0), ACCEPT),
        ({"a": 0.0}, DecisionSettings(none=1.0), Decision("clarify", (0,))),
        ({"a": 0.0}, DecisionSettings(none=1.0, accept=0.0), ACCEPT),
        ({}, DecisionSettings(none=1.0), NONE),
        ({"a": 0.8, "b": 0.8}, DecisionSettings(clarify=0.0), ACCEPT),
        ({"a": 1.0, "b": 0.0}, DecisionSettings(clarify=1.0), ACCEPT),
        ({"a": 0.9, "b": 0.0}, DecisionSettings(clarify=1.0), ACCEPT),  # b's reading is certainly wrong
        ({"a": 0.9, "b": 0.01}, DecisionSettings(clarify=1.0), Decision("clarify", (0, 1))),
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
        Contribution("b", [Hypothesis("b", "On"), Hypothesis("b", "Off")], Scores(0.88, np.array([0.1, 0.7]))),
    ]
    entries = merge(voices)
    decision = decide(entries)
    assert decision.action == "clarify"
    assert [(entries[i].domain, entries[i].intent) for i in decision.contenders] == [("b", "Off"), ("a", "On")]


def test_a_reading_that_is_hardly_right_is_no_contender() -> None:
    """The request may well be b's, but b has nothing to offer that the user could mean."""
    a = Contribution("a", [Hypothesis("a", "On")], Scores(0.9, np.array([0.8])))
    for right, expected in ((0.05, ACCEPT), (0.1, Decision("clarify", (0, 1)))):
        b = Contribution("b", [Hypothesis("b", "On")], Scores(0.9, np.array([right])))
        assert decide(merge([a, b])) == expected
    # Where domains share a request between them, none of them is sure of its reading, and each may be meant.
    three = [Contribution(d, [Hypothesis(d, "On")], Scores(0.33, np.array([0.25]))) for d in "abc"]
    assert decide(merge(three), out_of_scope=0.1, exclusive=True) == Decision("clarify", (0, 1, 2))


def test_the_head_of_a_list_that_is_hardly_right_is_never_accepted() -> None:
    """A domain that is sure that the request is its own, and has no reading of it that is right."""
    head = Contribution("a", [Hypothesis("a", "On"), Hypothesis("a", "Off")], Scores(0.99, np.array([0.01, 0.005])))
    assert decide(merge([head])) == Decision("clarify", (0,))


def test_several_readings_of_one_domain_are_not_contenders() -> None:
    assert decide(merge([Contribution("a", [Hypothesis("a", "x")] * 3, Scores(0.9, np.full(3, 0.3)))])) == ACCEPT


@pytest.mark.parametrize("bad", [-0.1, 1.1, "high", None])
def test_a_threshold_outside_0_and_1_is_refused(bad: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"none": bad}, DecisionSettings)


probabilities = st.floats(0.0, 1.0) | st.sampled_from((0.0, 1e-9, 1e-6, 0.5, 0.9, 0.93, 0.999, 1.0 - 1e-9, 1.0))
chances = st.dictionaries(st.sampled_from("abcde"), probabilities, max_size=5)
settings = st.builds(
    DecisionSettings,
    none=probabilities,
    clarify=probabilities,
    accept=probabilities,
    normalise=st.booleans(),
    independence=probabilities,
)


@given(chances, settings)
def test_contenders_are_of_different_domains_and_stand_in_the_lists_order(
    spoken: dict[str, float], decisions: DecisionSettings
) -> None:
    entries = ranked(**spoken)
    decision = decide(entries, decisions)
    count = len(decision.contenders)
    assert count == {"none": 0, "accept": 1}.get(decision.action, count)
    assert (decision.action == "none") == (count == 0)
    assert decision.contenders[:1] in ((), (0,))
    assert list(decision.contenders) == sorted(decision.contenders)
    assert len({entries[i].domain for i in decision.contenders}) == count


@given(chances, probabilities, probabilities, settings)
def test_a_higher_threshold_none_makes_none_rarer(
    spoken: dict[str, float], low: float, high: float, decisions: DecisionSettings
) -> None:
    low, high = sorted((low, high))
    if decide(ranked(**spoken), replace(decisions, none=high)).action == "none":
        assert decide(ranked(**spoken), replace(decisions, none=low)).action == "none"


@given(chances, probabilities, probabilities, settings)
def test_a_higher_floor_makes_accept_rarer(
    spoken: dict[str, float], low: float, high: float, decisions: DecisionSettings
) -> None:
    low, high = sorted((low, high))
    if decide(ranked(**spoken), replace(decisions, accept=high)).action == "accept":
        assert decide(ranked(**spoken), replace(decisions, accept=low)).action == "accept"


@given(probabilities, probabilities, st.booleans())
def test_the_margin_is_antisymmetric_and_bounded(mine: float, other: float, exclusive: bool) -> None:
    distance = margin(mine, other, exclusive)
    assert -1.0 <= distance <= 1.0
    assert distance == -margin(other, mine, exclusive)
    assert (distance > 0.0) <= (mine > other)
    if not exclusive:
        assert abs(distance) >= abs(margin(mine, other, True)) - 1e-12


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2), settings)
def test_conditioning_on_independent_evidence_does_not_change_what_is_close(
    mine: list[float], decisions: DecisionSettings
) -> None:
    """With independence 1 the shares of P(mine) are those of the odds."""
    a, b = after_winning([Scores(p, np.array([p])) for p in mine], 1.0)
    assert margin(a.mine, b.mine, True) == pytest.approx(margin(mine[0], mine[1], False), abs=1e-9)


# P(mine) · P(right) of less would be 0, and the order of the readings that of their places.
products = probabilities.map(lambda p: p if p > 1e-100 else 0.0)
scored = st.tuples(products, st.lists(products, max_size=3)).map(
    lambda drawn: Scores(drawn[0], drawn[0] * np.array(drawn[1]) / max(1.0, sum(drawn[1])))
)
requests = st.lists(st.lists(scored, min_size=3, max_size=3), min_size=1, max_size=8)


@given(requests, settings)
def test_many_lists_are_decided_as_each_of_them_is(requests: list[list[Scores]], decisions: DecisionSettings) -> None:
    """The measurements and the service decide alike."""
    domains = [BestReadings.empty(len(requests)) for _ in range(3)]
    for i, scores in enumerate(requests):
        for domain, one in zip(domains, scores, strict=True):
            domain.put([i], [one if len(one.right) else None])
    heads = merge_heads(domains, decisions)
    together = heads.actions(decisions).tolist()
    for i, scores in enumerate(requests):
        voices = [
            Contribution(name, [Hypothesis(name, f"{k}") for k in range(len(one.right))], one)
            for name, one in zip("abc", scores, strict=True)
            if len(one.right)
        ]
        out_of_scope = p_out_of_scope(one.scores.mine for one in voices)
        if decisions.normalise:
            conditioned = after_winning([one.scores for one in voices], decisions.independence)
            voices = [v._replace(scores=s) for v, s in zip(voices, conditioned, strict=True)]
        decision = decide(merge(voices), decisions, out_of_scope=out_of_scope)
        assert decision.action == ACTIONS[together[i]]
