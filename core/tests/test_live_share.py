"""The share of out-of-scope requests that a service follows: where it goes, how far, and what does not count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_requests import NAMES, observed

from arbitrank.arbitration.arbitrator import Arbitration, Arbitrator
from arbitrank.arbitration.competition import Competition, compete_all
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.following import ShareFollowing, read_following, with_share
from arbitrank.configuration import read_configuration
from arbitrank.decisions.scope_share import estimate_share
from arbitrank.decisions.tuning import tune
from arbitrank.errors import InputError
from arbitrank.live.share import FollowedShare
from arbitrank.values import Answer, Decision, DomainReport, Request

QUICK = ShareFollowing(follow=True, half_life=300.0)
TUNED = DecisionSettings(competition=Competition({}, -2.0, 0.1), version="0" * 12)


def followed(settings: ShareFollowing = QUICK, decisions: DecisionSettings = TUNED) -> tuple[FollowedShare, Arbitrator]:
    share = FollowedShare(settings)
    share.begin(Arbitrator({}, decisions))
    return share, share.exchange(Arbitrator({}, decisions))


def answered(arbitrator: Arbitrator, none: float, **reports: str) -> Arbitration:
    """An answer with this P(no domain), and domains of these statuses."""
    domains = {name: DomainReport(status) for name, status in reports.items()}  # type: ignore[arg-type]
    return Arbitration(Answer(None, Decision("none"), (), domains, {}), {}, arbitrator.decisions, none)


def fed(share: FollowedShare, arbitrator: Arbitrator, none: float, n: int) -> Arbitrator:
    for _ in range(n):
        if share.count(answered(arbitrator, none)):
            arbitrator = share.exchange(arbitrator)
    return arbitrator


def test_the_share_goes_to_that_of_the_traffic() -> None:
    """And to where expectation maximisation on all of it at once ends, but for the noise of the latest requests."""
    decisions = tune(observed(3_000, none=0.05, strength=2.0)).settings
    traffic = observed(3_000, none=0.16, seed=5, strength=2.0)
    share, arbitrator = followed(decisions=decisions)
    tuned = decisions.competition
    assert tuned is not None
    assert tuned.share is not None
    for i in range(3_000):
        one = arbitrator.decisions.competition
        assert one is not None
        _, none = compete_all(traffic.mine[:, i : i + 1], traffic.has[:, i : i + 1], one.all_terms(NAMES), one.null)
        if share.count(answered(arbitrator, float(none[0]))):
            arbitrator = share.exchange(arbitrator)
    _, chances = compete_all(traffic.mine, traffic.has, tuned.all_terms(NAMES), tuned.null)
    status = share.status()
    assert status is not None
    assert status.n == 3_000
    assert status.share == pytest.approx(estimate_share(chances, tuned.share).share, abs=0.04)
    assert abs(status.share - 0.16) < abs(tuned.share - 0.16) + 0.03
    now = arbitrator.decisions.competition
    assert now is not None
    assert now.null == pytest.approx(with_share(tuned, status.share).null)


@pytest.mark.parametrize(("none", "bound"), [(1.0, 4 / 13), (0.0, 1 / 37)])
def test_nonsense_moves_it_no_further_than_its_bounds(none: float, bound: float) -> None:
    share, arbitrator = followed()
    arbitrator = fed(share, arbitrator, none, 20_000)
    status = share.status()
    assert status is not None
    assert status.share == pytest.approx(bound, rel=0.03)  # odds of 1 to 9, times or divided by 4
    assert status.low <= status.share <= status.high
    assert arbitrator.decisions.competition is not None
    assert arbitrator.decisions.competition.share == status.share


def test_bounds_hold_whatever_was_tuned() -> None:
    wide = ShareFollowing(factor=100.0)
    assert wide.bounds(0.1) == pytest.approx((0.005, 0.6))
    assert wide.bounds(0.9)[1] == 0.9  # what was tuned goes before
    assert ShareFollowing().bounds(0.002)[0] == 0.002


def test_it_is_slow() -> None:
    """After the half-life half of the way is gone."""
    share, arbitrator = followed(ShareFollowing(follow=True, factor=100.0, most=0.9, half_life=1_000.0))
    fed(share, arbitrator, 1.0 - 1e-9, 1_000)
    status = share.status()
    assert status is not None
    assert status.share == pytest.approx(0.1 + 0.9 * 0.5, abs=0.03)


@pytest.mark.parametrize("status", ["failed", "late", "unserved"])
def test_a_request_that_some_domain_could_not_claim_does_not_count(status: str) -> None:
    share, arbitrator = followed()
    assert not share.count(answered(arbitrator, 1.0, lights="answered", shades=status))
    found = share.status()
    assert found is not None
    assert found.n == 0
    share.count(answered(arbitrator, 1.0, lights="answered", shades="skipped"))  # not in the request
    assert share.status() != found


def test_the_same_settings_go_on_and_others_begin_again() -> None:
    share, arbitrator = followed()
    arbitrator = fed(share, arbitrator, 1.0, 500)
    moved = share.status()
    share.begin(Arbitrator({}, TUNED))
    assert share.status() == moved
    share.begin(Arbitrator({}, DecisionSettings(competition=Competition({}, -1.0, 0.2), version="1" * 12)))
    again = share.status()
    assert again is not None
    assert (again.share, again.tuned, again.n) == (0.2, 0.2, 0)
    share.begin(Arbitrator({}, DecisionSettings()))
    assert share.status() is None
    assert share.exchange(arbitrator) is arbitrator


def test_answers_name_the_share_where_it_is_followed() -> None:
    _, arbitrator = followed()
    assert arbitrator.answer(Request(hypotheses=())).out_of_scope_share == 0.1
    assert not Arbitrator({}, TUNED).answer(Request(hypotheses=())).out_of_scope_share


def test_the_file_states_the_bounds(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[out_of_scope]\nfollow = true\nhalf_life = 20_000\nmost = 0.3\n")
    assert read_configuration(file).out_of_scope == ShareFollowing(True, most=0.3, half_life=20_000.0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"folow": True}, "key 'folow': unknown, expected follow, factor, least, most, half_life"),
        ({"factor": 0.5}, "factor: 0.5 is out of range, expected a number in [1, 100]"),
        ({"half_life": 1}, "half_life: 1.0 is out of range, expected a number in [100, 1e+09]"),
        ({"most": float("nan")}, "most: nan is out of range"),
        ({"least": 0.5, "most": 0.2}, "least: 0.5 is above most, 0.2"),
        ({"follow": "yes"}, "Expected `bool`, got `str` - at `$.follow`"),
    ],
)
def test_settings_out_of_range_are_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=r"^a\.toml: out_of_scope") as error:
        read_following(table, "a.toml: out_of_scope")
    assert message in str(error.value)


def test_numbers_of_a_request_that_is_certain_are_finite() -> None:
    share, arbitrator = followed()
    for none in (0.0, 1.0, 1e-300):
        share.count(answered(arbitrator, none))
    status = share.status()
    assert status is not None
    assert np.isfinite(status.share)
