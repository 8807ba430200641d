"""Options that say where a verb computes, and requests at a path or URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from arbitrank.answerlog.joining import size_of
from arbitrank.cli import options
from arbitrank.errors import InputError
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.impact.cluster import Cluster


class Computing(NamedTuple):
    """The processes of this machine to compute in, and the cluster that computes in their place."""

    jobs: int
    cluster: Cluster | None


def _computing(jobs: int | None, backend: str, scheduler: str | None) -> Computing:
    if backend == "local":
        options.needs("--backend dask", False, scheduler=scheduler or None)
        return Computing(jobs or 0, None)
    from arbitrank.impact.cluster import Cluster

    return Computing(jobs or 0, Cluster(checked_scheduler(scheduler)))


def checked_scheduler(scheduler: str | None) -> str:
    """The scheduler of `--backend dask`. Raises `InputError` without one."""
    if scheduler is None:
        raise InputError(
            "--backend dask: no --scheduler; expected its address, tcp://HOST:8786; see docs/how-to/dask.md"
        )
    return scheduler


backend = click.option("--backend", type=click.Choice(["local", "dask"]), default="local", help="Where to compute.")
scheduler = click.option("--scheduler", metavar="ADDRESS", help="With --backend dask: the scheduler, or a file of it.")
computing = options.gathered("where", _computing, options.jobs, backend, scheduler)
"""`--jobs`, `--backend` and `--scheduler`, which the verb receives as `where: Computing`."""

_LARGE = 200_000_000  # bytes of a log that is worth the start of further processes

computing_by_size = options.gathered(
    "where",
    _computing,
    click.option(
        "--jobs",
        type=click.IntRange(1),
        help="Processes to use.  [default: 1, on a large log as many as there are processors]",
    ),
    backend,
    scheduler,
)
"""As `computing`, with 0 jobs where none are stated: `suitable_jobs` says how many."""


def suitable_jobs(where: Computing, on: Path) -> Computing:
    """Where to compute on a log or a file, with as many processes as its size is worth, unless they were stated."""
    if where.jobs or where.cluster is not None:
        return where._replace(jobs=max(1, where.jobs))
    files = on.iterdir() if on.is_dir() else [on]
    if sum(size_of(file) for file in files) < _LARGE:
        return where._replace(jobs=1)
    from joblib import cpu_count

    return where._replace(jobs=cpu_count())


@contextmanager
def requests_at(location: str | None, store: Store) -> Iterator[Path]:
    """The requests of --on, by default the store's audit set; those at a URL are copied while it runs."""
    from arbitrank.impact.remote_log import fetched
    from arbitrank.training.locations import is_url
    from arbitrank.training.workdir import working_folder

    if location is None or not is_url(location):
        yield options.requests(None if location is None else Path(location), store)
        return
    with working_folder() as folder:
        copied = folder / "log"
        copied.mkdir()
        yield fetched(location, copied)
