"""Value of a candidate from a log: the estimators on numbers known by hand, and a log as a service writes it."""

from __future__ import annotations

import dataclasses
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fakes
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.answerlog.feedback import Feedback, UnusedFeedback
from arbitrank.answerlog.joining import feedback_use, view
from arbitrank.answerlog.reader import lines_of, read_log, read_truths
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.own_claims import own_claims
from arbitrank.arbitration.policy import Policy
from arbitrank.cli.computing import Computing, suitable_jobs
from arbitrank.cli.main import cli
from arbitrank.errors import DataError, InputError
from arbitrank.evaluate.intervals import Estimate
from arbitrank.impact import logged_actions
from arbitrank.impact.curves import curves_of
from arbitrank.impact.gate import GateLimits, judge, value_reasons
from arbitrank.impact.page import write_impact
from arbitrank.impact.plan import ReplayPlan, plan
from arbitrank.impact.replay import replay
from arbitrank.impact.replayed import together
from arbitrank.impact.report import measure
from arbitrank.impact.value_work import ValueWork, unused_in, valued
from arbitrank.impact.valued import ValueReport, unusable, value_of
from arbitrank.impact.work import Chunks
from arbitrank.live.live import Live
from arbitrank.outcomes.choices import LoggedChoices, VersionChoices
from arbitrank.outcomes.client_cap import CAP, PRIOR, capped_weights
from arbitrank.outcomes.propensities import selection_of, unreproduced
from arbitrank.outcomes.session_intervals import effective_size, session_mean, student
from arbitrank.outcomes.value import ValueSettings, estimate
from arbitrank.promotion import consider
from arbitrank.serve.promotion_process import PromotionTask, _log
from arbitrank.store.store import Store, open_store
from arbitrank.values import Decision, Hypothesis, Request, Truth
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import Logged

# ----------------------------------------------------------------------------------------------------- on known numbers


def choices(
    n: int = 600, share: float = 0.25, gain: float = 0.0, flips: float = 0.5, possible: bool = True, seed: int = 0
) -> LoggedChoices:
    """A log with a canary: the candidate's own actions are accepted with a probability of 0.5 + gain."""
    rng = np.random.default_rng(seed)
    flipped, drawn = rng.random(n) < flips, rng.random(n) < share
    accepted = (rng.random(n) < 0.5 + gain * (flipped & drawn)).astype(np.float64)
    served = np.where(flipped, np.where(drawn, share, 1.0 - share), 1.0)
    claim, action = np.full(n, 0.6), np.zeros(n, np.int64)
    sides = [
        VersionChoices(~flipped | own, np.full(n, True) if possible else ~flipped | own, claim, action)
        for own in (~drawn, drawn)
    ]
    return LoggedChoices(accepted, served, np.arange(n), np.arange(n), *sides, flipped)


def test_the_estimators_are_those_of_the_books() -> None:
    n = np.arange(400)  # four answers, a hundred times
    served, every = np.tile([True, False, True, True], 100), np.ones(400, np.bool_)
    claim, action = np.tile([0.9, 0.2, 0.6, 0.5], 100), np.zeros(400, np.int64)
    one = VersionChoices(served, every, claim, action)
    accepted, propensity = np.tile([1.0, 1.0, 0.0, 1.0], 100), np.tile([0.5, 0.5, 0.25, 1.0], 100)
    log = LoggedChoices(accepted, propensity, n, n, one, one, ~every)
    found = estimate(log)
    assert found is not None
    assert found.after.ips.mean == pytest.approx((2 + 0 + 0 + 1) / 4)
    assert found.after.snips.mean == pytest.approx((2 + 1) / (2 + 4 + 1))
    assert found.effective == pytest.approx(100 * 7**2 / (4 + 16 + 1))
    assert found.difference.ips == found.difference.dr == Estimate(0.0, 0.0, 0.0)
    assert found.verdict == "same"
    clipped = estimate(log, ValueSettings(clip=2.0))
    assert clipped is not None
    assert clipped.clipped == 0.25
    assert clipped.after.ips.mean == pytest.approx((2 + 1) / 4)


@pytest.mark.parametrize(("gain", "verdict"), [(0.3, "better"), (-0.3, "worse"), (0.02, "undecided")])
def test_the_verdict_is_by_the_interval_of_the_difference(gain: float, verdict: str) -> None:
    found = estimate(choices(n=2_000, gain=gain))
    assert found is not None
    assert found.verdict == verdict
    assert found.without_evidence == 0.0
    for one in (found.difference.ips, found.difference.snips, found.difference.dr):
        assert one.low < gain / 2 < one.high
    assert found.bounds == (found.difference.dr.low, found.difference.dr.high)


def test_too_few_served_flips_are_not_judged() -> None:
    found = estimate(choices(n=2_000, share=0.01, gain=-0.5))
    assert found is not None
    assert found.effective_flips < 30
    assert found.verdict == "too little evidence"


def test_flips_that_could_not_be_served_are_judged_by_the_worst_case() -> None:
    """Where nothing was drawn, any flip may have become right or wrong."""
    known, unknown = choices(share=0.0, gain=0.3), choices(share=0.0, gain=0.3, possible=False)
    found = estimate(unknown)
    assert found is not None
    assert found.without_evidence == 1.0
    assert found.overlap == pytest.approx(1.0 - unknown.flipped.mean())
    assert found.verdict == "too little evidence"
    assert found.bounds[0] < -0.2
    assert found.bounds[1] > 0.2
    assert estimate(known) is not None


# A client of half of all requests, in whose sessions both versions are drawn, as in any.
CLIENTS = np.where(np.arange(4_000) % 2, -1, np.arange(4_000))


def by_clients(accepted: Any = None, client: Any = CLIENTS) -> LoggedChoices:
    one = choices(n=4_000, share=0.4, gain=0.3)
    return dataclasses.replace(one, accepted=one.accepted if accepted is None else accepted, client=client)


def test_one_client_that_lies_moves_the_difference_by_a_twentieth_of_the_flips_for_each_version() -> None:
    """Believed like the others, its lies would undo what they say."""
    honest = by_clients()
    lies = np.where(CLIENTS < 0, 1.0 - honest.accepted, honest.accepted)
    told, believed = by_clients(lies), by_clients(lies, np.arange(4_000))
    found, lied, naive = (estimate(one) for one in (honest, told, believed))
    assert found is not None
    assert lied is not None
    assert naive is not None
    assert abs(naive.difference.dr.mean) < 0.03
    bound = 2 * 0.055 * found.flips / found.n  # the prior's weight counts, too: with evidence of 100 a client has 0.06
    for name in ("ips", "snips", "dr"):
        moved = getattr(lied.difference, name).mean - getattr(found.difference, name).mean
        assert abs(moved) < bound, name
    assert (found.verdict, lied.verdict) == ("better", "better")
    assert (lied.capped, naive.capped) == (1, 0)


def test_reactions_of_which_a_third_is_wrong_shrink_the_difference_and_leave_its_sign() -> None:
    for seed in range(5):
        one = choices(n=4_000, gain=0.3, seed=seed)
        wrong = np.random.default_rng(100 + seed).random(4_000) < 0.3
        found = estimate(dataclasses.replace(one, accepted=np.where(wrong, 1.0 - one.accepted, one.accepted)))
        assert found is not None
        assert found.verdict in ("better", "undecided")
        assert found.difference.dr.mean == pytest.approx(0.4 * 0.15, abs=0.05)


def test_what_a_few_clients_say_is_too_little_evidence() -> None:
    few = estimate(by_clients(client=np.arange(4_000) % 10))
    assert few is not None
    assert few.effective_flips < 21
    assert few.verdict == "too little evidence"


def test_no_client_below_the_cap_is_capped() -> None:
    factor, evidence, capped = choices(n=2_000).trust(100.0)
    assert capped == 0
    assert factor == pytest.approx(np.ones(2_000))
    assert 200 < evidence < 300
    heavy = capped_weights(np.zeros(100, np.int64), np.ones(100))
    assert heavy.sum() == pytest.approx(CAP * (PRIOR + heavy.sum()))


def test_no_reaction_is_no_estimate() -> None:
    assert estimate(choices(n=40).at(np.zeros(40, np.bool_))) is None


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_exchanging_the_versions_negates_the_difference(seed: int, share: float) -> None:
    one = choices(n=80, share=share, seed=seed)
    other = dataclasses.replace(one, before=one.after, after=one.before)
    found, reverse = estimate(one), estimate(other)
    assert found is not None
    assert reverse is not None
    for name in ("ips", "snips", "dr"):
        mean = getattr(found.difference, name).mean
        assert mean == pytest.approx(-getattr(reverse.difference, name).mean, abs=1e-9)


def test_repeated_requests_of_a_session_widen_the_interval() -> None:
    values = np.random.default_rng(0).random(200)
    apart = session_mean(values, np.arange(200))
    together = session_mean(np.repeat(values, 5), np.repeat(np.arange(200), 5))
    assert together.mean == pytest.approx(apart.mean)
    assert together.high - together.low == pytest.approx(apart.high - apart.low, rel=1e-9)
    assert session_mean(values, np.zeros(200, np.int64)).high == np.inf


def test_quantiles_are_students() -> None:
    for freedom, quantile in ((5.0, 2.5706), (10.0, 2.2281), (30.0, 2.0423), (np.inf, 1.95996)):
        assert student(freedom) == pytest.approx(quantile, abs=0.01)
    assert effective_size(np.array([1.0, 1.0, 0.0])) == 2.0
    assert effective_size(np.zeros(3)) == 0.0


# ------------------------------------------------------------------------------------------------- on a service's log

DOMAINS = {name: fakes.FakeDomain(name) for name in ("apples", "pears")}
ACCEPTED = {"apples": 0.3, "pears": 0.7}
"""Share of accepted answers where both claim a request: the candidate wins these for apples, and users dislike it."""


def request(number: int) -> Request:
    p = (0.7, 0.2, 0.95)[number % 3]
    claims = {"apples": p, "pears": 0.8}
    readings = tuple(Hypothesis(name, "Eat", claim) for name, claim in claims.items())
    return Request(id=f"r{number}", session=f"s{number // 2}", utterance="fruit", hypotheses=readings)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which apples has a candidate with two fifths of the requests, which claims more."""
    folder = tmp_path_factory.mktemp("store")
    store = open_store(folder / "store", environment={})
    for name in DOMAINS:
        fakes.artifact(folder / name, name, fakes.CARD, strength=1.0)
        store.publish(folder / name, promote=True)
    fakes.artifact(folder / "greedy", "apples", fakes.CARD, strength=3.0)
    store.publish(folder / "greedy")
    store.canary("apples", 0.4)
    return store


def answer_all(live: Live, log: AnswerLog, n: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(n):
        asked = request(number)
        arbitration = live.arbitrate(asked)
        answer = arbitration.answer
        claims = partial(own_claims, arbitration)
        log.write(asked, answer, arms=arbitration.arms, selection=drawn(asked, arbitration), claims=claims)
        both = number % 3 == 0
        best = answer.ranked[0].domain
        liked = rng.random() < (ACCEPTED[best] if both else 0.6)
        log.feedback(Feedback(id=asked.id or "", outcome="accepted" if liked else "rejected"))


def drawn(asked: Request, arbitration: Any) -> Callable[[], Any]:
    return lambda: selection_of(asked, arbitration.answer, arbitration.canary)


@pytest.fixture(scope="module")
def log(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    with Live(DOMAINS, store, selftest=lambda folder, name: None) as live, AnswerLog(folder) as written:
        live.look()
        answer_all(live, written, 1_200)
    return folder


@pytest.fixture(scope="module")
def exchange(store: Store) -> ReplayPlan:
    candidate = store.state("apples")[1].candidate
    assert candidate is not None
    return plan(DOMAINS, store, "apples", store.fetch("apples", candidate))


@pytest.fixture(scope="module")
def report(exchange: ReplayPlan, log: Path) -> ValueReport:
    return value_of(replay(exchange, log), exchange.exchanged, "log")


def test_every_answer_of_a_canary_is_reproduced_from_the_log(log: Path) -> None:
    lines = [line for line in read_log(log) if isinstance(line, Logged)]
    assert len(lines) == 1_200
    assert [problem for line in lines if (problem := unreproduced(line))] == []
    shares = {round(line.answer.selection.probability, 9) for line in lines if line.answer and line.answer.selection}
    assert shares == {0.4, 0.6}


def test_a_canary_is_the_experiment_by_which_its_candidate_is_judged(report: ValueReport) -> None:
    one = report.estimate
    assert one is not None
    assert (one.n, one.sessions, one.flips) == (1_200, 600, 400)
    assert one.without_evidence == 0.0
    assert one.overlap == 1.0
    assert one.difference.dr.low < -0.4 / 3 < one.difference.dr.high
    assert one.verdict == "worse"
    assert report.notes == []


def test_alike_answers_were_certain_and_others_had_the_arms_share(exchange: ReplayPlan, log: Path) -> None:
    rows = replay(exchange, log).rows
    alike = rows[~rows["moved"]]
    assert set(alike["propensity"]) == {1.0}
    assert set(rows[rows["moved"]]["propensity"].round(9)) == {0.4, 0.6}
    assert alike["before"]["served"].all()
    assert alike["after"]["served"].all()


def test_the_logs_own_claims_give_what_a_replay_of_all_domains_gives(exchange: ReplayPlan, log: Path) -> None:
    short, whole = valued(exchange, log).rows, replay(exchange, log).rows
    for column in ("reaction", "propensity", "session", "moved"):
        np.testing.assert_allclose(short[column], whole[column])
    for side in ("before", "after"):
        for column in ("served", "possible", "probability", "out_of_scope"):
            np.testing.assert_allclose(short[side][column], whole[side][column], atol=1e-6)


def test_requests_without_a_reaction_are_counted_and_not_replayed(
    exchange: ReplayPlan, log: Path, tmp_path: Path
) -> None:
    lines = [line for line in read_log(log) if isinstance(line, Logged)]
    some = [line if number % 3 else replace(line, outcome=None) for number, line in enumerate(lines)]
    found = valued(exchange, changed_log(tmp_path, some))
    assert (len(found.rows), found.silent) == (800, 400)
    assert value_of(found, exchange.exchanged, "log").n == 1_200


def test_a_log_without_claims_is_replayed(exchange: ReplayPlan, log: Path, tmp_path: Path) -> None:
    lines = [replace(line, claims={}) for line in read_log(log) if isinstance(line, Logged)]
    found = valued(exchange, changed_log(tmp_path, lines)).rows
    for side in ("before", "after"):
        np.testing.assert_allclose(found[side]["probability"], replay(exchange, log).rows[side]["probability"])


def test_the_impact_report_has_the_value_and_the_gate_refuses_by_it(
    exchange: ReplayPlan, log: Path, tmp_path: Path
) -> None:
    impact, found = measure(exchange, log)
    assert impact.value is not None
    write_impact(impact, curves_of(impact, found), tmp_path)
    assert "Accepted by users" in (tmp_path / "impact.html").read_text()
    reasons = {one.what: one.text for one in judge(impact, None)}
    assert "users would accept fewer of its answers" in reasons["value"]
    tolerant = judge(impact, None, GateLimits(tolerance=0.5))
    assert "value" not in {one.what for one in tolerant}


def changed_log(folder: Path, lines: Iterable[Logged]) -> Path:
    path = folder / "changed.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return path


def with_answers(log: Path, change: Callable[[Any], Any]) -> Iterator[Logged]:
    for line in read_log(log):
        assert isinstance(line, Logged)
        yield replace(line, answer=change(line.answer))


def test_a_log_without_selections_says_nothing(exchange: ReplayPlan, log: Path, tmp_path: Path) -> None:
    path = changed_log(tmp_path, with_answers(log, lambda answer: replace(answer, selection=UNSET)))
    report = value_of(replay(exchange, path), exchange.exchanged, "log")
    assert report.estimate is None
    assert "none of 1200 answers with a reaction says how it was drawn" in (unusable(report) or "")
    assert report.left_out == {"logged without the probability of the answer": 1_200}


@pytest.mark.parametrize("chance", [0.0, -1.0, 2.0])
def test_a_line_whose_answer_could_not_be_drawn_is_a_bad_line(
    exchange: ReplayPlan, log: Path, tmp_path: Path, chance: float
) -> None:
    path = selected(log, tmp_path, lambda number, one: one if number else replace(one, probability=chance))
    found = valued(exchange, path)
    assert (len(found.rows), found.bad_lines) == (1_199, 1)
    assert "probability" in found.bad[0].reason
    assert str(chance) in found.bad[0].reason


def valued_with(exchange: ReplayPlan, path: Path, rules: str | None = None) -> ValueReport:
    """The value of a log, under a policy of these rules."""
    policy = None if rules is None else msgspec.convert(tomllib.loads(rules), Policy)
    by = dataclasses.replace(exchange, policy=policy)
    return value_of(valued(by, path), by.exchanged, "log")


def selected(log: Path, folder: Path, change: Callable[[int, Any], Any]) -> Path:
    """The log with other selections, which are changed by their number."""
    numbers = iter(range(10_000))

    def changed(answer: Any) -> Any:
        return replace(answer, selection=change(next(numbers), answer.selection))

    return changed_log(folder, with_answers(log, changed))


def test_another_canarys_candidate_is_left_out(exchange: ReplayPlan, log: Path, tmp_path: Path) -> None:
    def change(number: int, selection: Any) -> Any:
        other = {"pears": replace(selection.canary["apples"], arm="canary" if number % 10 == 1 else "stable")}
        selection = replace(selection, canary={**selection.canary, **other} if number % 2 else selection.canary)
        probability = np.prod([one.probability for one in selection.canary.values()])
        return replace(selection, probability=float(probability))

    report = valued_with(exchange, selected(log, tmp_path, change))
    assert report.left_out == {"answered by the candidate of another canary": 120}
    assert report.estimate is not None
    assert report.estimate.n == 1_080


UNTOUCHED = '[[blocks]]\ndomain = "plums"'
RULES = {
    "a block of what one version alone acts on": ('[[blocks]]\ndomain = "apples"', 800),
    "a block of another intent": ('[[blocks]]\ndomain = "apples"\nintents = ["Drink"]', 0),
    "a block in another context": ('[[blocks]]\ndomain = "apples"\nwhen = { device = "tv" }', 0),
    "a pin of a reading that one version alone acts on": ('[[pins]]\ndomain = "pears"', 800),
    "a cost of what one version alone acts on": ("[domains.pears]\ncost = 20", 800),
    "a threshold below all": ("[domains.pears]\naccept = 0.1", 0),
    "a question": ("[domains.apples]\nask = true", 800),
    "locales of requests that state none": ('[locales]\nde = ["pears"]', 0),
}


@pytest.mark.parametrize("rules", RULES)
def test_requests_on_which_a_policy_might_decide_for_one_version_are_left_out_whichever_answered(
    exchange: ReplayPlan, log: Path, tmp_path: Path, rules: str
) -> None:
    text, expected = RULES[rules]
    digest = msgspec.convert(tomllib.loads(text), Policy).digest
    path = selected(log, tmp_path, lambda number, one: replace(one, policy=digest))
    report = valued_with(exchange, path, text)
    assert report.left_out == ({logged_actions.BY_POLICY: expected} if expected else {})
    assert report.estimate is not None
    assert report.estimate.n == 1_200 - expected
    if expected:
        assert f"({100 * expected / 1_200:.1f} %) are left out: the operator's policy decides" in report.notes[0]


def test_a_policy_that_changed_in_between_leaves_out_what_was_answered_under_the_other(
    exchange: ReplayPlan, log: Path, tmp_path: Path
) -> None:
    digest = msgspec.convert(tomllib.loads(UNTOUCHED), Policy).digest

    def change(number: int, selection: Any) -> Any:
        return replace(selection, policy="0" * 12 if number < 700 else digest, overridden=number % 10 == 0 or UNSET)

    path = selected(log, tmp_path, change)
    now, none = valued_with(exchange, path, UNTOUCHED), valued_with(exchange, path)
    assert now.left_out == {logged_actions.BY_POLICY: 50, logged_actions.OTHER_POLICY: 700}
    assert now.estimate is not None
    assert now.estimate.n == 450
    assert none.estimate is None
    assert (unusable(now), "state the one of then: --policy FILE" in (unusable(none) or "")) == (None, True)
    without = valued_with(exchange, log, UNTOUCHED)
    assert without.left_out == {logged_actions.OTHER_POLICY: 1_200}


def test_lists_that_a_hyprank_sorted_are_left_out(exchange: ReplayPlan, log: Path, tmp_path: Path) -> None:
    sorted_ = with_answers(log, lambda answer: replace(answer, ms={**answer.ms, "hyprank": 0.1}))
    report = valued_with(exchange, changed_log(tmp_path, sorted_))
    assert report.left_out == {"sorted by a HypRank, which is not replayed": 1_200}
    assert "1200 of 1200 answers with a reaction: sorted by a HypRank" in (unusable(report) or "")


def test_a_truth_counts_in_the_place_of_the_reaction_that_it_contradicts(
    exchange: ReplayPlan, log: Path, tmp_path: Path
) -> None:
    lines = [line for line in read_log(log) if isinstance(line, Logged)]
    told = [replace(line, truth=Truth("apples", "Eat"), outcome="accepted") for line in lines]
    report = value_of(replay(exchange, changed_log(tmp_path, told)), exchange.exchanged, "log")
    assert report.estimate is not None
    right = sum(line.answer is not None and line.answer.ranked[0].domain == "apples" for line in lines)
    assert report.contradicted == len(lines) - right
    assert report.estimate.difference.dr.mean > 0.2
    assert any("contradicted by the truth" in note for note in report.notes)


def test_a_candidate_of_another_canary_is_valued_by_the_stable_arm_alone(store: Store, log: Path) -> None:
    """The candidate of another canary is no version of this comparison: its sessions are left out."""
    folder = log.parent / "third"
    if not folder.exists():
        fakes.artifact(folder, "apples", fakes.CARD, strength=2.0)
    exchanged = plan(DOMAINS, store, "apples", folder)
    report = value_of(replay(exchanged, log), exchanged.exchanged, "log")
    assert report.estimate is not None
    assert 600 < report.estimate.n < 840
    assert report.estimate.verdict == "too little evidence"


def test_answers_of_other_versions_are_no_evidence(exchange: ReplayPlan, log: Path, tmp_path: Path) -> None:
    """Settings of before that asked where the present ones accept."""
    lines = with_answers(log, lambda answer: replace(answer, decision=Decision("clarify", (0, 1))))
    report = value_of(valued(exchange, changed_log(tmp_path, lines)), exchange.exchanged, "log")
    assert report.estimate is not None
    assert report.estimate.without_evidence == 1.0
    assert report.estimate.verdict == "too little evidence"


# ---------------------------------------------------------------------------------------------------------- bad input


def test_reactions_that_cannot_be_to_the_answer_are_counted_and_not_used(tmp_path: Path) -> None:
    asked = {name: Request(id=name, session=f"of {name}", utterance="a") for name in ("good", "early", "other", "late")}
    with Live(DOMAINS, open_store(tmp_path / "s", environment={}), selftest=lambda folder, name: None) as live:
        answers = {name: live.answer(one) for name, one in asked.items()}
    with AnswerLog(tmp_path / "log", clock=lambda: 1_000.0) as log:
        for name, one in asked.items():
            log.write(one, answers[name])
    with AnswerLog(tmp_path / "log", clock=lambda: 1_010.0) as log:
        log.feedback(Feedback(id="good", outcome="rejected", session="of good"))
        log.feedback(Feedback(id="good", outcome="accepted"))
        log.feedback(Feedback(id="other", outcome="accepted", session="of good"))
        log.feedback(Feedback(id="nobody", outcome="accepted"))
    with AnswerLog(tmp_path / "log", clock=lambda: 100.0) as log:
        log.feedback(Feedback(id="early", outcome="accepted"))
    with AnswerLog(tmp_path / "log", clock=lambda: 9e9) as log:
        log.feedback(Feedback(id="late", outcome="accepted"))
    found = {line.id: line.outcome for line in read_log(tmp_path / "log") if isinstance(line, Logged)}
    assert found == {"good": "accepted", "early": None, "other": None, "late": None}
    unused = feedback_use(view(tmp_path / "log")).unused
    assert unused == UnusedFeedback(unknown=1, repeated=1, early=1, future=1, other_session=1)
    assert "1 from another session" in str(unused)


def test_processes_together_count_them_as_each_reads_its_own(exchange: ReplayPlan, log: Path, tmp_path: Path) -> None:
    copied = tmp_path / "log"
    shutil.copytree(log, copied)
    with AnswerLog(copied) as more:
        more.feedback(Feedback(id="r1", outcome="accepted", session="another"))
        more.feedback(Feedback(id="nobody", outcome="accepted"))
    expected = UnusedFeedback(unknown=1, other_session=1)
    shares = [ValueWork(exchange).share(Chunks(view(copied), k, 2), view(copied)) for k in range(2)]
    each = [one.use.unused for one in shares if one.use is not None]
    whole = together(shares)
    assert [one.other_session for one in each] == [1, 0]
    assert sum(1_202 - one.unknown for one in each) == 1_201  # each joins its own
    assert unused_in(whole, copied) == unused_in(valued(exchange, copied), copied) == expected
    assert (len(whole.rows), whole.silent) == (1_200, 0)
    assert unused_in(valued(exchange, log), changed_log(tmp_path, [])) == UnusedFeedback()


def test_a_log_gives_the_rows_of_the_file_of_its_requests_with_their_feedback(
    exchange: ReplayPlan, log: Path, tmp_path: Path
) -> None:
    """Requests of a log are decoded before their feedback is joined, those of a file after it."""
    copied = tmp_path / "log"
    shutil.copytree(log, copied)
    with AnswerLog(copied) as more:
        more.feedback(Feedback(id="r1", outcome="rejected", session="another"))
        more.feedback(Feedback(id="r2", outcome="accepted", session="s1", called="other"))
        more.feedback(Feedback(id="r3", truth=Truth("pears", "Eat")))
        more.feedback(Feedback(id="r4", truth=Truth("apples", "Eat"), outcome="rejected"))
    line = next(iter(sorted(copied.iterdir())[0].open("rb")))
    own, bad = line.replace(b'"r0"', b'"own"')[:-2] + b',"outcome":"accepted"}\n', line[:40] + b"\n"
    quiet = line.replace(b'"r0"', b'"quiet"')
    odd = line.replace(b'"utterance":"fruit"', b'"utterance":["fruit"]')
    (copied / "20380119T031407.000000Z-1-000001.jsonl").write_bytes(
        own + quiet + bad + odd + b'{"id":"r0","outcome":1}\n'
    )
    file = tmp_path / "joined.jsonl"
    file.write_bytes(b"".join(one for _, one in lines_of(view(copied)) if isinstance(one, bytes)))
    found, joined = valued(exchange, copied), valued(exchange, file)
    assert found.rows.tobytes() == joined.rows.tobytes()
    assert (found.silent, found.left_out) == (joined.silent, joined.left_out)
    assert (len(found.rows), found.silent) == (1_201, 1)
    assert (found.bad_lines, joined.bad_lines) == (3, 1)  # but one is no JSON of a log


def test_questions_and_none_are_actions_too() -> None:
    rng = np.random.default_rng(0)
    one = choices(n=400)
    action = rng.integers(0, 3, 400)
    asked = dataclasses.replace(one, before=dataclasses.replace(one.before, action=action))
    assert estimate(asked) is not None


# ----------------------------------------------------------------------------------------------------------- the gate


def test_the_gate_judges_a_candidate_by_the_log_of_its_canary(
    store: Store, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arbitrank.promotion.selftest", lambda folder, name, scales: None)
    judged = consider(store, DOMAINS, "apples", log=log)
    assert judged.value is not None
    assert judged.value.n == 1_200
    assert [one.what for one in judged.reasons][-1] == "value"
    assert judged.impact is None  # there is no audit set
    assert "value" not in {one.what for one in consider(store, DOMAINS, "apples").reasons}


def test_too_little_evidence_refuses_nothing(exchange: ReplayPlan, log: Path, tmp_path: Path) -> None:
    few = changed_log(tmp_path, [line for line in read_log(log) if isinstance(line, Logged)][:60])
    report = value_of(valued(exchange, few), exchange.exchanged, "log")
    assert report.estimate is not None
    assert report.estimate.verdict == "too little evidence"
    assert list(value_reasons(report)) == []


def test_a_service_reads_its_log_where_the_version_had_a_share(store: Store, log: Path) -> None:
    task = PromotionTask(None, None, "apples", None, False, False, None, DecisionSettings(), log=str(log))
    assert _log(store, task) == log
    assert _log(store, replace(task, domain="pears")) is None
    assert _log(store, replace(task, domain=".shortlist")) is None
    assert _log(store, replace(task, log=str(log / "none"))) is None
    assert _log(store, replace(task, log=None)) is None


# --------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command, in a process in which the domains are installed."""
    monkeypatch.setattr("arbitrank.cli.value.loaded", lambda found: DOMAINS)

    def command(*args: str) -> Any:
        return CliRunner().invoke(cli, ["value", "apples", *args, "--store", str(store)])

    return command


def test_the_command_shows_what_the_estimate_rests_on(run: Callable[..., Any], log: Path) -> None:
    done = run("--on", str(log))
    assert done.exit_code == 0, done.output
    assert "1200 requests, 1200 with a reaction" in done.output
    assert "1200 reactions in 600 sessions; effective sample size" in done.output
    assert "400 of them are answered differently" in done.output
    assert "users would accept fewer of its answers" in done.output
    report = msgspec.json.decode(run("--on", str(log), "--json").output, type=ValueReport)
    assert report.estimate is not None
    assert report.unused == UnusedFeedback()
    assert "not judged" in run("--on", str(log), "--least", "500").output


def test_of_a_stage_the_command_names_what_judges_it(store: Store, log: Path) -> None:
    refused = CliRunner().invoke(cli, ["value", ".decisions", "--on", str(log), "--store", str(store)]).exception
    assert isinstance(refused, InputError)
    assert f"arbitrank impact .decisions --on {log}" in str(refused)


def test_importance_weights_are_clipped_as_stated(run: Callable[..., Any], log: Path) -> None:
    found = [msgspec.json.decode(run("--on", str(log), "--json", *more).output, type=ValueReport).estimate
             for more in ((), ("--clip", "1.5"))]  # fmt: skip
    before, clipped = found
    assert before is not None
    assert clipped is not None
    assert before.clipped == 0.0
    assert 0.1 < clipped.clipped < 0.2
    assert clipped.after.ips.mean < before.after.ips.mean
    assert "importance weights are clipped" in run("--on", str(log), "--clip", "1.5").output
    assert run("--on", str(log), "--clip", "0.5").exit_code == 2


def test_a_policy_of_the_log_is_stated_as_a_file(run: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(UNTOUCHED)
    digest = msgspec.convert(tomllib.loads(UNTOUCHED), Policy).digest
    path = str(selected(log, tmp_path, lambda number, one: replace(one, policy=digest)))
    assert run("--on", path, "--policy", str(tmp_path / "policy.toml")).exit_code == 0
    refused = run("--on", path).exception
    assert isinstance(refused, DataError)
    assert "1200 of 1200 answers with a reaction: logged under another policy" in str(refused)


def test_promote_judges_by_a_log_and_refuses_by_it(
    store: Store, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arbitrank.cli.promote.loaded", lambda found: DOMAINS)
    monkeypatch.setattr("arbitrank.promotion.selftest", lambda folder, name, scales: None)

    def promote(*more: str) -> Any:
        return CliRunner().invoke(cli, ["promote", "apples", *more, "--store", str(store)])

    before = store.state("apples")[1].stable
    done = promote("--log", str(log))
    assert done.exit_code == 1, done.output
    assert "1200 reactions in 600 sessions" in done.output
    assert "users would accept fewer of its answers: -" in done.output
    assert store.state("apples")[1].stable == before
    (tmp_path / "policy.toml").write_text(UNTOUCHED)
    assert "--policy: no --log" in str(promote("--policy", str(tmp_path / "policy.toml")).exception)


def test_a_log_without_propensities_is_refused(run: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    path = changed_log(tmp_path, with_answers(log, lambda answer: replace(answer, selection=UNSET)))
    done = run("--on", str(path))
    assert isinstance(done.exception, DataError)
    assert "none of 1200 answers with a reaction says how it was drawn" in str(done.exception)
    assert "arbitrank canary apples" in str(done.exception)


def test_a_log_without_reactions_is_refused(run: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    lines = [replace(line, outcome=None) for line in read_log(log) if isinstance(line, Logged)]
    done = run("--on", str(changed_log(tmp_path, lines)))
    assert isinstance(done.exception, DataError)
    assert "no line has a reaction; lines of feedback are read in the folder of a log alone" in str(done.exception)
    with AnswerLog(tmp_path / "silent") as silent:
        for line in lines:
            silent.append(line)
    done = run("--on", str(tmp_path / "silent"))
    assert "no reaction to any of 1200 requests; clients report them" in str(done.exception)
    done = run("--on", str(tmp_path / "silent"), "--since", "2001-01-01")
    assert "no request since 2001-01-01 has a reaction; clients report them" in str(done.exception)


def test_a_time_after_the_latest_request_is_named_with_that(run: Callable[..., Any], log: Path) -> None:
    done = run("--on", str(log), "--since", "2999-01-01")
    assert isinstance(done.exception, DataError)
    assert f"--since 2999-01-01: no request in {log} is that recent, the latest is of 20" in str(done.exception)


def test_lines_that_cannot_be_read_are_told_once_with_the_place_of_the_first(
    run: Callable[..., Any], exchange: ReplayPlan, log: Path, tmp_path: Path
) -> None:
    torn = shutil.copytree(log, tmp_path / "torn")
    (torn / "20990101T000000.000000Z-1-000001.jsonl").write_bytes(b'\n{"id": "1", "outcome": 1, "answer": 2}\n{"id"')
    place = f"{torn}/20990101T000000.000000Z-1-000001.jsonl:2"
    done = run("--on", str(torn))
    assert done.exit_code == 0, done.output
    assert done.stderr.count("could not be read") == done.output.count("could not be read") == 1
    assert f"2 lines could not be read, the first: {place}: " in done.stderr
    assert [one.where for one in replay(exchange, torn).bad] == [place, place[:-1] + "3"]
    bad = [one.where for one in read_truths(torn) if isinstance(one, BadLine)]
    assert bad == [place[:-1] + "3"], "a line without a truth is not decoded"


def test_a_large_log_is_read_by_all_processors(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    assert suitable_jobs(Computing(0, None), log).jobs == 1
    monkeypatch.setattr("arbitrank.cli.computing._LARGE", 1_000)
    assert suitable_jobs(Computing(0, None), log).jobs == 3
    assert suitable_jobs(Computing(2, None), log).jobs == 2


def test_log_status_counts_answers_that_say_how_they_were_drawn(log: Path) -> None:
    assert "1200 answers say how they were drawn" in CliRunner().invoke(cli, ["log", "status", str(log)]).output
