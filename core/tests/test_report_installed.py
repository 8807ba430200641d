"""The quality report of an installed domain: on what its weights have not seen, on other requests, and its curve."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.errors import InputError
from arbitrank.registry import Loaded, Source
from arbitrank.report.data import ReportSettings
from arbitrank.report.report import QualityReport, quality
from arbitrank.store.artifact import NegativesUsed
from arbitrank.store.store import open_store
from arbitrank.training.build import build, held_out
from arbitrank.training.shared_negatives import AddedNegatives
from arbitrank.values import Example, Hypothesis, Request, Truth

WORDS = {"On": ("on", "lit", "bright"), "Off": ("off", "dark", "quench")}


class LampsModel(Model):
    """Knows an intent by the words that it has counted."""

    def __init__(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        self.counts = counts

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        for word in (request.utterance or "").split():
            if found := self.counts.get(word):
                return (Hypothesis("lamps", max(found, key=lambda intent: found[intent])),)
        return ()

    def rerank(self, request: Request) -> Scores:
        n = len(request.hypotheses or ())
        return Scores(0.9, np.full(n, 0.9 / n))


class Lamps(Domain):
    """A domain by hand, whose examples are those that it is given."""

    name = "lamps"

    def __init__(self, examples: Sequence[Example], shipped: Path | None = None) -> None:
        self._examples, self._shipped = examples, shipped

    @property
    def shipped(self) -> Path | None:
        return self._shipped

    def examples(self) -> Sequence[Example]:
        return self._examples

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        counts: dict[str, dict[str, int]] = {}
        for example in examples:
            if example.truth.owned_by("lamps"):
                word, intent = (example.request.utterance or "").split()[0], example.truth.intent or ""
                counts.setdefault(word, {}).setdefault(intent, 0)
                counts[word][intent] += 1
        (out / "reranker").mkdir()
        (out / "reranker" / "counts.json").write_bytes(msgspec.json.encode(counts))
        return {}

    def load(self, folder: Path) -> Model:
        return LampsModel(json.loads((folder / "reranker" / "counts.json").read_bytes()))


def drawn(n: int, *, seed: int = 0) -> Iterator[Example]:
    """Examples as patterns draw them: own ones of both intents, and others' out of scope."""
    rng = random.Random(seed)
    for i in range(n):
        intent = rng.choice(["On", "Off", None, None])
        word = rng.choice(WORDS[intent]) if intent else rng.choice(["hum", "sing"])
        request = Request(id=f"lamps-{'lamps' if intent else 'none'}-{intent or 'noise'}-{i}", utterance=f"{word} {i}")
        yield Example(request, Truth("lamps" if intent else None, intent), {} if intent else {"kind": "noise"})


@pytest.fixture(scope="module")
def lamps(tmp_path_factory: pytest.TempPathFactory) -> Lamps:
    """The domain with weights trained on its examples, nine tenths of 2,600."""
    examples, folder = list(drawn(2_600)), tmp_path_factory.mktemp("lamps") / "model"
    build(Lamps(examples), ("arbitrank-lamps", "0.1.0"), examples, folder, Settings())
    return Lamps(examples, folder)


def reported(domain: Domain, store: Path, on: Path | None = None, curve: Any = "quick") -> QualityReport:
    found = [Loaded(domain.name, Source(domain.name, f"arbitrank-{domain.name}", "0.1.0"), domain)]
    settings = ReportSettings(open_store(store), curve=curve)
    return quality(domain.name, on, found, settings, lambda *_: None)


def test_the_weights_are_measured_on_the_examples_that_they_have_not_seen(lamps: Lamps, tmp_path: Path) -> None:
    one = reported(lamps, tmp_path)
    assert (one.source, one.n) == ("held-out", int(held_out("lamps", lamps.examples()).sum()))
    assert one.weights is not None
    assert one.weights.origin == "package"
    assert one.drawn == one.n
    assert one.warnings[0].startswith("measured on its own patterns")
    assert one.warnings[1].startswith("no request of another domain, only out-of-scope ones")
    assert one.readings.first is not None
    assert one.readings.first.share == 1.0
    assert one.curve is not None
    assert [point.examples for point in one.curve.points] == [(2_600 - one.n) // 4, (2_600 - one.n) // 2, 2_600 - one.n]
    assert one.curve.more_data == "no"
    assert "says nothing of what people say" in one.curve.reason
    assert one.patterns is None


def test_other_requests_are_compared_with_the_patterns(lamps: Lamps, tmp_path: Path) -> None:
    rows = [("lit", "lamps", "On"), ("glow", "lamps", "On"), ("dark", "lamps", "Off"), ("hum", None, None)] * 10
    lines = [{"text": text, "domain": domain, "intent": intent} for text, domain, intent in rows]
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    one = reported(lamps, tmp_path / "store", file)
    assert (one.source, one.n, one.own, one.drawn) == ("requests", 40, 30, 0)
    assert one.patterns is not None
    assert one.patterns.missing_words == {"glow": 10}
    assert one.patterns.real_right is not None
    assert one.patterns.real_right.share == pytest.approx(2 / 3)
    assert one.patterns.drawn_right is not None
    assert one.patterns.drawn_right.share == 1.0
    assert one.worst[0].kind == "no reading"
    assert one.curve is not None
    assert one.curve.more_data == "cannot tell"
    assert one.merged is None


def test_few_examples_are_cross_fitted_and_others_than_the_weights_saw_are_noted(lamps: Lamps, tmp_path: Path) -> None:
    one = reported(Lamps(lamps.examples()[:80], lamps.shipped), tmp_path)
    assert (one.source, one.n, one.weights) == ("cross-fitted", 80, None)
    assert any("were trained on other data than examples() gives now" in note for note in one.notes)
    assert any("trained on the other 4 of 5 parts" in text for text in one.warnings)


def test_weights_of_other_data_are_warned_of_and_have_no_curve(lamps: Lamps, tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text('{"text": "lit 1", "domain": "lamps", "intent": "On"}\n' * 12, encoding="utf-8")
    one = reported(Lamps(lamps.examples()[:80], lamps.shipped), tmp_path / "store", file)
    assert any("trained on other data than its own examples" in text for text in one.warnings)
    assert "no request of another domain or out of scope" in one.warnings[1]
    assert one.curve is None


def test_a_domain_without_weights_is_refused_on_other_requests(lamps: Lamps, tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text('{"text": "lit 1", "domain": "lamps", "intent": "On"}\n' * 12, encoding="utf-8")
    with pytest.raises(InputError, match="domain lamps: no weights"):
        reported(Lamps(lamps.examples()[:80]), tmp_path / "store", file)


def test_shared_negatives_that_training_adds_are_others_requests(lamps: Lamps, tmp_path: Path) -> None:
    own = [example for example in lamps.examples() if example.truth.owned_by("lamps")][:60]
    added = AddedNegatives(list(drawn(40, seed=1)), (NegativesUsed("arbitrank-made", "0.1.0", "0" * 64, 40),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arbitrank.report.data.added_negatives", lambda domain, examples: added)
        one = reported(Lamps(own), tmp_path, curve="none")
    assert one.n == 100
    assert any("40 shared negatives of arbitrank-made" in note for note in one.notes)
