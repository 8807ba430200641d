"""A renamed feature of hypotheses is named by `train`, the service and `domains`; damaged packages by the service."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributions import install, serving
from services import Service
from test_packages import everything

from arbitrank.isolation.groups import Isolation
from arbitrank.live.live import Live
from arbitrank.registry import discover, loaded
from arbitrank.store.store import open_store
from arbitrank.values import Request

NAMES = ("faq", "home")
VARIABLES = {"ARBITRANK_DOMAINS": "desk"}

DESCRIBED = """
from pathlib import Path

from arbitrank.domain import Skill


class Described(FakeReferenceDomain):
    skills = (Skill("faq", phrases=("reset the password", "open a ticket")),)

    def describe(self, hypothesis):
        return {Path(__file__).with_name("feature").read_text(): 1.0}
"""


def lines(feature: str, n: int = 240) -> Iterator[str]:
    """Requests whose hypotheses carry a number under this name."""
    rng = random.Random(3)
    for i in range(n):
        owner = rng.choice([*NAMES, None])
        readings = [
            {
                "domain": name,
                "intent": "Answer",
                "domain_confidence": round(rng.uniform(0.3, 0.9), 3),
                "features": {feature: float(name == owner)},
            }
            for name in NAMES
        ]
        truth = {"domain": owner, "intent": "Answer"} if owner else {"domain": None}
        yield json.dumps({"id": str(i), "utterance": f"request {i}", "hypotheses": readings, "truth": truth})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins") / "site"
    folder.mkdir()
    install(folder, "acme-desk", serving(*NAMES, kind="FakeReferenceDomain"), entry="desk")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, site: Path, arbitrank: Callable[..., Any]) -> Path:
    """A store with weights that know `match`; a training on `exact` names both."""
    folder = tmp_path_factory.mktemp("store") / "store"
    for feature in ("match", "exact"):
        data = folder.parent / f"{feature}.jsonl"
        data.write_text("\n".join(lines(feature)))
        promote = ["--promote"] if feature == "match" else []
        done = arbitrank(
            "train", *NAMES, "--data", str(data), *promote, PYTHONPATH=str(site), ARBITRANK_STORE=str(folder),
            **VARIABLES,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (folder.parent / f"{feature}.log").write_text(done.stderr)
    return folder


def test_train_names_what_is_gone_and_what_is_new(store: Path) -> None:
    first, second = ((store.parent / f"{feature}.log").read_text() for feature in ("match", "exact"))
    assert "compared with the weights that serve" not in first
    assert second.count("feature 'match' is gone; feature 'exact' is new") == len(NAMES)


def test_the_service_names_a_renamed_feature_and_stays_ready(store: Path, site: Path) -> None:
    with Service(site, store, **VARIABLES) as service:
        known = [json.loads(line) for line in lines("match", 60)]
        assert service.rank(known)[0] == 200
        assert service.call("GET", "/readyz")[1] == {"ready": True, "problems": [], "notes": []}
        renamed = [json.loads(line) for line in lines("exact", 900)]
        for _ in range(2):  # until the requests before are out of both windows
            assert service.rank(renamed)[0] == 200
        _, health, _ = service.call("GET", "/readyz")
        assert health["ready"]
        assert health["problems"] == []
        change = "feature 'match' is gone; feature 'exact' is new"
        told = f"its hypotheses have changed since its weights were trained: {change}"
        assert health["notes"] == [f"{name}: {told}; run: arbitrank train {name}" for name in NAMES]
        _, rows, _ = service.call("GET", "/v1/domains")
        notes = {row["name"]: row["notes"] for row in rows}
        assert all(f"{told}; run: arbitrank train {name}" in notes[name] for name in NAMES)


def test_what_a_domain_reads_is_known_of_one_in_a_worker_process_too(
    store: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    domains = loaded(discover(VARIABLES))
    assert domains.keys() == set(NAMES)
    with Live(domains, open_store(store, environment={}), isolation=Isolation({"all": NAMES})) as live:
        for model in live.by_name.values():
            assert model.hypothesis_features == ("match",)
            assert model.context_keys == ()
        assert live.answer(Request(hypotheses=())).decision.action == "none"


def test_domains_names_a_renamed_feature_by_the_sample_phrases(tmp_path: Path, arbitrank: Callable[..., Any]) -> None:
    site = tmp_path / "site"
    site.mkdir()
    code = serving("faq", kind="Described").replace(
        "\n\nfrom arbitrank.hookspecs", f"{DESCRIBED}\nfrom arbitrank.hookspecs"
    )
    install(site, "arbitrank-faq", code)
    (site / "feature").write_text("match")
    words = ("reset the password", "open a ticket", "what is the time", "play a song")
    corpus = [
        json.dumps({"text": f"{words[i % 4]} {i}", "domain": "faq" if i % 4 < 2 else None, "intent": f"I{i % 4}"})
        for i in range(120)
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(corpus))
    variables = {"PYTHONPATH": str(site), "ARBITRANK_DOMAINS": "faq", "ARBITRANK_STORE": str(tmp_path / "store")}
    done = arbitrank("train", "faq", "--data", str(tmp_path / "corpus.jsonl"), "--promote", **variables)
    assert done.returncode == 0, done.stderr

    def notes() -> list[str]:
        rows = json.loads(arbitrank("domains", "--json", **variables).stdout)
        return [note for row in rows if row["name"] == "faq" for note in row["notes"]]

    assert notes() == []
    (site / "feature").write_text("exact")
    (note,) = notes()
    assert "feature 'match' is gone; feature 'exact' is new; run: arbitrank train faq" in note


def test_damaged_packages_are_reported_by_the_service_which_answers(store: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "acme-desk", serving(*NAMES, kind="FakeReferenceDomain"), entry="desk")
    names = everything(site)
    variables = {"ARBITRANK_DOMAINS": "desk,far,odd,none,baz"}
    with Service(site, store, **variables) as service:
        _, rows, _ = service.call("GET", "/v1/domains")
        assert {row["name"] for row in rows} >= names | set(NAMES)
        _, health, _ = service.call("GET", "/readyz")
        assert health["ready"]
        assert {problem.partition(":")[0] for problem in health["problems"]} >= {"far", "odd", "none"}
        request = json.loads(next(lines("match", 1)))
        status, answer = service.rank({"hypotheses": request["hypotheses"]})
        assert status == 200
        assert {name for name, one in answer["domains"].items() if one["status"] == "answered"} == set(NAMES)
