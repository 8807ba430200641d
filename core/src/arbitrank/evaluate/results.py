"""Results of a system: the head of each merged list, judged against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.decide import DecisionSettings, decides_none
from arbitrank.arbitration.merge import MergedHeads
from arbitrank.probability import Floats
from arbitrank.semer import semer
from arbitrank.values import Hypothesis, Ranked, Truth


@dataclass(frozen=True)
class SystemResults:
    """Results of one system on R held-out requests, in their order.

    `top` is the best merged hypothesis, None where no domain has one; `probability` its P(right); `right` is 1.0 where
    it is entirely right. `out_of_scope` is P(no domain owns the request). `answer_right`, `domain_right` and `semer`
    judge the system's answer, which is "none" where `none` is true.
    """

    top: tuple[Hypothesis | None, ...]
    probability: Floats
    right: Floats
    out_of_scope: Floats
    none: NDArray[np.bool_]
    answer_right: Floats
    domain_right: Floats
    semer: Floats


def judge(
    heads: MergedHeads,
    top: Sequence[Hypothesis | None],
    truths: Sequence[Truth],
    decisions: DecisionSettings | None,
) -> SystemResults:
    """The results of the heads of merged lists, `top` being their hypotheses.

    With `decisions`, deciding "none" is an answer: right for requests out of scope and wrong for all others. With None,
    the best hypothesis is the answer.
    """
    domain_right = np.array([float(h is not None and h.domain == t.domain) for h, t in zip(top, truths, strict=True)])
    errors = np.array([1.0 if h is None else semer(h, truth) for h, truth in zip(top, truths, strict=True)])
    unowned = np.array([truth.domain is None for truth in truths], bool)
    right = (errors == 0.0).astype(np.float64)
    return decided(heads, right, domain_right, errors, unowned, decisions, tuple(top))


def decided(
    heads: MergedHeads,
    right: Floats,
    domain_right: Floats,
    errors: Floats,
    unowned: NDArray[np.bool_],
    decisions: DecisionSettings | None,
    top: tuple[Hypothesis | None, ...] = (),
) -> SystemResults:
    """The results where "none" is decided by `decisions`; with None, only where a list is empty.

    `right`, `domain_right` and `errors` judge the heads; `unowned` marks the requests that are out of scope.
    """
    empty = heads.domain < 0
    none = empty if decisions is None else decides_none(heads.out_of_scope, empty, decisions)
    return SystemResults(
        top,
        heads.probability,
        right,
        heads.out_of_scope,
        none,
        np.where(none, unowned, right),
        np.where(none, unowned, domain_right),
        np.where(none, ~unowned, errors),
    )


def text(reading: Hypothesis | Ranked | Truth | None) -> str:
    """A reading for people."""
    if reading is None or reading.domain is None:
        return "out of scope"
    slots = ", ".join(f"{slot.name} “{slot.value}”" for slot in reading.slots)
    return f"{reading.domain}: {reading.intent or reading.domain}" + (f" ({slots})" if slots else "")
