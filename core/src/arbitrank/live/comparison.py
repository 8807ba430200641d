"""Comparison of a candidate with the stable version while both run, and their measures where the truth is reported.

The arms of a name: `stable` are the requests that its stable version answered, `canary` those that the candidate
answered, `shadow` the candidate's answers to requests of the first arm, and `shadowed` the stable version's answers to
requests of the second.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from arbitrank.arbitration.fallback import merged
from arbitrank.evaluate.intervals import Estimate, normal_mean, wilson
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.probability import log_loss
from arbitrank.semer import entirely_right, same_reading
from arbitrank.values import Answer, Ranked, Truth
from arbitrank.wire.requests import Outcome, identity, names_another

Arm = Literal["stable", "canary", "shadow", "shadowed"]
ARMS: tuple[Arm, ...] = ("stable", "canary", "shadow", "shadowed")

REMEMBERED = 10_000
"""Answers for which the truth can still be reported, and answers of an arm that are measured: the latest."""


class ArmMeasures(msgspec.Struct, frozen=True):
    """Measures of an arm on its `n` latest answers with a known truth.

    `accuracy` is of the answers, `none` being right out of scope; `nll` in nats and `calibration` are of P(right) of
    the best reading, whatever was decided.
    """

    n: int
    accuracy: Estimate
    nll: Estimate
    calibration: Calibration


class ArmReport(msgspec.Struct, frozen=True):
    """Counts of one arm: its answers by decision, and those in which the domain failed.

    `domain_probability` is the mean of the domain's P(mine), 0 where it has no reading; for a Shortlister or a HypRank
    it is the best reading's. `compared` counts the requests that the other version answered too, `flips` those of them
    that it answered differently. `accepted` and `rejected` count the users' reactions, of which `acceptance` is the
    share of the former.
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
    outcomes: ArmMeasures | None
    accepted: int = 0
    rejected: int = 0
    acceptance: Estimate | None = None


class ComparisonReport(msgspec.Struct, frozen=True):
    """The versions of a name side by side; an arm without answers is left out.

    `share` is the share of the requests that the candidate is to answer, `answered` the share that it did answer.
    """

    stable: str
    candidate: str
    share: float
    arms: dict[Arm, ArmReport]
    answered: Estimate | None = None


class AnswerHead(msgspec.Struct, frozen=True):
    """The part of an answer that is kept to measure it later: the decision, and the best reading."""

    none: bool
    best: Ranked | None

    @classmethod
    def of(cls, answer: Answer) -> AnswerHead:
        """The head of an answer."""
        return cls(answer.decision.action == "none", answer.chosen or answer.best)

    def flips(self, other: AnswerHead) -> bool:
        """True where another answer differs: in `none`, in domain, in intent or in a slot."""
        best = (None if one.none else one.best for one in (self, other))
        return not same_reading(*best)


class ComparedVersions(NamedTuple):
    """The two versions of a name when an answer was made, the candidate's share, and the arm of the answer."""

    stable: str
    candidate: str
    share: float
    arm: Arm

    @property
    def version(self) -> str:
        """The version that answered."""
        return self.candidate if self.arm in ("canary", "shadow") else self.stable


@dataclass
class _ArmCounts:
    version: str
    answers: int = 0
    actions: dict[str, int] = field(default_factory=lambda: {"accept": 0, "clarify": 0, "none": 0})
    failed: int = 0
    mine: float = 0.0
    compared: int = 0
    flips: int = 0
    reactions: dict[str, int] = field(default_factory=lambda: {"accepted": 0, "rejected": 0})
    outcomes: deque[tuple[float, float, float]] = field(default_factory=deque)


@dataclass
class _AnsweredRequest:
    """The answers to a request, with the arms that they count for, its truth and reaction once these are known.

    The reaction is to the first answers, which were `served`.
    """

    heads: list[tuple[_ArmCounts, AnswerHead]] = field(default_factory=list)
    truth: Truth | None = None
    reaction: Outcome | None = None
    session: str | None = None
    served: int = 0


class Comparison:
    """The counts of all names that have a candidate. Safe to use from any thread.

    `remembered`: answers for which feedback can still be reported, and answers of an arm that are measured; None keeps
    all.
    """

    def __init__(self, remembered: int | None = REMEMBERED) -> None:
        self._most = remembered
        self._lock = threading.Lock()
        self._names: dict[str, tuple[ComparedVersions, dict[Arm, _ArmCounts]]] = {}
        self._answered: OrderedDict[str, _AnsweredRequest] = OrderedDict()

    def served(self, answer: Answer, sides: Mapping[str, ComparedVersions], session: Any = None) -> None:
        """Count an answer that was served, for each name that has a candidate, in a request's session."""
        with self._lock:
            request = _AnsweredRequest(session=identity(session))
            for name, side in sides.items():
                self._count(name, side, answer, request)
            request.served = len(request.heads)
            if answer.id is not None:
                self._answered[answer.id] = request
                self._answered.move_to_end(answer.id)
                if self._most is not None and len(self._answered) > self._most:
                    self._answered.popitem(last=False)

    def logged(
        self,
        answer: Answer,
        sides: Mapping[str, ComparedVersions],
        truth: Truth | None = None,
        reaction: Outcome | None = None,
    ) -> None:
        """Count an answer of a log, whose feedback is known."""
        with self._lock:
            request = _AnsweredRequest(truth=truth)
            for name, side in sides.items():
                counts = self._count(name, side, answer, request)
                if reaction is not None:
                    counts.reactions[reaction] += 1

    def unserved(self, name: str, side: ComparedVersions, answer: Answer, served: Answer) -> bool:
        """Count the answer of a name's other version; True where it differs from the one that was served."""
        flips = AnswerHead.of(answer).flips(AnswerHead.of(served))
        with self._lock:
            request = self._answered.get(answer.id) if answer.id is not None else None
            counts = self._count(name, side, answer, request)
            twin = self._names[name][1].get("stable" if side.arm == "shadow" else "canary")
            for arm in (counts, twin):
                if arm is not None:
                    arm.compared += 1
                    arm.flips += flips
        return flips

    def feedback(
        self, id: str, truth: Truth | None, reaction: Outcome | None = None, session: str | None = None
    ) -> bool:
        """Report the true meaning of a request, the user's reaction, or both.

        False where it is not remembered, has them already, or is of another session than the one that is named.
        """
        with self._lock:
            request = self._answered.get(id)
            if request is None or names_another(session, request.session):
                return False
            counted = False
            if truth is not None and request.truth is None:
                request.truth, counted = truth, True
                for counts, head in request.heads:
                    counts.outcomes.append(_outcome(head, truth))
            if reaction is not None and request.reaction is None:
                request.reaction, counted = reaction, True
                for counts, _ in request.heads[: request.served]:
                    counts.reactions[reaction] += 1
            return counted

    def report(self) -> dict[str, ComparisonReport]:
        """The counts and measures of each name that has, or last had, a candidate."""
        with self._lock:
            names = deepcopy(self._names)
        return {
            name: ComparisonReport(
                *versions[:3], {arm: _report(arms[arm]) for arm in ARMS if arm in arms}, _share_answered(arms)
            )
            for name, (versions, arms) in sorted(names.items())
        }

    def _count(self, name: str, side: ComparedVersions, answer: Answer, request: _AnsweredRequest | None) -> _ArmCounts:
        """Count an answer in its arm; counting restarts where the versions are others than before."""
        before, arms = self._names.get(name, (side, {}))
        if before[:2] != side[:2]:
            arms = {}
        self._names[name] = side, arms
        if side.arm not in arms:
            arms[side.arm] = _ArmCounts(side.version, outcomes=deque(maxlen=self._most))
        counts = arms[side.arm]
        counts.answers += 1
        counts.actions[answer.decision.action] += 1
        domain = answer.domains.get(name)
        own = merged(answer) if domain is None else [reading for reading in answer.ranked if reading.domain == name]
        counts.failed += domain is not None and domain.status == "failed"
        counts.mine += own[0].domain_probability or 0.0 if own else 0.0
        if request is not None:
            head = AnswerHead.of(answer)
            request.heads.append((counts, head))
            if request.truth is not None:
                counts.outcomes.append(_outcome(head, request.truth))
        return counts


def _report(counts: _ArmCounts) -> ArmReport:
    return ArmReport(
        counts.version,
        counts.answers,
        **counts.actions,
        failed=counts.failed,
        domain_probability=counts.mine / counts.answers,
        compared=counts.compared,
        flips=counts.flips,
        outcomes=_measures(list(counts.outcomes)) if counts.outcomes else None,
        **counts.reactions,
        acceptance=_share(counts.reactions["accepted"], sum(counts.reactions.values())),
    )


def _share_answered(arms: Mapping[Arm, _ArmCounts]) -> Estimate | None:
    """The share of the requests that the candidate answered."""
    stable, canary = (arms[arm].answers if arm in arms else 0 for arm in ("stable", "canary"))
    return _share(canary, stable + canary)


def _share(part: int, n: int) -> Estimate | None:
    """A share of n with Wilson's interval, None of none."""
    return wilson(np.repeat([1.0, 0.0], [part, n - part])) if n else None


def _outcome(head: AnswerHead, truth: Truth) -> tuple[float, float, float]:
    """The answer's correctness, P(right) of its best reading, and that reading's correctness."""
    best_right = float(head.best is not None and entirely_right(head.best, truth))
    out_of_scope = float(truth.out_of_scope)
    answer_right = out_of_scope if head.none or head.best is None else best_right
    return answer_right, head.best.probability or 0.0 if head.best else 0.0, best_right


def _measures(outcomes: list[tuple[float, float, float]]) -> ArmMeasures:
    right, p, y = np.array(outcomes).T
    return ArmMeasures(len(right), wilson(right), normal_mean(log_loss(p, y)), calibration(p, y))
