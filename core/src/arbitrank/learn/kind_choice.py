"""Choice of the kind of re-ranker that a domain ships: factored unless another kind is surely better, held out.

The other kinds are gradient-boosted trees, which cost more to train and to serve, so that their gain has to be sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from arbitrank.learn.gains import Gain
from arbitrank.probability import Floats

RerankerKind = Literal["factored", "corrected", "boosted"]

DEFAULT: RerankerKind = "factored"
"""The kind that is taken where no other one is surely better."""

AUTO: Literal["auto"] = "auto"
"""The name of the model that is of the kind which held-out data choose."""

LEAST_OWN = 500
"""Requests of the domain's own below which no other kind is tried: too few to tell, and for trees to learn from."""

SURE = 2.0
"""Standard errors by which the NLL of another kind must be better."""


class KindGain(msgspec.Struct, frozen=True):
    """Held-out gains of a kind of re-ranker over the factored one: NLL in nats, and the share of right top readings."""

    nll_gain: Gain
    right_gain: Gain


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
    """Held-out NLL of each request's P(right) of its top reading, and 1.0 where that is right: shape (R,)."""

    losses: Floats
    right: Floats


def choose_kind(held: Mapping[RerankerKind, HeldOut], counts: Floats, folds: int) -> KindChoice:
    """The kind with the greatest sure gain over the factored one, `counts` being the requests that each stands for."""
    before = held[DEFAULT]
    tried = {
        kind: KindGain(Gain.of(before.losses - one.losses, counts), Gain.of(one.right - before.right, counts))
        for kind, one in held.items()
        if kind != DEFAULT
    }
    sure = [kind for kind, one in tried.items() if better(one)]
    model = max(sure, key=lambda kind: tried[kind].nll_gain.mean, default=DEFAULT)
    return KindChoice(model, len(counts), folds, tried)


def better(one: KindGain) -> bool:
    """True where the NLL is surely better, and the share of right top readings not likely worse."""
    nll = one.nll_gain
    return nll.mean > SURE * (nll.high - nll.mean) / 1.96 and not one.right_gain.below(1.0)
