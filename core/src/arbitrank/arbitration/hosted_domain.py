"""Domain whose code runs in other processes: what stands for it in the process that answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from arbitrank.arbitration.dispatch import HostedModel
from arbitrank.domain import Domain, Model
from arbitrank.training_environment import TrainingEnvironment

__all__ = ["HostedDomain", "SelfTest"]

SelfTest: TypeAlias = Callable[[Model], str | None]
"""A test of a model, which returns its problem, None where it has none."""


class HostedDomain(Domain):
    """A domain whose code runs in other processes, and whose models are there; `release_name` is that of the code."""

    release_name: str

    @property
    @abstractmethod
    def environment(self) -> TrainingEnvironment:
        """The environment that it trains in. Raises `InputError` where that is gone."""

    @abstractmethod
    def hosted(
        self, folder: Path, scales: Mapping[str, str], test: SelfTest | None = None, *, standby: bool = True
    ) -> HostedModel:
        """The model in an artifact folder, with the scales stated for its scores by field. Raises as `load` does.

        With `test`, which returns the problem of a model, one that has a problem is refused before it answers. Without
        `standby` one process may do, which answers nothing while it loads: for replays and tests.
        """

    def load(self, folder: Path) -> Model:
        """The model in an artifact folder."""
        return self.hosted(folder, {})
