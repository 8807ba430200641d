"""The benchmark of the Shortlister has the documented figures."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import numpy as np
from benchmarks.shortlist import World, measured, over_best, print_table


def test_the_world_is_the_same_for_a_seed_and_follows_a_power_law() -> None:
    world = World(200, vocabulary=2_000)
    texts, skills = world.draw(5_000, 1)
    same_texts, same_skills = World(200, vocabulary=2_000).draw(5_000, 1)
    assert texts == same_texts
    assert skills.tolist() == same_skills.tolist()
    counts = np.bincount(skills, minlength=200)
    assert counts[0] > 5 * counts[100:].mean()


def test_the_benchmark_measures_the_index_and_requests_end_to_end() -> None:
    chosen = Namespace(
        skills=300, utterances=3_000, asked=200, domains=40, peers=False, pecos=None, jobs=1, quick=True, seed=0,
        data=Path(os.devnull),
    )  # fmt: skip
    found = measured(chosen)
    index = found["systems"]["index"]
    assert index["recall10"] > 0.8
    assert index["visible_at_once"] == 1.0
    assert min(found["query_us_100k"], found["train_s_100k"], found["end_to_end"]["all_over_listed"]) > 0
    assert found["memory_mb"] < 200
    assert found["recall10_over_best_peer"] is None
    assert found["end_to_end"]["right_listed"] > 0.7
    print_table(found)


def test_the_ratio_is_to_the_best_peer_that_was_measured() -> None:
    assert over_best({"index": {"recall10": 0.9}, "a": {"recall10": 0.6}, "b": {"skipped": "no"}}) == 1.5
