"""What is counted of a candidate beside the stable version while both run, and how right they were where that is told.

The arms of a domain: `stable` are the requests that its stable version answered, `canary` those that the candidate
answered, `shadow` what the candidate would have answered to requests of the first arm, and `shadowed` what the stable
version would have answered to those of the second.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.probability import log_loss
from arbitrank.semer import entirely_right
from arbitrank.values import Answer, Ranked, Truth

Arm = Literal["stable", "canary", "shadow", "shadowed"]
ARMS: tuple[Arm, ...] = ("stable", "canary", "shadow", "shadowed")

REMEMBERED = 10_000
"""Answers for which an outcome can still be told, and outcomes of an arm that are measured: the latest."""


class Estimate(msgspec.Struct, frozen=True):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


class Outcomes(msgspec.Struct, frozen=True):
    """How right an arm was on the `n` latest requests whose truth was told.

    `accuracy` is of the answers, "none" being right where nobody owns the request; `nll` in nats and `calibration` are
    of P(right) of the best reading, whatever was decided.
    """

    n: int
    accuracy: Estimate
    nll: Estimate
    calibration: Calibration


class ArmReport(msgspec.Struct, frozen=True):
    """What one arm answered: how often, with what decision, and how often the domain failed.

    `domain_probability` is the mean of the domain's P(mine), 0 where it has no reading. `compared` counts the requests
    that the other version answered too, `flips` those of them that it answered otherwise.
    """

    version: str
    answers: int
    accept: int
    clarify: int
    none: int
    failed: int
    domain_probability: float
    compared: int
    flips: int
    outcomes: Outcomes | None


class Report(msgspec.Struct, frozen=True):
    """A domain's versions side by side; an arm that answered nothing is left out."""

    stable: str
    candidate: str
    share: float
    arms: dict[Arm, ArmReport]


class Told(msgspec.Struct, frozen=True):
    """What has to be kept of an answer to measure it later: the decision, and the best reading."""

    none: bool
    head: Ranked | None

    @classmethod
    def of(cls, answer: Answer) -> Told:
        """What an answer says."""
        return cls(answer.decision.action == "none", answer.ranked[0] if answer.ranked else None)

    def flips(self, other: Told) -> bool:
        """Whether the other says something else: nobody, another domain, intent or slot."""
        if self.none or other.none:
            return self.none != other.none
        return _words(self.head) != _words(other.head)


@dataclass
class _Counts:
    version: str
    answers: int = 0
    actions: dict[str, int] = field(default_factory=lambda: {"accept": 0, "clarify": 0, "none": 0})
    failed: int = 0
    mine: float = 0.0
    compared: int = 0
    flips: int = 0
    outcomes: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


@dataclass
class _Sides:
    stable: str
    candidate: str
    share: float
    arms: dict[Arm, _Counts] = field(default_factory=dict)


@dataclass
class _Known:
    """An answered request: who said what of it, and its truth once that is told."""

    said: list[tuple[_Counts, Told]] = field(default_factory=list)
    truth: Truth | None = None


class Side(NamedTuple):
    """On which side of a domain an answer was made: the two versions, the candidate's share, and the arm."""

    stable: str
    candidate: str
    share: float
    arm: Arm


class Tally:
    """The counts of all domains that have a candidate; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sides: dict[str, _Sides] = {}
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def served(self, answer: Answer, sides: Mapping[str, Side]) -> None:
        """Count an answer that was given, by the domains that have a candidate."""
        with self._lock:
            known = _Known()
            for domain, side in sides.items():
                self._count(domain, side, answer, known)
            if answer.id is not None:
                self._known[answer.id] = known
                self._known.move_to_end(answer.id)
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)

    def unserved(self, domain: str, side: Side, answer: Answer, served: Answer) -> bool:
        """Count what the other version of a domain would have answered; whether that is something else."""
        flips = Told.of(answer).flips(Told.of(served))
        with self._lock:
            counts = self._count(domain, side, answer, self._known.get(answer.id) if answer.id is not None else None)
            twin = self._sides[domain].arms.get("stable" if side.arm == "shadow" else "canary")
            for one in (counts, twin):
                if one is not None:
                    one.compared += 1
                    one.flips += flips
        return flips

    def feedback(self, id: str, truth: Truth) -> bool:
        """Say what a request really meant; False where it is not known, or was told before."""
        with self._lock:
            known = self._known.get(id)
            if known is None or known.truth is not None:
                return False
            known.truth = truth
            for counts, told in known.said:
                counts.outcomes.append(_outcome(told, truth))
            return True

    def report(self) -> dict[str, Report]:
        """What was counted of each domain that has, or last had, a candidate."""
        with self._lock:
            found = deepcopy(self._sides)
        return {
            name: Report(
                one.stable,
                one.candidate,
                one.share,
                {arm: _report(one.arms[arm]) for arm in ARMS if arm in one.arms},
            )
            for name, one in sorted(found.items())
        }

    def _count(self, domain: str, side: Side, answer: Answer, known: _Known | None) -> _Counts:
        """Count an answer in its arm; other versions than before begin anew."""
        sides = self._sides.get(domain)
        if sides is None or (sides.stable, sides.candidate) != (side.stable, side.candidate):
            sides = self._sides[domain] = _Sides(side.stable, side.candidate, side.share)
        sides.share = side.share
        version = side.candidate if side.arm in ("canary", "shadow") else side.stable
        counts = sides.arms.setdefault(side.arm, _Counts(version))
        counts.answers += 1
        counts.actions[answer.decision.action] += 1
        counts.failed += answer.domains[domain].status == "failed"
        counts.mine += next((r.domain_probability for r in answer.ranked if r.domain == domain), 0.0)
        if known is not None:
            told = Told.of(answer)
            known.said.append((counts, told))
            if known.truth is not None:
                counts.outcomes.append(_outcome(told, known.truth))
        return counts


def _report(counts: _Counts) -> ArmReport:
    return ArmReport(
        counts.version,
        counts.answers,
        **counts.actions,
        failed=counts.failed,
        domain_probability=counts.mine / counts.answers,
        compared=counts.compared,
        flips=counts.flips,
        outcomes=_measured(list(counts.outcomes)) if counts.outcomes else None,
    )


def _outcome(told: Told, truth: Truth) -> tuple[float, float, float]:
    """Whether the answer is right; P(right) of its best reading, and whether that is right."""
    head_right = float(told.head is not None and entirely_right(told.head, truth))
    nobodys = float(truth.domain is None)
    answer_right = nobodys if told.none or told.head is None else head_right
    return answer_right, told.head.probability if told.head else 0.0, head_right


def _measured(outcomes: list[tuple[float, float, float]]) -> Outcomes:
    right, p, y = np.array(outcomes).T
    losses = log_loss(p, y)
    n = len(right)
    wide = 1.96 * float(losses.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    mean = float(losses.mean())
    return Outcomes(n, _share(right), Estimate(mean, max(0.0, mean - wide), mean + wide), calibration(p, y))


def _share(right: NDArray[np.float64]) -> Estimate:
    """A share with its Wilson interval, which stays in [0, 1] however few there are."""
    n, share, z = len(right), float(right.mean()), 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    wide = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, max(0.0, middle - wide), min(1.0, middle + wide))


def _words(reading: Ranked | None) -> object:
    return reading and (reading.domain, reading.intent, sorted((slot.name, slot.value) for slot in reading.slots))
