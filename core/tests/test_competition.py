"""Competition calibration: one rule in its form for one request and for many, and in an arbitrator's answer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.competition import IDENTITY, Competition, Term, compete, compete_all
from arbitrank.arbitration.conditioning import after_winning, competing
from arbitrank.arbitration.decide import ACTIONS, DecisionSettings, decide, p_out_of_scope
from arbitrank.arbitration.merge import BestReadings, Contribution, merge, merge_heads
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.domain import Scores
from arbitrank.values import Hypothesis, Ranked

chances = st.floats(0.0, 1.0) | st.sampled_from((0.0, 1e-9, 1e-6, 0.5, 1.0 - 1e-9, 1.0))
terms = st.tuples(st.floats(0.0, 10.0), st.floats(-30.0, 30.0)) | st.just(IDENTITY)
nulls = st.none() | st.floats(-30.0, 30.0) | st.just(0.0)
rows = st.lists(st.tuples(chances, terms), min_size=1, max_size=5)


@given(rows, nulls)
def test_the_chances_of_all_domains_and_of_none_are_a_distribution(domains: list[Any], null: float | None) -> None:
    found, none = compete([p for p, _ in domains], [term for _, term in domains], null)
    assert all(0.0 <= p <= 1.0 for p in (*found, none))
    assert sum(found) + none == pytest.approx(1.0)


@given(st.lists(st.tuples(chances, terms, st.booleans()), min_size=1, max_size=5), nulls)
def test_many_requests_compete_as_single_ones_do(domains: list[Any], null: float | None) -> None:
    mine, of, has = zip(*domains, strict=True)
    found, none = compete_all(np.array(mine)[:, None], np.array(has)[:, None], of, null)
    here = [i for i, reading in enumerate(has) if reading]
    alone, nothing = compete([mine[i] for i in here], [of[i] for i in here], null)
    assert found[here, 0] == pytest.approx(alone, rel=1e-9, abs=1e-15)
    assert none[0] == pytest.approx(nothing, rel=1e-9, abs=1e-15)
    assert not found[[i for i, reading in enumerate(has) if not reading], 0].any()


@given(st.lists(chances, min_size=1, max_size=5))
def test_without_a_term_for_no_domain_its_probability_stays(mine: list[float]) -> None:
    _, none = compete(mine, [(0.5, 1.0)] * len(mine), None)
    assert none == pytest.approx(p_out_of_scope(mine))


@given(chances)
def test_the_identity_leaves_a_domain_alone_as_it_is(p: float) -> None:
    for null in (None, 0.0):
        (found,), none = compete([p], [IDENTITY], null)
        assert found == pytest.approx(p, abs=2e-6)
        assert none == pytest.approx(1.0 - p, abs=2e-6)


def test_two_domains_by_hand() -> None:
    found, none = compete([0.9, 0.5], [(0.5, 0.0), (1.0, np.log(2.0))], 0.0)
    assert [*found, none] == pytest.approx([3 / 6, 2 / 6, 1 / 6])  # odds 9^0.5 = 3, 1 · 2, and 1


requests = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.tuples(chances, st.lists(chances, min_size=1, max_size=3))), min_size=1,
    max_size=4,
)  # fmt: skip
competitions = st.builds(
    Competition, st.dictionaries(st.sampled_from("abc"), st.builds(lambda term: Term(*term), terms)), nulls
)
settings = st.builds(
    DecisionSettings, none=chances, clarify=chances, accept=chances, normalise=st.booleans(), competition=competitions
)


@given(requests, settings)
def test_replays_and_evaluations_decide_as_an_arbitrator_does(lists: list[Any], decisions: DecisionSettings) -> None:
    competition = decisions.competition
    assert competition is not None
    readings = [BestReadings.empty(len(lists)) for _ in "abc"]
    expected = []
    for i, request in enumerate(lists):
        own = {}
        for name, (mine, right) in sorted(request.items()):
            parts = np.array(right) * mine / len(right)
            own[name] = Scores(mine, parts)
            readings["abc".index(name)].put([i], [own[name]])
        scores, none = competing(list(own.values()), [competition.term(name) for name in own], competition.null)
        if decisions.normalise:
            scores = after_winning(scores, decisions.independence)
        parts = [
            Contribution(name, [Hypothesis(name, "x")] * len(one.right), one)
            for name, one in zip(own, scores, strict=True)
        ]
        ranked = merge(parts)
        expected.append((ranked, none, decide(ranked, decisions, out_of_scope=none)))
    heads = merge_heads(readings, decisions, None, competition.all_terms("abc"))
    actions = heads.actions(decisions)
    for i, (ranked, none, decision) in enumerate(expected):
        assert heads.out_of_scope[i] == pytest.approx(none, rel=1e-9, abs=1e-15)
        if ranked and _clear(ranked):
            assert heads.probability[i] == pytest.approx(ranked[0].probability, rel=1e-6, abs=1e-12)
        near = abs(none - decisions.none) < 1e-9 or abs(heads.probability[i] - decisions.accept) < 1e-9
        if not near and abs(heads.closest[i] - decisions.clarify) > 1e-9 and _clear(ranked):
            assert ACTIONS[actions[i]] == decision.action


def _clear(ranked: tuple[Ranked, ...]) -> bool:
    """True where no two readings are so close that the order of summation decides between them."""
    scores = sorted(entry.score or 0.0 for entry in ranked)
    clear = all(b - a > 1e-9 * b for a, b in pairwise(scores))
    return clear and all(
        abs((entry.probability or 0.0) - 0.1 * (entry.domain_probability or 0.0)) > 1e-12 for entry in ranked
    )


# ------------------------------------------------------------------------------------------------------------ versions


def test_slope_and_bias_hold_for_the_version_and_recalibration_that_they_were_fitted_on() -> None:
    shrunk, moved = Recalibration(1 / 1.5), Recalibration(1 / 1.5, -1.0)
    competition = Competition({"a": Term(0.5, 1.0, "v1", 1.0), "b": Term(0.5, 1.0), "c": Term(0.5, 1.0, "v1", 1.5)})
    assert competition.term("a", ("v1", None)) == (0.5, 1.0)
    assert competition.term("a", ("v2", None)) == IDENTITY
    assert competition.term("a", ("v1", shrunk)) == IDENTITY  # shrunk since
    assert competition.term("a") == IDENTITY
    assert competition.term("b", ("v2", shrunk)) == (0.5, 1.0)
    assert competition.term("c", ("v1", shrunk)) == (0.5, 1.0)  # a temperature of older settings
    assert competition.term("c", ("v1", moved)) == IDENTITY
    assert competition.term("new", ("v1", None)) == IDENTITY
    served = {"a": ("v2", None), "b": ("v1", None), "new": ("v1", None)}
    assert competition.outdated(served) == ["a", "new"]


@pytest.mark.parametrize(
    "bad", [{"null": 31}, {"terms": {"a": {"slope": -1}}}, {"terms": {"a": {"bias": "x"}}}, {"share": 0}, {"share": 1}]
)
def test_parameters_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, Competition)


def test_a_list_without_some_of_its_domains_keeps_the_others_chances() -> None:
    """P(no domain) of a policy that bars a domain: the request may still be the barred one's."""
    scores, _ = competing([Scores(0.9, np.array([0.9])), Scores(0.4, np.array([0.4]))], [IDENTITY] * 2, 0.0)
    part = Contribution("b", [Hypothesis("b", "x")], scores[1])
    assert decide(merge([part]), DecisionSettings(competition=Competition(null=0.0))).action == "none"
