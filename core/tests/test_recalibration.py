"""A recalibration: one scale and one shift of a version's log-odds."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.arbitration.outcomes import Answered
from arbitrank.arbitration.own_claims import own_claims
from arbitrank.arbitration.recalibration import (
    Recalibration,
    as_reported,
    recalibrated,
    recalibrated_groups,
    recalibration,
)
from arbitrank.domain import Scores
from arbitrank.probability import logit
from arbitrank.store.state import State, served_with
from arbitrank.values import Answer, Decision, DomainReport

MAPS = st.builds(Recalibration, st.floats(0.01, 1.0), st.floats(-20.0, 20.0))


@given(st.floats(0.0, 1.0), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5), MAPS)
def test_readings_never_sum_to_more_than_p_mine_and_keep_their_order(
    mine: float, shares: list[float], by: Recalibration
) -> None:
    right = np.array(shares) * (mine / max(sum(shares), 1.0))
    after = recalibrated(Scores(mine, right), by)
    assert 0.0 <= after.mine <= 1.0
    assert after.right.sum() <= after.mine + 1e-9
    assert all(np.diff(after.right[np.argsort(right, kind="stable")]) >= -1e-12)
    together = recalibrated_groups(np.array([mine]), right, np.array([0]), by)
    assert together[0][0] == pytest.approx(after.mine)
    assert together[1] == pytest.approx(after.right)


def test_log_odds_are_scaled_and_then_shifted() -> None:
    after = recalibrated(Scores(0.9, np.array([0.8])), Recalibration(0.5, -1.0))
    assert logit(after.mine) == pytest.approx(0.5 * logit(0.9) - 1.0)
    assert recalibration(1.0) is None
    scores = Scores(0.9, np.array([0.8]))
    assert recalibrated(scores, None) is scores


def test_a_state_of_before_has_a_temperature_and_is_read() -> None:
    state = msgspec.json.decode(b'{"stable": "aaaaaaaaaaaa", "temperature": 2.0}', type=State)
    assert state.served_by == Recalibration(0.5)
    assert str(state) == "stable aaaaaaaaaaaa, temperature 2"


@given(MAPS)
@example(Recalibration(1.0, 0.0))
def test_a_state_keeps_its_recalibration_and_a_scale_alone_as_before(by: Recalibration) -> None:
    state = msgspec.json.decode(msgspec.json.encode(served_with(State(), by)), type=State)
    served = state.served_by or Recalibration()  # the identity is kept as none
    assert served.scale == pytest.approx(by.scale, rel=1e-8)
    assert served.shift == by.shift
    assert math.isclose(state.temperature, 1.0 / by.scale, rel_tol=1e-8)  # for a reader of before
    assert served_with(state, None) == State()
    assert b"recalibration" not in msgspec.json.encode(served_with(State(), Recalibration(0.5)))


def test_an_answer_reports_what_it_was_recalibrated_by() -> None:
    assert as_reported(DomainReport("answered", "v1", shrunk=2.0, shift=-1.0)) == Recalibration(0.5, -1.0)
    assert as_reported(DomainReport("answered", "v1")) is None


def test_a_log_has_the_claims_as_the_competition_received_them() -> None:
    scores = Scores(0.9, np.array([0.8, 0.1]))
    outcome = Answered((), scores, None, 0.0, 0.0)
    report = DomainReport("answered", "v1", shrunk=2.0)
    answer = Answer("1", Decision("none"), (), {"apples": report, "pears": DomainReport("answered", "v1")}, {})
    silent = Answered((), Scores(0.0, np.zeros(0)), None, 0.0, 0.0)
    claims = own_claims(Arbitration(answer, {"apples": outcome, "pears": outcome, "plums": silent}))
    assert claims["pears"] == (0.9, 0.8)
    assert claims["apples"] == (0.75, pytest.approx(2 / 3 * min(1.0, 0.75 / (2 / 3 + 0.25)), abs=1e-6))
