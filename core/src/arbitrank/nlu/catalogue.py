"""A catalogue of the works that a domain can serve, looked up by name."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from arbitrank.normal_text import comparable
from arbitrank.values import Hypothesis

Work = Mapping[str, str]


def read_works(folder: Path) -> list[Work]:
    """The works in a folder's `works.tsv`: one mapping of column to value a work, in the file's order."""
    with (folder / "works.tsv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def also_of(work: Work) -> list[str]:
    """The other domains that have a work of this title, from the column `also`."""
    return [name for name in (work.get("also") or "").split(",") if name]


def titles_of_features(*names: str) -> dict[str, str]:
    """Phrases for the features of a catalogue with these columns, for `Domain.feature_titles`."""
    return {
        **{f"{name}_known": f"it knows the {name}" for name in names},
        "title_unknown": "it does not know the title",
        "title_shared": "another domain has this title too",
    }


class Catalogue:
    """Looks names up in some columns of works, whatever their case, accents' encoding and invisible characters."""

    def __init__(self, works: Iterable[Work], *columns: str) -> None:
        works = list(works)
        self._names = {
            column: frozenset(comparable(value) for work in works if (value := work.get(column))) for column in columns
        }
        self._shared = frozenset(comparable(work["title"]) for work in works if also_of(work))

    def has(self, column: str, name: str) -> bool:
        """True if a work has this name in the column."""
        return comparable(name) in self._names[column]

    def shares(self, title: str) -> bool:
        """True if another domain is known to have a work of this title too."""
        return comparable(title) in self._shared

    def describe(self, hypothesis: Hypothesis) -> dict[str, float]:
        """Features of a hypothesis from the catalogue, 0 or 1, the same names for each.

        For each column, `COLUMN_known`: some slot of that name has a value that the column has. For titles also
        `title_unknown`, some title that it lacks, and `title_shared`, some title that another domain has too.
        """
        values = {name: [slot.value for slot in hypothesis.slots if slot.name == name] for name in self._names}
        known = {f"{name}_known": float(any(self.has(name, v) for v in found)) for name, found in values.items()}
        titles = values.get("title", [])
        return {
            **known,
            "title_unknown": float(any(not self.has("title", title) for title in titles)),
            "title_shared": float(any(self.shares(title) for title in titles)),
        }
