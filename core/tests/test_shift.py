"""Shifts of the held-out traffic, and what systems show under them, re-estimated or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.competition import Competition, Term
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.following import with_share
from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.shift import Outcomes, ShiftedSystem, outcomes, re_estimated, recalibrated, remarks, under_shift
from arbitrank.evaluate.shifts import BENDS, UNSEEN, Bend, Shift, changes, shifts
from arbitrank.probability import log_loss, log_odds, sigmoid
from arbitrank.values import Example, Hypothesis, Request, Truth

NAMES = ("a", "b", "c")
SHARE = 0.1
NULL = 2.0
CALIBRATED = DecisionSettings(
    competition=Competition({name: Term() for name in NAMES}, NULL + float(np.log(SHARE)), SHARE)
)
"""Settings under which the domains of `observed` are calibrated where a tenth of the requests is out of scope."""


def observed(n: int, *, seed: int = 0, reading: float = 0.9) -> Observed:
    """Requests to three domains, a tenth of them out of scope; the domains are calibrated by `CALIBRATED`."""
    rng = np.random.default_rng(seed)
    owner = rng.choice(4, n, p=[*[(1.0 - SHARE) / 3] * 3, SHARE])
    mean, own = 2.0, np.arange(3) == owner[:, None]
    z = rng.normal(np.where(own, mean, 0.0), 1.0)  # the likelihood ratio of owned to not owned is exp(2 z - 2)
    odds = 2.0 * z - 2.0 + NULL + np.log((1.0 - SHARE) / 3)
    mine = sigmoid(odds)
    right = own & (rng.random((n, 1)) < reading)
    readings = [BestReadings(p, p * reading, np.zeros(n, np.int32), p * reading) for p in mine.T]
    return Observed(NAMES, tuple(readings), right, np.arange(4) == owner[:, None])


def examples(requests: Observed, devices: tuple[str, ...] = ("tv", "phone")) -> tuple[Example, ...]:
    names = (*NAMES, None)
    owner = requests.owners.argmax(axis=1)
    return tuple(
        Example(Request(id=f"{i}", utterance="x", context={"device": devices[i % len(devices)]}), Truth(names[k]))
        for i, k in enumerate(owner.tolist())
    )


def system(requests: Observed, settings: DecisionSettings = CALIBRATED) -> ShiftedSystem:
    return ShiftedSystem(requests, [(np.arange(len(requests.right)), settings)], {})


REQUESTS = observed(4_000)
HELD = examples(REQUESTS)
CORPUS = Corpus("x", NAMES, (), (), HELD, "dev", ())
SHIFTS = {one.name: one for one in shifts(REQUESTS, CORPUS, [])}


# -------------------------------------------------------------------------------------------------------------- shifts


@pytest.mark.parametrize("one", SHIFTS.values(), ids=lambda one: one.name)
def test_weights_are_one_on_average_and_only_scope_shifts_change_the_share_out_of_scope(one: Shift) -> None:
    none = REQUESTS.out_of_scope
    assert one.weight.mean() == pytest.approx(1.0)
    assert 0.0 < one.effective <= len(none) + 1e-6
    share = one.weight[none].sum() / one.weight.sum()
    expected = float(one.name.split()[0]) / 100 if one.kind == "out of scope" else none.mean()
    assert share == pytest.approx(expected, rel=0.05 if one.kind == "context" else 1e-9)


@pytest.mark.parametrize(("name", "factor"), [("a × 4", 4.0), ("a ÷ 4", 0.25)])
def test_a_domain_counts_so_many_times_against_the_others(name: str, factor: float) -> None:
    (name,) = [one for one in SHIFTS if one.endswith(name[1:])][:1]
    own = REQUESTS.owners[:, NAMES.index(name[0])]
    rest = ~own & ~REQUESTS.out_of_scope
    assert SHIFTS[name].weight[own].mean() / SHIFTS[name].weight[rest].mean() == pytest.approx(factor)


def test_a_value_of_the_context_counts_four_times() -> None:
    weight = SHIFTS["device=tv × 4"].weight
    assert weight[0] / weight[1] == pytest.approx(4.0)
    assert not [
        one
        for one in shifts(REQUESTS, dataclasses.replace(CORPUS, held=examples(REQUESTS, ("tv",))), [])
        if one.kind == "context"
    ]


def test_requests_are_changed_in_the_context_or_in_one_domains_confidences() -> None:
    found = {one.name: one for one in changes(CORPUS)}
    assert list(found)[len(BENDS) :] == [f"device: {UNSEEN}", "device: missing"]
    request = Request(utterance="x", context={"device": "tv", "room": "hall"}, hypotheses=(Hypothesis("a", "i", 0.5),))
    assert found[f"device: {UNSEEN}"](request).context == {"device": UNSEEN, "room": "hall"}
    assert found["device: missing"](request).context == {"room": "hall"}
    assert found["device: missing"](Request(utterance="x")) == Request(utterance="x")
    preferring = Example(Request(utterance="x", context={"preference.a": 0.5, "preference.b": 0.1}), Truth("a"))
    (last,) = [one for one in changes(dataclasses.replace(CORPUS, held=(preferring,) * 30)) if one.key is not None]
    assert last(preferring.request).context == {}
    bent = next(one for one in found.values() if one.bend == Bend(1.0, 1.0))
    assert bent.domain in NAMES
    assert not bent.concerns("other")
    assert found["device: missing"].concerns("other")
    (hypothesis,) = bent(request).hypotheses or ()
    assert hypothesis.domain_confidence == pytest.approx(sigmoid(np.array(1.0)))
    lacking = Request(utterance="x", hypotheses=(Hypothesis("a", "i"),))
    assert bent(lacking) == lacking


# ------------------------------------------------------------------------------------------------------------ outcomes


@given(st.lists(st.integers(0, 3), min_size=40, max_size=40).filter(any), st.integers(0, 3))
def test_a_weight_counts_a_request_as_often_as_it_says(counts: list[int], seed: int) -> None:
    requests = observed(40, seed=seed)
    weight = np.array(counts, np.float64)
    plain = Shift("none", "none", np.ones(40))
    (_, row) = under_shift({"s": system(requests)}, [plain, Shift("domains", "x", weight)], "s")
    again = observed_again(requests, np.repeat(np.arange(40), counts))
    (repeated,) = under_shift({"s": system(again)}, [Shift("none", "none", np.ones(len(again.right)))], "s")
    for name in ("domain_accuracy", "irer", "nll", "over_confidence"):
        assert row["systems"]["s"][name] == pytest.approx(repeated["systems"]["s"][name], abs=1e-9)
    shares = (one["systems"]["s"]["re_estimated"]["out_of_scope_shares"] for one in (row, repeated))
    assert next(shares) == pytest.approx(next(shares), abs=1e-6)


def observed_again(requests: Observed, places: np.ndarray) -> Observed:
    return requests.at(places)


def test_the_share_out_of_scope_is_estimated_again_without_truths() -> None:
    rows = {row["shift"]: row["systems"]["s"] for row in under_shift({"s": system(REQUESTS)}, [*SHIFTS.values()], "s")}
    assert rows["as held out"]["ece_in_band"]
    shifted = rows["40 % out of scope"]
    again = shifted["re_estimated"]
    assert not shifted["ece_in_band"]
    assert shifted["over_confidence"] > 0.05
    assert again["ece_in_band"]
    assert again["out_of_scope_shares"] == pytest.approx((0.4,), abs=0.05)
    assert again["nll"] < shifted["nll"]
    assert again["against_baseline"] == {}


def test_settings_without_a_share_have_nothing_to_estimate_again() -> None:
    (row,) = under_shift({"s": system(REQUESTS, DecisionSettings())}, [SHIFTS["40 % out of scope"]], "s")
    assert row["systems"]["s"]["re_estimated"] is None


def test_settings_without_a_share_are_tuned_again_for_the_traffic_where_its_share_is_what_shifts() -> None:
    seen = []

    def retune(traffic: Sequence[BestReadings]) -> tuple[DecisionSettings, float] | None:
        seen.append(traffic)
        return (CALIBRATED, 0.3) if len(seen) == 1 else None

    plain = ShiftedSystem(REQUESTS, system(REQUESTS, DecisionSettings()).parts, {}, None, retune)
    one = SHIFTS["40 % out of scope"]
    again = re_estimated(plain, one)
    assert again is not None
    assert again.shares == (0.3,)
    assert np.array_equal(again.probability, outcomes(system(REQUESTS), one).probability)
    (traffic,) = seen
    assert len(traffic) == 3
    none = np.isin(traffic[0].mine, REQUESTS.readings[0].mine[REQUESTS.out_of_scope])
    assert none.mean() == pytest.approx(0.4, abs=0.03)
    assert re_estimated(plain, one) is None
    assert re_estimated(plain, SHIFTS["a × 4"]) is None


def test_a_bent_domain_is_calibrated_again_by_its_own_requests() -> None:
    bent = Shift("scores", "a", np.ones(4_000), 0, Bend(2.0, 1.0))
    plain, before, after = (
        measure(system(REQUESTS), one)
        for one, measure in ((SHIFTS["as held out"], outcomes), (bent, outcomes), (bent, re_estimated))
    )
    assert after is not None
    losses = [nll(one) for one in (plain, before, after)]
    assert losses[1] > losses[0] + 0.01
    assert losses[2] < losses[0] + 0.5 * (losses[1] - losses[0])
    first = recalibrated(REQUESTS, 0).readings[0]
    assert (first.best == REQUESTS.readings[0].best).all()


def nll(one: Outcomes) -> float:
    return float(log_loss(one.probability, one.right).mean())


def test_a_bent_domain_competes_by_its_own_log_odds() -> None:
    """A slope and a bias were fitted to another version of it."""
    steep = Competition({"a": Term(5.0, 1.0)}, NULL + float(np.log(SHARE)), SHARE)
    bent = Shift("scores", "a", np.ones(4_000), 0, Bend(1.0, 0.0))
    one, other = (
        outcomes(system(REQUESTS, DecisionSettings(competition=each)), bent) for each in (steep, CALIBRATED.competition)
    )
    assert np.array_equal(one.probability, other.probability)


def test_a_shift_decides_on_the_changed_requests() -> None:
    silent = REQUESTS._replace(readings=tuple(BestReadings.empty(4_000) for _ in NAMES))
    changed = ShiftedSystem(REQUESTS, system(REQUESTS).parts, {"device: missing": silent})
    one = Shift("context", "device: missing", np.ones(4_000), change="device: missing")
    assert np.array_equal(outcomes(changed, one).answer, REQUESTS.out_of_scope.astype(float))


def test_parts_of_the_requests_are_decided_by_settings_of_their_own() -> None:
    half = np.arange(4_000) % 2 == 0
    parts = [(np.flatnonzero(half), CALIBRATED), (np.flatnonzero(~half), DecisionSettings(none=0.0))]
    found = outcomes(ShiftedSystem(REQUESTS, parts, {}), SHIFTS["as held out"])
    whole = outcomes(system(REQUESTS), SHIFTS["as held out"])
    assert np.array_equal(found.probability[half], whole.probability[half])
    assert np.array_equal(found.answer[~half], REQUESTS.out_of_scope[~half].astype(float))


@given(st.floats(0.01, 0.8), st.floats(0.01, 0.8))
def test_the_share_of_a_competition_is_replaced_and_kept_within_bounds(first: float, second: float) -> None:
    assert CALIBRATED.competition is not None
    once = with_share(with_share(CALIBRATED.competition, first), second)
    assert once.null == pytest.approx(with_share(CALIBRATED.competition, second).null)
    assert once.share == pytest.approx(second)
    assert with_share(CALIBRATED.competition, 0.0).share == 0.005
    assert with_share(CALIBRATED.competition, 1.0).share == 0.9


def test_a_competition_without_a_share_keeps_it() -> None:
    with pytest.raises(ValueError, match="no share"):
        with_share(Competition(), 0.1)


def test_bends_are_of_log_odds() -> None:
    p = np.array([0.1, 0.5, 0.9])
    assert log_odds(Bend(2.0, -1.0)(p)) == pytest.approx(2.0 * log_odds(p) - 1.0)


# ------------------------------------------------------------------------------------------------------------- remarks


def test_differences_are_from_the_baseline_under_the_same_shift() -> None:
    systems = {"R0": system(REQUESTS, DecisionSettings()), "tuned": system(REQUESTS)}
    row = under_shift(systems, [SHIFTS["40 % out of scope"]], "R0")[0]["systems"]
    for measure in ("domain_accuracy", "irer", "nll"):
        difference = row["tuned"]["against_baseline"][measure]
        assert difference.mean == pytest.approx(row["tuned"][measure] - row["R0"][measure])
        assert difference.low < difference.mean < difference.high


def test_a_sentence_says_where_calibration_leaves_its_band() -> None:
    chosen = [SHIFTS[name] for name in ("as held out", "40 % out of scope")]
    (text,) = remarks(under_shift({"s": system(REQUESTS)}, chosen, "s"))
    assert text.startswith("s: ECE is above its band in 1 of 2 rows: 40 % out of scope ")
    assert " > " in text
    assert "(re-estimated " in text
    (text,) = remarks(under_shift({"s": system(REQUESTS)}, chosen[:1], "s"))
    assert text == "s: ECE is in its band in all 1 rows"


def test_a_sentence_says_where_a_system_is_worse_than_the_baseline() -> None:
    systems = {"R0": system(REQUESTS), "none": system(REQUESTS, DecisionSettings(none=0.0)), "x": system(REQUESTS)}
    systems["y"] = systems["none"]
    found = list(remarks(under_shift(systems, [SHIFTS["1 % out of scope"]], "R0")))
    assert "none: domain accuracy is surely worse than that of R0 in 1: 1 % out of scope -" in "\n".join(found)
    assert "none: IRER is surely worse than that of R0 in 1: 1 % out of scope +" in "\n".join(found)
    assert "y: as none" in found
    assert "x: as R0" in found
