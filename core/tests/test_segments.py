"""Segments of requests: which there are, how badly calibrated one looks by chance, and which a candidate breaks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import fakes
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from arbitrank.domain import Domain
from arbitrank.evaluate.metrics import Calibration, ece
from arbitrank.evaluate.segment_calibration import broken_segments, range_tail, segment_calibration
from arbitrank.evaluate.segment_report import SegmentCalibration
from arbitrank.evaluate.segments import LEAST, SegmentTable, Situation, situation
from arbitrank.probability import sigmoid
from arbitrank.promotion import consider
from arbitrank.store.store import open_store
from arbitrank.training.figures import ClaimRows, figures_of

Arrays = tuple[np.ndarray, np.ndarray, list[Situation]]


def made(n: int, seed: int, noise: float = 0.0) -> Arrays:
    """Log-odds of calibrated claims, their outcomes, and situations of three devices, two locales and five intents."""
    rng = np.random.default_rng(seed)
    z = rng.normal(1.0, 2.0, n)
    y = (rng.random(n) < sigmoid(z)).astype(np.float64)
    devices, intents = rng.choice(["tv", "phone", "car"], n, p=[0.2, 0.7, 0.1]), rng.choice(list("abcde"), n)
    known = [
        situation({"device": device, "locale": "en" if i % 2 else "de", "preference.x": 1.0}, i % 60, intent)
        for i, (device, intent) in enumerate(zip(devices.tolist(), intents.tolist(), strict=True))
    ]
    return z + noise * rng.normal(size=n), y, known


# ------------------------------------------------------------------------------------------------------------ segments


def test_segments_are_named_in_words_and_have_enough_requests() -> None:
    table = SegmentTable.of(made(1_000, 0)[2])
    names = [one.text for one in table.segments()]
    assert {"device tv", "device phone", "locale en", "intent a", "length up to 10", "length 21 to 40"} <= {*names}
    assert all(len(one.places) >= LEAST for one in (*table.segments(), *table.pairs()))
    assert any(one.text == "device phone, locale en" for one in table.pairs())
    assert not any(one.text.startswith("preference") for one in table.segments())


def test_what_all_requests_have_is_no_segment() -> None:
    known = [situation({"locale": "en", "room": i % 2 == 0}, 15) for i in range(200)]
    assert [one.text for one in SegmentTable.of(known).segments()] == ["room false", "room true"]
    assert [*SegmentTable.of([]).segments()] == []


@given(
    st.dictionaries(st.text(max_size=70), st.one_of(st.booleans(), st.text(max_size=70), st.none()), max_size=3),
    st.one_of(st.none(), st.integers(0, 1 << 31)),
)
def test_any_context_has_labels(context: dict[str, Any], length: int | None) -> None:
    labels = situation(context, length, "Do")
    assert labels[0] == ("intent", "Do")
    assert all(len(label) <= 60 for _, label in labels)


# --------------------------------------------------------------------------------------------------------- calibration


def test_the_tail_is_that_of_the_range_of_a_brownian_motion() -> None:
    steps = np.random.default_rng(0).normal(size=(4_000, 400)) / math.sqrt(400)
    sums = np.cumsum(steps, axis=1)
    ranges = np.maximum(sums.max(axis=1), 0.0) - np.minimum(sums.min(axis=1), 0.0)
    for x in (1.0, 1.5, 2.0, 2.5):
        assert (ranges > x).mean() == pytest.approx(range_tail(x), abs=0.08)
    assert range_tail(0.1) == 1.0
    assert range_tail(8.0) < 1e-12


@given(st.integers(0, 1 << 20))
@hypothesis_settings(max_examples=15)
def test_the_error_is_at_most_the_mean_distance_and_at_least_the_bias(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, known = rng.random(400).round(1), [situation({"device": "tv" if i % 2 else "car"}, 5) for i in range(400)]
    y = (rng.random(400) < 0.6).astype(np.float64)
    found = segment_calibration(p, y, SegmentTable.of(known)).worst
    assert found is not None
    at = np.array([dict(one)["device"] == found.segment.removeprefix("device ") for one in known])
    assert abs(found.over) - 1e-9 <= found.error <= ece(p[at], y[at], bins=200) + 1e-9 + 0.2
    assert found.over == pytest.approx((p[at] - y[at]).mean())


def test_calibrated_claims_alarm_as_rarely_as_stated() -> None:
    found = []
    for seed in range(60):
        z, y, known = made(800, seed)
        found.append(segment_calibration(sigmoid(z), y, SegmentTable.of(known)))
    assert sum(one.found for one in found) <= 8
    assert sum(one.pair_p_value < 0.05 for one in found) <= 8


def test_a_segment_that_is_wrong_is_named_with_its_size() -> None:
    z, y, known = made(3_000, 1)
    tv = np.array([dict(one)["device"] == "tv" for one in known])
    found = segment_calibration(sigmoid(z + 1.5 * tv), y, SegmentTable.of(known))
    assert found.found
    assert found.worst is not None
    assert found.worst.segment == "device tv"
    assert found.worst.detectable < found.worst.error
    assert "device tv: off by" in found.worst.text
    assert "over-confident by" in found.worst.text
    again = msgspec.json.decode(msgspec.json.encode(found), type=SegmentCalibration)
    assert again == found


def test_certain_claims_are_judged_by_draws() -> None:
    known = [situation({"device": "tv" if i % 2 else "car"}, 5) for i in range(400)]
    y = np.ones(400)
    sure = np.full(400, 0.9999)
    assert not segment_calibration(sure, y, SegmentTable.of(known)).found
    y[1:21:2] = 0.0
    found = segment_calibration(sure, y, SegmentTable.of(known))
    assert found.found
    assert found.worst is not None
    assert found.worst.segment == "device tv"


# ------------------------------------------------------------------------------------------------------------ the gate


@pytest.mark.parametrize("strength", [1.0, 0.6], ids=["calibrated", "off everywhere"])
def test_candidates_that_are_as_good_are_hardly_ever_refused_and_broken_ones_are(strength: float) -> None:
    refused = missed = 0
    for seed in range(25):
        z, y, known = made(1_200, seed)
        table, rng = SegmentTable.of(known), np.random.default_rng(seed + 1_000)
        before, after = (sigmoid(strength * z + 0.2 * rng.normal(size=len(z))) for _ in range(2))
        refused += bool(broken_segments(before, y, after, y, table))
        phone = np.array([dict(one)["device"] == "phone" for one in known])
        worse = sigmoid(strength * z + 1.8 * phone)
        missed += not any(one.after.segment == "device phone" for one in broken_segments(before, y, worse, y, table))
    assert refused <= 2
    assert missed <= 2


def test_a_promotion_that_breaks_a_segment_is_refused_by_its_name(domains: dict[str, Domain], tmp_path: Path) -> None:
    """A candidate that claims too much is off most where its domain is sure."""
    store, rng = open_store(tmp_path / "store", environment={}), np.random.default_rng(0)
    for name in ("lights", "shades"):
        fakes.artifact(tmp_path / name, name, strength=1.0)
        store.publish(tmp_path / name, promote=True)
    rows = []
    for i in range(600):
        p, device = float(rng.choice([0.3, 0.7, 0.8])), ("tv", "phone")[i % 2]
        hypotheses = [
            {"domain": "lights", "intent": "Do", "domain_confidence": p, "intent_confidence": 0.99},
            {"domain": "shades", "intent": "Do", "domain_confidence": 1.0 - p, "intent_confidence": 0.99},
        ]
        owner = "lights" if rng.random() < p else "shades"
        line = {"utterance": f"light {i}", "context": {"device": device}, "hypotheses": hypotheses}
        rows.append({**line, "truth": {"domain": owner, "intent": "Do"}})
    audit = tmp_path / "audit.jsonl"
    audit.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store.set_audit_set(audit)
    fakes.artifact(tmp_path / "same", "lights", fakes.CARD, strength=1.01)
    store.publish(tmp_path / "same")
    assert "segment" not in {one.what for one in consider(store, domains, "lights").reasons}
    fakes.artifact(tmp_path / "greedy", "lights", fakes.CARD, strength=4.0)
    store.publish(tmp_path / "greedy")
    judged = consider(store, domains, "lights")
    (reason,) = (one for one in judged.reasons if one.what == "segment")
    assert "it is worse calibrated in a segment: device " in reason.text
    assert judged.impact is not None
    assert judged.impact.segments is not None
    assert judged.impact.segments.after.found


def test_a_card_names_the_worst_segment() -> None:
    z, y, known = made(600, 3)
    p = sigmoid(z)
    rows = np.column_stack([p, y, p, y, np.ones(len(p))])
    card = figures_of(ClaimRows(rows, known)).card
    assert isinstance(card.segments, SegmentCalibration)
    assert card.segments.segments > 5
    assert msgspec.json.decode(msgspec.json.encode(card), type=Calibration) == card
