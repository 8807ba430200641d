"""Outcome of the training of one domain."""

from __future__ import annotations

from typing import Literal

import msgspec

from arbitrank.learn.kind_choice import KindChoice
from arbitrank.store.artifact import NegativesUsed
from arbitrank.training.lessons import LessonEffect

Kind = Literal["built", "published", "unchanged", "refused", "failed", "killed"]


class TrainingOutcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Result of a task.

    built: the artifact exists, unpublished; published; unchanged: the store has a version of the same fingerprint;
    refused: by the self-test, or as the weights are worse than R0; failed: an error, in `reason`; killed: the
    process was ended, by a limit or from outside. `negatives` are the shared ones among the `rows`. `nll`,
    `baseline` (of R0), `ece`, `ece_floor` and `ece_band` are of `held` held-out requests. `choice` is that of the
    kind of re-ranker, None where there was none to make. `unproven` is the reason why `promote` refuses the weights
    whatever the self-check says. `lessons` is what outcomes changed, where they taught. `seconds` are of the last
    attempt; `peak` is the largest memory observed, in bytes.
    """

    domain: str
    kind: Kind
    reason: str | None = None
    version: str | None = None
    rows: int = 0
    negatives: tuple[NegativesUsed, ...] = ()
    model: str = ""
    choice: KindChoice | None = None
    held: int = 0
    nll: float = 0.0
    baseline: float = 0.0
    ece: float = 0.0
    ece_floor: float = 0.0
    ece_band: tuple[float, float] = (0.0, 0.0)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    attempts: int = 1
    peak: int | None = None
    log: str | None = None
    unproven: str | None = None
    lessons: LessonEffect | None = None

    @property
    def good(self) -> bool:
        """True where the store has, or can be given, the weights of these data."""
        return self.kind in ("built", "published", "unchanged")
