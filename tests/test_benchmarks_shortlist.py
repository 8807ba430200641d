"""The benchmark of the Shortlister has the documented figures."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
from benchmarks.shortlist import measured, options, over_best, print_tables
from benchmarks.shortlist_data import Task, World, catalogue_of, registry
from benchmarks.shortlist_systems import figures


def test_the_world_is_the_same_for_a_seed_and_follows_a_power_law() -> None:
    world = World(200, vocabulary=2_000)
    texts, skills = world.draw(5_000, 1)
    same_texts, same_skills = World(200, vocabulary=2_000).draw(5_000, 1)
    assert texts == same_texts
    assert skills.tolist() == same_skills.tolist()
    counts = np.bincount(skills, minlength=200)
    assert counts[0] > 5 * counts[100:].mean()


def test_the_benchmark_measures_the_index_and_requests_end_to_end() -> None:
    chosen = options(["--quick", "--systems", "index", "--data", os.devnull])
    chosen.skills, chosen.utterances, chosen.asked, chosen.domains, chosen.described = 300, 3_000, 200, 40, []
    found = measured(chosen)
    ((_, task),) = found["tasks"].items()
    index = task["systems"]["index"]
    assert index["recall"]["10"] > 0.8
    assert index["visible_at_once"] == 1.0
    assert min(index["query_us"], index["train_s"], found["end_to_end"]["all_over_listed"]) > 0
    assert index["loaded_mb"] <= index["peak_mb"] < 500
    assert task["recall10_over_best_peer"] is None
    assert found["end_to_end"]["right_listed"] > 0.7
    print_tables(found)


def test_described_skills_are_trained_by_the_command(tmp_path: Path) -> None:
    task = catalogue_of(World(300, vocabulary=2_000), 50, tmp_path, 0)
    found = figures("Shortlister", task, 1)
    assert found["recall"]["10"] > 0.8
    assert min(found["loaded_mb"], found["peak_mb"]) > 0


def test_a_system_that_cannot_be_measured_says_why(tmp_path: Path) -> None:
    assert figures("PECOS", Task(tmp_path, 100_000), 1) == {"skipped": "100,000 skills, measured up to 10,000"}


def test_what_a_description_says_of_its_use_is_held_out_as_a_request(tmp_path: Path) -> None:
    lines = [
        {"name": "tide", "owner": "a", "description": "Tables of high and low tide. Use when planning a trip to sea."},
        {"name": "Tide", "owner": "b", "description": "Use when wet"},
    ]
    path = tmp_path / "skills.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)
    task = registry(path, 10, tmp_path, 0)
    assert task is not None
    assert task.asked == ["planning a trip to sea."]
    assert next(task.texts) == "tide Tables of high and low tide."
    assert task.alike[0] == task.alike[1]


def test_the_ratio_is_to_the_best_peer_that_was_measured() -> None:
    systems = {"index": {"recall": {"10": 0.9}}, "a": {"recall": {"10": 0.6}}, "b": {"skipped": "no"}}
    assert over_best(systems) == 1.5
