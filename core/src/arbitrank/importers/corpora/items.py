"""Items that a reader of a format yields: utterances, patterns, values of lists, and what it leaves out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from arbitrank.errors import InputError
from arbitrank.importers.corpora.placed import Placed
from arbitrank.values import Slot
from arbitrank.wire.json_text import short
from arbitrank.wire.offsets import Offsets, cut

__all__ = [
    "CorpusOptions",
    "Item",
    "LabelledReading",
    "LeftOut",
    "ListValue",
    "OpenList",
    "Pattern",
    "Synonyms",
    "Utterance",
    "keys_left_out",
    "slot_at",
]


@dataclass(frozen=True)
class CorpusOptions:
    """Options of an import, as the caller gives them.

    `domain`: the domain of all utterances; None where the format names domains itself. `locale`: the only one to
    import. `columns`: by field, the column of a table. `out_of_scope`: further intents that are out of scope.
    """

    domain: str | None = None
    locale: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    out_of_scope: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.domain is not None and not re.fullmatch(r"[a-z0-9_-]{1,64}", self.domain):
            expected = "expected lower-case letters, digits, '_' and '-', at most 64 characters"
            raise InputError(f"--domain: {short(self.domain)} is no domain's name, {expected}")


class LabelledReading(NamedTuple):
    """One reading of an utterance that has several: domain, intent and slots."""

    domain: str | None
    intent: str | None
    slots: tuple[Slot, ...] = ()


class Utterance(NamedTuple):
    """A labelled utterance at a place for messages. `extra` are further keys of its line, `also` further readings."""

    where: str
    text: str
    intent: str | None
    slots: tuple[Slot, ...] = ()
    out_of_scope: bool = False
    domain: str | None = None
    locale: str | None = None
    split: str | None = None
    id: str | None = None
    extra: Mapping[str, Any] = {}
    also: tuple[LabelledReading, ...] = ()


class Pattern(NamedTuple):
    """A pattern of an intent, in the language of `patterns.toml`."""

    where: str
    intent: str
    text: str
    out_of_scope: bool = False
    locale: str | None = None


class ListValue(NamedTuple):
    """A value of a list; `resolved` is the canonical form, JSON without nulls, where the value is a synonym."""

    list: str
    value: str
    resolved: Any = None
    locale: str | None = None


class OpenList(NamedTuple):
    """A list whose values the format does not have: of a type that is built in, or of any words."""

    list: str
    kind: str


class LeftOut(NamedTuple):
    """Something that cannot be taken over: its kind, and this one with its place and the reason."""

    kind: str
    example: str


Item: TypeAlias = Utterance | Pattern | ListValue | OpenList | LeftOut


class Synonyms:
    """Canonical forms by list and word, whatever the word's case."""

    def __init__(self, values: Sequence[ListValue] = ()) -> None:
        self._resolved: dict[tuple[str, str | None, str], Any] = {}
        for value in values:
            if value.resolved is not None:
                self._resolved.setdefault((value.list, value.locale, value.value.casefold()), value.resolved)

    def resolved(self, list: str, words: str, locale: str | None = None) -> str | None:
        """The canonical form of words of a list; None where they are it, or are not known."""
        found: str | None = self._resolved.get((list, locale, words.casefold()))
        return None if found == words else found


def slot_at(
    text: str,
    name: str,
    start: int,
    end: int,
    units: Sequence[Offsets] = ("characters",),
    said: str | None = None,
    resolved: str | None = None,
) -> Slot:
    """The slot between offsets, in the first of these units that fits.

    Offsets fit where they cut `said` from the text; where that is unknown, at the borders of words where some unit
    does, else anywhere within the text. Raises `InputError` where no unit fits.
    """
    found = [span for unit in units if (span := _span(text, start, end, unit)) is not None]
    if said is not None:
        found = [(a, b) for a, b in found if text[a:b] == said]
    found.sort(key=lambda span: not _at_words(text, *span))  # stable: the first unit is preferred
    if not found:
        cutting = f"do not cut {said!r} from" if said is not None else "are no part of"
        raise InputError(f"the offsets {start} to {end} {cutting} the text of {len(text)} characters")
    a, b = found[0]
    return Slot(name, text[a:b], start=a, end=b, resolved=None if resolved == text[a:b] else resolved)


def _span(text: str, start: int, end: int, unit: Offsets) -> tuple[int, int] | None:
    if unit == "utf16" and not text.isascii():
        part, before = cut(text, start, end), cut(text, 0, start)
        if part is None or before is None:
            return None
        start, end = len(before), len(before) + len(part)
    return (start, end) if 0 <= start < end <= len(text) else None


def _at_words(text: str, start: int, end: int) -> bool:
    """True where no word is cut, and no space stands within the borders."""
    outside = (text[start - 1 : start], text[end : end + 1])
    return not any(c.isalnum() for c in outside) and text[start:end].strip() == text[start:end]


def keys_left_out(where: Placed, known: Collection[str]) -> Iterator[LeftOut]:
    """The keys of an object that a reader does not take over, apart from those without content."""
    for key, value in where.entries():
        if key not in known and value.value not in (None, "", [], {}, False, "false", "null", "~"):
            yield LeftOut(f"key {key}", value.where)
