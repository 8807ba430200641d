"""Minor versions of the worker protocol: recorded conversations of each are understood, by services and by workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from environment_folders import released
from recorded_frames import FRAMES, ID, recorded, worker
from waiting import until

from arbitrank.arbitration.outcomes import Answered
from arbitrank.domain import Model
from arbitrank.isolation.decoders import batch_content, from_worker, query_content, to_worker
from arbitrank.isolation.messages import PROTOCOL, DomainOutcome, Query, QueryBatch, encode
from arbitrank.isolation.worker_pair import WorkerPair
from arbitrank.isolation.worker_process import WorkerProcess
from arbitrank.values import Hypothesis, Request

MINORS = sorted(FRAMES.glob("*.txt"))
NAMES = [path.stem for path in MINORS]


def test_every_minor_version_has_a_recording() -> None:
    """A new one: run python core/tests/recorded_frames.py."""
    major, minor = PROTOCOL
    assert [f"{major}.{one}" for one in range(minor + 1)] == NAMES


@pytest.mark.parametrize("path", MINORS, ids=NAMES)
def test_the_bytes_of_messages_are_frozen(path: Path) -> None:
    for side, content in recorded(path):
        if side == "worker":
            assert encode(from_worker.decode(content)) == content
            continue
        message = to_worker.decode(content)
        if isinstance(message, Query):
            inner = encode(query_content.decode(message.content))
            message = msgspec.structs.replace(message, content=msgspec.Raw(inner))
        elif isinstance(message, QueryBatch):
            inner = encode(batch_content.decode(message.content))
            message = msgspec.structs.replace(message, content=msgspec.Raw(inner))
        assert encode(message) == content


def timeless(content: bytes) -> dict[str, Any]:
    """A message without what differs from run to run, or from version to version."""
    found: dict[str, Any] = msgspec.msgpack.decode(content)
    for name in ("recognise_ms", "rerank_ms", "capabilities", "core", "libraries", "python"):
        found.pop(name, None)
    if found["type"] == "hello":
        found["domains"] = [one for one in found["domains"] if one["name"] == "kite"]
        found["protocol"] = found["protocol"][:1]
    return found


@pytest.mark.parametrize("path", MINORS, ids=NAMES)
def test_a_worker_answers_a_service_of_each_minor_version(path: Path, tmp_path: Path) -> None:
    process, peer = worker(tmp_path / "environment")
    try:
        for side, content in recorded(path):
            if side == "service":
                peer.send(content)
            else:
                assert timeless(peer.receive()) == timeless(content)
    finally:
        process.wait(20)
        peer.connection.close()


@pytest.fixture(params=MINORS, ids=NAMES)
def pair(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPair]:
    """Workers of each minor version, as recorded."""
    release = released(tmp_path)
    program = Path(__file__).with_name("replaying_worker.py")
    release.interpreter.unlink()
    release.interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {program} {request.param} "$@"\n')
    release.interpreter.chmod(0o755)
    monkeypatch.setattr(os, "urandom", lambda n: ID.to_bytes(6)[:n])
    with closing(WorkerPair("kite", 20.0, 4 << 30, 20.0, release.interpreter)) as one:
        yield one


def test_a_service_asks_workers_of_each_minor_version(
    pair: WorkerPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches, and by the worker's own self-test, where it names them; one by one where it does not."""
    batches: list[bytes] = []
    outcomes = WorkerProcess.outcomes

    def batch(self: WorkerProcess, content: bytes, id: int, seconds: float) -> list[DomainOutcome]:
        batches.append(content)
        return outcomes(self, content, id, seconds)

    monkeypatch.setattr(WorkerProcess, "outcomes", batch)
    tested: list[Model] = []
    (tmp_path / "weights").mkdir()
    model = pair.load("kite", tmp_path / "weights", test=tested.append)  # type: ignore[arg-type,func-returns-value]
    assert len(tested) == 1
    request = Request(utterance="fly a kite", context={"device": "tv"})
    given = (Hypothesis("kite", "Fly", 90.0), Hypothesis("kite", "Land", 10.0))
    found = pair.query_each(model, [request, request], [None, given])
    assert all(isinstance(one, Answered) for one in found), found
    assert [one.scores.right.tolist() for one in found if isinstance(one, Answered)] == [[0.8], [0.4, 0.4]]
    assert pair.active is not None
    assert bool(batches) == pair.active.capable("batch")


def test_a_second_worker_is_started_once_one_has_to_stand_by(pair: WorkerPair, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    for _ in range(2):
        model = pair.load("kite", tmp_path / "weights", standby=False)
        assert len(pair.pids()) == 1
    assert isinstance(model.outcome(Request(utterance="fly a kite"), None), Answered)
    pair.load("kite", tmp_path / "weights")
    until(lambda: pair.ready)
    assert len(pair.pids()) > 1
