"""Columns of rows: times, each domain's confidences and claims as arrays, and whose requests they are likely to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats
from arbitrank.watch.rows import WatchedRow

STREAMS = ("confidence", "intent", "mine")
"""Numbers of a domain that depend on no other domain, whose distribution is watched."""


_Numbers: TypeAlias = tuple[int, float, float, float, str, bool, bool]  # those of one request, as in a column


class DomainColumn(NamedTuple):
    """One domain in the requests in which it answered: their places, and its numbers, NaN where it has no reading."""

    places: NDArray[np.int64]
    confidence: Floats
    intent: Floats
    mine: Floats
    version: NDArray[np.object_]
    own: NDArray[np.bool_]
    canary: NDArray[np.bool_]

    def at(self, keep: NDArray[np.bool_]) -> DomainColumn:
        """Those of the requests that are kept."""
        return DomainColumn(
            self.places[keep],
            self.confidence[keep],
            self.intent[keep],
            self.mine[keep],
            self.version[keep],
            self.own[keep],
            self.canary[keep],
        )


@dataclass(frozen=True)
class Columns:
    """n requests: `time`, the `domains` that answered, and `chances`: P(domain) in the answers, each of shape (n,)."""

    time: Floats
    domains: Mapping[str, DomainColumn]
    chances: Mapping[str, Floats]

    @classmethod
    def of(cls, rows: Sequence[WatchedRow]) -> Columns:
        """The columns of rows."""
        found: dict[str, list[_Numbers]] = {}
        chances: dict[str, Floats] = {}
        for i, row in enumerate(rows):
            for name, one in row.domains.items():
                numbers = (i, one.confidence, one.intent, one.mine, one.version, one.own, one.canary)
                found.setdefault(name, []).append(numbers)
            for name, chance in row.chances.items():
                if name not in chances:
                    chances[name] = np.zeros(len(rows))
                chances[name][i] = chance
        domains = {name: _column(numbers) for name, numbers in found.items()}
        return cls(np.array([row.time for row in rows], np.float64), domains, chances)

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """Several, one after the other."""
        if len(parts) == 1:
            return parts[0]
        starts = np.cumsum([0, *(len(one.time) for one in parts)])
        columns: dict[str, list[DomainColumn]] = {}
        for start, one in zip(starts, parts, strict=False):
            for name, column in one.domains.items():
                columns.setdefault(name, []).append(column._replace(places=column.places + start))
        names = dict.fromkeys(name for one in parts for name in one.chances)
        return cls(
            np.concatenate([np.zeros(0), *(one.time for one in parts)]),
            {name: DomainColumn(*map(np.concatenate, zip(*each, strict=True))) for name, each in columns.items()},
            {name: np.concatenate([one.chances.get(name, np.zeros(len(one.time))) for one in parts]) for name in names},
        )

    def served(self, versions: Mapping[str, str]) -> Columns:
        """The columns without the requests that another version of a domain answered, each domain on its own."""
        kept = {
            name: column.at(column.version == versions[name])
            for name, column in self.domains.items()
            if name in versions
        }
        return Columns(self.time, kept, self.chances)

    @property
    def stable(self) -> Columns:
        """The columns without the requests that a domain's canary answered, each domain on its own."""
        kept = {name: column.at(~column.canary) for name, column in self.domains.items() if not column.canary.all()}
        return Columns(self.time, kept, self.chances)


def _column(numbers: Sequence[_Numbers]) -> DomainColumn:
    places, confidence, intent, mine, version, own, canary = zip(*numbers, strict=True)
    return DomainColumn(
        np.array(places, np.int64),
        np.array(confidence, np.float64),
        np.array(intent, np.float64),
        np.array(mine, np.float64),
        np.array(version, np.object_),
        np.array(own, np.bool_),
        np.array(canary, np.bool_),
    )
