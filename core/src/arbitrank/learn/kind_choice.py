"""Choice of the kind of re-ranker that a domain ships: factored unless another kind is surely better, held out.

The other kinds are gradient-boosted trees, which cost more to train and to serve, so that their gain has to be sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.learn.gains import Gain
from arbitrank.probability import Floats

RerankerKind = Literal["factored", "corrected", "boosted"]

DEFAULT: RerankerKind = "factored"
"""The kind that is taken where no other one is surely better."""

AUTO: Literal["auto"] = "auto"
"""The name of the model that is of the kind which held-out data choose."""

LEAST_OWN = 200
"""Requests of the domain's own below which no other kind is tried: too few to tell, and for trees to learn from."""

SURE = 2.0
"""Standard errors by which another kind must be better in NLL."""

WORSE = 0.5
"""Standard errors by which neither P(mine) nor the readings of another kind may be worse: likely losses are refused."""

WORTH = 0.01
"""Share of the factored NLL that another kind has to save, as trees cost more to train and to serve."""


class KindGain(msgspec.Struct, frozen=True):
    """Held-out gains of a kind of re-ranker over the factored one.

    `nll_gain` is that of P(right) of the top reading, in nats, and `nll` the factored one's; `mine_gain` is that of
    P(mine), by which the domains' lists are merged; `right_gain` is of the share of the domain's own requests whose top
    reading is right.
    """

    nll: float
    nll_gain: Gain
    mine_gain: Gain
    right_gain: Gain

    @property
    def sure(self) -> bool:
        """True where the NLL is surely better, and enough so, and neither P(mine) nor the readings are likely worse."""
        gain = self.nll_gain
        worse = self.mine_gain.below(WORSE) or self.right_gain.below(WORSE)
        return gain.mean > max(SURE * gain.error, WORTH * self.nll) and not worse


class KindChoice(msgspec.Struct, frozen=True):
    """The chosen kind of re-ranker, the held-out gains of those that were tried, and why others were not tried.

    Gains are means over the domain's `n` training requests, scored by re-rankers that did not learn from them.
    """

    model: RerankerKind
    n: int = 0
    folds: int = 0
    tried: dict[RerankerKind, KindGain] = {}
    reason: str | None = None

    @property
    def sentence(self) -> str:
        """The reason for the choice: the gain of the chosen kind, or of the best other one."""
        if not self.tried:
            return self.reason or ""
        best = max(self.tried, key=lambda kind: self.tried[kind].nll_gain.mean)
        kind = self.model if self.model in self.tried else best
        nll, right = self.tried[kind].nll_gain, self.tried[kind].right_gain
        figures = (
            f"NLL {-nll.mean:+.4f} [{-nll.high:+.4f}, {-nll.low:+.4f}], right readings {100 * right.mean:+.2f} "
            f"[{100 * right.low:+.2f}, {100 * right.high:+.2f}] points over {DEFAULT}, {self.folds}-fold"
        )
        return figures if kind == self.model else f"no other kind is surely better; {kind}: {figures}"


class HeldOut(NamedTuple):
    """Held-out NLL of each request's P(right) of its top reading and of its P(mine), and 1.0 where that reading is
    right: shape (R,)."""

    losses: Floats
    mine: Floats
    right: Floats


def gain_over(before: HeldOut, after: HeldOut, counts: Floats, own: NDArray[np.bool_]) -> KindGain:
    """The gains of a kind; `counts` is how many requests each one stands for, `own` marks the domain's own."""
    return KindGain(
        float(np.average(before.losses, weights=counts)),
        Gain.of(before.losses - after.losses, counts),
        Gain.of(before.mine - after.mine, counts),
        Gain.of((after.right - before.right)[own], counts[own]),
    )


def choose_kind(tried: Mapping[RerankerKind, KindGain], n: int, folds: int) -> KindChoice:
    """The kind with the greatest gain of those that are surely better than the factored one."""
    sure = [kind for kind, one in tried.items() if one.sure]
    model = max(sure, key=lambda kind: tried[kind].nll_gain.mean, default=DEFAULT)
    return KindChoice(model, n, folds, dict(tried))
