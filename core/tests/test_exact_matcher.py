"""Domains that return a hypothesis only where they are right, and so have few requests of others to learn from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from arbitrank.domain import Settings
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.impact.gate import judge
from arbitrank.learn.evidence import Evidence, gather
from arbitrank.learn.model_selection import learn
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.store.artifact import CARD, read_card, unproven
from arbitrank.store.store import Store, open_store
from arbitrank.training.backends import local
from arbitrank.training.datasets import Dataset
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.run import TrainingRun, train_domains
from arbitrank.training.task import ARTIFACT
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

MODELS = ["factored", "loglinear", "boosted", "corrected", "auto"]
MATCH: dict[str, Any] = {"domain": "faq", "intent": "Answer"}


def lines(n: int, *, wrong: int = 0, others: bool = True, confidence: float | None = None) -> list[dict[str, Any]]:
    """Requests in a log: where it matches, `faq` is right, but for the first `wrong` ones; `home` has all others."""
    rng = np.random.default_rng(5)
    found = []
    match = {**MATCH, **({} if confidence is None else {"domain_confidence": confidence})}
    for i in range(n):
        mine = rng.random() < 0.3
        if not mine and not others:
            continue
        home = {"domain": "home", "intent": "General", "domain_confidence": round(float(rng.uniform(0.1, 0.9)), 3)}
        truth = MATCH if mine else {"domain": "home", "intent": "General"}
        hypotheses = [home, match] if mine or i < wrong else [home]
        found.append({"id": str(i), "utterance": f"u{i} v{i % 9}", "hypotheses": hypotheses, "truth": truth})
    return found


def evidence(wrong: int, confidence: float | None, silent: int = 700, right: int = 300) -> Evidence:
    match = Hypothesis("faq", "Answer", confidence)
    requests = [Request(utterance=f"u{i}", hypotheses=(match,)) for i in range(right + wrong)]
    truths = [Truth("faq", "Answer")] * right + [Truth("home", "General")] * wrong
    nothing = [Request(utterance=f"n{i}", hypotheses=()) for i in range(silent)]
    return gather("faq", requests + nothing, truths + [Truth("home", "General")] * silent)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("confidence", [None, 0.0, 0.5, 1.0])
def test_where_it_was_never_wrong_p_mine_is_nearly_1_whatever_it_states(model: Any, confidence: float | None) -> None:
    found = evidence(0, confidence)
    assert found.silent == 700
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reranker = learn(found, Settings(model=model))
        mine = [
            reranker.rerank(Request(utterance=words, hypotheses=(Hypothesis("faq", "Answer", confidence),))).mine
            for words in ("u", "u 5 v 9", "a quite different and far longer request")
        ]
    assert min(mine) >= (0.99 if confidence else 0.0)  # what states 0 is believed until it was often seen to be wrong
    if confidence is None:
        assert max(mine) <= 0.9995


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("wrong", [1, 3, 10])
def test_a_matcher_that_was_wrong_now_and_then_is_as_sure_as_it_was_right(model: Any, wrong: int) -> None:
    reranker = learn(evidence(wrong, None), Settings(model=model))
    mine = reranker.rerank(Request(utterance="u7", hypotheses=(Hypothesis("faq", "Answer"),))).mine
    assert mine == pytest.approx(300 / (300 + wrong), abs=0.02)


@pytest.mark.parametrize("right", [30, 100, 300])
def test_trees_that_nothing_tells_apart_give_the_share_that_was_right(right: int) -> None:
    request = Request(utterance="go", hypotheses=(Hypothesis("faq", "Answer", 0.7),))
    truths = [Truth("faq", "Answer") if i % 400 < right else Truth("home", "General") for i in range(0, 2800, 7)]
    found = learn(gather("faq", [request] * 400, truths), Settings(model="boosted", calibrate=False))
    assert found.rerank(request).mine == pytest.approx(right / 400, abs=0.005)


def test_the_silent_requests_matter_only_where_others_are_scarce() -> None:
    """A domain that has hypotheses of most requests learns the same with or without those that it has none of."""
    rng = np.random.default_rng(0)
    requests, truths = [], []
    for _ in range(600):
        mine = rng.random() < 0.4
        score = float(np.clip(rng.normal(0.7 if mine else 0.4, 0.2), 0.01, 0.99))
        requests.append(Request(utterance="go", hypotheses=(Hypothesis("faq", "Answer", score),)))
        truths.append(Truth("faq", "Answer") if mine else Truth("home", "On"))
    found = [learn(gather("faq", requests, truths, silent=n), Settings(calibrate=False)) for n in (0, 5_000)]
    assert found[0].rerank(requests[0]).mine == found[1].rerank(requests[0]).mine


# --------------------------------------------------------------------------------------------- from a file to a store


@pytest.fixture
def train(forked_workers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainingOutcome]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def trained(data: list[dict[str, Any]], **options: Any) -> TrainingOutcome:
        path = tmp_path / "data.jsonl"
        path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in data))
        run = TrainingRun(
            store=stored(tmp_path),
            data=Dataset(str(path)),
            factory="training_domains:reference",
            root=tmp_path / "scratch",
            **options,
        )
        (outcome,) = train_domains(run, ["faq"], local(1), known=["home"])
        return outcome

    return trained


def stored(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


@pytest.mark.parametrize("wrong", [0, 1, 5])
def test_requests_of_others_that_it_is_silent_on_are_its_negatives(train: Any, tmp_path: Path, wrong: int) -> None:
    outcome = train(lines(1000, wrong=wrong, confidence=1.0), promote=True)
    assert (outcome.kind, outcome.unproven) == ("published", None)
    folder = stored(tmp_path).stable("faq")
    assert folder is not None
    card = read_card(folder)
    said = sum(
        "faq" in {h["domain"] for h in one["hypotheses"]} and one["truth"]["domain"] != "faq"
        for one in lines(1000, wrong=wrong)
    )
    assert isinstance(card.others, int)
    assert card.others <= said <= wrong
    assert card.silent == 1000 - sum(one["truth"]["domain"] == "faq" for one in lines(1000)) - said
    model = ReferenceDomain("faq").load(folder)
    assert model.rerank(Request(utterance="u1", hypotheses=(Hypothesis("faq", "Answer", 1.0),))).mine >= 0.99
    assert any("so P(mine) rests on few" in note for note in outcome.notes)


def test_without_any_request_of_others_a_candidate_is_made_and_promote_refuses_it(train: Any, tmp_path: Path) -> None:
    alone = lines(1000, others=False)
    outcome = train(alone)
    assert (outcome.kind, stored(tmp_path).state("faq")[1].candidate) == ("published", outcome.version)
    (note,) = (one for one in outcome.notes if "no request of another domain" in one)
    assert note.endswith("arbitrank train faq --data PATH")
    again = train(alone, promote=True)
    assert (again.kind, again.version) == ("refused", outcome.version)
    assert "no request of another domain" in again.reason
    forced = train(alone, promote=True, force=True)
    assert (forced.kind, stored(tmp_path).state("faq")[1].stable) == ("refused", None)


def test_the_gate_refuses_a_card_without_any_request_of_others() -> None:
    plain = calibration(np.array([0.9] * 50), np.array([1.0] * 50))
    alone, silent, old = (
        msgspec.structs.replace(plain, others=0, silent=0),
        msgspec.structs.replace(plain, others=0, silent=3),
        plain,
    )
    (reason,) = judge(None, alone, domain="faq")
    assert (reason.what, reason.text) == ("card", unproven("faq", alone))
    assert judge(None, silent) == judge(None, old) == judge(None, None) == []


def test_a_card_of_before_counts_no_others(tmp_path: Path) -> None:
    old = msgspec.json.encode(calibration(np.array([0.9]), np.array([1.0])))
    assert b"others" not in old
    (tmp_path / CARD).write_bytes(old)
    assert isinstance(read_card(tmp_path), Calibration)


def test_a_recogniser_without_any_request_of_others_trains(tmp_path: Path) -> None:
    rooms = ("hall", "kitchen", "attic", "cellar")
    examples = [
        Example(
            Request(utterance=f"turn on the {room} {word}"),
            Truth("faq", "On", (Slot("room", room, start=12, end=12 + len(room)),)),
        )
        for room in rooms
        for word in ("light", "lamp", "fan", "radio", "heating")
    ]
    report = ReferenceDomain("faq").train(examples, tmp_path / ARTIFACT, Settings(folds=2))
    assert (report["own"], report["others"], report["silent"]) == (20, 0, 0)
    model = ReferenceDomain("faq").load(tmp_path / ARTIFACT)
    assert model.recognise(Request(utterance="turn on the hall light"))
