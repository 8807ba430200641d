"""The lattice of the tagger, held against a reference in log space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from log_space_lattice import LogSpaceLattice

from arbitrank.nlu.crf import Chain, Lattice, Path

LABELS = ("B-level", "B-room", "I-level", "I-room", "O")
MANY = tuple(sorted([f"{part}-{name}" for part in "BI" for name in "abcdefghij"] + ["O"]))


def both(
    labels: tuple[str, ...], tokens: int, scale: float, seed: int, lasting: float = 0.0
) -> tuple[Chain, Lattice, LogSpaceLattice]:
    """The same random weights in either lattice; `lasting` is added to steps from a label to itself."""
    rng = np.random.default_rng(seed)
    scores = scale * rng.standard_normal((tokens, len(labels)))
    transitions = (rng.standard_normal((len(labels), len(labels))) + lasting * np.eye(len(labels))).astype(np.float32)
    chain = Chain(labels, transitions)
    return chain, Lattice(chain, scores), LogSpaceLattice(labels, transitions, scores)


def assert_same(chain: Chain, found: Lattice, promised: LogSpaceLattice, k: int) -> None:
    assert_alike(found.best(k), promised.best(k))
    for path, log_probability in promised.best(k):
        assert found.log_probability(path) == pytest.approx(log_probability, abs=1e-6)
        for run in chain.runs(path)[:20]:
            label, first, last = run
            chance = promised.run_probability(chain.names[label], first, last)
            assert found.run_probability(run) == pytest.approx(chance, abs=1e-6)


def assert_alike(found: Sequence[Path], promised: Sequence[tuple[list[int], float]]) -> None:
    """The same sequences with the same probabilities; of equally probable ones any order."""
    assert [p for _, p in found] == pytest.approx([math.exp(p) for _, p in promised], abs=1e-9, rel=1e-6)
    logs = [p for _, p in promised]
    clear = [i for i in range(len(logs)) if all(abs(logs[i] - other) > 1e-7 for j, other in enumerate(logs) if j != i)]
    for i in clear[:-1]:  # the last may be as probable as one that is left out
        assert found[i].labels == promised[i][0]


@pytest.mark.parametrize("labels", [LABELS, MANY, ("B-room", "O"), ("B-room", "I-room")])
@pytest.mark.parametrize("tokens", [1, 2, 7, 30])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_sequences_and_slots_have_the_probabilities_of_log_space(
    labels: tuple[str, ...], tokens: int, scale: float
) -> None:
    for seed in range(3):
        assert_same(*both(labels, tokens, scale, seed), k=8)


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0])
@pytest.mark.parametrize("lasting", [0.0, 6.0])
def test_a_thousand_tokens_are_scaled_without_loss(scale: float, lasting: float) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        chain, found, promised = both(LABELS, 1_000, scale, 0, lasting)
        for t in (0, 63, 64, 65, 500, 998, 999):
            shares = found.forward[t] * found.backward[t] / found.total
            assert shares == pytest.approx(
                np.exp(promised.forward[t] + promised.backward[t] - promised.log_z), abs=1e-6
            )
        assert_same(chain, found, promised, k=5)


def test_a_label_that_no_sequence_reaches_overflows_nothing() -> None:
    labels = ("B-room", "I-room", "O")
    scores = np.zeros((1_000, 3))
    scores[:, 2] = -600.0  # only a slot of its own reaches the many equal ways of one
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        lattice = Lattice(Chain(labels, np.zeros((3, 3), np.float32)), scores)
        assert all(np.isfinite(sums).all() for sums in (*lattice.forward, *lattice.backward))


def test_the_slots_of_a_sequence_are_runs_of_its_tokens() -> None:
    chain = Chain(LABELS, np.zeros((5, 5), np.float32))
    b_level, b_room, i_level, i_room, outside = range(5)
    assert chain.runs([outside, b_room, i_room, b_room, b_level, i_level, i_level]) == [(1, 1, 2), (1, 3, 3), (0, 4, 6)]
    assert chain.runs([outside]) == []
