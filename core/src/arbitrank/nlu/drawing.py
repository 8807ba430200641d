"""Seed and size of the corpora that patterns draw, set for all calls of `generate` inside of a block.

A domain's `examples` calls `generate` as its data require; inside of `with drawing(seed=7, count=100)` the patterns draw
by another seed, and about so many utterances, each section its share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Drawing", "current", "drawing"]


@dataclass
class Drawing:
    """A seed that is added to that of the calls, and the size of what they draw, None as the patterns state it.

    `used` is True once something was drawn.
    """

    seed: int = 0
    count: int | None = None
    used: bool = False

    def size(self, count: int, total: int) -> int:
        """The number of utterances of a section that states `count`, of `total` in all."""
        return count if self.count is None else math.ceil(count * self.count / total)


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
