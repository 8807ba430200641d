"""Seed and size of the corpora that patterns draw, set for all calls of `generate` inside of a block.

A domain's `examples` calls `generate` as its data require; inside of `with drawing(seed=7, count=100)` the patterns
draw by another seed, and so many utterances, each section its share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate, pairwise

__all__ = ["Drawing", "current", "drawing"]


_GOLDEN = 0.618  # a step that spreads numbers evenly over [0, 1)


@dataclass
class Drawing:
    """A seed that is added to that of the calls, and the size of what they draw, None as the patterns state it.

    `used` is True once something was drawn.
    """

    seed: int = 0
    count: int | None = None
    used: bool = False

    def sizes(self, counts: Sequence[int]) -> list[int]:
        """The numbers of utterances of sections that state these counts: of `count`, each section its share.

        Of fewer than there are sections, the seed chooses those which draw one.
        """
        if self.count is None:
            return list(counts)
        total, first = sum(counts), _GOLDEN * (self.seed + 1) % 1.0
        ends = [math.floor(end * self.count / total + first) for end in accumulate(counts, initial=0)]
        return [end - begin for begin, end in pairwise(ends)]


_CURRENT: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


@contextmanager
def drawing(seed: int = 0, count: int | None = None) -> Iterator[Drawing]:
    """Draw by this seed and of this size inside of the block."""
    made = Drawing(seed, count)
    token = _CURRENT.set(made)
    try:
        yield made
    finally:
        _CURRENT.reset(token)


def current() -> Drawing:
    """The drawing of the innermost block; outside of one, as the calls and the patterns state."""
    return _CURRENT.get() or Drawing()
