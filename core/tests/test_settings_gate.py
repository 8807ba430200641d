"""The gate of decision settings judges them on requests that they were not tuned on, and says on which."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from made_requests import NAMES, observed

from arbitrank import selftest
from arbitrank.arbitration.competition import Competition, Term
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.decisions.observed import Observed
from arbitrank.decisions.tuning import tune
from arbitrank.impact import settings_gate
from arbitrank.impact.observation import Observation
from arbitrank.impact.observed_requests import fingerprints
from arbitrank.impact.settings_gate import settings_reasons
from arbitrank.learn.gains import Gain
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.decision_settings import TuningRecord
from arbitrank.store.kinds import DECISIONS
from arbitrank.values import Hypothesis, Request

SERVED = {name: (f"{name}1", 1.0) for name in NAMES}
BASE = DecisionSettings()
NO_GAIN = Gain(0.0, 0.0, 0.0)


def observation(requests: Observed, first: int = 0) -> Observation:
    """The requests, of which each has a fingerprint of its own, numbered from `first`."""
    prints = np.arange(first, first + len(requests.right), dtype=np.uint32)
    return Observation(requests, (), SERVED, (), None, prints)


def record(seen: Observation, setting: str | None) -> TuningRecord:
    n = len(seen.fingerprints)
    return TuningRecord(n, 0, 0, setting, NO_GAIN, NO_GAIN, NO_GAIN, seen.fingerprints.astype("<u4").tobytes())


def judged(seen: Observation, after: DecisionSettings, tuning: TuningRecord | None) -> tuple[set[str], list[str]]:
    notes: list[str] = []
    reasons = settings_reasons(seen, BASE, after, tuning=tuning, note=notes.append)
    return {one.what for one in reasons}, notes


def test_on_the_requests_tuned_on_each_fold_is_judged_by_what_is_fitted_on_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the very heads by which `tune` chose, so that the gate sees the held-out gain, not that of the fit."""
    requests = observed(2_000, strength=2.5)
    tuned = tune(requests, BASE, SERVED)
    seen, chosen = observation(requests), next(one.setting for one in tuned.choices if one.taken)
    kept: list[float] = []
    calibration = settings_gate.calibration
    monkeypatch.setattr(settings_gate, "calibration", lambda p, y: kept.append(p.mean()) or calibration(p, y))
    reasons, notes = judged(seen, tuned.settings, record(seen, chosen))
    assert reasons == set()
    assert notes == [
        "judged fold by fold, by what is fitted on the other folds: "
        "it was tuned on 2000 of the audit set's 2000 requests"
    ]
    by_folds = kept[1]
    judged(seen, tuned.settings, None)
    assert by_folds != kept[3]
    assert by_folds == pytest.approx(kept[3], abs=0.01)


def test_requests_that_were_not_tuned_on_are_judged_alone() -> None:
    """Settings that are right on those tuned on, and wrong on all others, are refused."""
    before, other = observed(1_000, seed=1), observed(300, seed=2)
    bad = DecisionSettings(competition=Competition({"a": Term(1.0, 25.0)}, 0.0, 0.1))
    tuned_on = observation(before)
    both = Observed(
        NAMES,
        tuple(
            type(one).together(pair) for pair in zip(before.readings, other.readings, strict=True) for one in pair[:1]
        ),
        np.vstack([before.right, other.right]),
        np.vstack([before.owners, other.owners]),
    )
    reasons, notes = judged(observation(both), bad, record(tuned_on, "one slope"))
    assert "irer" in reasons
    assert notes == ["judged on those 300 of the audit set's 1300 requests that it was not tuned on"]


def test_a_setting_that_cannot_be_fitted_again_is_judged_as_it_is() -> None:
    seen = observation(observed(500))
    reasons, notes = judged(seen, BASE, record(seen, "seven slopes"))
    assert reasons == set()
    assert notes == ["judged on requests that it was tuned on: 'seven slopes' cannot be fitted again"]


def test_other_requests_than_those_tuned_on_need_no_remark() -> None:
    reasons, notes = judged(
        observation(observed(500), first=10_000), BASE, record(observation(observed(500)), "one slope")
    )
    assert (reasons, notes) == (set(), [])


def test_a_terms_version_is_kept_in_the_folds() -> None:
    """A domain that has changed since competes by no slope in the folds either."""
    requests = observed(1_000, strength=2.5)
    tuned = tune(requests, BASE, SERVED)
    chosen = next(one.setting for one in tuned.choices if one.taken)
    changed = observation(requests)._replace(served=dict.fromkeys(NAMES, ("new", 1.0)))
    heads = settings_gate._by_folds(changed, tuned.settings, 0, chosen)
    same = settings_gate._by_folds(observation(requests), tuned.settings, 0, chosen)
    assert heads is not None
    assert same is not None
    assert heads.losses.mean() > same.losses.mean() + 0.01


def test_the_same_words_have_the_same_fingerprint() -> None:
    brought = (Hypothesis("a", "Do", 0.5),)
    one, two, three = (Request(id=str(i), utterance="more light", context={"n": i}) for i in range(3))
    four, five = Request(hypotheses=brought), Request(hypotheses=(Hypothesis("a", "Do", 0.6),))
    prints = fingerprints([one, two, three, four, five])
    assert len({*prints.tolist()}) == 3
    assert prints[0] == prints[2]


NOTHING = {"mean": 0, "low": 0, "high": 0}
RECORD = {"n": 1, "out_of_scope": 0, "seed": 0, "setting": None} | dict.fromkeys(
    ("nll_gain", "answer_gain", "domain_gain"), NOTHING
)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"none": NaN}', "JSON is malformed"),
        (b'{"competition": {"null": 1e999}}', "Number out of range"),
        (b'{"competition": {"null": 1e9}}', "Expected `float` <= 30.0 - at `$.competition.null`"),
        (b'{"competition": {"share": 1.0}}', "Expected `float` < 1.0 - at `$.competition.share`"),
        (b'{"competition": {"terms": {"a": {"slope": 1e9}}}}', "Expected `float` <= 10.0"),
        (b'{"competition": {"terms": {"a": {"slope": -1}}}}', "Expected `float` >= 0.0"),
        (b"[1, 2]", "Expected `object`, got `array`"),
        (pickle.dumps({"none": 0.5}), "JSON is malformed"),
        (b'{"scales": {"a": {"nope": "0..1"}}}', 'scales of a: scale of "nope": no such score'),
        (b"{}", None),
    ],
)
def test_settings_made_by_hand_fail_their_self_test(tmp_path: Path, content: bytes, problem: str | None) -> None:
    (tmp_path / "decisions.json").write_bytes(content)
    seal(tmp_path, Manifest(domain=DECISIONS, package="arbitrank", package_version="0"))
    found = selftest.problem(tmp_path, DECISIONS)
    assert found == problem if problem is None else problem in (found or "")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (b"garbage", "no record of its tuning that can be read"),
        (json.dumps({**RECORD, "seed": -1}).encode(), "Expected `int` >= 0 - at `$.seed`"),
        (json.dumps({**RECORD, "requests": "AAA="}).encode(), "fingerprints of 2 bytes, expected 4 each"),
    ],
)
def test_a_record_of_tuning_made_by_hand_fails_the_self_test(tmp_path: Path, record: bytes, problem: str) -> None:
    (tmp_path / "decisions.json").write_bytes(b"{}")
    (tmp_path / "tuning.json").write_bytes(record)
    seal(tmp_path, Manifest(domain=DECISIONS, package="arbitrank", package_version="0"))
    assert problem in (selftest.problem(tmp_path, DECISIONS) or "")
