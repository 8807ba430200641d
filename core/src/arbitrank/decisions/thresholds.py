"""Choice of the thresholds of a decision on held-out heads of merged lists, by the value of what is decided.

A right answer is worth 1, a wrong one costs `WRONG`, a question costs `QUESTION`, and is worth 1 where a right reading
is among the two that it names. With probabilities that are calibrated, the default thresholds are the best under these
costs: an answer is worth its risk from P(right) = 0.3, and of two domains one is from a margin of 0.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.decisions.observed import Heads, Mask
from arbitrank.learn.gains import Gain
from arbitrank.probability import Floats

WRONG = 4.0 / 3.0
QUESTION = 0.7 * WRONG

GRID = tuple(round(0.05 * k, 2) for k in range(1, 20))
"""Values of a threshold that are tried."""


def values(heads: Heads, settings: DecisionSettings, none: Mask) -> Floats:
    """The value of each decision, `none` marking the requests that are out of scope."""
    actions = heads.actions(settings)
    accepted = np.where(heads.right, 1.0, -WRONG)
    among = heads.right | (heads.rival & (heads.closest < settings.clarify))
    asked = among - QUESTION
    return np.asarray(np.choose(actions, [accepted, asked, np.where(none, 1.0, -WRONG)]))


def chosen_thresholds(
    heads: Heads,
    settings: DecisionSettings,
    none: Mask,
    weight: Floats | None,
    guards: Sequence[Floats],
    names: Sequence[str],
) -> Iterator[tuple[str, float, Gain]]:
    """The thresholds, one after another, that are surely worth more than those of `settings`: name, value, gain.

    `weight` counts the requests. Counted as by any of `guards`, with other shares of requests out of scope, they may
    not be worth less.
    """
    for name in names:
        before = values(heads, settings, none)
        gains = {value: values(heads, replace(settings, **{name: value}), none) - before for value in GRID}
        best = max(gains, key=lambda value: Gain.of(gains[value], weight).mean)
        gain = Gain.of(gains[best], weight)
        if gain.low > 0.0 and not any(Gain.of(gains[best], guard).below(0.0) for guard in guards):
            settings = replace(settings, **{name: best})
            yield name, best, gain
