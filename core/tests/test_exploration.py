"""Exploration: within a budget, near the head, by sessions, never against the policy, and reproducible from the log."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise, repeat
from multiprocessing import get_context
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from arbitrank.arbitration.outcomes import Arbitration
from arbitrank.arbitration.policy import Policy
from arbitrank.cli.main import cli
from arbitrank.errors import DataError
from arbitrank.outcomes.exploration import ExplorationSettings, alternatives, drawn_reading, explored, session_draw
from arbitrank.outcomes.exploration_budget import ExplorationBudget
from arbitrank.outcomes.propensities import selection_of, unreproduced
from arbitrank.selections import CanaryDraw
from arbitrank.serve.exploring import Explorer
from arbitrank.values import Answer, Decision, Ranked, Request
from arbitrank.wire.requests import Logged, decode_logged

DOMAIN = "weather"


def answer(*rights: float, action: str = "accept", reason: str | None = None) -> Answer:
    """An answer whose head is of the domain, the other readings being of others."""
    names = (DOMAIN, "timer", "shop", "news")
    ranked = tuple(Ranked(names[i], "Do", (), p, 0.9, p, "v") for i, p in enumerate(rights))
    decision = Decision(action, (0,) if action == "accept" else (), reason or msgspec.UNSET)  # type: ignore[arg-type]
    return Answer("1", decision, ranked, {}, {})


def allowed(place: int) -> bool:
    return True


def test_readings_close_to_the_head_might_be_acted_on() -> None:
    assert alternatives(answer(0.6, 0.5, 0.3), 0.2, 0.0, allowed) == (1,)
    assert alternatives(answer(0.6, 0.5, 0.3), 0.3, 0.0, allowed) == (1, 2)
    assert alternatives(answer(0.6, 0.5, 0.3), 0.3, 0.4, allowed) == (1,)
    assert alternatives(answer(0.6, 0.5), 0.2, 0.0, lambda place: place == 0) == ()
    assert alternatives(answer(0.6, 0.5), 0.2, 0.0, lambda place: place == 1) == ()
    assert alternatives(answer(0.6), 0.2, 0.0, allowed) == ()
    assert alternatives(answer(0.6, 0.5, action="none"), 0.2, 0.0, allowed) == ()
    assert alternatives(answer(0.6, 0.5, action="clarify"), 0.2, 0.0, allowed) == ()
    assert alternatives(answer(0.6, 0.5, reason="weather is pinned"), 0.2, 0.0, allowed) == ()


@given(st.lists(st.floats(0.1, 0.6), min_size=1, max_size=3), st.floats(0.01, 0.5))
def test_the_probabilities_of_all_readings_sum_to_one(rights: list[float], rate: float) -> None:
    ranked = answer(0.6, *rights).ranked
    others = tuple(range(1, len(ranked)))
    found = dict(drawn_reading(ranked, 0, others, f"session {i}", rate) for i in range(300))
    if len(found) == len(ranked):  # each was drawn
        assert sum(found.values()) == pytest.approx(1.0)
    assert found[0] == pytest.approx(1.0 - rate)


def test_readings_are_drawn_in_proportion_to_their_probability() -> None:
    ranked = answer(0.6, 0.5, 0.25).ranked
    drawn = [drawn_reading(ranked, 0, (1, 2), f"session {i}", 0.4)[0] for i in range(4_000)]
    shares = [drawn.count(place) / len(drawn) for place in range(3)]
    assert shares == pytest.approx([0.6, 0.4 * 2 / 3, 0.4 / 3], abs=0.03)


def test_a_session_sees_one_behaviour() -> None:
    """The same request of a session is answered alike, and a session explores again while the rate does not fall."""
    one = answer(0.6, 0.5, 0.4)
    for i in range(50):
        key = f"session {i}"
        first = explored(one, (1, 2), key, 0.3)[0].decision
        assert explored(one, (1, 2), key, 0.3)[0].decision == first
        assert (first.contenders[0] > 0) == (session_draw(DOMAIN, key) < 0.3) == (first.reason == "explored")


# ------------------------------------------------------------------------------------------------------------ budgets


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[ExplorationBudget]:
    one = ExplorationBudget(tmp_path)
    yield one
    one.close()


def ask(budget: ExplorationBudget, i: int, share: float = 0.02, often: int = 4) -> bool:
    """One request of its own session, every `often`-th of which could be explored; True where it was."""
    drawn = session_draw(DOMAIN, f"session {i}")
    return drawn < budget.take(DOMAIN, share, None, drawn, possible=i % often == 0)


@given(st.integers(0, 1_000_000), st.sampled_from([0.005, 0.02, 0.1]), st.sampled_from([1, 3, 8]))
def test_never_more_than_the_budget_is_spent(first: int, share: float, often: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        budget, spent = ExplorationBudget(Path(folder)), 0
        for i in range(600):
            spent += ask(budget, first + i, share, often)
            assert spent <= share * (i + 1)
        assert budget.counts(DOMAIN) == (600, spent)
        budget.close()


def test_nine_tenths_of_the_budget_are_spent_through_swaps_and_restarts(tmp_path: Path, scale: float) -> None:
    """Each of 1,000 swaps changes how many answers could be explored; after every hundredth a worker starts again."""
    each = max(20, int(200 * scale))
    n, spent = 0, 0
    for swap in range(1_000):
        if swap % 100 == 0:
            budget = ExplorationBudget(tmp_path)
        for _ in range(each):
            n += 1
            spent += ask(budget, n, often=2 + swap * 7 % 5)
            assert spent <= 0.02 * n
        if swap % 100 == 99:
            budget.close()
    assert 0.9 * 0.02 * n <= spent <= 0.02 * n


def _worker(folder: Path, first: int, n: int) -> tuple[int, int]:
    budget = ExplorationBudget(folder)
    spent = sum(ask(budget, i) for i in range(first, first + n))
    own = budget.counts(DOMAIN)
    budget.close()
    assert own[1] >= spent
    return spent, n


def test_workers_together_keep_the_budget(tmp_path: Path) -> None:
    # Spawned and not forked: a fork of a process with threads may hang at its end.
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_worker, repeat(tmp_path), range(0, 60_000, 10_000), repeat(4_000)))
    spent, n = (sum(each) for each in zip(*found, strict=True))
    assert 0.9 * 0.02 * n <= spent <= 0.02 * n


def test_workers_that_are_replaced_leave_their_counts_to_the_next(tmp_path: Path) -> None:
    """Of four workers one after another is replaced, again and again, while sessions come back."""
    workers, spent, n = [ExplorationBudget(tmp_path) for _ in range(4)], 0, 0
    for swap in range(200):
        workers[swap % 4].close()  # it writes nothing, so that a kill leaves the same
        workers[swap % 4] = ExplorationBudget(tmp_path)
        for _ in range(100):
            n += 1
            session = f"session {n * 7919 % 3_001}"
            drawn = session_draw(DOMAIN, session)
            spent += drawn < workers[n % 4].take(DOMAIN, 0.02, session, drawn, possible=n % (2 + swap % 5) == 0)
            assert spent <= 0.02 * n
    assert 0.9 * 0.02 * n <= spent
    assert len([*tmp_path.glob("*.counts")]) == 4
    for one in workers:
        one.close()


def test_processes_side_by_side_have_counts_of_their_own(tmp_path: Path) -> None:
    one, other = ExplorationBudget(tmp_path), ExplorationBudget(tmp_path)
    ask(one, 1)
    assert (one.counts(DOMAIN), other.counts(DOMAIN)) == ((1, 0), (0, 0))
    one.close()
    again = ExplorationBudget(tmp_path)
    assert again.counts(DOMAIN) == (1, 0)
    assert again.take(DOMAIN, 0.02, "session", 1.0, possible=True) == 0.0  # there is no budget yet
    assert not other._slot("session", True)  # it was the session's last request
    for left in (again, other):
        left.close()


def test_another_budget_is_counted_anew(budget: ExplorationBudget) -> None:
    for i in range(2_000):
        ask(budget, i, 0.1)
    assert budget.counts(DOMAIN)[1] > 100
    ask(budget, 1, 0.01)
    assert budget.counts(DOMAIN) == (1, 0)


def test_never_two_requests_in_a_row_of_a_session(budget: ExplorationBudget) -> None:
    for i in range(3_000):
        ask(budget, i)  # budget is left
    for session in (f"session {i}" for i in range(200)):
        rates = [budget.take(DOMAIN, 0.2, session, 1.0, possible=True) > 0.0 for _ in range(6)]
        assert not any(one and other for one, other in pairwise(rates))


def test_a_request_between_that_could_not_be_explored_ends_the_row(budget: ExplorationBudget) -> None:
    for i in range(3_000):
        ask(budget, i)
    assert budget.take(DOMAIN, 0.02, "session a", 1.0, possible=True) > 0.0
    assert budget.take(DOMAIN, 0.02, "session a", 1.0, possible=True) == 0.0
    assert budget.take(DOMAIN, 0.02, "session a", 1.0, possible=True) > 0.0
    budget.skip("session a")
    assert budget.take(DOMAIN, 0.02, "session a", 1.0, possible=True) > 0.0


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="exploration cannot be counted"):
        ExplorationBudget(tmp_path / "file" / "log")


# ----------------------------------------------------------------------------------------------------------- a worker

SETTINGS = ExplorationSettings({DOMAIN: 0.2}, 0.2)


def policy(text: str) -> Policy:
    return msgspec.convert(tomllib.loads(text), Policy)


def served(explorer: Explorer, i: int, rules: Policy | None = None, one: Answer | None = None) -> Logged:
    """The line of a log of one request."""
    asked = Request(id=str(i), session=f"s{i}", utterance="a", context={"device": "kitchen"})
    one = replace(one or answer(0.6, 0.5, 0.45), id=str(i))
    chosen, how = explorer(asked, one, Arbitration(one, {}), rules)
    selection = selection_of(asked, chosen, {}, exploration=how)
    return Logged(**asdict(asked), answer=replace(chosen, selection=selection))


@pytest.fixture
def explorer(tmp_path: Path) -> Iterator[Explorer]:
    one = Explorer(SETTINGS, tmp_path)
    yield one
    one.close()


def test_what_was_explored_is_reproduced_from_the_log(explorer: Explorer) -> None:
    lines = [decode_logged(msgspec.json.encode(served(explorer, i))) for i in range(2_000)]
    assert [problem for line in lines if (problem := unreproduced(line))] == []
    acted = [line.answer.decision for line in lines if line.answer is not None]
    others = [one for one in acted if one.reason == "explored"]
    assert 0.15 * 2_000 < len(others) <= 0.2 * 2_000
    assert {one.contenders for one in others} == {(1,), (2,)}
    shown = [line.answer.selection for line in lines if line.answer is not None and line.answer.selection]
    assert {one.eligible for one in shown} == {(0,), (0, 1, 2)}
    # The propensities are those of what was served: each reading's importance weights sum to the number of requests.
    drawn = [one for one in shown if len(one.eligible) == 3]
    weights = sum(1 / one.probability for one in drawn if one.exploration and one.exploration.probability < 0.5)
    assert weights == pytest.approx(2 * len(drawn), rel=0.25)


def test_another_draw_is_not_reproduced(explorer: Explorer) -> None:
    lines = [served(explorer, i) for i in range(300)]
    line = next(one for one in lines if one.answer is not None and one.answer.decision.reason == "explored")
    assert line.answer is not None
    undone = replace(line, answer=replace(line.answer, decision=Decision("accept", (0,))))
    assert "is drawn, and another one was acted on" in (unreproduced(undone) or "")


@pytest.mark.parametrize(
    "rules",
    [
        '[domains.weather]\ncost = 1e-6',
        '[domains.weather]\nask = true',
        '[domains.timer]\ncost = 1e-6\n[domains.shop]\nask = true',
        '[domains.timer]\naccept = 0.55\n[domains.shop]\nleast = 0.95',
        '[[blocks]]\ndomain = "timer"\n[[blocks]]\ndomain = "shop"\nwhen = { device = "kitchen" }',
        '[[pins]]\ndomain = "weather"',
    ],
)  # fmt: skip
def test_nothing_is_explored_against_the_policy(explorer: Explorer, rules: str) -> None:
    lines = [served(explorer, i, policy(rules)) for i in range(100)]
    assert {line.answer.decision for line in lines if line.answer is not None} == {Decision("accept", (0,))}
    assert explorer.budget.counts(DOMAIN) == (100, 0)


def test_other_domains_and_requests_of_a_canary_are_not_explored(explorer: Explorer) -> None:
    one = answer(0.6, 0.5)
    other = replace(one, ranked=one.ranked[::-1])
    asked = Request(session="s", utterance="a")
    canary = {"weather": CanaryDraw("a", "b", 0.5, "stable")}
    for arbitration in (Arbitration(other, {}), Arbitration(one, {}, canary=canary)):
        assert explorer(asked, arbitration.answer, arbitration, None) == (arbitration.answer, None)
    assert explorer.budget.counts(DOMAIN) == (0, 0)


# --------------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--explore", "weather"), "'weather', expected DOMAIN=SHARE"),
        (("--explore", "weather=0.5"), "a share above 0 and at most 0.2"),
        (("--explore", "weather=0"), "'weather=0', expected DOMAIN=SHARE"),
        (("--explore", "=0.1"), "'=0.1', expected"),
        (("--explore", "weather=0.1"), "no --log; expected both"),
    ],
)
def test_a_bad_budget_is_refused_with_what_was_expected(given: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["serve", *given, "--store", str(tmp_path)])
    assert expected in str(done.exception)


def test_budgets_are_stated_like_any_option(tmp_path: Path) -> None:
    given = ("--explore", "weather=0.1", "--explore", "timer=0.01", "--log", str(tmp_path / "log"))
    done = CliRunner().invoke(cli, ["serve", *given, "--store", str(tmp_path), "--show-config"])
    assert done.exit_code == 0, done.output
    assert 'explore = ["weather=0.1", "timer=0.01"]' in done.output
