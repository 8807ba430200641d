"""Readings of the shipped taggers, held against a lattice in log space on varied utterances."""

from __future__ import annotations

import math
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from benchmarks.text import varied
from log_space_lattice import LogSpaceLattice

from arbitrank.nlu.encoded import encode
from arbitrank.nlu.recogniser import Recogniser
from arbitrank.registry import discover, loaded

ROOT = Path(__file__).parents[1]


@cache
def utterances() -> list[str]:
    """Varied requests of all domains, the first of them long, of none, and of words in other scripts."""
    examples = [e for domain in loaded(discover()).values() for e in islice(domain.examples(), 0, 3_000, 7)]
    texts = [text for e in examples if (text := (e.request.utterance or "").strip())]
    return ["play " * 300, "", "播放 beyoncé", *varied(texts, 997)]


@pytest.mark.parametrize("name", ["books", "music", "video"])
def test_the_shipped_readings_have_the_probabilities_of_log_space(name: str, scale: float) -> None:
    recogniser = Recogniser.load(ROOT / "plugins" / name / "src" / f"arbitrank_{name}" / "model" / "recogniser")
    tagger = recogniser.tagger
    assert tagger is not None
    for text in utterances()[: int(1_000 * scale)]:
        encoded = encode(text)
        found = tagger.read(encoded, 8)
        if not len(encoded.attributes):
            assert [one.probability for one in found] == [1.0]
            continue
        lattice = LogSpaceLattice(tagger.labels, tagger.transitions, tagger._emissions(encoded))
        best = lattice.best(1 if len(encoded.attributes) > 100 else 8)
        assert [one.probability for one in found[: len(best)]] == pytest.approx(
            [math.exp(p) for _, p in best], abs=1e-6
        )
        for run, slot in zip(tagger._chain.runs(best[0][0]), found[0].slots, strict=True):
            label, first, last = run
            assert slot.name == tagger.labels[label][2:]
            assert slot.confidence == pytest.approx(lattice.run_probability(slot.name, first, last), abs=2e-6)
