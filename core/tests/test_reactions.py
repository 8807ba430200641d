"""Reactions to answers: their noise, clients that lie, and what they make of a domain's claims."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.impact.outcome_recalibration import _with_accepted
from arbitrank.outcomes.beliefs import beliefs
from arbitrank.outcomes.client_cap import CAP
from arbitrank.outcomes.drift_posterior import drift_posterior, noise_posterior
from arbitrank.outcomes.noise import capped, claimed, posterior
from arbitrank.outcomes.reactions import ReactionRows, Reactions, client_of
from arbitrank.outcomes.recalibrating import LEAST, _bounded, recalibrate
from arbitrank.probability import log_odds, sigmoid
from arbitrank.values import Answer, Decision, DomainReport, Ranked, Truth
from arbitrank.wire.requests import Logged

NAMES = ("apples", "pears", "plums")


def made(
    n: int = 900, drift: tuple[float, float] = (1.0, 0.0), *, false: float = 0.0, clients: int = 300, seed: int = 0
) -> Reactions:
    """Reactions to three domains, whose claims are right but for those of `pears`, whose log-odds drift."""
    rng = np.random.default_rng(seed)
    domain, z = rng.integers(0, 3, n), rng.normal(2.0, 1.5, n)
    right = rng.random(n) < sigmoid(z)
    own = np.where(domain == 1, drift[0] * z + drift[1], z)
    accepted = right ^ (rng.random(n) < false)
    return Reactions(
        NAMES, tuple(map(str, range(clients + 1))), domain, rng.integers(1, clients + 1, n), own[:, None], own + 3.0,
        np.zeros(n), accepted, np.full(n, np.nan), np.ones(n, bool), np.ones(n),
    )  # fmt: skip


def moved(reactions: Reactions, name: str) -> float:
    """The mean change of a domain's claims by its recalibration, in points."""
    by = recalibrate(reactions, noise_posterior(reactions), name).recalibration
    own = reactions.of(reactions.domain == NAMES.index(name))
    after = claimed(own, 1.0, 0.0) if by is None else claimed(own, by.scale, by.shift)
    return 100.0 * float((after - claimed(own, 1.0, 0.0)).mean())


def test_claims_that_are_right_are_left_as_they_are() -> None:
    reactions = made()
    noise = noise_posterior(reactions)
    assert noise.means[0] < 0.03
    assert noise.means[1] < 0.06
    assert all(recalibrate(reactions, noise, name).recalibration is None for name in NAMES)


@pytest.mark.parametrize("drift", [(2.0, 0.0), (0.5, 0.0), (1.0, 2.0), (1.0, -2.0)])
def test_a_drift_is_undone_and_no_other_domain_moves(drift: tuple[float, float]) -> None:
    reactions, usual = made(drift=drift), made()
    noise = noise_posterior(reactions)
    by = recalibrate(reactions, noise, "pears").recalibration
    assert by is not None
    own, was = (one.of(one.domain == 1) for one in (reactions, usual))
    before, after = (claimed(own, *each) - claimed(was, 1.0, 0.0) for each in ((1.0, 0.0), (by.scale, by.shift)))
    assert np.abs(after).mean() < np.abs(before).mean() / 3
    assert recalibrate(reactions, noise, "plums").recalibration is None


def test_a_map_is_found_though_none_next_to_doing_nothing_is_better() -> None:
    """Two readings that sum to P(mine), both flattened: the likelihood has a kink where the map changes nothing."""
    rng = np.random.default_rng(0)
    mine = sigmoid(rng.normal(3.0, 1.0, 400))
    both = np.array([0.9, 0.1]) * mine[:, None]
    flat = 0.5 * log_odds(both)
    accepted = rng.random(400) < both[:, 0]
    reactions = Reactions(
        ("apples",), tuple(map(str, range(401))), np.zeros(400, np.int64), np.arange(1, 401), flat,
        log_odds(sigmoid(flat).sum(axis=1).clip(max=0.999)), np.zeros(400), accepted, np.full(400, np.nan),
        np.ones(400, bool), np.ones(400),
    )  # fmt: skip
    found = drift_posterior(reactions, noise_posterior(reactions), 0)
    assert found.drifted > 0.9
    assert found.log_scale > 0.3


def test_false_reactions_of_everybody_move_no_claim() -> None:
    reactions = made(3_000, false=0.3, clients=1_000)
    assert noise_posterior(reactions).means[0] == pytest.approx(0.3, abs=0.1)
    assert [moved(reactions, name) for name in NAMES] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_one_client_that_lies_is_found_and_moves_no_claim(share: float) -> None:
    reactions = made()
    lies = np.random.default_rng(1).random(len(reactions)) < share
    reactions.client[lies] = 1
    reactions.accepted[lies] ^= True
    found = beliefs(reactions)
    assert found.weight[lies].sum() < 0.01 * lies.sum()
    assert found.distrusted == 1
    assert [moved(reactions, name) for name in NAMES] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("accepts", [False, True])
def test_a_client_that_always_says_the_same_does_not_keep_a_drift_from_being_undone(accepts: bool) -> None:
    """A fifth of the domain's reactions are one client's, which is honest elsewhere."""
    reactions, usual = made(drift=(1.0, 2.0)), made()
    lies = (reactions.domain == 1) & (np.random.default_rng(1).random(len(reactions)) < 0.2)
    reactions.client[lies] = 1
    reactions.accepted[lies] = accepts
    found = recalibrate(reactions, noise_posterior(reactions), "pears")
    assert found.recalibration is not None
    assert found.distrusted >= 1
    own, was = (one.of(one.domain == 1) for one in (reactions, usual))
    by = found.recalibration
    before, after = (claimed(own, *each) - claimed(was, 1.0, 0.0) for each in ((1.0, 0.0), (by.scale, by.shift)))
    assert np.abs(after).mean() < np.abs(before).mean() / 2


def test_many_reactions_tell_a_map_more_exactly_than_the_first_grid() -> None:
    reactions = made(12_000, drift=(1.3, 0.7), clients=4_000)
    found = drift_posterior(reactions, noise_posterior(reactions), 1)
    assert found.drifted > 0.999
    own, was = (one.of(one.domain == 1) for one in (reactions, made(12_000, clients=4_000)))
    maps = (1.0, 0.0), (float(np.exp(found.log_scale)), found.shift)
    before, after = (np.abs(claimed(own, *by) - claimed(was, 1.0, 0.0)).mean() for by in maps)
    assert after < before / 3


def test_a_client_alone_can_hardly_speak_for_a_drift() -> None:
    """Whatever a client says, its likelihood of one map beside another's is bounded, as it may be careless."""
    reactions = made(600)
    reactions.client[:] = np.where(reactions.domain == 1, 1, reactions.client)
    reactions.accepted[reactions.domain == 1] = False
    found = drift_posterior(reactions, noise_posterior(reactions), 1)
    assert found.drifted < 0.5


@given(st.floats(0.34, 3.0), st.floats(-4.0, 4.0), st.floats(0.001, 0.4))
def test_a_map_moves_the_mean_claim_by_no_more_than_the_bound(scale: float, shift: float, most: float) -> None:
    own = made(200)
    by = _bounded(own, own.weight, (scale, shift), most)
    assert abs(float((claimed(own, *by) - claimed(own, 1.0, 0.0)).mean())) <= most
    assert abs(by[1]) <= abs(shift)


def test_reactions_without_account_and_session_are_one_clients() -> None:
    reactions = made(drift=(1.0, 2.0))
    reactions.client[:] = 0
    found = recalibrate(reactions, noise_posterior(reactions), "pears")
    assert found.recalibration is None
    assert found.weight < LEAST
    assert found.nameless > 250


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.0, 50.0)), min_size=1, max_size=40))
def test_no_client_has_more_than_its_share_of_a_domains_weight(rows: list[tuple[int, float]]) -> None:
    n = len(rows)
    client, weight = np.array([c for c, _ in rows]), np.array([w for _, w in rows])
    reactions = Reactions(
        ("apples",), tuple("abcde"), np.zeros(n, np.int64), client, np.zeros((n, 1)), np.zeros(n), np.zeros(n),
        np.ones(n, bool), np.full(n, np.nan), np.ones(n, bool), np.ones(n),
    )  # fmt: skip
    found = capped(reactions, weight)
    sums = np.bincount(client, found, 5)
    assert (found <= weight + 1e-9).all()
    assert (sums <= CAP * (1 / CAP + sums.sum()) + 1e-6).all()


def test_labels_of_noisy_reactions_say_on_average_what_right_claims_say() -> None:
    reactions = made(60_000, false=0.2, clients=20_000)
    p = claimed(reactions, 1.0, 0.0)
    assert posterior(reactions, p, 0.2, 0.2).mean() == pytest.approx(p.mean(), abs=0.005)


def test_a_truth_counts_in_the_place_of_a_reaction() -> None:
    reactions = made()
    reactions.right[:] = np.where(reactions.accepted, 0.0, 1.0)
    noise = beliefs(reactions)
    assert (noise.right == reactions.right).all()
    assert noise.spurious == pytest.approx(0.48)  # everybody says the opposite: no more than half is believed


def line(**fields: object) -> Logged:
    """A line of a log whose answer is of apples."""
    ranked = (Ranked("apples", "Eat", (), 0.8, 0.9, 0.8), Ranked("apples", "Buy", (), 0.05, 0.9, 0.05))
    answer = Answer("1", Decision("accept", (0,)), ranked, {"apples": DomainReport("answered", "v1")}, {})
    return msgspec.structs.replace(Logged(id="1", time=86_400.0, answer=answer), **fields)


def rows_of(*lines: Logged, versions: dict[str, str] | None = None) -> Reactions:
    """The reactions of lines."""
    rows = ReactionRows(versions)
    for one in lines:
        rows.add(one)
    return rows.reactions()


def test_a_reaction_holds_the_claims_before_the_competition_and_without_a_recalibration() -> None:
    one = line(outcome="accepted", claims={"apples": (0.95, 0.88)}, session="s")
    found = rows_of(one)
    assert found.readings[0, 0] == pytest.approx(log_odds(np.array(0.88)))
    assert found.readings[0, 0] + found.beside[0] == pytest.approx(log_odds(np.array(0.8)))
    assert found.mine[0] == pytest.approx(log_odds(np.array(0.95)))
    assert one.answer is not None
    report = DomainReport("answered", "v1", shrunk=2.0, shift=-1.0)
    shrunk = rows_of(
        msgspec.structs.replace(one, answer=msgspec.structs.replace(one.answer, domains={"apples": report}))
    )
    assert shrunk.readings[0, 0] == pytest.approx(2.0 * (log_odds(np.array(0.88)) + 1.0))


def lines_without_use() -> Iterator[Logged]:
    """Lines that say nothing of a reading."""
    yield line()
    yield line(truth=Truth("apples"))  # no intent: its reading is neither right nor wrong
    yield line(outcome="accepted", answer=Answer("1", Decision("none"), (), {}, {}))
    yield line(outcome="accepted", answer=None)
    yield line(outcome="accepted", called="another")


def test_lines_without_reaction_or_reading_are_left_out() -> None:
    assert len(rows_of(*lines_without_use())) == 0
    assert len(beliefs(rows_of()).right) == 0


def test_only_the_reading_that_was_acted_on_and_accepted_stands_for_a_truth() -> None:
    accepted = _with_accepted(line(outcome="accepted"))
    assert accepted is not None
    assert accepted.truth == Truth("apples", "Eat")
    assert all(one.truth is not None or _with_accepted(one) is None for one in lines_without_use())


def test_reactions_to_another_version_are_left_out_and_old_ones_count_less() -> None:
    assert len(rows_of(line(outcome="rejected"), versions={"apples": "v2"})) == 0
    found = rows_of(line(outcome="rejected"), line(outcome="rejected", time=8 * 86_400.0), versions={"pears": "v2"})
    assert found.weight.tolist() == [0.5, 1.0]


def test_reactions_of_a_time_to_come_weigh_nothing_and_do_not_age_the_others() -> None:
    assert rows_of(line(outcome="rejected"), line(outcome="rejected", time=1e12)).weight.tolist() == [1.0, 0.0]


def test_a_client_is_an_account_else_a_session() -> None:
    assert client_of(line(account={"id": "a"}, session="s")) == "account a"
    assert client_of(line(session={"id": 7, "turn": 3})) == "session 7"
    assert client_of(line(account={}, session="")) is None
