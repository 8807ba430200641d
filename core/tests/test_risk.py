"""Bounds on the share of wrong answers: how thresholds are certified, what they decide, and where they end."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakes
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_requests import NAMES, observed
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.arbitration.arbitrator import Arbitration, Arbitrator
from arbitrank.arbitration.decide import ACTIONS, DecisionSettings, action_codes, decide, unbounded
from arbitrank.arbitration.lineup import Serving, outdated, served
from arbitrank.arbitration.policy import Pin, Policy
from arbitrank.arbitration.risk_bound import AcceptBy, GroupBound, RiskBound, accept_thresholds, beyond
from arbitrank.decisions.binomial import least_wrong, most_wrong, p_value
from arbitrank.decisions.observed import Heads, heads_of
from arbitrank.decisions.risk import bounded
from arbitrank.decisions.risk_groups import RiskLimit
from arbitrank.decisions.tuning import tune
from arbitrank.errors import DataError
from arbitrank.serve.answerer import answerer
from arbitrank.serve.worker_state import WorkerState
from arbitrank.store.decision_settings import load_decisions, save_decisions
from arbitrank.store.loading import combined
from arbitrank.values import Answer, AnswerRisk, Decision, Hypothesis, Ranked, Request

BASE = DecisionSettings()


def heads(n: int, seed: int = 0, reading: float = 0.98) -> Heads:
    return heads_of(observed(n, seed=seed, reading=reading), BASE)


POPULATION = heads(50_000, seed=99)


def wrong(settings: DecisionSettings) -> float:
    accepted = POPULATION.actions(settings) == ACTIONS.index("accept")
    return float((~POPULATION.right)[accepted].mean())


def test_the_bound_holds_in_the_population_in_19_of_20_draws() -> None:
    found = [bounded(heads(3_000, seed), BASE, RiskLimit(0.05), seed=seed) for seed in range(40)]
    kept = [one.settings for one in found if one.refusal is None]
    assert len(kept) > 15
    assert sum(wrong(one) > 0.05 for one in kept) <= 2


def test_with_more_requests_more_is_accepted() -> None:
    few, many = ([bounded(heads(n, k), BASE, RiskLimit(0.05)).accepted for k in range(10)] for n in (1_000, 10_000))
    assert np.mean(few) + 0.1 < np.mean(many)


def test_a_bound_that_cannot_be_kept_says_by_how_much_and_what_is_missing() -> None:
    found = bounded(heads(600), BASE, RiskLimit(0.021))
    assert found.settings == BASE
    assert found.refusal is not None
    assert "points above the limit of 2.1 %" in found.refusal
    (test,) = found.tests
    assert test.most == pytest.approx(most_wrong(test.wrong, test.accepted, 0.05))
    assert bounded(heads(600, reading=0.5), BASE, RiskLimit(0.02)).refusal is not None
    with pytest.raises(DataError, match="150 requests with a truth, expected at least 200"):
        bounded(heads(150), BASE, RiskLimit(0.02))


def test_requests_that_the_settings_in_force_were_fitted_to_do_not_test() -> None:
    n = 2_000
    fresh = np.arange(n) >= 1_000
    found = bounded(heads(n), BASE, RiskLimit(0.06), fresh=fresh)
    assert (found.learned_on, found.tested_on) == (1_000, 1_000)
    with pytest.raises(DataError, match="besides 1950 that the settings in force were tuned on, expected at"):
        bounded(heads(n), BASE, RiskLimit(0.06), fresh=np.arange(n) >= 1_950)


def test_each_domain_or_value_of_the_context_has_a_bound_of_its_own_and_the_rest_one_together() -> None:
    one = heads(8_000, 1)
    found = bounded(one, BASE, RiskLimit(0.06, per="domain"), domains=NAMES)
    assert {test.group for test in found.tests} <= {*NAMES, ""}
    by = found.settings.accept_by
    assert by is not None
    assert by.key == "domain"
    contexts = [{"device": "tv"} if i % 2 else {"device": "phone"} if i % 100 else {} for i in range(8_000)]
    found = bounded(one, BASE, RiskLimit(0.06, per="device"), domains=NAMES, contexts=contexts)
    assert [test.group for test in found.tests] == ["phone", "tv", ""]
    assert found.tests[-1].accept is None
    assert found.settings.accept == 1.0
    assert found.settings.bound is not None
    assert set(found.settings.bound.groups) == {"phone", "tv"}
    assert len(found.notes) == 1


def test_thresholds_that_are_stated_stay() -> None:
    stated = DecisionSettings(clarify=0.3, none=0.6, stated=("clarify", "none"))
    settings = bounded(heads(4_000, 2), stated, RiskLimit(0.06)).settings
    assert (settings.clarify, settings.none) == (0.3, 0.6)


# ------------------------------------------------------------------------------------------------------------ exactness


@given(st.integers(1, 60), st.data(), st.floats(0.001, 0.5))
def test_the_p_value_is_the_binomial_tail_and_the_limits_invert_it(n: int, data: Any, risk: float) -> None:
    k = data.draw(st.integers(0, n))
    tail = sum(math.comb(n, i) * risk**i * (1 - risk) ** (n - i) for i in range(k + 1))
    assert float(p_value(k, n, risk)) == pytest.approx(tail, abs=1e-9)
    if k < n:
        assert float(p_value(k, n, most_wrong(k, n, 0.05))) == pytest.approx(0.05, abs=1e-6)
    assert least_wrong(k, n, 0.05) <= k / n <= most_wrong(k, n, 0.05)


# ------------------------------------------------------------------------------------------------------------- deciding


@given(
    st.sampled_from(["domain", "device"]),
    st.dictionaries(st.sampled_from(["a", "b", "tv", "true"]), st.sampled_from([0.0, 0.4, 0.9, 1.0])),
    st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([{}, {"device": "tv"}, {"device": True}, {"device": 3}]),
)
def test_one_list_and_many_are_decided_by_the_same_threshold(
    key: str, thresholds: dict[str, float], right: float, domain: str, context: dict[str, Any]
) -> None:
    settings = DecisionSettings(accept_by=AcceptBy(key, thresholds))
    ranked = (Ranked(domain, "Do", score=right, domain_probability=1.0, probability=right),)
    action = decide(ranked, settings, out_of_scope=0.0, context=context).action
    heads = np.array(["abc".index(domain)], np.int32)
    accept = accept_thresholds(settings.accept_by, settings.accept, ("a", "b", "c"), heads, [context])
    codes = action_codes(np.zeros(1), np.zeros(1, bool), np.array([right]), np.array([np.inf]), settings, accept)
    assert action == ACTIONS[codes[0]]
    value = {"domain": domain}.get(key) or {"tv": "tv", True: "true"}.get(context.get("device"))
    threshold = thresholds.get(value or "", settings.accept)
    assert (action == "accept") == (threshold < 1.0 and right >= threshold)


BOUND = RiskBound(0.02, 0.95, {"": GroupBound(500, 2, 0.012)}, {"a": ("a1", None), "b": ("b1", None)}, ("other",))
STORED = DecisionSettings(accept=0.8, bound=BOUND, accept_by=AcceptBy("domain", {"a": 0.9}), version="v1")


def test_the_bound_goes_with_the_settings_as_a_whole() -> None:
    assert combined(DecisionSettings(), STORED).bound == BOUND
    stated = combined(DecisionSettings(accept=0.5, stated=("accept",)), STORED)
    assert (stated.accept, stated.accept_by, stated.bound) == (0.5, None, None)
    other = combined(DecisionSettings(clarify=0.1, stated=("clarify",)), STORED)
    assert (other.accept, other.bound) == (0.8, None)
    assert other.accept_by == STORED.accept_by


@pytest.mark.parametrize(
    ("stated", "reasons"),
    [
        ({"accept": 0.5}, "accept 0.5 is stated, 0.8 was tested; accept is stated, thresholds by domain were tested"),
        ({"none": 0.4}, "none 0.4 is stated, 0.5 was tested"),
        ({"groups": (("a", "b"),)}, "groups is stated, another value was tested"),
        ({"none": 0.5}, None),
    ],
)
def test_a_bound_that_a_statement_sets_aside_is_told_with_the_reasons(
    stated: dict[str, Any], reasons: str | None
) -> None:
    one = combined(DecisionSettings(**stated, stated=tuple(stated)), STORED)
    assert (one.bound is None) == (reasons is not None)
    text = "the bound on risk, at most 2 % wrong, is not in force: "
    assert [*outdated(one, served(SERVED))] == ([text + reasons] if reasons else [])
    (both,) = outdated(combined(DecisionSettings(none=0.4), STORED), {"a": ("a2", None), "b": ("b1", None)})
    assert both.endswith("0.5 was tested; a: another version was tested; run: arbitrank tune --risk 0.02")


def test_what_is_set_aside_is_in_no_artifact(tmp_path: Path) -> None:
    stated = combined(DecisionSettings(none=0.4, stated=("none",)), STORED)
    plain = replace(stated, set_aside=UNSET)
    versions = [save_decisions(one, tmp_path / str(i)).version for i, one in enumerate((stated, plain))]
    assert versions[0] == versions[1]
    assert load_decisions(tmp_path / "0").set_aside is UNSET


def test_the_bound_is_of_the_versions_that_it_was_tested_with() -> None:
    served = {"a": ("a1", None), "b": ("b1", None)}
    assert BOUND.not_in_force(served) == []
    assert BOUND.not_in_force({**served, "other": ("o1", None)}) == []
    changed = {**served, "a": ("a2", None)}
    both = ["a: another version was tested", "a HypRank sorts the list"]
    assert BOUND.not_in_force(changed, beyond(sorts=True)) == both
    assert BOUND.outdated({"a": ("a2", None), "c": ("c1", None)}) == ["a", "b", "c"]


SERVED = {name: Serving(fakes.FakeModel(name), f"{name}1", "store") for name in ("a", "b")}


class Order:
    """A HypRank that sorts lists, and leaves them as they are."""

    sorts_readings = True

    def sort(self, request: Any, ranked: Any, shortlist: Any) -> Any:
        return ranked


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ({}, ()),
        ({"hyprank": Order()}, ("a HypRank sorts the list",)),
        ({"shortlisting": object()}, ("a Shortlister chooses the domains",)),
        ({"follows_share": True}, ()),
    ],
)
def test_a_bound_is_not_in_force_with_a_stage_that_it_was_not_tested_with(
    stages: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """The share that settings without a competition are to follow is none."""
    one = Arbitrator(SERVED, STORED, **stages)
    assert one.beyond_bound == expected
    assert one._settings[2] == (UNSET if expected else AnswerRisk(0.02, 0.95))
    (*_, remark) = [None, *outdated(STORED, served(SERVED), one.beyond_bound)]
    assert remark == (f"the bound on risk, at most 2 % wrong, is not in force: {expected[0]}" if expected else None)


def test_no_bound_is_stated_of_a_fallbacks_reading() -> None:
    """It is of the domains that compete: a fallback acts where none of them should."""
    request = Request(utterance="a", hypotheses=(Hypothesis("faq", "Answer"),))
    answer = Arbitrator(SERVED, replace(STORED, fallback="faq")).arbitrate(request).answer
    assert (answer.decision.reason, answer.risk) == ("fallback", UNSET)
    assert Arbitrator(SERVED, STORED).arbitrate(request).answer.risk == AnswerRisk(0.02, 0.95)


@pytest.mark.parametrize("rules", [None, Policy(), Policy(pins=(Pin(domain="a"),))])
@pytest.mark.parametrize("explorer", [None, lambda request, answer, arbitration, policy: (answer, None)])
def test_a_service_states_no_bound_where_its_policy_decides_or_it_explores(rules: Any, explorer: Any) -> None:
    answer = Answer("1", Decision("none"), (), {}, {}, risk=AnswerRisk(0.02, 0.95))
    quiet: Any = SimpleNamespace(count=lambda *_: None, answered=lambda *_: None, unqueried=lambda *_: None)
    files = SimpleNamespace(policy=None if rules is None else SimpleNamespace(value=rules))
    state: Any = SimpleNamespace(
        log=None, metrics=quiet, tracing=None, files=files, explorer=explorer, unread=lambda context: (),
        features=SimpleNamespace(due=lambda: False),
    )  # fmt: skip
    state.beyond_bound = WorkerState.beyond_bound.fget(state)  # type: ignore[attr-defined]
    live: Any = SimpleNamespace(held=lambda: None, broken=frozenset(), by_name={})
    made = answerer(state, live).record(Request(id="1", utterance="a"), Arbitration(answer, {}))
    stated = msgspec.json.decode(made, type=Answer).risk
    decides = rules is not None and rules.decides
    assert stated == (UNSET if decides or explorer else AnswerRisk(0.02, 0.95))
    assert len(state.beyond_bound) == decides + (explorer is not None)


def test_other_settings_that_are_tuned_have_no_bound() -> None:
    tuned = tune(observed(3_000, strength=2.5), STORED)
    assert tuned.refusal is None
    assert (tuned.settings.bound, tuned.settings.accept_by) == (None, None)
    assert unbounded(STORED) == DecisionSettings(version="v1")
    assert unbounded(BASE) is BASE
