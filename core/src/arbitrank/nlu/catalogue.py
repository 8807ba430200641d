"""A catalogue of the works that a domain can serve, looked up by name."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from arbitrank.errors import DataError
from arbitrank.nlu.catalogue_checks import read_table
from arbitrank.normal_text import comparable
from arbitrank.values import Hypothesis

Work = Mapping[str, str]

_SURE = 4.0
"""The log-odds of a share of 0 or 1: general knowledge is never surer than 98 %."""

_LONG = 4
"""Words of a title that count; more make it no surer."""

_ARTICLES = ("the ", "a ", "an ")

_BETWEEN = re.compile(r"[\W_]+")
_BLANK = rb"[ \t\r\f\v\x1c-\x1f]"  # what `str.split` splits a line of ASCII at
_LEADING = re.compile(rb"(?m)^%b*(?:the|an?)%b" % (_BLANK, _BLANK))
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum() and chr(code) != "\n")


def read_works(folder: Path) -> list[Work]:
    """The works in a folder's `works.tsv`: one mapping of column to value a work, in the file's order.

    Raises `DataFilesError` where it cannot be read, or has no column `title`.
    """
    return [*read_table(folder / "works.tsv").works()]


def read_elsewhere(folder: Path) -> list[Work]:
    """The titles in a folder's `elsewhere.tsv`, of works that other domains have alone; none without the file."""
    path = folder / "elsewhere.tsv"
    return [*read_table(path).works()] if path.is_file() else []


def also_of(work: Work) -> list[str]:
    """The other domains that have a work of this title, from the column `also`."""
    return [name for name in (work.get("also") or "").split(",") if name]


def titles_of_features(*names: str) -> dict[str, str]:
    """Phrases for the features of a catalogue with these columns, for `Domain.feature_titles`."""
    return {
        **{f"{name}_known": f"it knows the {name}" for name in names},
        "title_unknown": "it does not know the title",
        "title_shared": "a title that another domain has too",
        "title_odds": "what people mean by the title",
        "title_words": "the words of a known title",
    }


def share_of(work: Work) -> float:
    """Share of those who say the title alone that mean this work: the column `share`, in [0, 1]; 1 without it."""
    return float(work.get("share") or 1.0)


@lru_cache(maxsize=4096)
def key_of(name: str) -> str:
    """The name as it is looked up: without case, accents, punctuation, spaces and leading article."""
    text = unicodedata.normalize("NFKD", comparable(name)).casefold().replace("&", " and ")
    article = next((a for a in _ARTICLES if text.startswith(a)), "")
    return _BETWEEN.sub("", text[len(article) :]) or text


def keys_of(names: Iterable[str]) -> dict[str, str]:
    """The keys of many names, as `key_of` has them: those in ASCII together, which takes a tenth of the time."""
    names = [*names]
    plain = [name for name in names if name.isascii() and "\n" not in name]
    lines = _LEADING.sub(b"", "\n".join(plain).lower().replace("&", " and ").encode())
    found = dict(zip(plain, lines.translate(None, _NO_LETTERS).decode().split("\n"), strict=False))
    return {name: found.get(name) or key_of(name) for name in names}


class Catalogue:
    """Looks names up in some columns of works, in whatever spelling (`key_of`).

    `elsewhere`: titles that are known to mean other domains' works alone. Raises `DataError` where no work has one of
    the columns, whose slots would never be known.
    """

    def __init__(self, works: Iterable[Work], *columns: str, elsewhere: Iterable[Work] = ()) -> None:
        works, elsewhere = list(works), list(elsewhere)
        present = {column for work in works for column in work}
        if works and (missing := [column for column in columns if column not in present]):
            raise DataError(
                f"catalogue: no work has the column {', '.join(map(repr, missing))}, expected some of "
                f"{', '.join(sorted(present))}; name one of these in Catalogue(…), or add it to works.tsv"
            )
        self._spelt = {column: {value for work in works if (value := work.get(column))} for column in columns}
        titles = (work["title"] for work in (*works, *elsewhere) if "title" in work)
        keys = keys_of({*titles, *(value for values in self._spelt.values() for value in values)})
        self._names = {column: frozenset(map(keys.__getitem__, values)) for column, values in self._spelt.items()}
        self._shared = frozenset(keys[work["title"]] for work in works if also_of(work))
        shares: dict[str, float] = {}
        self._words: dict[str, int] = {}
        for work in elsewhere:
            key = keys[work["title"]]
            shares[key] = 0.0
            self._words[key] = min(_LONG, len(work["title"].split()))
        for work in works:
            if work.get("share"):
                key = keys[work["title"]]
                shares[key] = min(1.0, shares.get(key, 0.0) + share_of(work))
                self._words[key] = min(_LONG, len(work["title"].split()))
        self._odds = {key: _log_odds(share) for key, share in shares.items()}
        of_shares = ("title_odds", "title_words") if shares else ()
        self._features = (*(f"{column}_known" for column in columns), "title_unknown", "title_shared", *of_shares)

    def names(self, column: str) -> list[str]:
        """The names in the column as they are spelt there, sorted, each once."""
        return sorted(self._spelt[column])

    def has(self, column: str, name: str) -> bool:
        """True if a work has this name in the column."""
        return key_of(name) in self._names[column]

    def shares(self, title: str) -> bool:
        """True if another domain is known to have a work of this title too."""
        return key_of(title) in self._shared

    def describe(self, hypothesis: Hypothesis) -> dict[str, float]:
        """Features of a hypothesis from the catalogue, the same names for each.

        For each column, `COLUMN_known`: some slot of that name has a value that the column has. For titles also
        `title_unknown`, some title that is not known at all, and `title_shared`, some title that another domain has
        too. These are 0 or 1. Where works have shares, `title_odds`: the log-odds that the title means a work of this
        catalogue, in [-4, 4]; and `title_words`, the words of the longest of those titles, 4 at most: a known title of
        several words is hardly said by chance. Both are 0 without a title, and of an unknown one.
        """
        found = dict.fromkeys(self._features, 0.0)
        odds = []
        for slot in hypothesis.slots:
            if (known := self._names.get(slot.name)) is None:
                continue
            key = key_of(slot.value)
            if key in known:
                found[f"{slot.name}_known"] = 1.0
            if slot.name == "title":
                if key in self._odds:
                    odds.append(self._odds[key])
                    found["title_words"] = max(found["title_words"], float(self._words[key]))
                elif key not in known:
                    found["title_unknown"] = 1.0
                if key in self._shared:
                    found["title_shared"] = 1.0
        if odds:
            found["title_odds"] = max(odds)
        return found


def _log_odds(share: float) -> float:
    if share in (0.0, 1.0):
        return _SURE if share else -_SURE
    return max(-_SURE, min(_SURE, math.log(share / (1.0 - share))))
