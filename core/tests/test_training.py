"""Many domains trained side by side: each one's outcome is independent of the others."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from waiting import until

from arbitrank.domain import Settings
from arbitrank.errors import InputError
from arbitrank.store.store import Store, open_store
from arbitrank.training.backends import local
from arbitrank.training.datasets import Dataset
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.pool import TrainingLimits
from arbitrank.training.run import TrainingRun, train_domains
from arbitrank.training.workdir import sweep, working_folder
from arbitrank.training.worker import Event

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The domains of `training_domains`, in this process and in its workers, and a folder for what they note."""
    monkeypatch.syspath_prepend(str(HERE))
    (tmp_path / "noted").mkdir()
    monkeypatch.setenv("ARBITRANK_TEST_FOLDER", str(tmp_path / "noted"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


def line(i: int, *names: str, own: str | None = None, **more: Any) -> dict[str, Any]:
    """A request that the domains read, of whose readings the first is right where it is its domain's."""
    rng = np.random.default_rng(i)
    hypotheses = [
        {
            "domain": name,
            "intent": intent,
            "domain_confidence": round(float(np.clip(rng.normal(0.7 if name == own else 0.4, 0.2), 0.01, 0.99)), 4),
            "intent_confidence": round(float(rng.uniform(0.5, 0.9) if k == 0 else rng.uniform(0.05, 0.5)), 4),
        }
        for name in names
        for k, intent in enumerate(("On", "Off"))
    ]
    truth = {"domain": own, "intent": "On"} if own else {"domain": None}
    return {"id": str(i), "utterance": f"words {i}", "hypotheses": hypotheses, "truth": truth, **more}


def lines(n: int, *names: str) -> list[dict[str, Any]]:
    return [line(i, *names, own=(*names, None)[i % (len(names) + 1)]) for i in range(n)]


def write(path: Path, content: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = b"".join(msgspec.json.encode(one) + b"\n" for one in content)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return str(path)


@pytest.fixture
def train(tmp_path: Path, store: Store) -> Callable[..., dict[str, TrainingOutcome]]:
    """Train domains on a file; each one's outcome."""

    def trained(*names: str, jobs: int = 2, factory: str = "make", **options: Any) -> dict[str, TrainingOutcome]:
        data = options.pop("data", None) or write(tmp_path / "data.jsonl", lines(1500, *names))
        run = TrainingRun(
            **{
                "store": store,
                "data": Dataset(data) if isinstance(data, str) else data,
                "factory": f"training_domains:{factory}",
                "root": tmp_path / "scratch",
                "logs": tmp_path / "logs",
                **options,
            }
        )
        return {one.domain: one for one in train_domains(run, names, local(jobs))}

    return trained


def kinds(outcomes: dict[str, TrainingOutcome]) -> dict[str, str]:
    return {name: one.kind for name, one in outcomes.items()}


# --------------------------------------------------------------------------------------------------- one and the others


def test_the_outcome_of_one_domain_affects_no_other(train: Any, store: Store, tmp_path: Path) -> None:
    names = ("good", "killed", "raises", "hungry", "better", "poor", "once")
    outcomes = train(*names, limits=TrainingLimits(memory=600 << 20))
    assert kinds(outcomes) == {
        "good": "published",
        "better": "published",
        "once": "published",
        "killed": "killed",
        "hungry": "killed",
        "raises": "failed",
        "poor": "refused",
    }
    assert "SIGKILL (out of memory?), 2 times" in str(outcomes["killed"].reason)
    assert outcomes["once"].attempts == 2
    assert "more than its limit of 600 MB" in str(outcomes["hungry"].reason)
    assert "train() raised ValueError: that was to be expected (tests/training_domains.py:" in str(
        outcomes["raises"].reason
    )
    assert "its self-check refuses the weights" in str(outcomes["poor"].reason)
    for name in names:
        published = name in ("good", "better", "once")
        assert store.state(name)[1].names() == ({"candidate": outcomes[name].version} if published else {})
    log = (tmp_path / "logs" / "raises.log").read_text()
    assert "on its way to the end" in log
    assert "ValueError: that was to be expected" in log
    assert list((tmp_path / "scratch").iterdir()) == []
    begun = {name: (tmp_path / "noted" / name).read_text().split() for name in names}
    assert {name: len(pids) for name, pids in begun.items()} == {
        **dict.fromkeys(names, 1),
        "killed": 2,
        "once": 2,
    }
    for pid in {int(pid) for pids in begun.values() for pid in pids}:
        assert not _lives(pid)


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_a_partition_concerns_its_own_domain_alone(store: Store, tmp_path: Path, names: tuple[str, ...]) -> None:
    for part in ("domain=one/day=2026-11-20", "domain=two/day=bad", "domain=Wto/day=2026-11-20"):
        write(tmp_path / "lab" / part / "part.jsonl", lines(600, "one", "two"))
    lab = str(tmp_path / "lab")
    run = TrainingRun(store=store, data=Dataset(lab, 1.0), factory="training_domains:make", root=tmp_path / "scratch")
    notes: list[str] = []
    outcomes = {one.domain: one for one in train_domains(run, names, local(1), known=["one", "two"], note=notes.append)}
    assert kinds(outcomes) == {name: "published" if name == "one" else "failed" for name in names}
    assert notes == [f"{lab}: no plugin is loaded for Wto (1); their files are not read"]
    if "two" in names:
        bad = Path(lab, "domain=two", "day=bad", "part.jsonl")
        assert outcomes["two"].reason == f"{bad}: day=bad: expected a date as in day=2026-11-20"


@pytest.mark.usefixtures("forked_workers")
def test_a_log_that_cannot_be_written_fails_its_own_domain(train: Any, tmp_path: Path) -> None:
    (tmp_path / "logs" / "good.log").mkdir(parents=True)
    outcomes = train("good", "better", jobs=1)
    assert kinds(outcomes) == {"good": "failed", "better": "published"}
    assert f"its log {tmp_path / 'logs' / 'good.log'} cannot be written: Is a directory" in str(outcomes["good"].reason)


@pytest.mark.parametrize(
    ("option", "said"),
    [("logs", "--log-dir .*: .*file is no folder"), ("root", "file.*: no working folder"), ("out", "--out .*file")],
)
def test_where_no_folder_can_be_nothing_begins(train: Any, tmp_path: Path, option: str, said: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=said):
        train("good", **{option: tmp_path / "file" / "folder" / "deeper"})
    assert list((tmp_path / "noted").iterdir()) == []


def test_a_training_that_takes_too_long_is_ended(train: Any) -> None:
    outcome = train("hangs", limits=TrainingLimits(seconds=2.0, retries=3))["hangs"]
    assert (outcome.kind, outcome.attempts, outcome.reason) == ("killed", 1, "took more than its limit of 2 seconds")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("forked_workers")
def test_what_is_unchanged_is_not_trained_again(train: Any, store: Store, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", lines(600, "one", "two"))
    first = train("one", "two", data=data)
    assert kinds(first) == {"one": "published", "two": "published"}
    again = train("one", "two", data=data, jobs=1, promote=True)
    assert kinds(again) == {"one": "unchanged", "two": "unchanged"}
    assert {name: one.version for name, one in again.items()} == {name: one.version for name, one in first.items()}
    assert store.state("one")[1].names() == {"stable": first["one"].version}
    assert kinds(train("two", data=data, force=True, jobs=1)) == {"two": "published"}
    assert kinds(train("two", data=data, settings=Settings(seed=1), jobs=1)) == {"two": "published"}
    # What only the other domain has is new to that one alone.
    changed = lines(600, "one", "two")
    changed[0]["hypotheses"][0]["intent_confidence"] = 0.123
    write(tmp_path / "data.jsonl", changed)
    third = train("one", "two", data=data, jobs=1, settings=Settings(seed=1))
    assert kinds(third) == {"one": "published", "two": "unchanged"}


def test_the_same_version_for_any_number_of_jobs_and_any_order(train: Any, tmp_path: Path) -> None:
    names = ("a", "b", "c")
    data = write(tmp_path / "data.jsonl", lines(1500, *names))
    versions = []
    for jobs, order in ((1, names), (3, names[::-1])):
        where = open_store(tmp_path / f"store{jobs}", environment={})
        outcomes = train(*order, jobs=jobs, data=data, factory="reference", store=where)
        assert set(kinds(outcomes).values()) == {"published"}
        versions.append({name: outcomes[name].version for name in names})
    assert versions[0] == versions[1]


TEXTS = [
    {
        "text": f"{verb} the {room} {i}",
        "domain": "lamps" if verb != "buy" else None,
        "intent": verb if verb != "buy" else None,
        "slots": [{"name": "room", "value": room, "start": len(verb) + 5, "end": len(verb) + 5 + len(room)}]
        if verb != "buy"
        else [],
    }
    for i, (verb, room) in enumerate([(v, r) for v in ("dim", "light", "buy") for r in ("hall", "attic")] * 25)
]


def test_folds_of_a_recogniser_are_shared_out_and_give_the_same_version(train: Any, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", TEXTS)
    versions = set()
    for jobs in (1, 2):
        where = open_store(tmp_path / f"store{jobs}", environment={})
        outcome = train("lamps", jobs=jobs, data=data, factory="reference", store=where)["lamps"]
        assert outcome.kind in ("published", "refused"), outcome.reason
        versions.add(outcome.version)
    assert len(versions) == 1


# ----------------------------------------------------------------------------------------------------- ends and resumes


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without one
from arbitrank.store.store import open_store
from arbitrank.training.backends import local
from arbitrank.training.run import TrainingRun, train_domains
from arbitrank.training.datasets import Dataset
from pathlib import Path
folder, names = Path(sys.argv[1]), sys.argv[2:]
store = open_store(folder / "store", environment={})
run = TrainingRun(store=store, data=Dataset(str(folder / "data.jsonl")), factory="training_domains:make",
          root=folder / "scratch")
for one in train_domains(run, names, local(2), tell=lambda event: print(event.domain, event.stage, flush=True)):
    print("outcome", one.domain, one.kind, flush=True)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, of a domain that ends well and one that never does; it is at the second."""
    write(tmp_path / "data.jsonl", lines(600, "good", "hangs"))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "good", "hangs"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, map(os.path.abspath, sys.path))])},
    )
    assert process.stdout
    seen = set()
    for said in process.stdout:
        seen.add(said.strip())
        if {"outcome good published", "hangs learning"} <= seen:
            break
    noted = tmp_path / "noted" / "hangs"
    until(lambda: noted.exists() and noted.read_text().strip())  # it says no more once it hangs
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_leaves_no_process_and_the_next_one_resumes(
    started: subprocess.Popen[str], how: signal.Signals, train: Any, tmp_path: Path
) -> None:
    (pid,) = map(int, (tmp_path / "noted" / "hangs").read_text().split())
    started.send_signal(how)
    started.wait(timeout=60)
    until(lambda: not _lives(pid))  # the system ends it
    assert (list((tmp_path / "scratch").iterdir()) == []) == (how == signal.SIGINT)
    data = str(tmp_path / "data.jsonl")
    outcomes = train("good", "hangs", data=data, jobs=1)
    assert kinds(outcomes) == {"good": "unchanged", "hangs": "published"}
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_run_that_lives_keeps_its_folder(tmp_path: Path) -> None:
    with working_folder(tmp_path) as folder:
        (folder / "kept").touch()
        (tmp_path / "run-notes.txt").touch()  # no run's folder at all
        sweep(tmp_path)
        assert (folder / "kept").exists()
    assert not folder.exists()


@pytest.mark.usefixtures("forked_workers")
def test_a_worker_that_is_killed_costs_its_own_domain_one_attempt(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "data.jsonl", lines(200, "once", "good"))
    events: list[Event] = []
    run = TrainingRun(store=store, data=Dataset(data), factory="training_domains:make", root=tmp_path / "scratch")
    outcomes = {one.domain: one for one in train_domains(run, ["once", "good"], local(2), tell=events.append)}
    assert {name: (one.kind, one.attempts) for name, one in outcomes.items()} == {
        "once": ("published", 2),
        "good": ("published", 1),
    }
    stages = [event.stage for event in events if event.domain == "good"]
    assert list(dict.fromkeys(stages)) == ["data", "learning", "measuring"]
    assert any(event.figures.get("rows") for event in events)
