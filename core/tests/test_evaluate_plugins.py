"""Installed plugins, measured on a corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from arbitrank.arbitration.competition import Competition, Term
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.errors import InputError, PluginError
from arbitrank.evaluate.experiment import evaluate
from arbitrank.evaluate.report import write_report
from arbitrank.values import Example, Hypothesis, Request


class WordModel(Model):
    """Recognises a request by a word of its own; fails where it reads "fail"."""

    def __init__(self, name: str, word: str) -> None:
        self.name, self.word = name, word

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        if "fail" in (request.utterance or ""):
            raise RuntimeError("no such word")
        known = self.word in (request.utterance or "")
        return (Hypothesis(self.name, "go", domain_confidence=0.6 if known else 0.5),)

    def rerank(self, request: Request) -> Scores:
        first = (request.hypotheses or ())[0]
        p = 0.9 if (first.domain_confidence or 0.0) > 0.55 else 0.05
        return Scores(p, np.array([p]))


class Word(Domain):
    """Learns nothing but the number of its training requests."""

    def __init__(self, name: str, word: str) -> None:
        self.name, self.word = name, word
        self.shown: list[int] = []

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        self.shown.append(len(examples))
        return {}

    def load(self, folder: Path) -> Model:
        return WordModel(self.name, self.word)


class Unwilling(Word):
    """Cannot be trained."""

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        raise ZeroDivisionError("by design")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    for split, n in (("train", 30), ("dev", 20)):
        rows = [
            {"text": f"{('light', 'tune')[i % 2]} {split} {i}", "domain": ("lamps", "tunes")[i % 2]} for i in range(n)
        ]
        rows = [row | {"intent": "go"} for row in rows] + [{"text": "fail", "domain": "lamps"}] * (split == "dev")
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def install(monkeypatch: pytest.MonkeyPatch, *domains: Domain) -> None:
    monkeypatch.setattr("arbitrank.evaluate.plugins.loaded", lambda found: {one.name: one for one in domains})


def run(path: Path) -> Any:
    found = evaluate(path, plugins=True, shift=True, progress=lambda stage, done, total: None)
    shifted = found[0]["shift"][0]["systems"]
    assert list(shifted) == ["R0", "R0 tuned", "plugins tuned"]
    for system, one in shifted.items():
        for measure in ("domain_accuracy", "irer", "nll"):
            assert one[measure] == pytest.approx(found[0]["systems"][system][measure])
    return found


def test_plugins_are_trained_on_train_and_scored_on_held_out_requests(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamps, tunes = Word("lamps", "light"), Word("tunes", "tune")
    install(monkeypatch, lamps, tunes, Word("unasked", "x"))
    metrics, outcomes, found = run(corpus)
    assert lamps.shown == tunes.shown == [30]
    assert list(metrics["systems"]) == ["R0", "R0 tuned", "plugins", "plugins tuned"]
    assert "6 requests with a truth, expected at least 200" in metrics["tuning"]["plugins tuned"].refusal
    assert metrics["systems"]["plugins"]["domain_accuracy"] == pytest.approx(20 / 21)
    assert metrics["systems"]["plugins"]["against"].keys() == {"R0", "R0 tuned"}
    assert outcomes["plugins"].probability[0] == 0.9
    assert [note for note in metrics["notes"] if "failed on 1 requests" in note and "no such word" in note]
    write_report(metrics, outcomes, found.held, "plugins", tmp_path / "out")


def test_plugins_rerank_the_hypotheses_of_a_file_out_of_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lamps, tunes = Word("lamps", ""), Word("tunes", "")
    install(monkeypatch, lamps, tunes)
    path = tmp_path / "h.jsonl"
    with path.open("w") as file:
        for i in range(20):
            owner = ("lamps", "tunes")[i % 2]
            brought = [
                {"domain": d, "intent": "go", "domain_confidence": 0.8 if d == owner else 0.2}
                for d in ("lamps", "tunes")
            ]
            file.write(json.dumps({"hypotheses": brought, "truth": {"domain": owner, "intent": "go"}}) + "\n")
    metrics, _, _ = run(path)
    assert lamps.shown == [16] * 5
    assert metrics["systems"]["plugins"]["irer"] == 0.0


def test_a_plugin_that_claims_to_be_the_fallback_acts_where_the_others_should_not(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatter = Word("tunes", "")  # claims every request with 0.9
    chatter.fallback = True
    install(monkeypatch, Word("lamps", "light"), chatter)
    metrics, outcomes, _ = run(corpus)
    assert metrics["settings"]["plugins"].fallback == "tunes"
    assert metrics["systems"]["plugins"]["decisions"]["fallback"] == pytest.approx(10 / 21)
    assert outcomes["plugins"].domain_right.sum() == 20
    off = evaluate(corpus, plugins=True, decisions={"fallback": "none"}, progress=lambda *_: None)[0]
    assert off["systems"]["plugins"]["decisions"]["fallback"] == 0.0
    assert off["systems"]["plugins"]["domain_accuracy"] == pytest.approx(10 / 21)  # it does not act at all
    assert [
        note for note in off["notes"] if note.startswith("domain tunes: does not act: it claims to be the fallback")
    ]


def test_a_domain_without_a_plugin_is_refused_with_the_next_command(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Word("lamps", "light"))
    with pytest.raises(InputError, match=r"no plugin is loaded for tunes \(loaded: lamps\); run: arbitrank domains"):
        run(corpus)


def test_a_plugin_that_cannot_be_trained_is_named(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Unwilling("lamps", "light"), Word("tunes", "tune"))
    with pytest.raises(PluginError, match="domain lamps: its training failed: ZeroDivisionError: by design"):
        run(corpus)


def test_untuned_plugins_decide_by_the_settings_in_force(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Word("lamps", "light"), Word("tunes", "tune"))
    terms = {"lamps": Term(2.0, version="before"), "tunes": Term(0.5)}
    in_force = DecisionSettings(none=0.9, accept=0.95, competition=Competition(terms), version="v1")
    metrics = evaluate(corpus, plugins=True, in_force=in_force, progress=lambda *_: None)[0]
    settings = metrics["settings"]
    assert settings["plugins"].competition == in_force.competition
    assert (settings["plugins"].none, settings["plugins"].accept, settings["plugins"].version) == (0.9, 0.95, "v1")
    assert settings["R0"] == replace(
        DecisionSettings(), stated=("fallback", "groups")
    )  # whose scores they were not fitted to
    assert [note for note in metrics["notes"] if note.endswith("without a slope of their own: lamps")]
    assert metrics["systems"]["plugins"]["decisions"]["clarify"] > 0.9
    stated = evaluate(corpus, plugins=True, decisions={"none": 0.4}, in_force=in_force, progress=lambda *_: None)[0]
    assert (stated["settings"]["plugins"].none, stated["settings"]["plugins"].accept) == (0.4, 0.95)


def test_plugins_are_tuned_on_requests_kept_back_from_a_second_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamps, tunes = Word("lamps", "light"), Word("tunes", "tune")
    install(monkeypatch, lamps, tunes)
    for split, n in (("train", 1_000), ("dev", 20)):
        names = [("lamps", "light"), ("tunes", "tune")]
        rows = [{"text": f"{names[i % 2][1]} {split} {i}", "domain": names[i % 2][0], "intent": "go"} for i in range(n)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = run(tmp_path)[0]
    assert lamps.shown == [1_000, 800]
    for name in ("R0 tuned", "plugins tuned"):
        one = metrics["tuning"][name]
        assert (one.tuned_on, one.n) == ("a fifth of train, kept back", 200)
        assert one.choices
