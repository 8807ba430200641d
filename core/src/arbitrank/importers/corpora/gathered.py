"""Gathering of what a reader yields: the lines of a corpus, patterns and lists, and the report on what was left out."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.corpora.builtin_values import in_words, values_of
from arbitrank.importers.corpora.files import same_locale
from arbitrank.importers.corpora.items import (
    CorpusOptions,
    Item,
    LeftOut,
    ListValue,
    OpenList,
    Pattern,
    Utterance,
)
from arbitrank.importers.corpora.templates import number_of_texts, sources
from arbitrank.values import Slot
from arbitrank.wire.notices import unnoticed
from arbitrank.wire.requests import decode_example

__all__ = ["Gathered", "gathered"]

Line = dict[str, Any]

_SHOWN = 3  # examples of a kind
_MOST = 200  # utterances to draw for an intent


@dataclass
class _Lists:
    """Values of lists in their order, and those lists whose values the format does not have."""

    values: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    open: dict[str, str] = field(default_factory=dict)

    def add(self, value: ListValue) -> None:
        """Add a value; of one that occurs twice, the first canonical form counts."""
        if value.value:
            self.values[value.list].setdefault(value.value, value.resolved)


@dataclass(frozen=True)
class Gathered:
    """The result of an import.

    `splits`: lines of the corpus, by split, `corpus` where the source has none. `patterns` and `lists`: the content of
    `patterns.toml` and `lists.toml`. `left_out`: by kind, the number and the first examples. `supplied`: lists whose
    values are not of the source, with their type.
    """

    splits: Mapping[str, list[Line]]
    patterns: Mapping[str, Any]
    lists: Mapping[str, list[Any]]
    left_out: Mapping[str, tuple[int, list[str]]]
    supplied: Mapping[str, str]

    @property
    def lines(self) -> Iterator[Line]:
        """The lines of all splits."""
        return (line for lines in self.splits.values() for line in lines)


def gathered(items: Iterable[Item], options: CorpusOptions, where: str) -> Gathered:
    """The items of a reader as a corpus, patterns and lists; messages name the source `where`.

    Each line is one that `arbitrank.wire` reads; an utterance of which none can be made is left out. Raises
    `InputError` where nothing is found, an utterance has no domain, or patterns are of several locales.
    """
    utterances: list[Utterance] = []
    patterns: list[Pattern] = []
    lists = _Lists()
    left: dict[str, list[Any]] = {}
    values: list[ListValue] = []
    for item in items:
        if not isinstance(item, LeftOut | OpenList) and not _wanted(item, options.locale):
            _leave(left, LeftOut("in another locale", f"{item.locale}"))
        elif isinstance(item, Utterance):
            utterances.append(item)
        elif isinstance(item, Pattern):
            patterns.append(item)
        elif isinstance(item, ListValue):
            values.append(item)
        elif isinstance(item, OpenList):
            lists.open.setdefault(item.list, item.kind)
        else:
            _leave(left, item)
    patterns, values = _of_one_locale(patterns, values, options.locale, left)
    for value in values:
        lists.add(value)
    splits: dict[str, list[Line]] = {}
    seen: Counter[str] = Counter()
    for one in utterances:
        if (line := _line(one, options, seen, left)) is not None:
            splits.setdefault(one.split or "corpus", []).append(line)
    spec, supplied = _spec(patterns, lists, utterances, options) if patterns else ({}, {})
    if not splits and not patterns and not lists.values:
        examples = "; ".join(f"{kind}: {texts[1]}" for kind, texts in list(left.items())[:_SHOWN])
        raise InputError(f"{where}: no utterance, pattern or list in it{f'; left out: {examples}' if examples else ''}")
    tables = {name: _entries(words) for name, words in lists.values.items() if words}
    counts = {kind: (texts[0], texts[1:]) for kind, texts in left.items()}
    return Gathered(splits, spec, tables, counts, supplied)


def _wanted(item: Utterance | Pattern | ListValue, locale: str | None) -> bool:
    return item.locale is None or same_locale(item.locale, locale)


def _leave(left: dict[str, list[Any]], item: LeftOut) -> None:
    counted = left.setdefault(item.kind, [0])
    counted[0] += 1
    if len(counted) <= _SHOWN and item.example not in counted:
        counted.append(item.example)


def _of_one_locale(
    patterns: list[Pattern], values: list[ListValue], locale: str | None, left: dict[str, list[Any]]
) -> tuple[list[Pattern], list[ListValue]]:
    """The patterns and values of the locale that was asked for. Raises `InputError` where patterns have several."""
    items: list[Pattern | ListValue] = [*patterns, *values]
    found = sorted({item.locale for item in items if item.locale is not None})
    if not patterns or len(found) < 2:
        return patterns, values
    exact = [name for name in found if locale is not None and name.lower() == locale.lower().replace("_", "-")]
    if not exact:
        raise InputError(f"templates of {len(found)} locales, {', '.join(found[:8])}; choose one: --locale {found[0]}")
    for item in items:
        if item.locale not in (None, *exact):
            _leave(left, LeftOut("in another locale", str(item.locale)))
    kept = (None, *exact)
    return [one for one in patterns if one.locale in kept], [one for one in values if one.locale in kept]


def _line(one: Utterance, options: CorpusOptions, seen: Counter[str], left: dict[str, list[Any]]) -> Line | None:
    """The line of an utterance; None where it is empty or the format of a corpus cannot hold it."""
    if not one.text.strip():
        _leave(left, LeftOut("utterance without a text", one.where))
        return None
    out = one.out_of_scope or one.intent in options.out_of_scope
    domain = options.domain or one.domain
    if domain is None and not out:
        raise InputError(f"{one.where}: the format names no domain; name yours: --domain NAME")
    if out and (one.slots or one.also):
        _leave(left, LeftOut("slots of an out-of-scope utterance", one.where))
    line: Line = {} if one.id is None else {"id": _distinct(one.id, one.locale, seen)}
    if one.also and not out:
        readings = [(domain, one.intent, one.slots), *((options.domain or r[0], r[1], r[2]) for r in one.also)]
        line |= {"utterance": one.text, "truth": [_truth(*reading) for reading in readings]}
        line |= {"context": {"locale": one.locale}} if one.locale else {}
    else:
        line |= {"text": one.text, **_truth(None if out else domain, None if out else one.intent, one.slots)}
        line |= {"kind": one.intent} if out and one.intent else {}
        line |= {"locale": one.locale} if one.locale else {}
    line |= {key: value for key, value in one.extra.items() if key not in line}
    try:
        decode_example(msgspec.json.encode(line), unnoticed)
    except (InputError, UnicodeEncodeError, OverflowError, RecursionError) as error:
        _leave(left, LeftOut("utterance that a corpus cannot hold", f"{one.where}: {error}"))
        return None
    return line


def _truth(domain: str | None, intent: str | None, slots: Iterable[Slot]) -> Line:
    found: Line = {"domain": domain}
    found |= {"intent": intent} if intent is not None else {}
    of_domain = [msgspec.to_builtins(slot) for slot in slots] if domain is not None else []
    return found | ({"slots": of_domain} if of_domain else {})


def _distinct(id: str, locale: str | None, seen: Counter[str]) -> str:
    """The id, made distinct: of lines with equal ids, training takes the last alone."""
    name = id
    if seen[name] and locale is not None:
        name = f"{id}-{locale}"
    while seen[name]:
        seen[id] += 1
        name = f"{id}-{seen[id]}"
    seen[name] += 1
    return name


def _entries(words: Mapping[str, Any]) -> list[Any]:
    """The values of a list as `lists.toml` has them: a text, or a table with the canonical form."""
    return [
        value if resolved is None or resolved == value else {"value": value, "resolved": resolved}
        for value, resolved in words.items()
    ]


def _spec(
    patterns: Iterable[Pattern], lists: _Lists, utterances: Iterable[Utterance], options: CorpusOptions
) -> tuple[dict[str, Any], dict[str, str]]:
    """The content of `patterns.toml`; values are supplied for the lists that have none."""
    patterns = list(patterns)
    supplied = {}
    said: dict[str, dict[str, Any]] = defaultdict(dict)
    for one in utterances:
        for slot in one.slots:
            said[slot.name].setdefault(slot.value, slot.resolved)
    labels = _labels(patterns)
    english = all(p.locale is None or p.locale.lower().startswith("en") for p in patterns)
    for source in sorted({name for pattern in patterns for name in sources(pattern.text)}):
        if lists.values.get(source):
            continue
        observed = {value: resolved for label in (*labels[source], source) for value, resolved in said[label].items()}
        kind = lists.open.get(source, "not defined")
        if observed:
            lists.values[source].update(observed)
        else:
            supplied[source] = kind
            common = values_of(kind if source in lists.open else source, english)
            lists.values[source].update(dict.fromkeys(common or [in_words(source)]))
    spec: dict[str, Any] = {}
    sizes = {name: len(values) for name, values in lists.values.items()}
    for pattern in patterns:
        section = "none" if pattern.out_of_scope or pattern.intent in options.out_of_scope else "own"
        table = spec.setdefault(section, {}).setdefault(pattern.intent, {"count": 0, "patterns": []})
        if pattern.text not in table["patterns"]:
            table["patterns"].append(pattern.text)
    for sections in spec.values():
        for table in sections.values():
            table["count"] = min(_MOST, sum(number_of_texts(text, sizes) for text in table["patterns"]))
    return spec, supplied


def _labels(patterns: Iterable[Pattern]) -> dict[str, set[str]]:
    """The slots that each source is drawn for."""
    found: dict[str, set[str]] = defaultdict(set)
    for pattern in patterns:
        for slot, source in re.findall(r"\{([\w.-]+)=([\w.-]+)\}", pattern.text):
            found[source].add(slot)
    return found
