"""Requests whose owner only a context key tells: reported until the key is named, learned from once it is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributions import install, serving

import arbitrank as ar

KEY = "audience"
STATED = {"competition": None, "normalise": False}
"""Decision settings that need not be tuned, as what is learned shows without them."""


def lines(n: int = 400) -> Iterator[str]:
    """Employees ask the domain `faq`, guests `home`; about one in seven is out of scope. Scores do not tell."""
    rng = random.Random(7)
    for i in range(n):
        audience, out_of_scope = rng.choice(["employee", "guest"]), rng.random() < 0.15
        owner = None if out_of_scope else {"employee": "faq", "guest": "home"}[audience]
        scores = [min(max(rng.gauss(0.35 if out_of_scope else 0.9, 0.08), 0.0), 1.0) for _ in range(2)]
        readings = [
            {"domain": name, "intent": "Answer", "domain_confidence": p}
            for name, p in zip(("faq", "home"), scores, strict=True)
        ]
        yield json.dumps(
            {
                "id": str(i),
                "utterance": f"what is the password of room {i}",
                "context": {KEY: audience},
                "hypotheses": readings,
                "truth": {"domain": owner} | ({"intent": "Answer"} if owner else {}),
            }
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audience") / "requests.jsonl"
    path.write_text("\n".join(lines()))
    return path


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> str:
    site = tmp_path_factory.mktemp("plugins") / "site"
    site.mkdir()
    install(site, "acme-desk", serving("faq", "home", kind="FakeReferenceDomain"), entry="desk")
    return str(site)


def test_evaluate_notes_a_key_that_no_domain_reads_once(data: Path) -> None:
    metrics = ar.evaluate(data, decisions=STATED)
    (note,) = [note for note in metrics["notes"] if KEY in note]
    assert note.startswith(
        f"context key '{KEY}' (in 400 of 400 requests) is read by no domain, so it changes no answer"
    )
    assert f"--context-key {KEY}" in note
    assert metrics["systems"]["factored"]["nll"] > 0.3


@pytest.mark.parametrize("by", ["option", "file"])
def test_evaluate_learns_from_a_key_that_is_named(
    by: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "file":
        file = tmp_path / "arbitrank.toml"
        file.write_text("".join(f'[domains.{name}]\ncontext_keys = ["{KEY}"]\n' for name in ("faq", "home")))
        monkeypatch.setenv("ARBITRANK_CONFIG", str(file))
    metrics = ar.evaluate(data, context_keys=(KEY,) if by == "option" else (), decisions=STATED)
    assert metrics["notes"] == []
    assert metrics["systems"]["factored"]["nll"] < 0.02


def test_train_and_rank_report_a_key_until_it_is_named(
    data: Path, plugins: str, tmp_path: Path, arbitrank: Callable[..., Any]
) -> None:
    def run(*args: str) -> Any:
        done = arbitrank(*args, PYTHONPATH=plugins, ARBITRANK_STORE=str(tmp_path / "store"))
        assert done.returncode == 0, done.stderr
        return done

    told = f"context key '{KEY}'"
    first = run("train", "faq", "home", "--data", str(data), "--promote")
    assert first.stderr.count(told) == 1
    assert run("rank", str(data)).stderr.count(told) == 1
    again = run("train", "faq", "home", "--data", str(data), "--context-key", KEY, "--promote")
    assert told not in again.stderr
    assert all(float(line.split("NLL ")[1].split()[0]) < 0.05 for line in again.stdout.splitlines())
    ranked = run("rank", str(data))
    assert told not in ranked.stderr
    heads = [json.loads(line)["ranked"][0]["domain"] for line in ranked.stdout.splitlines()]
    truths = [json.loads(line)["truth"]["domain"] for line in lines()]
    assert all(head == truth for head, truth in zip(heads, truths, strict=True) if truth)


def test_a_name_of_a_key_that_no_request_has_is_told(data: Path, plugins: str, arbitrank: Callable[..., Any]) -> None:
    done = arbitrank("train", "faq", "--data", str(data), "--context-key", "audienc", PYTHONPATH=plugins)
    assert "context key 'audienc' is named, and in no request; did you mean 'audience'?" in done.stderr
