"""Replay and observation of a log on a Dask cluster: chunks of lines go there, rows of numbers come back.

The lines are read and joined with their feedback here, so chunks, numbers of lines and order are those of one process,
and the results are merged in that order: every figure is the same. Workers need arbitrank and the plugins, but no
shared folder and no access to the store or the log: the weights go there once. Plugins run in the workers themselves.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from arbitrank.answerlog.joining import LogView
from arbitrank.answerlog.reader import source
from arbitrank.errors import ArbitrankError, InputError, PluginError, describe
from arbitrank.impact.plan import BaselineVersion, ReplayPlan, installed_domains, sendable
from arbitrank.impact.replay import Lines, ReplayWork, chunks
from arbitrank.impact.replayed import Replayed, together
from arbitrank.training.dask_backend import client_of, pack, unpack

_TASK = 8
"""Chunks of a task: some seconds of work, beside which its transport counts for little."""

_PARTS, _CANDIDATE = "parts", "candidate"
"""The folders of weights, of the domains that answer now and of the candidate."""

_AHEAD = 3  # tasks for each thread of the cluster that are there at once; more lines are not read meanwhile

B = TypeVar("B")
R = TypeVar("R")


class Cluster(NamedTuple):
    """A Dask cluster: its scheduler's address or file, and the seconds to wait for it."""

    scheduler: str
    patience: float = 30.0


@dataclass(frozen=True)
class Shipped:
    """A plan as workers get it, with the files of all versions by their paths; equal by the key."""

    key: str
    plan: ReplayPlan = field(compare=False)
    files: Mapping[str, bytes] = field(compare=False)


def replay_on(cluster: Cluster, plan: ReplayPlan, path: Path) -> Replayed:
    """Replay a file or a log's folder on a cluster; the results of one process.

    Raises as `replay` does, and `InputError` where the cluster cannot load the domains' code.
    """
    requests = source(path)
    return together([Replayed(), *mapped(cluster, _replayed, weights_of(plan), _tasks(requests))])


def _tasks(requests: Path | LogView) -> Iterator[tuple[str, list[Lines]]]:
    some = chunks(requests)
    while task := list(islice(some, _TASK)):
        yield str(requests), task


def weights_of(plan: ReplayPlan) -> Shipped:
    """The plan and its weights as workers get them. Raises `InputError` where code is not of installed packages."""
    sent = sendable(plan)
    if sent is None:
        raise InputError("--backend dask: a domain is not that of an installed package; use --backend local")
    files = pack(sent.candidate.folder, _CANDIDATE)
    for name, one in sent.parts.items():
        files |= pack(one.folder, f"{_PARTS}/{name}")
    return Shipped(uuid.uuid4().hex, sent, files)


def mapped(cluster: Cluster, work: Callable[[Shipped, B], R], weights: Shipped, tasks: Iterable[B]) -> Iterator[R]:
    """The result of each task, in their order; a few wait on the cluster at a time."""
    with client_of(cluster.scheduler, cluster.patience) as client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(f"--scheduler {cluster.scheduler}: the cluster has no worker; start some: dask worker")
        # Made by a task, so that weights which were lost with a worker are sent again.
        sent, waiting = client.submit(_kept, weights, pure=False), deque[Any]()
        for task in tasks:
            waiting.append(client.submit(work, sent, task, pure=False))
            if len(waiting) >= _AHEAD * threads:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


def _result(future: Any) -> Any:
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except ArbitrankError:
        raise
    except (KilledWorker, CancelledError) as error:
        raise PluginError(f"on the cluster: a worker crashed, or ran out of memory: {describe(error)}") from error


# The rest runs on the workers.

_ONE = Lock()
"""A worker with several threads scores in one of them: the models' work is Python's."""


def _kept(weights: Shipped) -> Shipped:
    return weights


def _replayed(weights: Shipped, task: tuple[str, list[Lines]]) -> Replayed:
    """The results of some chunks of the lines of a source of this name."""
    where, some = task
    with _ONE:
        return _work(weights).share(some, Path(where))


@lru_cache(1)
def _work(weights: Shipped) -> ReplayWork:
    """The loaded models of a plan, whose files stay until another plan is worked on."""
    plan = weights.plan
    versions = (*plan.parts.values(), plan.candidate)
    names = {one.domain for one in versions if isinstance(one.domain, str) and not isinstance(one, BaselineVersion)}
    if missing := sorted(names - installed_domains().keys()):
        raise InputError(f"on the cluster: not installed: {', '.join(missing)}; install the packages of this machine")
    folder = Path(tempfile.mkdtemp(prefix="arbitrank-"))
    unpack(weights.files, folder)
    parts = {name: replace(one, folder=folder / _PARTS / name) for name, one in plan.parts.items()}
    work = ReplayWork(replace(plan, parts=parts, candidate=replace(plan.candidate, folder=folder / _CANDIDATE)))
    weakref.finalize(work, shutil.rmtree, folder, ignore_errors=True)
    return work
