"""One domain's readings of labelled requests: the arrays and values that every part of its report is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.merge import BestReadings
from arbitrank.evaluate.intervals import wilson
from arbitrank.probability import Floats
from arbitrank.semer import entirely_right
from arbitrank.values import Example, Hypothesis, Ranked

CLAIMS = 0.5
"""P(mine) from which on a domain claims a request."""

Mask = NDArray[np.bool_]


class CountedShare(msgspec.Struct, frozen=True):
    """A share of `of` requests (or slots), in [0, 1], with its 95 % Wilson interval."""

    of: int
    share: float
    low: float
    high: float

    @classmethod
    def in_mask(cls, hits: Mask) -> CountedShare | None:
        """The share of hits; None where there is nothing to count."""
        if not len(hits):
            return None
        one = wilson(hits.astype(np.float64))
        return cls(len(hits), one.mean, one.low, one.high)

    @classmethod
    def counted(cls, hits: int, of: int) -> CountedShare | None:
        """The share of `hits` in `of`; None where that is 0."""
        return cls.in_mask(np.arange(of) < hits)


@dataclass(frozen=True, eq=False)
class MeasuredDomain:
    """The domain `name` on labelled requests: its best reading of each by its scores, and all its readings.

    `examples` are as the domain sees them (`Example.seen_by`). `failures` are the reasons of calls that failed.
    """

    name: str
    examples: Sequence[Example]
    best: BestReadings
    readings: Sequence[Sequence[Hypothesis | Ranked]]
    failures: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def own(self) -> Mask:
        """Marks the domain's own requests."""
        return np.array([example.truth.owned_by(self.name) for example in self.examples], bool)

    @cached_property
    def read(self) -> Mask:
        """Marks the requests that the domain has a reading of."""
        return np.asarray(self.best.best >= 0)

    @cached_property
    def claimed(self) -> Mask:
        """Marks the requests that the domain claims: P(mine) of at least `CLAIMS`."""
        return self.read & (self.best.mine >= CLAIMS)

    @cached_property
    def right(self) -> Mask:
        """Marks the requests whose best reading is entirely right."""
        found = (self.top(i) for i in range(len(self)))
        each = zip(found, self.examples, strict=True)
        return np.array([h is not None and entirely_right(h, example.truth) for h, example in each], bool)

    @cached_property
    def wrong(self) -> Floats:
        """1.0 where the domain alone errs: its own request not claimed or misread, or another's claimed."""
        return np.where(self.own, ~(self.claimed & self.right), self.claimed).astype(np.float64)

    @cached_property
    def weights(self) -> Floats | None:
        """The requests that each example stands for; None where each is one."""
        weights = np.array([example.weight for example in self.examples], np.float64)
        return None if (weights == 1.0).all() else weights

    def top(self, i: int) -> Hypothesis | Ranked | None:
        """The best reading of request i, None where there is none."""
        k = int(self.best.best[i])
        return self.readings[i][k] if k >= 0 else None

    def at(self, places: NDArray[np.int64]) -> MeasuredDomain:
        """The domain on some of the requests."""
        chosen = places.tolist()
        return MeasuredDomain(
            self.name,
            [self.examples[i] for i in chosen],
            self.best.at(places),
            [self.readings[i] for i in chosen],
            self.failures,
        )


def neighbour_of(example: Example) -> str:
    """The owner of another domain's request, or "out of scope", with its kind where that is stated."""
    owners = example.truth.owners
    if owners:
        return owners[0]
    return "no domain" if example.truth.domains == () else "out of scope"
