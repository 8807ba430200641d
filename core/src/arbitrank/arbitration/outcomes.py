"""Outcomes of the query of the domains, each a value: answered, failed, late or skipped; and the whole arbitration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import Scores
from arbitrank.errors import PluginError
from arbitrank.scores import Kept
from arbitrank.selections import CanaryDraw
from arbitrank.values import Answer, Hypothesis

ServedArm = Literal["stable", "canary"]
"""The version that answers a request: the stable one, or the candidate that has a share of the requests."""

FailureKind = Literal["raised", "contract", "crashed", "unavailable", "request"]
"""Cause of a failure: an exception, a violation of the contract, the end of its process, a process that is being
replaced, or a request that cannot be read."""


class Answered(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A domain's answer: its distinct hypotheses as they were given, their scores and, with `explain`, their `why`.

    `kept` are the places and numbers of those among all of the domain's, None where all are distinct. `scales` are
    those that its scores were read by, where they are not 0..1. `began` is a reading of `time.perf_counter`, None
    where the domain ran in another process. `packed` are the hypotheses in msgpack, where their check has made them.
    `version` is that which a remote domain names, None of one whose version is known here.
    """

    hypotheses: Sequence[Hypothesis]
    scores: Scores
    why: Sequence[Mapping[str, float]] | None
    recognise_ms: float
    rerank_ms: float
    kept: Kept | None = None
    scales: dict[str, str] | None = None
    began: float | None = None
    packed: bytes | None = None
    version: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """A domain raised or violated the contract: the reason, and after how many milliseconds.

    `counts` is the number of failures that it counts as: `OPENS` opens it at once, 0 does not blame the
    domain. `unread` is the place of a hypothesis whose scores cannot be read; `line` that of the code that raised.
    """

    reason: str
    ms: float
    counts: int = 1
    unread: int | None = None
    line: str | None = None
    kind: FailureKind = "raised"
    began: float | None = None

    @property
    def placed(self) -> str:
        """The reason in words for the domain's author, with the line of code."""
        return f"{self.reason} ({self.line}), expected readings and Scores" if self.line else self.reason

    @property
    def impersonal(self) -> str:
        """The reason without an exception's text, which may hold words of the user: for those who ask later."""
        if self.kind != "raised":
            return self.reason
        raised = self.reason.partition(":")[0]
        return f"{raised} ({self.line})" if self.line else raised


class Late(msgspec.Struct, frozen=True):
    """A domain did not answer by its deadline: the reason, and the milliseconds waited. `counts` is as in `Failed`."""

    reason: str
    ms: float
    counts: int = 1


class Skipped(msgspec.Struct, frozen=True):
    """A domain was not queried as its breaker is open, with the reason."""

    reason: str


Outcome: TypeAlias = Answered | Failed | Late | Skipped

OPENS = 1_000_000
"""Count of a failure that opens a breaker at once: it cost a worker process, say."""


def kind_of(error: BaseException) -> FailureKind:
    """The kind of a failure that ended in an exception."""
    return "contract" if isinstance(error, PluginError) else "raised"


@dataclass(frozen=True, eq=False, repr=False)
class Arbitration:
    """An answer with the outcome of every queried domain, by name, the settings that decided it and P(no domain).

    `arms` says of each domain or stage beside whose stable version a candidate runs which of the two answered, `canary`
    has those of them of which the candidate had a share of the requests.
    """

    answer: Answer
    outcomes: Mapping[str, Outcome]
    decisions: DecisionSettings = field(default=DecisionSettings())
    out_of_scope: float = 0.0
    arms: Mapping[str, ServedArm] = field(default_factory=dict)
    canary: Mapping[str, CanaryDraw] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Arbitration({self.answer!r})"

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """All readings of the domains that answered, with the confidences that an answer leaves out: for a log."""
        return tuple(h for own in self.recognised.values() for h in own)

    @property
    def recognised(self) -> dict[str, Sequence[Hypothesis]]:
        """The readings of the domains that answered, by domain."""
        return {name: one.hypotheses for name, one in self.outcomes.items() if isinstance(one, Answered)}
