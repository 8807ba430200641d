"""A model that the workers of a pair hold."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path

from arbitrank.arbitration.dispatch import HostedModel
from arbitrank.isolation.messages import LoadModel

__all__ = ["LoadedModel"]


@dataclass
class LoadedModel:
    """A model that each worker has to hold: a copy of its artifact, and whether anything refers to it still.

    `crashes` counts the workers that its loading has ended.
    """

    domain: str
    folder: Path
    remote: weakref.ref[HostedModel]
    scales: dict[str, str]
    crashes: int = 0

    def task(self, number: int, keep: tuple[int, ...], seconds: float) -> LoadModel:
        """The message to load it."""
        return LoadModel(number, self.domain, str(self.folder), keep, seconds, self.scales)
