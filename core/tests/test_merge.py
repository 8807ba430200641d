"""One list of all domains' readings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.decide import p_out_of_scope
from arbitrank.arbitration.merge import Contribution, after_winning, merge
from arbitrank.domain import Scores
from arbitrank.values import Hypothesis, Slot


def voice(domain: str, mine: float, *right: float, version: str | None = None) -> Contribution:
    hypotheses = [Hypothesis(domain, f"i{i}") for i in range(len(right))]
    return Contribution(domain, hypotheses, Scores(mine, np.array(right)), version)


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
    (entry,) = merge([Contribution("a", [reading], Scores(0.5, np.array([0.5])), "v1", [{"domain": 0.25}])])
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
def test_the_list_does_not_depend_on_the_order_of_the_domains(spoken: list[Contribution], random: object) -> None:
    shuffled = list(spoken)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == merge(spoken)


@given(voices)
def test_the_list_holds_every_reading_once_best_first(spoken: list[Contribution]) -> None:
    ranked = merge(spoken)
    assert sorted((entry.domain, entry.intent) for entry in ranked) == sorted(
        (voice.domain, hypothesis.intent) for voice in spoken for hypothesis in voice.hypotheses
    )
    assert all(before.score >= after.score for before, after in itertools.pairwise(ranked))
    assert all(entry.score == entry.domain_probability * entry.probability for entry in ranked)


@given(voices, chances, chances)
def test_another_domains_coming_never_reorders_the_rest(spoken: list[Contribution], mine: float, right: float) -> None:
    with_one_more = merge([*spoken, voice("z", mine, right)])
    assert tuple(entry for entry in with_one_more if entry.domain != "z") == merge(spoken)


@pytest.mark.parametrize(
    ("mine", "independence", "expected"),
    [
        ((0.6, 0.2), 1.0, (1.5 / 1.75, 0.25 / 1.75)),  # odds
        ((0.6, 0.2), 0.0, (0.75, 0.25)),  # probabilities
        ((0.75, 0.25), 0.0, (0.75, 0.25)),
        ((0.5, 0.5), 0.5, (0.5, 0.5)),
        ((0.4, 0.4, 0.0), 0.5, (0.5, 0.5, 0.0)),
        ((1.0, 1.0), 1.0, (0.5, 0.5)),
        ((0.3,), 0.5, (0.3,)),
        ((0.0, 0.0), 0.5, (0.0, 0.0)),
        ((), 0.5, ()),
    ],
)
def test_after_winning_claims_are_measured_against_one_another(
    mine: tuple[float, ...], independence: float, expected: tuple[float, ...]
) -> None:
    found = after_winning([Scores(q, np.array([q / 2, q / 4])) for q in mine], independence)
    assert [one.mine for one in found] == pytest.approx(list(expected))
    for one in found:
        assert one.right == pytest.approx(np.array([one.mine / 2, one.mine / 4]))


def test_a_certain_domain_leaves_the_others_next_to_nothing() -> None:
    certain, other = after_winning([Scores(1.0, np.array([1.0])), Scores(0.9, np.array([0.9]))], 1.0)
    assert certain.mine > 0.99999
    assert other.mine < 1e-5


def test_nobody_is_the_chance_that_all_are_wrong() -> None:
    assert p_out_of_scope([]) == 1.0
    assert p_out_of_scope([0.5, 0.2]) == pytest.approx(0.4)
    assert p_out_of_scope([np.array([0.5, 1.0]), np.array([0.2, 0.0])]) == pytest.approx(np.array([0.4, 0.0]))


shares = st.floats(0.0, 1.0)


@st.composite
def scores(draw: st.DrawFn) -> Scores:
    """What a domain may say: readings that sum to at most its P(mine), which may be tiny or certain."""
    mine = draw(st.one_of(shares, st.sampled_from([0.0, 1e-300, 1e-12, 1.0 - 1e-12, 1.0])))
    parts = np.array(draw(st.lists(shares, min_size=1, max_size=4)))
    return Scores(mine, mine * parts / max(1.0, parts.sum()))


several = st.lists(scores(), max_size=6)


@given(several, shares)
def test_after_winning_everything_is_a_probability_still(said: list[Scores], independence: float) -> None:
    found = after_winning(said, independence)
    assert sum(one.mine for one in found) <= max(1.0 + 1e-9, sum(one.mine for one in said))
    for before, after in zip(said, found, strict=True):
        assert 0.0 <= after.mine <= 1.0
        assert after.right.shape == before.right.shape
        assert (after.right >= 0.0).all()
        assert after.right.sum() <= after.mine + 1e-9


@given(several, shares, st.randoms())
def test_after_winning_does_not_depend_on_the_order_of_the_domains(
    said: list[Scores], independence: float, random: object
) -> None:
    order = list(range(len(said)))
    random.shuffle(order)  # type: ignore[attr-defined]
    found, shuffled = after_winning(said, independence), after_winning([said[k] for k in order], independence)
    assert [one.mine for one in shuffled] == pytest.approx([found[k].mine for k in order], abs=1e-12)


@given(several, shares)
def test_after_winning_whoever_claimed_more_still_does(said: list[Scores], independence: float) -> None:
    found = after_winning(said, independence)
    for (a, x), (b, y) in itertools.combinations(zip(said, found, strict=True), 2):
        assert (a.mine - b.mine) * (x.mine - y.mine) >= 0.0


@given(scores(), shares)
def test_one_domain_alone_is_as_it_was(alone: Scores, independence: float) -> None:
    assert after_winning([alone], independence) == [alone]
