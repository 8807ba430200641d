"""The merge of all domains' readings, after-winning calibration, and both for many requests at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.conditioning import after_winning
from arbitrank.arbitration.decide import DecisionSettings, p_out_of_scope
from arbitrank.arbitration.merge import BestReadings, Contribution, merge, merge_heads
from arbitrank.domain import Scores
from arbitrank.values import Hypothesis, Slot


def part(domain: str, mine: float, *right: float, version: str | None = None) -> Contribution:
    hypotheses = [Hypothesis(domain, f"i{i}") for i in range(len(right))]
    return Contribution(domain, hypotheses, Scores(mine, np.array(right)), version)


def test_the_order_is_by_p_mine_times_p_right() -> None:
    ranked = merge([part("a", 0.9, 0.3, 0.6), part("b", 0.5, 0.5)])
    assert [(entry.domain, entry.intent) for entry in ranked] == [("a", "i1"), ("a", "i0"), ("b", "i0")]
    assert [round(entry.score, 9) for entry in ranked] == [0.54, 0.27, 0.25]
    assert [entry.domain_probability for entry in ranked] == [0.9, 0.9, 0.5]
    assert [entry.probability for entry in ranked] == [0.6, 0.3, 0.5]


def test_the_domain_comes_before_the_reading() -> None:
    """A domain with a higher P(mine) goes first although its best reading has a lower P(right)."""
    assert [entry.domain for entry in merge([part("sure", 0.9, 0.4), part("doubtful", 0.5, 0.5)])] == [
        "sure",
        "doubtful",
    ]


def test_ties_fall_by_domain_then_by_position() -> None:
    ranked = merge([part("b", 0.5, 0.2, 0.2), part("c", 0.4, 0.25), part("a", 0.5, 0.2)])
    assert [(entry.domain, entry.intent) for entry in ranked] == [("a", "i0"), ("b", "i0"), ("b", "i1"), ("c", "i0")]


def test_scores_of_zero_are_listed_too_and_tie_like_others() -> None:
    assert [entry.domain for entry in merge([part("b", 0.0, 0.0), part("a", 0.0, 0.0)])] == ["a", "b"]


def test_domains_without_a_reading_add_nothing() -> None:
    assert merge([]) == ()
    assert merge([part("a", 0.0)]) == ()


def test_an_entry_keeps_the_reading_its_version_and_its_explanation() -> None:
    reading = Hypothesis("a", "On", slots=(Slot("room", "hall"),), skill="lamp")
    (entry,) = merge([Contribution("a", [reading], Scores(0.5, np.array([0.5])), "v1", [{"domain": 0.25}])])
    assert (entry.intent, entry.slots, entry.skill, entry.version) == ("On", reading.slots, "lamp", "v1")
    assert entry.why == {"domain": 0.25}
    assert merge([part("a", 0.5, 0.5)])[0].why is None


# Few values, so that ties are common.
chances = st.sampled_from([0.0, 0.25, 0.5, 1.0])
contributions = st.lists(
    st.tuples(st.sampled_from("abcdef"), chances, st.lists(chances, max_size=3)),
    max_size=5,
    unique_by=lambda entry: entry[0],
).map(lambda entries: [part(domain, mine, *right) for domain, mine, right in entries])


@given(contributions, st.randoms())
def test_the_list_does_not_depend_on_the_order_of_the_domains(parts: list[Contribution], random: object) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == merge(parts)


@given(contributions)
def test_the_list_holds_every_reading_once_best_first(parts: list[Contribution]) -> None:
    ranked = merge(parts)
    assert sorted((entry.domain, entry.intent) for entry in ranked) == sorted(
        (part.domain, hypothesis.intent) for part in parts for hypothesis in part.hypotheses
    )
    assert all(before.score >= after.score for before, after in itertools.pairwise(ranked))
    assert all(entry.score == entry.domain_probability * entry.probability for entry in ranked)


@given(contributions, chances, chances)
def test_a_further_domain_never_reorders_the_rest(parts: list[Contribution], mine: float, right: float) -> None:
    with_one_more = merge([*parts, part("z", mine, right)])
    assert tuple(entry for entry in with_one_more if entry.domain != "z") == merge(parts)


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
def test_after_winning_normalises_p_mine_over_the_domains(
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


def test_p_out_of_scope_is_the_product_of_the_complements() -> None:
    assert p_out_of_scope([]) == 1.0
    assert p_out_of_scope([0.5, 0.2]) == pytest.approx(0.4)
    assert p_out_of_scope([np.array([0.5, 1.0]), np.array([0.2, 0.0])]) == pytest.approx(np.array([0.4, 0.0]))


shares = st.floats(0.0, 1.0)


@st.composite
def scores(draw: st.DrawFn) -> Scores:
    """Scores that sum to at most P(mine), which may be tiny or certain."""
    mine = draw(st.one_of(shares, st.sampled_from([0.0, 1e-300, 1e-12, 1.0 - 1e-12, 1.0])))
    parts = np.array(draw(st.lists(shares, min_size=1, max_size=4)))
    return Scores(mine, mine * parts / max(1.0, parts.sum()))


several = st.lists(scores(), max_size=6)


@given(several, shares)
def test_after_winning_all_numbers_are_probabilities(several_scores: list[Scores], independence: float) -> None:
    found = after_winning(several_scores, independence)
    assert sum(one.mine for one in found) <= max(1.0 + 1e-9, sum(one.mine for one in several_scores))
    for before, after in zip(several_scores, found, strict=True):
        assert 0.0 <= after.mine <= 1.0
        assert after.right.shape == before.right.shape
        assert (after.right >= 0.0).all()
        assert after.right.sum() <= after.mine + 1e-9


@given(several, shares, st.randoms())
def test_after_winning_does_not_depend_on_the_order_of_the_domains(
    several_scores: list[Scores], independence: float, random: object
) -> None:
    order = list(range(len(several_scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    found, shuffled = (
        after_winning(several_scores, independence),
        after_winning([several_scores[k] for k in order], independence),
    )
    assert [one.mine for one in shuffled] == pytest.approx([found[k].mine for k in order], abs=1e-12)


@given(several, shares)
def test_after_winning_keeps_the_order_of_p_mine(several_scores: list[Scores], independence: float) -> None:
    found = after_winning(several_scores, independence)
    for (a, x), (b, y) in itertools.combinations(zip(several_scores, found, strict=True), 2):
        assert (a.mine - b.mine) * (x.mine - y.mine) >= 0.0


@given(scores(), shares)
def test_after_winning_leaves_a_single_domain_as_it_is(alone: Scores, independence: float) -> None:
    assert after_winning([alone], independence) == [alone]


requests = st.lists(st.lists(st.none() | scores(), min_size=3, max_size=3), min_size=1, max_size=5)


@given(requests, st.booleans(), shares)
def test_many_requests_at_once_are_merged_as_one_at_a_time(
    scored: list[list[Scores | None]], normalise: bool, independence: float
) -> None:
    domains = [BestReadings.empty(len(scored)) for _ in range(3)]
    for domain, of_domain in zip(domains, zip(*scored, strict=True), strict=True):
        domain.put(range(len(scored)), of_domain)
    found = merge_heads(domains, DecisionSettings(normalise=normalise, independence=independence))
    for i, row in enumerate(scored):
        own = [(d, one) for d, one in enumerate(row) if one is not None]
        assert found.out_of_scope[i] == pytest.approx(p_out_of_scope(one.mine for _, one in own))
        after = [one for _, one in own]
        if normalise:
            after = after_winning(after, independence)
        best = [one.mine * one.right.max() for one in after]
        assert (found.domain[i] < 0) == (not own)
        if own:
            k = [d for d, _ in own].index(found.domain[i])
            assert best[k] == pytest.approx(max(best), rel=1e-9)
            assert found.probability[i] == pytest.approx(after[k].right[found.reading[i]], rel=1e-9)
