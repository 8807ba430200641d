"""Outcomes of the calls of tools: a tool that fails more often than others goes down, by its rate of success.

    success(tool) = log[((calls − failed) / (1 − m) + k) / (calls + k)]

m is the failure rate to be expected of a tool, the mean over the tools that were called and some that fail one time in
ten; k = 5 calls stand for a tool of that rate. A tool that was never called has a success of 0, whatever others do.
Counts fade, by half in 69 calls of the tool and in 2,000 of any tool, so that a tool that was mended comes back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

__all__ = ["CallCounts", "OutcomeTally"]

_USUAL, _TOOLS = 0.1, 5.0  # failure rate before anything is known, which counts as so many tools
_CALLS = 5.0
_OWN, _ANY = 0.99, 0.5 ** (1 / 2_000)


class CallCounts(Struct, frozen=True, gc=False):
    """Calls of one tool and those of them that failed, faded; `number` is that of the last outcome of any tool then."""

    calls: float
    failed: float
    number: int

    def at(self, number: int) -> CallCounts:
        """The counts, faded until a later outcome."""
        fade = _ANY ** (number - self.number)
        return CallCounts(fade * self.calls, fade * self.failed, number)


class OutcomeTally(Struct, frozen=True, dict=True):
    """The counts by tool, the number of outcomes, and when the last one was, in seconds since 1970."""

    tools: Mapping[str, CallCounts] = {}
    number: int = 0
    until: float = 0.0

    def after(self, tool: str, *, failed: bool, when: float | None = None) -> OutcomeTally:
        """The tally with one outcome more."""
        number = self.number + 1
        before = self.tools.get(tool, CallCounts(0.0, 0.0, number)).at(number)
        now = CallCounts(_OWN * before.calls + 1.0, _OWN * before.failed + failed, number)
        return replace(self, tools={**self.tools, tool: now}, number=number, until=max(self.until, when or 0.0))

    @cached_property
    def failing(self) -> float:
        """The failure rate to be expected of a tool."""
        rates = sum(one.failed / one.calls for one in self.tools.values())
        return (_TOOLS * _USUAL + rates) / (_TOOLS + len(self.tools))

    def success(self, tool: str) -> float:
        """The logarithm of a tool's rate of success relative to that of others; 0 where it was never called."""
        if (counts := self.tools.get(tool)) is None:
            return 0.0
        now = counts.at(self.number)
        return math.log(((now.calls - now.failed) / (1.0 - self.failing) + _CALLS) / (now.calls + _CALLS))
