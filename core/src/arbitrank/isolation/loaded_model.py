"""Models that the workers of a pair hold, and copies of their artifacts for workers that are started later."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from arbitrank.arbitration.dispatch import Host, HostedModel
from arbitrank.isolation.box import Box
from arbitrank.isolation.messages import LoadModel
from arbitrank.isolation.worker_process import WorkerProcess

__all__ = ["LoadedModels"]

_CRASHES = 2  # times that loading a model again may end a worker before the model is left out


@dataclass
class _LoadedModel:
    """A model that each worker has to hold: a copy of its artifact, and whether anything refers to it still.

    `crashes` counts the workers that its loading has ended.
    """

    domain: str
    folder: Path
    hosted: weakref.ref[HostedModel]
    scales: dict[str, str]
    crashes: int = 0


class LoadedModels:
    """The models of a pair, by number. One thread at a time may use them."""

    def __init__(self, box: Box | None) -> None:
        self._box = box
        self._models: dict[int, _LoadedModel] = {}
        self._numbers = count(1)
        self._folder = tempfile.TemporaryDirectory(prefix="arbitrank-", ignore_cleanup_errors=True)
        if box:
            box.give(self.folder)

    def __bool__(self) -> bool:
        return bool(self._models)

    @property
    def folder(self) -> Path:
        """The folder of the copies."""
        return Path(self._folder.name)

    def add(self, host: Host, domain: str, folder: Path, scales: Mapping[str, str]) -> HostedModel:
        """A model of an artifact, which each worker is to load. Raises `OSError`."""
        number = next(self._numbers)
        model = HostedModel(domain, host, number)
        copy = self.folder / str(number)
        shutil.copytree(folder, copy)  # a worker that is started later needs it after the original is gone
        if self._box:
            self._box.give(copy)
        self._models[number] = _LoadedModel(domain, copy, weakref.ref(model), dict(scales))
        return model

    def forget(self, number: int) -> None:
        """Remove a model, which a worker releases when it loads another."""
        shutil.rmtree(self._models.pop(number).folder, ignore_errors=True)

    def load_missing(self, worker: WorkerProcess, seconds: float) -> None:
        """Load into a worker what it lacks, and forget what nothing refers to. Raises `WorkerEnded`."""
        for number in [number for number, model in self._models.items() if model.hosted() is None]:
            self.forget(number)
        for number, model in self._missing(worker):
            model.crashes += 1
            folder = str(model.folder)
            worker.load(LoadModel(number, model.domain, folder, tuple(self._models), seconds, model.scales))
            model.crashes = 0

    def _missing(self, worker: WorkerProcess) -> Iterator[tuple[int, _LoadedModel]]:
        for number, model in self._models.items():
            if number not in worker.loaded and number not in worker.refused and model.crashes < _CRASHES:
                yield number, model

    def close(self) -> None:
        """Remove the copies."""
        self._folder.cleanup()
