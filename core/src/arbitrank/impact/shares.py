"""Work on the requests of a file or a log, in this process, in several, or on a Dask cluster.

A plan names the versions of the domains that work needs; the work is made from it once for each process, and gives the
result of some chunks at a time. Chunks are the same in all three ways, so that results can be put together alike.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from arbitrank.answerlog.joining import LogView
from arbitrank.answerlog.reader import source
from arbitrank.errors import PluginError, describe
from arbitrank.impact.plan import VersionedPlan, sendable
from arbitrank.impact.work import Chunks, Requests, Work

if TYPE_CHECKING:
    from arbitrank.impact.cluster import Cluster

_YOUNG = 100_000  # objects made between collections of cycles, of which the values of requests have none

P = TypeVar("P", bound=VersionedPlan)
R = TypeVar("R")


def shares(
    work: Callable[[P], Work[R]], plan: P, path: Path | LogView, *, jobs: int = 1, cluster: Cluster | None = None
) -> Iterator[R]:
    """The results of `work(plan)` on all requests of a file or a log's folder: at least one, in any order.

    They are computed in `jobs` processes, or on a cluster; in this process where another could not load the domains'
    code. Raises `DataError` where the file cannot be read, `PluginError` where a process crashes, and whatever the work
    raises.
    """
    # A log keeps growing, and all processes have to see the same of it.
    requests = path if isinstance(path, LogView) else source(path)
    if cluster is not None:
        from arbitrank.impact.cluster import shares_on

        yield from shares_on(cluster, work, plan, requests)
        return
    sent = None if jobs == 1 else sendable(plan)
    if sent is None:
        with _rarely_collected():
            found = work(plan).share(Chunks(requests), requests)
        yield found
        return
    from joblib import Parallel, delayed, parallel_config

    try:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            yield from Parallel(n_jobs=jobs)(delayed(_share)(work, sent, requests, k, jobs) for k in range(jobs))
    except BrokenExecutor as error:
        text = f"a process that read {path.name} crashed, or ran out of memory: {describe(error)}"
        raise PluginError(text) from error


def _share(work: Callable[[P], Work[R]], plan: P, requests: Requests, k: int, of: int) -> R:
    """The result of every `of`-th chunk of the file, from the k-th on: all that this process does."""
    with _rarely_collected():
        return work(plan).share(Chunks(requests, k, of), requests)


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Garbage is searched for cycles less often meanwhile."""
    before = gc.get_threshold()
    if 0 < before[0] < _YOUNG:
        gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
