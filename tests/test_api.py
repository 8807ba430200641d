"""The public API: every name resolves, is lazy, and does what its example shows."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from api_example import answer_once, follow, learn, measure, rank_payload, verify_signatures

import arbitrank as ar
from arbitrank.arbitration.arbitrator import Serving
from arbitrank.domain import Scores
from arbitrank.store.signing import keygen

HEAVY = ["lightgbm", "matplotlib", "msgspec", "numpy", "scipy", "sklearn", "starlette", "uvicorn", "cryptography"]


@pytest.mark.parametrize("name", ar.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert callable(getattr(ar, name))
    assert name in dir(ar)


def test_all_is_sorted_and_nothing_else_resolves() -> None:
    assert ar.__all__ == sorted(ar.__all__)
    with pytest.raises(AttributeError, match="no attribute 'unheard'"):
        _ = ar.unheard  # type: ignore[attr-defined]


def test_to_import_it_imports_nothing_else() -> None:
    code = f"import sys, arbitrank; print([m for m in sys.modules if m.startswith('arbitrank.') or m in {HEAVY!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_to_evaluate_is_a_call_even_once_the_package_is_imported() -> None:
    import_module("arbitrank.evaluate.metrics")
    with pytest.raises(ar.DataError):
        ar.evaluate("/nowhere")


def test_it_answers_an_utterance_and_brought_hypotheses(tmp_path: Path) -> None:
    answer = answer_once(tmp_path / "store")
    assert answer.best == answer.ranked[0]
    assert answer.best is not None
    assert answer.best.why
    assert list(answer.domains) == ["music"]


def test_it_reads_another_systems_payload(tmp_path: Path) -> None:
    arbitrator = ar.Arbitrator.from_installed(store=tmp_path, only=["music"])
    payload = {"text": "play thriller", "intent": {"name": "PlayMusic", "confidence": 0.9}}
    best = rank_payload(arbitrator, payload).best
    assert best is not None
    assert best.intent == "PlayMusic"


def test_a_context_is_added_to_a_requests_own(tmp_path: Path) -> None:
    arbitrator = ar.Arbitrator.from_installed(store=tmp_path)
    request = ar.Request(utterance="play mary poppins", context={"device": "speaker", "has_screen": True})
    whole = ar.Request(utterance="play mary poppins", context={"device": "tv", "has_screen": True})
    assert arbitrator.answer(request, device="tv").ranked == arbitrator.answer(whole).ranked


def test_an_empty_answer_has_no_best(tmp_path: Path) -> None:
    assert ar.Arbitrator({}).answer("play thriller").best is None


def test_it_follows_a_store(tmp_path: Path) -> None:
    assert follow(tmp_path / "store").decision.action in ("accept", "clarify", "none")


def test_without_a_trusted_key_no_domain_answers(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    keygen(tmp_path / "keys" / "boats")
    arbitrator = verify_signatures(tmp_path / "store", tmp_path / "keys")
    assert {report.status for report in arbitrator.answer("play thriller").domains.values()} == {"failed"}


def test_a_domain_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ar.InputError, match="domain 'boats' cannot be loaded: not installed"):
        ar.Arbitrator.from_installed(store=tmp_path, only=["boats"])
    with pytest.raises(ar.InputError, match="domain 'boats' is not loaded"):
        ar.train("boats")


def test_it_trains_and_measures(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for split, numbers in (("train", range(120)), ("test", range(120, 160))):
        lines = [_line(i) for i in numbers]
        (corpus / f"{split}.jsonl").write_text("\n".join(lines))
    assert learn(corpus / "train.jsonl", tmp_path / "store")
    assert "factored" in measure(corpus)


def _line(i: int) -> str:
    song = f"song {i % 7}{i}"
    if i % 2:
        return json.dumps({"text": f"weather in {song}", "domain": "weather", "intent": "AskWeather"})
    slots = [{"name": "title", "value": song, "start": 5, "end": 5 + len(song)}]
    return json.dumps({"text": f"play {song}", "domain": "music", "intent": "PlayMusic", "slots": slots})


def test_reprs_are_short(tmp_path: Path) -> None:
    arbitrator = ar.Arbitrator.from_installed(store=tmp_path)
    models = [one.model for one in arbitrator.domains.values() if isinstance(one, Serving)]
    shown = [
        arbitrator,
        *models,
        *arbitrator.domains.values(),
        arbitrator.arbitrate(ar.Request(utterance="play thriller")),
    ]
    shown += [arbitrator.answer("play thriller"), ar.Live.from_installed(store=tmp_path)]
    shown += [Scores(0.5, np.zeros(1000))]
    for value in shown:
        assert len(repr(value)) < 200, repr(value)[:500]
