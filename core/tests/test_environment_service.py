"""A service with domains in environments: where a refused release is reported, what a replaced worker answers with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from environment_folders import released
from services import Service
from waiting import until

from arbitrank.environments.discovery import domains_of
from arbitrank.live.code import CodeStatus
from arbitrank.live.domain_state import DomainStatus
from arbitrank.serve.readiness import PROBLEMS, UNREADY
from arbitrank.serve.routes import Handlers
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.state import State
from arbitrank.store.store import open_store


def test_the_reason_of_a_refusal_is_in_the_row_of_each_domain_of_the_package(tmp_path: Path) -> None:
    """Of one that answers with the code before, and of one that has never answered."""
    found = domains_of(released(tmp_path, ("kite", "swing"), package="arbitrank-playground"))
    kite = DomainStatus("v1", "store", 1, State(stable="v1"), ("v1",), {}, None, release="1.0-00000000")
    code = CodeStatus("arbitrank-playground", "1.0-00000000", "1.1-00000000", "1.1-00000000 refused: no wind")
    status = SimpleNamespace(domains={"kite": kite}, code={"arbitrank-playground": code}, remotes={})
    state: Any = SimpleNamespace(
        live=SimpleNamespace(status=lambda: status), found=found, unreadable=[], features=SimpleNamespace(notes=dict)
    )
    call: Any = None
    rows = {one["name"]: one for one in json.loads(asyncio.run(Handlers(state).domains(call, None, None)).body)}
    assert (rows["kite"]["status"], rows["kite"]["release"]) == ("loaded", "1.0-00000000")
    assert rows["swing"]["status"] == "failed"
    assert rows["kite"]["problem"] == rows["swing"]["problem"] == "1.1-00000000 refused: no wind"


def test_a_refused_release_keeps_no_worker_from_being_ready() -> None:
    assert "code" in PROBLEMS.keys() - UNREADY


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Two workers that follow a folder with one package; its weights are stable."""
    released(tmp_path / "environments")
    artifact, store = tmp_path / "artifact", open_store(tmp_path / "store", environment={})
    (artifact / "reranker").mkdir(parents=True)
    (artifact / "reranker" / "weights.json").write_text("{}")
    seal(artifact, Manifest(domain="kite", package="arbitrank-kite", package_version="1.0"))
    store.publish(artifact, promote=True)
    options = ("--workers", "2", "--poll", "0.2", "--environments", str(tmp_path / "environments"))
    with Service(tmp_path, tmp_path / "store", *options, ARBITRANK_DOMAINS="kite") as service:
        service.event("ready", 2)
        yield service


def test_a_replaced_worker_answers_with_the_code_of_its_siblings(service: Service, tmp_path: Path) -> None:
    """`current` was edited by hand to code that crashes: reported, refused, also by a worker that starts with it."""
    broken = released(
        tmp_path / "environments", version="1.1", intent="Glide",
        extra="import os\nTalkingModel.rerank = lambda self, request: os.abort()",
    )  # fmt: skip

    def releases() -> set[tuple[Any, Any]]:
        """The intents and releases of some answers, each on a connection of its own."""
        answers = [service.rank({"utterance": "fly"})[1] for _ in range(20)]
        reports = [one["domains"].get("kite", {}) for one in answers]
        return {
            (one["ranked"][0]["intent"] if one["ranked"] else report.get("reason"), report.get("release"))
            for one, report in zip(answers, reports, strict=True)
        }

    def problem() -> str:
        (row,) = [one for one in service.call("GET", "/v1/domains")[1] if one["name"] == "kite"]
        return row["problem"] or ""

    until(lambda: sum(f"{broken.name} refused" in line.get("what", "") for line in service.lines) == 2, 60)  # by both
    until(lambda: problem().startswith("1.1-00000000 refused: ") and "SIGABRT" in problem(), 60)
    status, health, _ = service.call("GET", "/readyz")
    assert (status, health["ready"]) == (200, True)
    assert any("arbitrank-kite" in problem for problem in health["problems"])
    assert releases() == {("Fly", "1.0-00000000")}
    os.kill(service.worker, signal.SIGKILL)
    service.event("ready", 3)
    service.event("store", what="arbitrank-kite: the code of 1.0-00000000 answers")
    assert releases() == {("Fly", "1.0-00000000")}
