"""Backends: processes of this machine, or a Dask cluster; all run the same tasks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.pool import TrainingLimits, run_all
from arbitrank.training.task import TrainingTask
from arbitrank.training.worker import Tell


class TrainingBackend(Protocol):
    """Runs tasks and yields the outcome of each as it ends; its artifact is then in the task's folder here."""

    def __call__(
        self, tasks: Sequence[TrainingTask], *, temporary: Path, limits: TrainingLimits, tell: Tell
    ) -> Generator[TrainingOutcome]:
        """Train; closing the generator ends the tasks that run."""


def local(jobs: int) -> TrainingBackend:
    """The backend of this machine: `jobs` processes compute at a time."""
    return partial(run_all, jobs=jobs)


def dask(scheduler: str, *, patience: float = 30.0, partitioned: bool = False) -> TrainingBackend:
    """The backend of the Dask cluster at an address, or in the file that names one.

    `patience`: seconds to wait for the cluster. `partitioned`: each domain is trained over the whole cluster, one after
    another.
    """
    if partitioned:
        from arbitrank.training.distributed import train_all

        return partial(train_all, scheduler=scheduler, patience=patience)
    from arbitrank.training.dask_backend import train_on_cluster

    return partial(train_on_cluster, scheduler=scheduler, patience=patience)
