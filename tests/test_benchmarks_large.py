"""The benchmark of very large evaluations has labelled utterances of as many domains as it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.large import print_table, utterances, write

from arbitrank.evaluate.corpus import read_corpus


def test_utterances_are_labelled_and_the_same_each_time(tmp_path: Path) -> None:
    rows = list(utterances(300, 5))
    assert rows == list(utterances(300, 5))
    assert {row["domain"] for row in rows} == {f"domain{d}" for d in range(5)}
    assert all(row["text"][s["start"] : s["end"]] == s["value"] for row in rows for s in row["slots"])
    write(tmp_path, 300, 5)
    corpus = read_corpus(tmp_path)
    assert (len(corpus.domains), len(corpus.held)) == (5, 30)
    assert len(corpus.train) > 200


def test_the_table_has_time_memory_and_systems(capsys: pytest.CaptureFixture[str]) -> None:
    systems = {"R0": {"domain_accuracy": 0.9, "irer": 0.2}}
    found = {"utterances": 1_000, "domains": 5, "jobs": 2, "seconds": 90.0, "processor": 150.0, "peak_mb": 1_234.0}
    print_table({**found, "stages": {"read": 1.0}, "systems": systems})
    printed = capsys.readouterr().out
    assert "1,000 utterances of 5 domains, 2 jobs: 1.5 min, 2.5 min of the processors, 1,234 MB at most" in printed
    assert "read 1 s" in printed
