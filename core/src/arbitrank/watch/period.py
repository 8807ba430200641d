"""Periods of a log that are compared: the slots before, and those watched, with what serves in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from arbitrank.evaluate.metrics import Calibration
from arbitrank.store.state import Undo
from arbitrank.watch.collector import LogSlot
from arbitrank.watch.columns import Columns, DomainColumn
from arbitrank.watch.drift import OwnersBefore, owners_before
from arbitrank.watch.rows import WatchedRow


@dataclass(frozen=True)
class Known:
    """Facts of a domain that the log does not have: its weights' card and features, and the way to undo a change."""

    version: str
    card: Calibration | None = None
    features: frozenset[str] = frozenset()
    undo: Undo | None = None


@dataclass(frozen=True)
class Period:
    """The slots before, and those watched, whole and by their ends; `stable` are the store's versions of domains."""

    past: Sequence[LogSlot]
    ends: Sequence[Sequence[LogSlot]]
    stable: Mapping[str, str] = field(default_factory=dict)

    @property
    def present(self) -> Sequence[LogSlot]:
        """All slots that are watched."""
        return self.ends[0]

    @cached_property
    def before(self) -> Columns:
        """The requests before."""
        return Columns.joined([slot.columns for slot in self.past])

    @cached_property
    def owners(self) -> OwnersBefore:
        """The owners of the requests before."""
        return owners_before(self.before)

    @cached_property
    def now(self) -> list[Columns]:
        """The requests that are watched, whole and by their ends."""
        return [Columns.joined([slot.columns for slot in slots]) for slots in self.ends]

    @cached_property
    def serving(self) -> dict[str, str]:
        """The stable version of each domain that answered most in the latest of the ends; others are canaries, or old.

        It is the store's, where that answered: a canary's answers are not told from others' in logs without `arms`.
        """
        whole, end = self.now[0], self.now[-1]
        latest = {**whole.domains, **whole.stable.domains, **end.stable.domains}
        return {name: _most(column, self.stable.get(name)) for name, column in latest.items()}

    @cached_property
    def served_before(self) -> Columns:
        """The requests before that the versions answered which serve now."""
        return self.before.served(self.serving)

    @cached_property
    def served_now(self) -> list[Columns]:
        """The requests that are watched and that the versions answered which serve now."""
        return [one.served(self.serving) for one in self.now]

    @cached_property
    def labelled(self) -> list[list[WatchedRow]]:
        """The rows with a truth, of the whole that is watched and of its ends."""
        return [[row for slot in slots for row in slot.rows if row.truth is not None] for slots in self.ends]

    def since(self, name: str) -> float | None:
        """The time at which what serves a domain first answered, where something else did earlier; canaries apart."""
        version, first, other = self.serving[name], np.inf, np.inf
        for columns in (self.before.stable, self.now[0].stable):
            if (column := columns.domains.get(name)) is not None:
                mine, times = column.version == version, columns.time[column.places]
                first = min(first, float(times[mine].min(initial=np.inf)))
                other = min(other, float(times[~mine].min(initial=np.inf)))
        return first if other < first else None


def _most(column: DomainColumn, stable: str | None) -> str:
    """The version of the most answers; of those of the stable version, where there are any."""
    answers = Counter(map(str, column.version))
    kept = {version: n for version, n in answers.items() if version.partition(" ")[0] == stable}
    return Counter(kept or answers).most_common(1)[0][0]
