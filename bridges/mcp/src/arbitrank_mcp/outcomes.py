"""Outcomes of calls, of the log and of now, by which tools that fail often go down."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from arbitrank.answerlog.reader import read_log
from arbitrank.answerlog.segments import segments
from arbitrank.shortlist.log_labels import called_skill
from arbitrank.shortlist.tool_outcomes import OutcomeTally
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import Logged

__all__ = ["CallOutcomes", "is_log", "logged"]

_MOST = 10_000  # outcomes of the log, and since
_TALLIES = 4  # of different HypRanks, which are followed at once


def logged(log: Path | None) -> list[Logged]:
    """The lines of a log that can be read; none where there is no log yet."""
    return [line for line in read_log(log) if not isinstance(line, BadLine)] if log and is_log(log) else []


def is_log(folder: Path) -> bool:
    """True for a folder that has a segment of a log."""
    return folder.is_dir() and bool(segments(folder))


class CallOutcomes:
    """The latest outcomes, in the order of time; `lines` are those of a log."""

    def __init__(self, lines: Iterable[Logged] = ()) -> None:
        self._outcomes: deque[tuple[float, str, bool]] = deque(maxlen=_MOST)
        self._number = 0
        self._tallies: dict[int, tuple[OutcomeTally, int, OutcomeTally]] = {}
        for line in lines:
            if (tool := called_skill(line)) is not None:
                self.add(tool, failed=line.outcome == "rejected", when=line.time or 0.0)

    def add(self, tool: str, *, failed: bool, when: float) -> None:
        """Count the outcome of a call; the tool is given by its unique name."""
        self._outcomes.append((when, tool, failed))
        self._number += 1

    def after(self, base: OutcomeTally) -> OutcomeTally:
        """The tally of a HypRank with the outcomes since it was trained."""
        known = self._tallies.pop(id(base), None)
        _, number, tally = known if known is not None and known[0] is base else (base, 0, base)
        missed = min(self._number - number, len(self._outcomes))
        for place in range(len(self._outcomes) - missed, len(self._outcomes)):
            when, tool, failed = self._outcomes[place]
            if when > base.until:
                tally = tally.after(tool, failed=failed, when=when)
        self._tallies[id(base)] = base, self._number, tally
        while len(self._tallies) > _TALLIES:
            self._tallies.pop(next(iter(self._tallies)))
        return tally
