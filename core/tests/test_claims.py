"""Claims of domains that mean the same: which readings agree, what agreement does to an answer, and how it is tuned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from fakes import FakeModel
from hypothesis import example, given
from hypothesis import strategies as st

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.claims import (
    checked_groups,
    claims_of,
    group_numbers,
    group_remarks,
    key_number,
    reading_key,
)
from arbitrank.arbitration.competition import Competition, DomainTerm, Term, WinnerMap, compete
from arbitrank.arbitration.conditioning import after_winning, competing
from arbitrank.arbitration.decide import ACTIONS, DecisionSettings, decide
from arbitrank.arbitration.merge import BestReadings, Contribution, agreements, merge, merge_heads, terms_of
from arbitrank.arbitration.policy import Policy
from arbitrank.decisions.competition_fitting import FORMS, fit_competition, fit_winner
from arbitrank.decisions.observed import Observed, heads_of
from arbitrank.decisions.tuning import tune
from arbitrank.domain import Scores
from arbitrank.errors import InputError
from arbitrank.explanation import exact_log_odds
from arbitrank.probability import log_odds, sigmoid
from arbitrank.values import Answer, Decision, Hypothesis, Ranked, Request, Slot

GROUPS = (("a", "b", "c"),)


def reading(domain: str, intent: str, *slots: tuple[str, str]) -> Hypothesis:
    return Hypothesis(domain, intent, slots=tuple(Slot(name, value) for name, value in slots))


# -------------------------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ([["a"]], "groups[0]: 'a' alone, expected at least 2"),
        ([[]], "groups[0]: no domain, expected at least 2"),
        ([["a", "b"], ["c", "a"]], "groups[1]: a is in groups[0] too, expected each domain in one group"),
        ([["a", "a"]], "groups[0]: a is twice"),
        ([["a", ""]], "groups[0]: a domain without a name"),
        ("ab", "groups: 'ab' is invalid, expected lists of domains"),
        (["ab"], "groups: ['ab'] is invalid, expected lists of domains"),
        ([[1, 2]], "groups: [[1, 2]] is invalid"),
    ],
)
def test_groups_that_mean_nothing_are_refused_with_the_reason(groups: Any, text: str) -> None:
    with pytest.raises(InputError) as refused:
        checked_groups(groups)
    assert text in str(refused.value)


def test_settings_of_any_origin_are_refused_with_such_groups() -> None:
    with pytest.raises(ValueError, match="a is twice"):
        DecisionSettings(groups=(("a", "a"),))
    with pytest.raises(msgspec.ValidationError, match="'a' alone"):
        msgspec.convert({"groups": [["a"]]}, DecisionSettings)


def test_domains_of_groups_that_are_not_there_are_named() -> None:
    assert not list(group_remarks(GROUPS, {"a", "b", "c"}))
    assert list(group_remarks((("music", "bocks"),), {"music", "books"})) == [
        "groups: bocks is no domain here (there are: books, music); did you mean books?",
        "groups: of music, bocks fewer than two are here, so none agree",
    ]


def test_readings_are_the_same_by_intent_and_slots_in_any_order_and_spelling() -> None:
    one = reading("a", "Play", ("title", "Mary  Poppins"), ("by", "P. L. Travers"))
    other = reading("b", "Play", ("by", "p. l. travers"), ("title", "mary poppins"))
    assert reading_key(one) == reading_key(other)
    assert key_number(one) == key_number(other)
    for another in (reading("b", "Buy", *[("title", "mary poppins")]), reading("b", "Play", ("title", "mary"))):
        assert reading_key(one) != reading_key(another)
        assert key_number(one) != key_number(another)


def test_only_domains_of_one_group_agree() -> None:
    best = [reading(name, "Play") for name in "abd"]
    assert claims_of("abd", best, group_numbers(GROUPS)) == [0, 0, 2]
    assert claims_of("abd", best, group_numbers((("a", "d"),))) == [0, 1, 0]
    assert claims_of("bd", [best[1], best[2]], group_numbers(GROUPS)) is None


# --------------------------------------------------------------------------------------------------------- competition


def test_agreement_by_hand() -> None:
    terms = [DomainTerm(agreement=weight, group=0) for weight in (1.0, 2.0, 0.0)]
    found, none = compete([0.5, 0.5, 0.5], terms, 0.0, claims=[0, 0, 2])
    # (0 + 1) and (0 + 2) are 1.5 in the mean; the third claims 0, as "no domain" does.
    assert found == pytest.approx([np.exp(1.5) / (np.exp(1.5) + 2)] * 2 + [1 / (np.exp(1.5) + 2)])
    assert found[0] + found[2] + none == pytest.approx(1.0)  # each claim once


def test_without_weights_two_that_agree_are_one() -> None:
    alone, none = compete([0.8, 0.3], [(1.0, 0.0)] * 2, 0.0)
    found, nothing = compete([0.8, 0.8, 0.3], [DomainTerm(group=0)] * 3, 0.0, claims=[0, 0, 2])
    assert found == pytest.approx([alone[0], alone[0], alone[1]])
    assert nothing == pytest.approx(none)


def test_overlapping_claims_do_not_take_from_each_other() -> None:
    found, none = compete([0.8, 0.7], [(1.0, 0.0)] * 2, None, overlapping=True)
    assert found == pytest.approx([0.8, 0.7])
    assert none == pytest.approx(0.2 * 0.3)
    _, none = compete([0.8, 0.7], [(1.0, 0.0)] * 2, 1.0, overlapping=True)
    assert none == pytest.approx(float(sigmoid(log_odds(np.array([0.06]))[0] + 1.0)))


def test_the_correction_of_the_winner_keeps_the_order() -> None:
    found, _ = compete([0.9, 0.6, 0.2], [(1.0, 0.0)] * 3, None, overlapping=True, winner=WinnerMap(0.5, -0.2))
    assert found == pytest.approx(sigmoid(0.5 * log_odds(np.array([0.9, 0.6, 0.2])) - 0.2))


def test_agreeing_readings_have_one_probability_and_the_rest_still_fits() -> None:
    scores = [Scores(0.8, np.array([0.5, 0.2])), Scores(0.6, np.array([0.1, 0.45]))]
    (a, b), none = competing(scores, [DomainTerm(group=0)] * 2, 0.0, [0, 0])
    assert a.mine == b.mine == pytest.approx(1.0 - none)
    assert a.right[0] == b.right[1] == pytest.approx(a.mine * 0.75)  # the greater of 0.5 / 0.8 and 0.45 / 0.6
    assert a.right.sum() <= a.mine + 1e-12
    assert b.right[0] == pytest.approx(b.mine * 0.1 / 0.6)


chances = st.floats(0.001, 0.999)
requests = st.lists(
    st.dictionaries(
        st.sampled_from("abcd"), st.tuples(chances, st.floats(0.1, 1.0), st.sampled_from("xy")), min_size=1
    ),
    min_size=1,
    max_size=4,
)
competitions = st.builds(
    Competition,
    st.fixed_dictionaries(
        {
            name: st.builds(Term, st.floats(0.3, 3.0), st.floats(-2.0, 2.0), agreement=st.floats(-1.0, 3.0))
            for name in "abc"
        }
    ),
    st.none() | st.floats(-3.0, 3.0),
    st.none(),
    st.booleans(),
    st.none() | st.builds(WinnerMap, st.floats(0.3, 2.0), st.floats(-1.0, 1.0)),
)
decided = st.builds(
    DecisionSettings,
    normalise=st.booleans(),
    competition=st.none() | competitions,
    groups=st.sampled_from([GROUPS, (("a", "d"), ("b", "c"))]),
)


@example(
    [{"a": (0.5, 1.0, "x"), "b": (0.625, 1.0, "y"), "c": (0.625, 0.5, "x")}],
    DecisionSettings(groups=(("a", "b", "c"),)),
)
@given(requests, decided)
def test_many_lists_with_groups_are_decided_as_each_of_them_is(lists: list[Any], decisions: DecisionSettings) -> None:
    readings = [BestReadings.empty(len(lists)) for _ in "abcd"]
    own = [[[] for _ in lists] for _ in "abcd"]
    expected = []
    for i, request in enumerate(lists):
        parts = []
        for name, (mine, share, intent) in sorted(request.items()):
            scores = Scores(mine, np.array([mine * share]))
            readings["abcd".index(name)].put([i], [scores])
            own["abcd".index(name)][i] = [reading(name, intent)]
            parts.append(Contribution(name, [reading(name, intent)], scores))
        expected.append(_alone(parts, decisions))
    keyed = [one.keyed(each) for one, each in zip(readings, own, strict=True)]
    heads = merge_heads(keyed, decisions, None, terms_of(decisions, "abcd"))
    for i, (ranked, none) in enumerate(expected):
        assert heads.out_of_scope[i] == pytest.approx(none, rel=1e-9)
        scores = sorted({entry.score or 0.0 for entry in ranked}, reverse=True)
        if len(scores) > 1 and scores[0] - scores[1] < 1e-9:
            continue  # the order of summation may decide
        assert heads.probability[i] == pytest.approx(ranked[0].probability, rel=1e-9)
        assert "abcd"[heads.domain[i]] == ranked[0].domain
        decision = decide(ranked, decisions, out_of_scope=none)
        near = abs(none - decisions.none) < 1e-9 or abs(heads.probability[i] - decisions.accept) < 1e-9
        if not near and abs(heads.closest[i] - decisions.clarify) > 1e-9:
            assert ACTIONS[heads.actions(decisions)[i]] == decision.action


def _alone(parts: list[Contribution], decisions: DecisionSettings) -> tuple[tuple[Ranked, ...], float]:
    """The list of one request and P(no domain), as an arbitrator computes them."""
    claims = agreements(parts, group_numbers(decisions.groups))
    scores = [one.scores for one in parts]
    none = float(np.prod([1.0 - one.mine for one in scores]))
    if (competition := decisions.competition) is not None:
        terms = competition.domain_terms([one.domain for one in parts], decisions.groups)
        scores, none = competing(
            scores,
            terms,
            competition.null,
            claims,
            overlapping=competition.overlapping,
            winner=competition.winner,
        )
    if decisions.normalise:
        scores = after_winning(scores, decisions.independence, claims)
    return merge([one._replace(scores=new) for one, new in zip(parts, scores, strict=True)]), none


def test_domains_that_agree_are_no_rivals() -> None:
    ranked = [Ranked(name, intent, (), p * p, p, p) for name, intent, p in (("a", "x", 0.5), ("b", "x", 0.5))]
    assert decide(ranked, DecisionSettings(none=1.0)).contenders == (0, 1)
    decision = decide(ranked, DecisionSettings(none=1.0, groups=GROUPS))
    assert (decision.action, decision.contenders) == ("accept", (0,))
    ranked += [Ranked(name, "y", (), 0.2, 0.45, 0.45) for name in "cd"]
    decision = decide(ranked, DecisionSettings(none=1.0, groups=(("a", "b", "c", "d"),)))
    assert (decision.action, decision.contenders) == ("clarify", (0, 2))  # each claim is asked about once


def test_an_answer_with_groups_lists_each_domain_and_its_reasons_add_up() -> None:
    models = {"a": FakeModel("a", mine=0.5), "b": FakeModel("b", mine=0.6), "c": FakeModel("c", "Other", mine=0.55)}
    domains = {name: Serving(model, "v1", "store") for name, model in models.items()}
    terms = {name: Term(1.0, 0.0, "v1", 1.0, 1.5) for name in models}
    settings = DecisionSettings(
        competition=Competition(terms, 0.0, winner=WinnerMap(0.9, -0.1)), groups=(("a", "b", "c", "gone"),)
    )
    answer = Arbitrator(domains, settings).answer("switch it on", explain=True)
    assert [(one.domain, one.intent) for one in answer.ranked] == [("a", "Do"), ("b", "Do"), ("c", "Other")]
    first, second, third = answer.ranked
    assert (first.probability, first.domain_probability) == (second.probability, second.domain_probability)
    assert (first.probability or 0.0) > 0.65
    assert (third.probability or 0.0) < 0.3
    assert (answer.decision.action, answer.decision.contenders) == ("accept", (0,))
    for one in answer.ranked:
        assert sum((one.why or {}).values()) == pytest.approx(exact_log_odds(one.probability or 0.0))
    changed = replace(domains["b"], version="v2")  # what its agreement is worth is not known any more
    other = Arbitrator({**domains, "b": changed}, settings).answer("switch it on")
    assert (third.probability or 0.0) < (other.ranked[0].probability or 0.0) < (first.probability or 0.0)


def test_a_policy_asks_about_each_claim_once() -> None:
    ranked = tuple(Ranked(name, "x", (), 0.25, 0.5, 0.5) for name in "ab")
    answer = Answer("1", Decision("accept", (0,)), ranked, {}, {})
    policy = msgspec.convert({"domains": {"a": {"clarify": 0.5}}}, Policy)
    assert policy.apply(Request(), answer).decision.action == "clarify"
    assert policy.apply(Request(), answer, DecisionSettings(groups=GROUPS)).decision.action == "accept"


# -------------------------------------------------------------------------------------------------------------- tuning


def voted(n: int, *, none: float = 0.3, seed: int = 0) -> Observed:
    """Requests that three recognisers of one bot read: of two that copy each other, and one of its own mind.

    The right reading is intent 0. Each is right on 70 % of the requests in scope, else names one of nine others.
    """
    rng = np.random.default_rng(seed)
    out = rng.random(n) < none
    wrong = 1 + rng.integers(9, size=(2, n))
    right = (rng.random((2, n)) < 0.7) & ~out
    own = np.where(right, 0, wrong)
    intents = np.array([own[0], own[0], own[1]])
    mine = np.array([np.where(row == 0, 0.6, 0.5) for row in intents]) + rng.normal(0, 0.05, (3, n))
    hits = (intents == 0) & ~out
    readings = tuple(BestReadings(p, p, np.zeros(n, np.int32), p, key) for p, key in zip(mine, intents, strict=True))
    return Observed(("a", "b", "c"), readings, hits.T, np.column_stack([hits.T, out]))


def test_agreement_is_weighted_by_what_it_tells() -> None:
    requests = voted(3_000)
    claims = requests.claims(GROUPS)
    fitted = fit_competition(requests.mine, requests.has, requests.claimants(claims), FORMS[2], None, claims)
    assert fitted.agreements[2] > fitted.agreements[0] + 0.3  # of two that always agree, the second tells nothing
    assert fitted.agreements[2] > fitted.agreements[1] + 0.3


def test_no_group_no_agreement() -> None:
    requests = voted(300)
    assert not fit_competition(requests.mine, requests.has, requests.owners, FORMS[2]).agreements.any()


def test_a_correction_of_the_winner_is_found_and_shrunk() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(0.5, 1.5, 20_000)
    right = rng.random(len(z)) < sigmoid(0.5 * z - 0.4)
    found = fit_winner(sigmoid(z), np.ones(len(z)), right)
    assert [found.slope, found.bias] == pytest.approx([0.5, -0.4], abs=0.05)
    few = fit_winner(sigmoid(z[:3]), np.ones(3), right[:3])
    assert abs(few.bias) < 0.4


def test_tuning_with_groups_answers_more_requests_and_claims_what_it_holds() -> None:
    requests, other = voted(400), voted(2_000, seed=1)
    base = DecisionSettings(groups=GROUPS)
    tuned = tune(requests, base)
    assert tuned.refusal is None
    assert tuned.settings.groups == GROUPS
    before, after = (heads_of(other, one, terms_of(one, other.domains)) for one in (base, tuned.settings))
    right = [
        one.answers(settings, other.out_of_scope).mean() for one, settings in ((before, base), (after, tuned.settings))
    ]
    assert right[1] > right[0] + 0.05
    assert after.probability.mean() == pytest.approx(after.right.mean(), abs=0.04)


def test_a_group_whose_domains_never_name_the_same_reading_is_remarked_on() -> None:
    requests = voted(220)
    readings = tuple(one._replace(keys=one.keys + 100 * d) for d, one in enumerate(requests.readings))
    notes = tune(requests._replace(readings=readings), DecisionSettings(groups=GROUPS)).notes
    assert any("no two of them name the same reading of 220 requests" in text for text in notes)


def test_owners_that_overlap_without_groups_do_not_exclude_each_other() -> None:
    rng = np.random.default_rng(0)
    owns = rng.random((500, 3)) < [0.7, 0.6, 0.2]
    owns[~owns.any(axis=1), 0] = True
    p = sigmoid(rng.normal(np.where(owns, 1.2, -1.2), 1.0)).T
    readings = tuple(BestReadings(one, one, np.zeros(500, np.int32), one) for one in p)
    requests = Observed(("a", "b", "c"), readings, owns, np.column_stack([owns, np.zeros(500, bool)]))
    tuned = tune(requests)
    assert tuned.settings.competition is not None
    assert tuned.settings.competition.overlapping
    heads = heads_of(requests, tuned.settings, terms_of(tuned.settings, requests.domains))
    assert heads.probability.mean() == pytest.approx(heads.right.mean(), abs=0.02)
