"""Examples of requests that fit no skill, to calibrate P(no skill fits).

Half of the skills are left out of a training (`arbitrank.shortlist.left_out`): the held-out requests of those fit none
that it knows, and those of the others do. Where a kept skill serves a request of one left out as well, the Shortlister
of all skills is unsure between the two: such a request counts by the probability that it gives to the skills left out.
Utterances that are known to fit no skill, where there are any, are examples too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import crc
from arbitrank.shortlist.calibration import SIGNS
from arbitrank.shortlist.calibration_fitting import OutOfScope
from arbitrank.shortlist.left_out import HalfView
from arbitrank.shortlist.shortlister import Shortlister

if TYPE_CHECKING:
    from arbitrank.shortlist.build import SkillUtterance

__all__ = ["ScopeExamples", "out_of_scope"]

Floats = NDArray[np.float64]

_USUAL = 0.05  # share of requests that fit no skill, where the data name none
_REAL = 20  # utterances that are known to fit no skill, for their share to be expected


@dataclass(frozen=True, eq=False)
class ScopeExamples:
    """Signs of requests that fit a skill (`fitting`) or none (`others`, by `weights`), and the hash of each utterance.

    `expected` is the share of requests that fit none.
    """

    fitting: Floats = field(default_factory=lambda: np.empty((0, len(SIGNS))))
    others: Floats = field(default_factory=lambda: np.empty((0, len(SIGNS))))
    weights: Floats = field(default_factory=lambda: np.empty(0))
    of_fitting: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    of_others: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    expected: float = _USUAL

    def half(self, side: int) -> ScopeExamples:
        """One half of the examples, 0 or 1, by their utterances."""
        mine, theirs = self.of_fitting % 2 == side, self.of_others % 2 == side
        return ScopeExamples(
            self.fitting[mine],
            self.others[theirs],
            self.weights[theirs],
            self.of_fitting[mine],
            self.of_others[theirs],
            self.expected,
        )

    def outside(self) -> OutOfScope:
        """The requests that fit no skill."""
        return OutOfScope(self.others, self.weights, self.expected)

    def inside(self) -> Floats | None:
        """Signs of the requests that fit one; None where there is no example."""
        return self.fitting if len(self.fitting) else None


def out_of_scope(
    whole: Shortlister,
    without: HalfView | None,
    lines: Sequence[SkillUtterance],
    held: Sequence[SkillUtterance],
    unowned: Sequence[str] = (),
) -> ScopeExamples:
    """Examples of both kinds: `lines` trained `whole`, which did not see the `held` ones."""
    expected = len(unowned) / (len(unowned) + len(lines) + len(held)) if len(unowned) >= _REAL else _USUAL
    fitting: list[Floats] = []
    others = [whole.first_stage(utterance)[2] for utterance in unowned]
    weights = [1.0] * len(unowned)
    of_fitting: list[int] = []
    of_others = [crc(utterance) for utterance in unowned]
    if without is not None:
        synthetic: list[float] = []
        for line, signs in zip(held, without.signs, strict=True):
            if line.skill in without.kept:
                fitting.append(signs)
                of_fitting.append(crc(line.utterance) // 10)
                continue
            numbers, x, _ = whole.first_stage(line.utterance)
            gone = [whole.catalogue[number][0] not in without.kept for number in numbers.tolist()]
            others.append(signs)
            synthetic.append(float(whole.calibration.shares(x)[gone].sum()))
            of_others.append(crc(line.utterance) // 10)
        # Real examples, where there are enough, count as much as those.
        if len(unowned) >= _REAL and synthetic:
            synthetic = (np.array(synthetic) * len(unowned) / max(1e-9, sum(synthetic))).tolist()
        weights += synthetic
        if unowned:
            fitting += [whole.first_stage(line.utterance)[2] for line in held]
            of_fitting += [crc(line.utterance) // 10 for line in held]
    return ScopeExamples(
        np.array(fitting).reshape(-1, len(SIGNS)),
        np.array(others).reshape(-1, len(SIGNS)),
        np.array(weights),
        np.array(of_fitting, np.int64),
        np.array(of_others, np.int64),
        expected,
    )
