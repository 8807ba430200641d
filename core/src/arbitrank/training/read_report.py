"""Report of what was read of a data set: examples by domain, lines left out by cause, lessons; and remarks on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from arbitrank.context_keys import ContextCount
from arbitrank.outcomes.lessons import LessonReport
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.notices import Notices

COMMON = "*"
"""The name under which examples for all domains are counted: those without hypotheses."""

QUOTED = 5
"""Bad lines that are quoted."""


class UnlabelledLine(BadLine):
    """A request without a truth: `FILE:LINE`, and a reason that names its fields."""


class ReadReport:
    """Counts of what was read: examples of each domain, others' requests that it has no hypothesis of, and lines left
    out by cause."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.examples: Counter[str] = Counter()
        self.silent: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self.bad: list[BadLine] = []
        self.n_bad = self.n_unlabelled = self.undated = self.early = 0
        self.first_unlabelled: UnlabelledLine | None = None
        self.unknown: Counter[str] = Counter()
        self.contexts = ContextCount()
        self.refused: Counter[str] = Counter()
        self.first_refused = ""
        self.remarks: list[str] = []
        self.notices = Notices(self.remarks.append)
        self.lessons: LessonReport | None = None

    def notes(self, domain: str | None = None) -> tuple[str, ...]:
        """Remarks on the data, for people."""
        texts = []
        if self.n_bad > len(self.bad):
            texts.append(f"and {self.n_bad - len(self.bad)} more bad lines")
        if first := self.first_unlabelled:
            seen = f"{first.where}: {first.reason}"
            texts.append(f"{self.n_unlabelled} lines are unlabelled and left out; the first: {seen}")
        if self.undated:
            texts.append(f"{self.undated} requests without a time are left out with --since")
        if self.unknown:
            names = counted(self.unknown)
            texts.append(f"no plugin is loaded for {names}; their requests serve other domains as negatives")
        if repeated := sum(n for name, n in self.repeated.items() if domain in (None, name) or name == COMMON):
            texts.append(f"{repeated} examples repeat an id; of each the last counts")
        if self.refused and (domain is None or domain in self.refused):
            names = counted(self.refused)
            texts.append(f"hypotheses that cannot be read are left out, of {names}; the first: {self.first_refused}")
        if self.lessons is not None:
            texts += self.lessons.notes(domain)
        quoted = (f"{one.where}: {one.reason}" for one in self.bad)
        return (*quoted, *self.remarks, *(f"{self.location}: {text}" for text in texts))


def counted(names: Mapping[str, int]) -> str:
    """The first names, each with its count."""
    first = ", ".join(f"{name} ({n})" for name, n in sorted(names.items())[:QUOTED])
    return f"{first} and {len(names) - QUOTED} more" if len(names) > QUOTED else first
