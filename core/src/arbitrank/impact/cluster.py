"""Work on the requests of a log on a Dask cluster: chunks of lines go there, rows of numbers come back.

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
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from arbitrank.errors import ArbitrankError, InputError, PluginError, describe
from arbitrank.impact.plan import BaselineVersion, VersionedPlan, installed_domains, sendable
from arbitrank.impact.work import Lines, Requests, Work, tasks
from arbitrank.training.dask_backend import client_of, pack, unpack

_AHEAD = 3  # tasks for each thread of the cluster that are there at once; more lines are not read meanwhile

P = TypeVar("P", bound=VersionedPlan)
B = TypeVar("B")
R = TypeVar("R")


class Cluster(NamedTuple):
    """A Dask cluster: its scheduler's address or file, and the seconds to wait for it."""

    scheduler: str
    patience: float = 30.0


@dataclass(frozen=True)
class Shipped:
    """Work and its plan as workers get them, with the files of all versions by their paths; equal by the key."""

    key: str
    work: Callable[[Any], Work[Any]] = field(compare=False)
    plan: VersionedPlan = field(compare=False)
    files: Mapping[str, bytes] = field(compare=False)


def shares_on(cluster: Cluster, work: Callable[[P], Work[R]], plan: P, requests: Requests) -> Iterator[R]:
    """The results of `work(plan)` on some chunks each, in the order of the requests.

    Raises as `shares` does, and `InputError` where the cluster cannot load the domains' code.
    """
    yield from mapped(cluster, _shared, shipped(work, plan), ((str(requests), some) for some in tasks(requests)))


def shipped(work: Callable[[P], Work[Any]], plan: P) -> Shipped:
    """Work, plan and weights as workers get them. Raises `InputError` where code is not of installed packages."""
    sent = sendable(plan)
    if sent is None:
        raise InputError("--backend dask: a domain is not that of an installed package; use --backend local")
    files: dict[str, bytes] = {}
    for name, one in sent.versions.items():
        files |= pack(one.folder, name)
    return Shipped(uuid.uuid4().hex, work, sent, files)


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


def _shared(weights: Shipped, task: tuple[str, list[Lines]]) -> Any:
    """The result of some chunks of the lines of a source of this name."""
    where, some = task
    with _ONE:
        return _loaded(weights).share(some, Path(where))


@lru_cache(1)
def _loaded(weights: Shipped) -> Work[Any]:
    """The work with its models loaded, whose files stay until other work is done."""
    versions = weights.plan.versions
    names = {one.domain for one in versions.values() if isinstance(one.domain, str)}
    names -= {one.domain for one in versions.values() if isinstance(one, BaselineVersion)}
    if missing := sorted(names - installed_domains().keys()):
        raise InputError(f"on the cluster: not installed: {', '.join(missing)}; install the packages of this machine")
    folder = Path(tempfile.mkdtemp(prefix="arbitrank-"))
    unpack(weights.files, folder)
    work = weights.work(
        weights.plan.having({name: replace(one, folder=folder / name) for name, one in versions.items()})
    )
    weakref.finalize(work, shutil.rmtree, folder, ignore_errors=True)
    return work
