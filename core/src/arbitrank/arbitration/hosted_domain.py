"""Domains whose code runs elsewhere: what stands for them in the process that answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from arbitrank.arbitration.dispatch import HostedModel
from arbitrank.arbitration.lineup import Serving
from arbitrank.domain import Domain, Model
from arbitrank.training_environment import TrainingEnvironment

__all__ = ["REMOTE", "HostedDomain", "RemoteRecogniser", "SelfTest", "ServiceDomain"]

REMOTE = "remote"
"""Origin of the weights of a domain that is a service of its own."""

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


class ServiceDomain(Domain):
    """A domain that is a service of its own, and has its weights there; `address` is its URL for display.

    `problem` is the reason why what it stated last may not be so any more, or is not known.
    """

    address: str
    problem: str | None = None

    @abstractmethod
    def look(self) -> Callable[[], bool]:
        """Begin to read what the service states of itself; the function that is returned waits for it, within limits.

        It returns True where that is new. Neither raises: until the service has answered, `serving` does.
        """

    @abstractmethod
    def serving(self, scales: Mapping[str, str]) -> Serving:
        """The model of the version that was stated last, with the scales of the domain's scores by field.

        Raises `RemoteError` where the service has not been reached, `PluginError` where it states what it may not.
        """


class RemoteRecogniser(Domain):
    """A domain that is recognised by a service, and ranked here, by an artifact; `address` is its URL for display."""

    address: str

    @abstractmethod
    def fetching(self, ranker: Model) -> HostedModel:
        """The model that has the service recognise, and ranks by the domain's model that is loaded here."""
