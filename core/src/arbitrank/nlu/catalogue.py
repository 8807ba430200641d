"""A catalogue: the works a domain can serve, and whether it has one of a given name."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

Work = Mapping[str, str]


def read_works(folder: Path) -> list[Work]:
    """The works in a folder's `works.tsv`: one mapping of column to value a work, in the file's order."""
    with (folder / "works.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def also_of(work: Work) -> list[str]:
    """The other domains that have a work of this title, from the column `also`."""
    return [name for name in (work.get("also") or "").split(",") if name]


class Catalogue:
    """Looks names up in some columns of works, whatever their case."""

    def __init__(self, works: Iterable[Work], *columns: str) -> None:
        works = list(works)
        self._names = {
            column: frozenset(value.casefold() for work in works if (value := work.get(column))) for column in columns
        }
        self._shared = frozenset(work["title"].casefold() for work in works if also_of(work))

    def has(self, column: str, name: str) -> bool:
        """Whether a work has this name in the column."""
        return name.strip().casefold() in self._names[column]

    def shares(self, title: str) -> bool:
        """Whether another domain is known to have a work of this title too."""
        return title.strip().casefold() in self._shared
