"""The results of the experiments hold on a corpus small enough for a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import curation, exchange, independence, kinds, little_data, overlap
from benchmarks.common import Bench
from benchmarks.exchange import FAULTS, bent
from benchmarks.small import small
from benchmarks.synthetic import synthetic_corpus

from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.domain import Settings
from arbitrank.evaluate.corpus import Corpus
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.linear_training import train_factored
from arbitrank.values import Example, Request, Truth


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Four domains whose confidences are not comparable."""
    folder: Path = tmp_path_factory.mktemp("synthetic")
    return Bench(*synthetic_corpus(folder, train=1_200, held=600))


def plain(evidence: Evidence) -> Any:
    return train_factored(evidence, Settings())


def test_domains_trained_alone_beat_the_baseline_and_match_the_joint_model(bench: Bench) -> None:
    systems = independence.measured(bench)["systems"]
    _, low, _ = systems["factored tuned"]["against"]["R0"]["domain_accuracy"]
    assert low > 0.0
    _, _, high = systems["factored tuned"]["against"]["joint tuned"]["domain_accuracy"]
    assert high > 0.0


def test_corrections_are_judged_on_requests_that_their_choice_has_not_seen(bench: Bench) -> None:
    found = kinds.measured(bench)
    assert found["n"] == len(bench.corpus.train)
    taken = {name: one["domains"] for name, one in found["criteria"].items()}
    assert taken["surely better, as `auto`"] == 0.0  # weighted sums explain these domains
    own = [sum(one.truth.domain == name for one in bench.corpus.train) for name in bench.corpus.domains]
    assert taken[kinds.ENOUGH] == sum(n >= 200 for n in own)
    assert found["criteria"]["surely better, as `auto`"]["irer"] == [0.0, 0.0, 0.0]
    _, low, _ = found["criteria"][kinds.ENOUGH]["nll"]
    assert low <= 0.0


def test_a_changed_domain_recovers_when_it_alone_retrains_and_the_others_stay_the_same(bench: Bench) -> None:
    faults = [fault for fault in FAULTS if fault.fields == ("domain_confidence",)][2:]  # raised and lowered
    found = exchange.summary(exchange.cases(bench, plain, faults=faults))
    assert found["others_same"]
    assert found["domain_accuracy"]["lost"] > 5.0
    assert found["domain_accuracy"]["recovered"] > 0.95
    assert found["nll"]["recovered"] > 0.95


def test_a_fault_changes_log_odds_and_nothing_else(bench: Bench) -> None:
    readings = bench.readings("domain0").held[:20]
    (sharper,) = (fault for fault in FAULTS if fault.name == "domain sharpened ×2")
    for old, new in zip(readings, bent(readings, sharper), strict=True):
        for before, after in zip(old, new, strict=True):
            p, q = before.domain_confidence or 0.0, after.domain_confidence or 0.0
            assert np.log(q / (1 - q)) == pytest.approx(2 * np.log(p / (1 - p)), abs=1e-6)
            assert (after.intent_confidence, after.slots) == (before.intent_confidence, before.slots)


def test_a_tenth_of_the_others_traffic_is_enough_once_the_prior_is_corrected(bench: Bench) -> None:
    kept = curation.measured(bench, shares=(1.0, 0.1))["kept"]
    corrected, as_it_is = (kept[f"10 % {how}"]["against_full"]["domain_accuracy"][0] for how in curation.HOW)
    assert corrected > -0.02
    assert corrected > as_it_is


def test_ten_requests_do_no_harm_and_more_do_good(bench: Bench) -> None:
    own = little_data.measured(bench, sizes=(10, 100), draws=3)["own"]
    mean, low, _ = own["10"]["against_R0"]["nll"]
    assert mean < 0.01
    assert low <= 0.0
    assert own["10"]["against_R0"]["domain_accuracy"][2] >= 0.0
    assert own["all"]["nll"] < own["100"]["nll"] < own["R0"]["nll"]


def test_recognisers_that_agree_answer_better_than_the_best_of_them_alone() -> None:
    ways = overlap.measured(overlap.synthetic(260), grouped=True)["ways"]
    _, low, _ = ways["factored in a group, tuned"]["gain"]
    assert low > 0.0
    assert ways["factored in a group, tuned"]["nll"] < ways["factored tuned"]["nll"]


def test_of_missed_requests_it_is_told_where_their_owners_stand() -> None:
    def read(right: Sequence[float]) -> BestReadings:
        n = len(right)
        return BestReadings(np.ones(n), np.array(right), np.zeros(n, np.int32), np.array(right))

    def observed(a: Sequence[float], b: Sequence[float], owners: Sequence[Sequence[bool]]) -> Observed:
        return Observed(("a", "b"), (read(a), read(b)), np.array(owners)[:, :2], np.array(owners))

    of_a, of_b, of_both = [True, False, False], [False, True, False], [True, True, False]
    rest = observed([0.5] * 50, [0.5] * 50, [of_a] * 40 + [of_b] * 10)  # b has few
    held = observed([0.9, 0.9, 0.2], [0.1, 0.3, 0.4], [of_a, of_b, of_both])
    found = overlap.rivals(overlap.FoldReadings(rest, held))
    assert found.place.tolist() == [0, 1, 0]
    assert found.few.tolist() == [False, True, False]


def test_intents_stand_for_domains_that_have_few_requests() -> None:
    asked = [Example(Request(utterance=f"word{i}"), Truth("bank", f"intent{i % 9}")) for i in range(180)]
    outside = Example(Request(utterance="what is the weather"), Truth(None))
    whole = Corpus("made", ("bank",), (*asked, outside), (), (*asked[:36], outside), "dev", ())
    one = small(whole, domains=4, requests=50, seed=0)
    assert len(one.domains) == 4
    assert len(one.train) == 50
    assert len(one.held) == 4 * 4
    assert {example.truth.domain for example in one.held} == set(one.domains)
    assert all(example.truth.domain == example.truth.intent for example in (*one.train, *one.held))
