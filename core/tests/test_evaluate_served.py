"""What `evaluate` reports is what a service answers: the same decision on every line, with the same models."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.decide import ACTIONS
from arbitrank.domain import Model, Scores
from arbitrank.evaluate import domain_runs, experiment, hypotheses
from arbitrank.evaluate.corpus import Corpus, read_corpus, read_hypotheses
from arbitrank.evaluate.results import SystemResults
from arbitrank.evaluate.runs import splits
from arbitrank.nlu.recogniser import Recogniser
from arbitrank.semer import same_reading
from arbitrank.values import Hypothesis, Request

SHARED = Path(__file__).parents[3] / "shared"
Rows = list[dict[str, Any]]


class Served(Model):
    """A trained re-ranker with the recogniser of its domain, as an artifact would hold them."""

    def __init__(self, recogniser: Recogniser | None, reranker: Any) -> None:
        self.recogniser, self.reranker = recogniser, reranker

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        return self.recogniser.recognise(request.utterance or "") if self.recogniser else ()

    def rerank(self, request: Request) -> Scores:
        scores: Scores = self.reranker.rerank(request)
        return scores


def compare(path: Path, monkeypatch: pytest.MonkeyPatch, **decisions: Any) -> Mapping[str, Any]:
    """Evaluate, answer the same requests with the models that were trained for it, and compare; the metrics."""
    trained: dict[str, list[dict[str, Any]]] = defaultdict(list)
    recognisers: dict[str, Recogniser] = {}

    def recorded(evidence: Any, **settings: Any) -> Iterator[Any]:
        fold: dict[str, Any] = {}
        trained[evidence.spec.domain].append(fold)
        for fitted in fit_all(evidence, **settings):
            fold[fitted.system] = fitted.reranker
            yield fitted

    def recognising(domain: str, *given: Any, **settings: Any) -> Recogniser:
        recognisers[domain] = train_recogniser(domain, *given, **settings)
        return recognisers[domain]

    fit_all, train_recogniser = domain_runs.fit_all, hypotheses.train_recogniser
    monkeypatch.setattr(domain_runs, "fit_all", recorded)
    monkeypatch.setattr(hypotheses, "train_recogniser", recognising)
    metrics, results, _ = experiment.evaluate(path, decisions=decisions, progress=lambda *_: None)
    corpus = read_corpus(path) if path.is_dir() else read_hypotheses(path)
    for system, one in results.items():
        tuning = metrics["tuning"].get(system)
        kind = tuning.system if tuning else system
        if kind not in next(iter(trained.values()))[0]:  # the joint model
            continue
        for number, (_, chosen) in enumerate(splits(corpus, 0)):
            models = {name: Served(recognisers.get(name), folds[number][kind]) for name, folds in trained.items()}
            serving = {name: Serving(model, "1", "test") for name, model in models.items()}
            settings = tuning.folds[number] if tuning and tuning.folds else metrics["settings"][system]
            equal(Arbitrator(serving, settings), corpus, np.flatnonzero(chosen), one)
    return metrics


def equal(arbitrator: Arbitrator, corpus: Corpus, places: Sequence[int], one: SystemResults) -> None:
    """Each answer to the requests at `places` has the decision, the reading and the probability that was measured."""
    for i in places:
        answer = arbitrator.answer(corpus.held[i].request)
        where = f"{corpus.held[i].request.id}: {answer}"
        chosen = answer.ranked[answer.decision.contenders[0]] if answer.decision.contenders else answer.best
        assert answer.decision.action == ACTIONS[one.actions[i]], where
        assert (answer.decision.reason == "fallback") == bool(one.fallback[i]), where
        assert same_reading(chosen, one.top[i]), where
        if chosen is not None and chosen.probability is not None:
            assert chosen.probability == pytest.approx(float(one.probability[i]), abs=1e-9), where


def write(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ------------------------------------------------------------------------------------------------------- made up


def noisy(rng: random.Random, mean: float, spread: float = 0.25) -> float:
    return round(min(1.0, max(0.0, rng.gauss(mean, spread))), 3)


def many_domains(rng: random.Random, n: int, out_of_scope: float = 0.2) -> Rows:
    """Requests of three domains with several readings each, some scores missing and some readings repeated."""
    rows: Rows = []
    for i in range(n):
        owner = None if rng.random() < out_of_scope else rng.choice("abc")
        found: Rows = []
        for name in "abc":
            if rng.random() < 0.15:
                continue
            p = noisy(rng, 0.7 if name == owner else 0.35)
            for intent in rng.sample(["x", "y", "z"], rng.randint(1, 3)):
                reading: dict[str, Any] = {"domain": name, "intent": intent}
                reading |= {} if rng.random() < 0.1 else {"domain_confidence": p}
                reading |= {"intent_confidence": noisy(rng, 0.6 if intent == "x" else 0.3)}
                if rng.random() < 0.3:
                    reading["slots"] = [{"name": "s", "value": rng.choice("vw"), "confidence": noisy(rng, 0.7)}]
                found += [reading] * rng.choice([1, 1, 1, 3])
        truth: dict[str, Any] = {"domain": owner}
        truth |= {"intent": "x"} if owner else {}
        rows.append({"id": str(i), "utterance": f"u {i}", "hypotheses": found, "truth": truth})
    return rows


def with_a_catch_all(rng: random.Random, n: int) -> Rows:
    """A local domain without scores that matches templates, and one that claims every request with 0.95."""
    rows: Rows = []
    for i in range(n):
        kind = rng.choices(["command", "template", "stray", "chat"], [0.45, 0.1, 0.15, 0.3])[0]
        found: Rows = []
        if kind != "chat":
            known = float(kind != "stray" and rng.random() < 0.97)
            features = {"wildcard": float(kind != "command"), "target_known": known}
            found.append({"domain": "local", "intent": "Do", "features": features})
        found.append({"domain": "chatter", "intent": "Chat", "domain_confidence": 0.95})
        own = kind in ("command", "template")
        truth = {"domain": "local", "intent": "Do"} if own else {"domain": "chatter", "intent": "Chat"}
        rows.append({"id": str(i), "utterance": f"u {i}", "hypotheses": found, "truth": truth})
    return rows


SETTINGS: list[dict[str, Any]] = [
    {},
    {"normalise": True, "independence": 1.0},
    {"normalise": True, "independence": 0.25, "clarify": 0.6, "accept": 0.6},
    {"none": 0.9, "accept": 0.0, "clarify": 0.0},
    {"fallback": "b"},
    {"fallback": "c", "normalise": True, "none": 0.3},
]

SHORT = (SETTINGS[0], 0.25), (SETTINGS[2], 0.0), (SETTINGS[5], 0.25)
"""Settings and shares out of scope that are tried without `--full`: each option is in one of them."""


@pytest.mark.parametrize(
    ("decisions", "out_of_scope"), [*((one, 0.25) for one in SETTINGS), (SETTINGS[0], 0.0), (SETTINGS[2], 0.0)], ids=str
)
def test_readings_are_decided_as_in_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decisions: dict[str, Any], out_of_scope: float, scale: float
) -> None:
    repeated(scale, (decisions, out_of_scope) in SHORT)
    rows = many_domains(random.Random(str(decisions)), 100, out_of_scope)
    compare(write(tmp_path / "made.jsonl", rows), monkeypatch, **decisions)


def test_a_fallback_is_reported_as_it_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "made.jsonl", with_a_catch_all(random.Random(7), 300))
    without = compare(path, monkeypatch)["systems"]["factored"]
    with_it = compare(path, monkeypatch, fallback="chatter")["systems"]["factored"]
    assert with_it["domain_accuracy"] >= 0.98
    assert with_it["decisions"]["fallback"] == pytest.approx(0.45, abs=0.05)
    assert without["domain_accuracy"] < 0.7  # where only the catch-all speaks, no domain is likely to own the request
    assert without["decisions"]["none"] == without["decisions"]["none_in_scope"] > 0.3


# -------------------------------------------------------------------------------------------------- public corpora


def sample(folder: str, rows: Callable[[dict[str, Any]], bool], n: int) -> Rows:
    with gzip.open(SHARED / "data" / folder, "rt", encoding="utf-8") as lines:
        found = [row for row in map(json.loads, lines) if rows(row)]
    return random.Random(0).sample(found, min(n, len(found)))


def of_some(domains: int, folder: str) -> Callable[[dict[str, Any]], bool]:
    """Rows of the first domains by name, and those out of scope."""
    with gzip.open(SHARED / "data" / folder, "rt", encoding="utf-8") as lines:
        names = {name for row in map(json.loads, lines) for name in row.get("agents_ok") or [row["domain"]] if name}
    kept = {None, *sorted(names)[:domains]}
    return lambda row: bool(kept & set(row.get("agents_ok") or [row["domain"]]))


def repeated(scale: float, always: bool) -> None:
    """Skip one of several that state the same of other data, unless all is run."""
    if scale < 1.0 and not always:
        pytest.skip("the same of other data; run with --full")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public corpora of ../shared are not here")
@pytest.mark.parametrize("name", ["snips", "slurp", "media", "proslu", "sgd", "bbai", "clinc150"])
def test_a_public_corpus_is_decided_as_in_a_service(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    repeated(scale, name in ("snips", "bbai"))
    kept = of_some(4, f"{name}/train.jsonl.gz")
    for split, n in (("train", 1_200), ("dev", 400)):
        write(tmp_path / name / f"{split}.jsonl", sample(f"{name}/{split}.jsonl.gz", kept, int(scale * n)))
    compare(tmp_path / name, monkeypatch)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public corpora of ../shared are not here")
@pytest.mark.parametrize("name", ["sofmattress", "curekart"])
@pytest.mark.parametrize("decisions", [{}, {"fallback": "bert"}], ids=str)
def test_hypotheses_of_vendors_are_decided_as_in_a_service(
    name: str, decisions: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    repeated(scale, name == ("curekart" if decisions else "sofmattress"))
    rows = sample(f"hint3/{name}.jsonl.gz", lambda row: True, int(scale * 2_000))
    compare(write(tmp_path / f"{name}.jsonl", rows), monkeypatch, **decisions)
