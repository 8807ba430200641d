"""Domains trained on a Dask cluster of processes of its own, of which some do not live to the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from benchmarks.exchanged import world
from distributed import Client, LocalCluster

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.own_claims import own_claims
from arbitrank.domain import Domain, Settings
from arbitrank.errors import InputError
from arbitrank.impact.cluster import Cluster, Shipped, _shared, mapped
from arbitrank.impact.observation import Observation, observe
from arbitrank.impact.plan import DomainVersion, ReplayPlan, plan
from arbitrank.impact.replay import ReplayWork
from arbitrank.impact.report import measure
from arbitrank.impact.value_work import valued
from arbitrank.live.live import Live
from arbitrank.store.store import Store, open_store
from arbitrank.training.backends import dask, local
from arbitrank.training.datasets import Dataset
from arbitrank.training.pool import TrainingLimits
from arbitrank.training.run import TrainingRun, train_domains
from arbitrank.training.worker import Event
from arbitrank.values import Example

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder where domains note that they were begun; set before the cluster's processes start."""
    folder = tmp_path_factory.mktemp("noted")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        patch.setenv("ARBITRANK_TEST_FOLDER", str(folder))
        yield folder


@pytest.fixture(scope="module")
def scheduler(noted: Path) -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def write(path: Path, names: tuple[str, ...], n: int = 4000) -> str:
    """Requests to domains, whose confidences lie."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(n):
        own = (*names, None)[i % (len(names) + 1)]
        hypotheses = [
            {
                "domain": name,
                "intent": intent,
                "domain_confidence": float(np.clip(rng.normal(0.7 if name == own else 0.4, 0.2), 0.01, 0.99)),
                "intent_confidence": float(rng.uniform(0.5, 0.9) if k == 0 else rng.uniform(0.05, 0.5)),
            }
            for name in names
            for k, intent in enumerate(("On", "Off"))
        ]
        truth = {"domain": own, "intent": "On"} if own else {"domain": None}
        rows.append({"id": str(i), "utterance": f"words {i}", "hypotheses": hypotheses, "truth": truth})
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    return str(path)


def run(tmp_path: Path, name: str, data: str, factory: str, **options: Any) -> TrainingRun:
    store = open_store(tmp_path / name, environment={})
    return TrainingRun(store=store, data=Dataset(data), factory=f"training_domains:{factory}", root=tmp_path, **options)


def test_the_same_version_on_the_cluster_as_here(scheduler: str, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", ("a", "b"), 1200)
    events = []
    there = {
        one.domain: one
        for one in train_domains(
            run(tmp_path, "there", data, "reference"), ["a", "b"], dask(scheduler), tell=events.append
        )
    }
    here = {one.domain: one for one in train_domains(run(tmp_path, "here", data, "reference"), ["a", "b"], local(2))}
    assert {name: (one.kind, one.version) for name, one in there.items()} == {
        name: ("published", one.version) for name, one in here.items()
    }


def test_a_cluster_that_loses_a_worker_in_mid_training_completes(scheduler: str, noted: Path, tmp_path: Path) -> None:
    names = ("good", "fells", "killed", "raises")
    data = write(tmp_path / "data.jsonl", names)
    limited = run(tmp_path, "store", data, "make", logs=tmp_path / "logs", limits=TrainingLimits(retries=0))
    outcomes = {one.domain: one for one in train_domains(limited, names, dask(scheduler))}
    assert {name: one.kind for name, one in outcomes.items()} == {
        "good": "published",
        "fells": "published",
        "killed": "killed",
        "raises": "failed",
    }
    assert len((noted / "fells").read_text().split()) == 2
    assert "that was to be expected" in (tmp_path / "logs" / "raises.log").read_text()


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", ("a",), 50)
    with pytest.raises(InputError, match=r"--scheduler tcp://127\.0\.0\.1:1: no answer"):
        list(train_domains(run(tmp_path, "store", data, "make"), ["a"], dask("tcp://127.0.0.1:1", patience=0.5)))


# ------------------------------------------------------------------------------------------------ one domain over all


@pytest.fixture(scope="module")
def partitions(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The data of one domain, by day."""
    folder = tmp_path_factory.mktemp("partitions")
    lines = Path(write(folder / "all.jsonl", ("a", "b"), 6000)).read_bytes().splitlines()
    for day in range(4):
        part = folder / "log" / "domain=a" / f"day=2026-11-0{day + 1}" / "part.jsonl"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"\n".join([*lines[day::4], b'{"utterance": "of which nobody knows"}']))
    return str(folder / "log")


@pytest.mark.parametrize("model", ["loglinear", "factored", "boosted"])
def test_a_domain_over_the_cluster_is_as_good_as_on_one_machine_and_the_same_each_time(
    scheduler: str, partitions: str, tmp_path: Path, model: Any
) -> None:
    settings = Settings(model=model, calibrate=False, l2=1e-4)
    over_all = dask(scheduler, partitioned=True)
    found = [
        next(train_domains(run(tmp_path, name, partitions, "reference", settings=settings), ["a"], backend))
        for name, backend in (("here", local(1)), ("there", over_all), ("again", over_all))
    ]
    assert [one.kind for one in found] == ["published"] * 3, found
    here, there, again = found
    assert (there.held, there.rows) == (here.held, here.rows)
    assert ["1 lines are unlabelled" in note for note in there.notes] == [True] * 4
    # LightGBM grows as many trees as it is told to there, and stops early here.
    assert there.nll == pytest.approx(here.nll, rel=0.05 if model == "boosted" else 0.001)
    if model != "boosted":
        assert there.version == again.version


def test_a_domain_over_the_cluster_survives_a_worker(scheduler: str, partitions: str, tmp_path: Path) -> None:
    pids = _pids(scheduler)
    settings = Settings(model="loglinear", l2=1e-4)
    limited = run(tmp_path, "store", partitions, "reference", settings=settings)
    whole = next(train_domains(limited, ["a"], dask(scheduler, partitioned=True)))
    rounds = []

    def tell(event: Event) -> None:
        if "round" in event.figures:
            rounds.append(event.figures["round"])
            if len(rounds) == 2:
                os.kill(pids[0], signal.SIGKILL)

    limited = run(tmp_path, "again", partitions, "reference", settings=settings)
    outcome = next(train_domains(limited, ["a"], dask(scheduler, partitioned=True), tell=tell))
    assert len(rounds) > 2
    assert (outcome.kind, outcome.version) == ("published", whole.version)


def _pids(scheduler: str) -> list[int]:
    with Client(scheduler) as client:
        return sorted(client.run(os.getpid).values())


@pytest.mark.parametrize(
    ("settings", "data", "reason"),
    [
        (Settings(model="corrected"), None, "with --model corrected"),
        (Settings(model="boosted", loss="r3"), None, "leave --loss out"),
        (Settings(), "a file", "expected --data with a folder or URL by domain="),
    ],
)
def test_what_a_cluster_cannot_do_together_is_refused(
    scheduler: str, partitions: str, tmp_path: Path, settings: Settings, data: str | None, reason: str
) -> None:
    data = write(tmp_path / "data.jsonl", ("a",), 60) if data else partitions
    limited = run(tmp_path, "store", data, "reference", settings=settings)
    outcome = next(train_domains(limited, ["a"], dask(scheduler, partitioned=True)))
    assert outcome.kind == "failed"
    assert reason in str(outcome.reason)


# ------------------------------------------------------------------------------------------------ a log over all


def test_a_replay_on_the_cluster_finds_what_one_process_finds(scheduler: str, tmp_path: Path) -> None:
    made = world(tmp_path / "world", domains=3, train=300, held=2_500)
    candidate = made.build("domain1", tmp_path / "candidate", 40)
    store = made.fill(open_store(tmp_path / "store", environment={}))
    exchange = plan(made.domains, store, "domain1", candidate)
    here, _ = measure(exchange, made.audit)
    there, found = measure(exchange, made.audit, cluster=Cluster(scheduler))
    assert msgspec.json.encode(there) == msgspec.json.encode(here)
    assert len(found.rows) == 2_500
    log = reacted(tmp_path / "log", made.domains, store, made.held[:600])
    short, away = (valued(exchange, log, cluster=one) for one in (None, Cluster(scheduler)))
    assert len(short.rows) == 600
    assert away.rows.tobytes() == short.rows.tobytes()


def reacted(folder: Path, domains: Mapping[str, Domain], store: Store, asked: Sequence[Example]) -> Path:
    """A log of answers that users accepted."""
    with Live(domains, store, selftest=lambda folder, name: None) as live, AnswerLog(folder) as log:
        live.look()
        for example in asked:
            arbitration = live.arbitrate(example.request)
            claims = partial(own_claims, arbitration)
            log.write(example.request, arbitration.answer, arms=arbitration.arms, claims=claims)
            log.feedback(Feedback(id=example.request.id or "", outcome="accepted"))
    return folder


def test_an_observation_on_the_cluster_or_in_processes_is_that_of_one_process(scheduler: str, tmp_path: Path) -> None:
    made = world(tmp_path / "world", domains=3, train=300, held=1_500)
    store = made.fill(open_store(tmp_path / "store", environment={}))
    with made.audit.open("a") as file:
        file.write('{\n{"utterance": "of which nobody knows", "hypotheses": []}\n')
    grouped = DecisionSettings(groups=(("domain0", "domain1"),))
    here, there, beside = (
        observe(made.domains, store, made.audit, grouped, **where)
        for where in ({}, {"cluster": Cluster(scheduler)}, {"jobs": 2})
    )
    assert here.notes[-1].startswith("1 lines could not be read, the first: ")
    assert "audit.jsonl:1501" in here.notes[-1]
    assert len(here.unlabelled[0].best) == 1
    for other in (there, beside):
        assert (other.served, other.notes) == (here.served, here.notes)
        assert numbers(other) == numbers(here)


def numbers(seen: Observation) -> list[bytes]:
    """All arrays of an observation."""
    arrays = (seen.observed.right, seen.observed.owners, seen.fingerprints, *(one for r in seen.every for one in r))
    return [np.asarray(one).tobytes() for one in arrays]


def test_a_cluster_without_the_domains_says_so(scheduler: str, tmp_path: Path) -> None:
    part = DomainVersion("absent", tmp_path, "1")
    shipped = Shipped("1", ReplayWork, ReplayPlan("absent", {}, part), {})
    with pytest.raises(InputError, match="on the cluster: not installed: absent"):
        list(mapped(Cluster(scheduler), _shared, shipped, [("log", [])]))
