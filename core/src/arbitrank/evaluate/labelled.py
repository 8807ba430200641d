"""Labelled best readings of requests by each domain, from which the decision settings are tuned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.domain import Scores
from arbitrank.learn.evidence import Evidence
from arbitrank.probability import Floats
from arbitrank.values import Example


class LabelledReadings(NamedTuple):
    """Best readings of n requests by one domain, and 1.0 where that reading is entirely right."""

    readings: BestReadings
    right: Floats

    @classmethod
    def none(cls, n: int) -> LabelledReadings:
        """No reading of any of n requests."""
        return cls(BestReadings.empty(n), np.zeros(n))


def label(n: int, places: Iterable[int], scores: Sequence[Scores], evidence: Evidence) -> LabelledReadings:
    """A domain's labelled best readings of n requests, of which it has readings of those at `places`."""
    readings, chosen = BestReadings.empty(n), np.fromiter(places, np.int64)
    readings.put(chosen.tolist(), scores)
    return labelled(readings, chosen, evidence)


def labelled(readings: BestReadings, places: NDArray[np.int64], evidence: Evidence) -> LabelledReadings:
    """The best readings with their labels; `evidence` holds the requests at `places`."""
    right = np.zeros(len(readings.best))
    right[places] = evidence.batch.right[evidence.batch.starts + readings.best[places]]
    return LabelledReadings(readings, right)


def observed(domains: Sequence[str], parts: Sequence[LabelledReadings], examples: Sequence[Example]) -> Observed:
    """The readings of the examples by all domains, `parts` being in the order of their names."""
    truths = [example.truth for example in examples]
    owners = np.array([[*map(truth.owned_by, domains), truth.out_of_scope] for truth in truths], bool)
    right = np.array([one.right for one in parts]).T > 0.0
    return Observed(tuple(domains), tuple(one.readings for one in parts), right, owners)
