"""The benchmark of values: intervals hold the truth, verdicts have its sign, in a world of known acceptance."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.value import measured, synthetic


def test_a_canary_shows_the_truth() -> None:
    world = synthetic(n=4_000)
    world = replace(world, candidates={name: world.candidates[name] for name in list(world.candidates)[:2]})
    found = measured(world, 0.5, draws=20, seed=0)
    assert found["measured"] == 2
    for name in ("ips", "snips", "dr"):
        assert found[name] >= 0.85
    assert found["spread"] < 0.75
    assert found["agreement"] in (None, 1.0)


def test_a_log_without_an_experiment_is_not_judged() -> None:
    world = synthetic(n=4_000)
    world = replace(world, candidates={name: world.candidates[name] for name in list(world.candidates)[:2]})
    assert measured(world, 0.001, draws=5, seed=0)["judged"] == 0.0
