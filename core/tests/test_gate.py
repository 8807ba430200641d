"""The gate: its reasons to refuse, candidates that pass, and the effect of shrinking."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from benchmarks.exchanged import World, doubled, world
from msgspec.structs import replace

from arbitrank.evaluate.intervals import Estimate
from arbitrank.evaluate.metrics import Calibration
from arbitrank.impact.gate import GateLimits, judge, losing_neighbours, over_limit
from arbitrank.impact.plan import ReplayPlan, plan
from arbitrank.impact.recalibrating import fit
from arbitrank.impact.report import Impact, measure
from arbitrank.store.artifact import read_card
from arbitrank.store.store import Store, open_store

OVER = "domain3"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("world"), train=1_500, held=3_000)


@pytest.fixture(scope="module")
def store(made: World, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made.fill(open_store(tmp_path_factory.mktemp("store"), environment={}))


def planned(made: World, store: Store, name: str, candidate: Path) -> ReplayPlan:
    return plan(made.domains, store, name, candidate)


def measured(made: World, replayed: ReplayPlan) -> Impact:
    return measure(replayed, made.audit, card=read_card(replayed.candidate.folder))[0]


@pytest.fixture(scope="module")
def overconfident(made: World, store: Store, tmp_path_factory: pytest.TempPathFactory) -> ReplayPlan:
    """The exchange of a domain for itself with its log-odds doubled."""
    return planned(made, store, OVER, doubled(made.artifacts[OVER], tmp_path_factory.mktemp("twice") / "a"))


@pytest.fixture(scope="module")
def doubling(made: World, overconfident: ReplayPlan) -> Impact:
    return replace(measured(made, overconfident), segments=None)  # which have tests of their own


def test_a_domain_with_doubled_log_odds_is_refused_and_the_losing_neighbours_are_named(doubling: Impact) -> None:
    reasons = judge(doubling, doubling.card)
    assert reasons
    assert "limit" in {one.what for one in reasons}
    takes = {pair.before for pair in doubling.pairs if pair.after == OVER and pair.right_to_wrong}
    named = {name for one in reasons for name in one.neighbours}
    assert named
    assert named == set(losing_neighbours(doubling)) == takes - {OVER, None}
    assert all(name in " ".join(one.text for one in reasons) for name in named)


def test_shrinking_brings_it_back_to_within_two_tenths_of_a_point(
    made: World, overconfident: ReplayPlan, doubling: Impact
) -> None:
    assert doubling.pooled
    assert doubling.pooled.difference["irer"].mean > 0.001
    found, before, shrunk = fit(overconfident, made.audit)
    assert found.recalibration is not None
    assert found.recalibration.temperature == pytest.approx(2.0, rel=0.2)
    assert shrunk.ece < 0.5 * before.ece
    shrunken = dataclasses.replace(overconfident.candidate, recalibration=found.recalibration)
    after = measured(made, dataclasses.replace(overconfident, candidate=shrunken))
    assert after.pooled
    assert abs(after.pooled.difference["irer"].mean) <= 0.002
    assert judge(after, after.card) == []


def test_a_calibrated_domain_is_not_shrunk(made: World, store: Store) -> None:
    found, _, _ = fit(planned(made, store, OVER, made.artifacts[OVER]), made.audit)
    assert found.recalibration is None or found.recalibration.scale > 0.8


@pytest.fixture(scope="module")
def poor(made: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A domain that learned from very few examples."""
    return made.build(OVER, tmp_path_factory.mktemp("poor") / "a", 40)


def test_a_truly_better_candidate_passes(made: World, store: Store, poor: Path) -> None:
    candidate = made.artifacts[OVER]
    better = measured(made, plan(made.domains, store, OVER, candidate, against=poor))
    assert better.pooled
    assert better.pooled.difference["irer"].high < 0
    assert judge(better, better.card) == []


def test_an_equal_candidate_passes_and_changes_nothing(made: World, store: Store) -> None:
    same = measured(made, planned(made, store, OVER, made.artifacts[OVER]))
    assert same.flips == 0
    assert same.pooled
    assert set(same.pooled.difference.values()) == {Estimate(0.0, 0.0, 0.0)}
    assert same.pooled.before == same.pooled.after
    assert judge(same, same.card) == []


def test_a_worse_candidate_is_refused_by_its_errors_alone(made: World, store: Store, poor: Path) -> None:
    worse = measured(made, planned(made, store, OVER, poor))
    assert {"irer"} <= {one.what for one in judge(worse, None, GateLimits(max_ece=1.0, max_temperature=1e3))}


# ------------------------------------------------------------------------------------------- the rules, one at a time


def test_the_tolerance_is_the_operators(doubling: Impact) -> None:
    lenient = judge(doubling, None, GateLimits(tolerance=0.5, max_ece=1.0, max_temperature=1_000.0))
    assert lenient == []


def test_a_neighbour_is_judged_by_its_own_requests(doubling: Impact) -> None:
    assert doubling.pooled
    none = replace(doubling.pooled, right_to_wrong=0, wrong_to_right=0, difference={"irer": Estimate(0.0, 0.0, 0.0)})
    losing = replace(doubling.per_domain["domain1"], n=300, right_to_wrong=30, wrong_to_right=2)
    others = {name: replace(none, n=300) for name in doubling.per_domain}
    seen = replace(doubling, pooled=none, per_domain={**others, "domain1": losing})
    (reason,) = judge(seen, None, GateLimits(max_ece=1.0, max_temperature=1e3))
    assert (reason.what, reason.neighbours) == ("neighbour", ("domain1",))
    assert "loses 30 right answers and gains 2" in reason.text
    own = replace(doubling, pooled=none, per_domain={**others, OVER: losing})
    assert judge(own, None, GateLimits(max_ece=1.0, max_temperature=1e3)) == []


def card(**figures: object) -> Calibration:
    values = {
        "n": 1_000,
        "nll": 0.1,
        "brier": 0.03,
        "ece": 0.012,
        "ece_interval": (0.008, 0.02),
        "ece_floor": 0.01,
        "ece_band": (0.005, 0.016),
        "over": 0.004,
    }
    return Calibration(**{**values, **figures})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ece", "refused"),
    [(0.025, []), (0.027, ["card"]), (0.06, ["card", "limit"])],  # chance gives 0.016, the card admits 0.01 more
)
def test_calibration_is_compared_with_the_card_and_with_the_limit(
    doubling: Impact, ece: float, refused: list[str]
) -> None:
    claims = replace(doubling.claims, after=card(ece=ece), temperature_after=doubling.claims.temperature_before)
    seen = replace(doubling, pooled=None, claims=claims)
    assert [one.what for one in judge(seen, card())] == refused


def test_an_error_that_chance_explains_is_not_over_the_limit(doubling: Impact) -> None:
    claims = replace(doubling.claims, after=card(ece=0.08, ece_band=(0.02, 0.09)), temperature_after=None)
    assert judge(replace(doubling, pooled=None, claims=claims), None) == []


def test_an_overconfident_domain_is_named_with_the_command_that_shrinks_it(doubling: Impact) -> None:
    text = over_limit(doubling)
    assert text
    assert f"{OVER} is over-confident" in text
    assert text.endswith(f"arbitrank shrink {OVER}")
    assert over_limit(doubling, now=True) is None


@pytest.mark.parametrize(
    ("over", "how", "command"),
    [
        (0.02, "is over-confident", "shrink"),
        (-0.02, "is too sure both of wrong answers and of right ones", "shrink"),
        (-0.3, "misses requests: its claims are 30.0 points under-confident on average", "train"),
    ],
)
def test_one_that_misses_requests_is_trained_and_any_other_that_is_too_sure_is_shrunk(
    doubling: Impact, over: float, how: str, command: str
) -> None:
    claims = replace(doubling.claims, after=card(ece=0.31, over=over))
    text = over_limit(replace(doubling, claims=claims), promoted=True)
    assert text is not None
    assert text.startswith(f"{OVER} {how}")
    assert "its log-odds are" in text
    assert text.endswith(f"run: arbitrank {command} {OVER}")


def test_a_failed_self_test_refuses_whatever_the_impact() -> None:
    (reason,) = judge(None, None, problem="crashed with SIGSEGV")
    assert (reason.what, reason.text) == ("self-test", "its self-test failed: crashed with SIGSEGV")


def test_a_candidate_that_fails_more_often_is_refused(doubling: Impact) -> None:
    seen = replace(doubling, pooled=None, claims=replace(doubling.claims, after=None), failures={"candidate": 3})
    (reason,) = judge(seen, None)
    assert reason.text == f"it fails on 3 of {doubling.n} requests; the version that serves now fails on 0"


@pytest.mark.parametrize(("n", "few"), [(40, True), (200, False)])
def test_an_error_on_few_requests_names_their_number_and_the_report_on_more(
    doubling: Impact, n: int, few: bool
) -> None:
    after = card(n=n, ece=0.3, over=-0.3)
    claims = replace(doubling.claims, after=after, temperature_after=doubling.claims.temperature_before)
    texts = [one.text for one in judge(replace(doubling, pooled=None, claims=claims), card())]
    assert len(texts) == 2
    told = f"{n} requests with a reading of it decide little: on more of them, run: arbitrank report {OVER} --on LOG"
    assert [text.endswith(told) for text in texts] == [few, few]
