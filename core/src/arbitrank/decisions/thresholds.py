"""Choice of the thresholds of a decision on held-out heads of merged lists, by the value of what is decided.

A right answer is worth 1, a wrong one costs `WRONG`, a question costs `QUESTION`, and is worth 1 where a right reading
is among the two that it names. With probabilities that are calibrated, the default thresholds are the best under these
costs: an answer is worth its risk from P(right) = 0.3, and of two domains one is from a margin of 0.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.decisions.observed import DecidedNone, Heads, Mask
from arbitrank.learn.gains import Gain
from arbitrank.probability import Floats

WRONG = 4.0 / 3.0
QUESTION = 0.7 * WRONG

GRID = tuple(round(0.05 * k, 2) for k in range(1, 20))
"""Values of a threshold that are tried."""


class ShareGuard(NamedTuple):
    """A share of out-of-scope requests at which nothing may be worse; `weight` counts the requests as it would be.

    A mean gain, less so many standard `errors`, has to be above `least`; with negative ones it may be so many below it.
    The error counts one request out of scope more that loses an answer, so that few of them of which none does are no
    proof.
    """

    share: float
    weight: Floats
    out_of_scope: Mask
    errors: float = 0.0
    least: float = 0.0

    def refuses(self, gains: Floats) -> bool:
        """True where the gains may be losses."""
        gain = Gain.of(gains, self.weight)
        own = gains[self.out_of_scope]
        n, lost = len(own), float((own < 0.0).mean())
        more = (lost * n + 1.0) / (n + 2.0)
        missing = self.share**2 * max(more - lost, 0.0) / n
        error = math.sqrt(gain.error**2 + missing)
        return gain.mean - self.errors * error < self.least - 1e-12


def values(heads: Heads, settings: DecisionSettings, none: Mask) -> Floats:
    """The value of each decision, `none` marking the requests on which deciding none leads to a right answer."""
    actions = heads.actions(settings)
    accepted = np.where(heads.right, 1.0, -WRONG)
    among = heads.right | (heads.rival & (heads.closest < settings.clarify))
    asked = among - QUESTION
    return np.asarray(np.choose(actions, [accepted, asked, np.where(none, 1.0, -WRONG)]))


def chosen_thresholds(
    heads: Heads,
    settings: DecisionSettings,
    none: DecidedNone,
    weight: Floats | None,
    guards: Sequence[ShareGuard],
    names: Sequence[str],
) -> Iterator[tuple[str, float, Gain]]:
    """The thresholds, one after another, that are surely worth more than those of `settings`: name, value, gain.

    `weight` counts the requests. None of the `guards` refuses what the decisions are worth, the right answers or the
    right domains.
    """
    for name in names:
        before = values(heads, settings, none.right)
        gains = {value: values(heads, replace(settings, **{name: value}), none.right) - before for value in GRID}
        best = max(gains, key=lambda value: Gain.of(gains[value], weight).mean)
        gain, after = Gain.of(gains[best], weight), replace(settings, **{name: best})
        changes = (
            gains[best],
            heads.answers(after, none.right) - heads.answers(settings, none.right),
            heads.domains(after, none.domain) - heads.domains(settings, none.domain),
        )
        if gain.low > 0.0 and not any(guard.refuses(change) for guard in guards for change in changes):
            settings = after
            yield name, best, gain
