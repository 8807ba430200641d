"""Checks of `patterns.toml` and `lists.toml`, before anything is drawn from them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from arbitrank.nlu.data_faults import DataFault, TomlText, near, shown
from arbitrank.nlu.notation import foreign_notation, shadowed_columns, unseen_characters

PLACE = re.compile(r"\{([\w.-]*)(?:=([\w.-]+))?\}")
"""A place for a value in a pattern: `{slot}`, `{slot=source}` or `{=source}`."""

_TOP = ("own", "others", "none", "context", "derived", "shared", "typed", "again")
_SECTION = ("patterns", "count", "context")
_LABEL = {"own": "INTENT", "others": "DOMAIN", "none": "KIND"}
_OPEN = {")": "(", "]": "[", "}": "{"}
_BARRED = re.compile(r"[^\s|()\[\]]*(?:\s?\|\s?[^\s|()\[\]]*)+")
_WEIGHT_INSIDE = re.compile(r"\s×\d+(?=\s+\S)")
_WEIGHT = re.compile(r"\s[×x*]\s*(\S+)$")


def pattern_faults(
    spec: TomlText, lists: TomlText | None, sources: Collection[str] | None, domain: str
) -> Iterator[DataFault]:
    """The faults of the patterns and lists of `domain`.

    `sources` are the columns and other names to draw from beside the lists; None where they are unknown, as the file
    of one cannot be read.
    """
    if lists is not None:
        yield from _list_faults(lists)
        yield from unseen_characters(lists)
    yield from _top_faults(spec)
    sections = list(_sections(spec.values))
    for keys, section in sections:
        yield from _section_faults(spec, keys, section)
    if sources is not None:
        known = {*sources, *(lists.values if lists else ())}
        yield from _source_faults(spec, sections, known)
        yield from foreign_notation(spec, sections, known)
        yield from shadowed_columns(lists, sources) if lists is not None else ()
    if isinstance(others := spec.values.get("others"), dict) and domain in others:
        keys = ("others", domain)
        yield _at(spec, keys, "is the domain itself", "another domain's name", "move its patterns to [own.INTENT]")
    yield from _shared_patterns(spec, sections)
    yield from _context_faults(spec)


def _at(text: TomlText, keys: tuple[str, ...], seen: str, expected: str, fix: str, fatal: bool = True) -> DataFault:
    return DataFault(str(text.path), text.line_of(*keys), ".".join(keys), seen, expected, fix, fatal)


def _unknown(text: TomlText, keys: tuple[str, ...], known: Collection[str], noun: str) -> DataFault:
    fix = near(keys[-1], known) or "remove it, or give it one of these names"
    return _at(text, keys, f"is an unknown {noun}", f"one of {', '.join(known)}", fix)


def _list_faults(lists: TomlText) -> Iterator[DataFault]:
    for name, values in lists.values.items():
        if not isinstance(values, list) or not values:
            seen = "is empty" if values == [] else shown(values)
            yield _at(lists, (name,), seen, "a list of at least one text", f'write {name} = ["…"], or remove it')
            continue
        counts: Counter[str] = Counter()
        for value in values:
            word = value.get("value") if isinstance(value, dict) else value
            extra = sorted(set(value) - {"value", "resolved"}) if isinstance(value, dict) else []
            if not isinstance(word, str) or not word.strip() or extra:
                place = DataFault(
                    str(lists.path), lists.line_of(name), name, f"a value {shown(value)}",
                    'texts that are not blank, or {value = "…", resolved = "…"}', "write it as a text in quotes",
                )  # fmt: skip
                yield place
            elif not isinstance(value, dict) or "resolved" not in value:
                counts[word] += 1
        for word, n in counts.items():
            if n > 1:
                line = lists.line_with(f'"{word}"', name)
                fault = _at(lists, (name,), f"holds {word!r} {n} times", "each value once", "remove the others", False)
                yield replace(fault, line=line)


def _top_faults(spec: TomlText) -> Iterator[DataFault]:
    values = spec.values
    for key in values:
        if key not in _TOP:
            meant = {"mine": "own", "other": "others", "ours": "own", "self": "own", "oos": "none", "out": "none"}
            fault = _unknown(spec, (key,), _TOP, "section" if isinstance(values[key], dict) else "key")
            yield replace(fault, fix=f"did you mean {meant[key]!r}?") if key in meant else fault
    for key in ("shared", "typed"):
        if key in values and not _is_number(values[key], 0.0, 1.0):
            yield _at(spec, (key,), shown(values[key]), "a number in [0, 1]", f"write {key} = 0.5, or remove it")
    if "again" in values and not isinstance(values["again"], bool):
        yield _at(spec, ("again",), shown(values["again"]), "true or false", "write again = true, or remove it")
    for key in ("own", "others", "none", "context", "derived"):
        if key in values and not isinstance(values[key], dict):
            yield _at(spec, (key,), shown(values[key]), f"sections [{key}.NAME]", "write it as such a section")


def _sections(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    for kind in _LABEL:
        if isinstance(values.get(kind), dict):
            yield from (((kind, label), section) for label, section in values[kind].items())


def _section_faults(spec: TomlText, keys: tuple[str, str], section: Any) -> Iterator[DataFault]:
    if not isinstance(section, dict):
        expected = f"a section [{keys[0]}.{_LABEL[keys[0]]}] with patterns and count"
        label = keys[1] if isinstance(section, list) else _LABEL[keys[0]]  # a list is of [[own.INTENT]]
        yield _at(spec, keys, shown(section), expected, f"write [{keys[0]}.{label}] above these keys")
        return
    for key in section:
        if key not in _SECTION:
            yield _unknown(spec, (*keys, key), _SECTION, "key")
    count = section.get("count")
    if "count" not in section:
        yield _at(spec, keys, "has no `count`", "the number of utterances to draw", "add, say, count = 100")
    elif not isinstance(count, int) or isinstance(count, bool) or count < 1:
        number = f"{count}" if isinstance(count, str) and count.isdecimal() else "100"
        yield _at(spec, (*keys, "count"), shown(count), "a whole number above 0", f"write count = {number}")
    patterns = section.get("patterns")
    if not isinstance(patterns, list) or not patterns:
        seen = "has no `patterns`" if patterns is None else "is empty" if patterns == [] else shown(patterns)
        place = keys if patterns is None else (*keys, "patterns")
        fix = f"write patterns = [{json.dumps(patterns)}]" if isinstance(patterns, str) else 'add patterns = ["…"]'
        yield _at(spec, place, seen, "a list of at least one pattern", fix)
        return
    seen_of: Counter[str] = Counter()
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern.strip():
            place = (*keys, "patterns")
            fix = "write its words, or remove it" if isinstance(pattern, str) else "write it in quotes"
            yield _at(spec, place, f"a pattern {shown(pattern)}", "texts that are not blank", fix)
            continue
        seen_of[pattern] += 1
        for seen, expected, fix in _pattern_faults(pattern):
            line = spec.line_with(pattern, *keys)
            yield DataFault(str(spec.path), line, ".".join(keys), f"pattern {pattern!r} {seen}", expected, fix)
    for pattern, n in seen_of.items():
        if n > 1:
            line = spec.line_with(f'"{pattern}"', *keys, nth=1)
            seen = f"has the pattern {pattern!r} {n} times"
            fault = _at(
                spec, keys, seen, "each pattern once", f"keep one; to draw it more often: '{pattern} ×{n}'", False
            )
            yield replace(fault, line=line)


def _pattern_faults(pattern: str) -> Iterator[tuple[str, str, str]]:
    """The values seen and expected in one pattern, and the edit. Signs alone, as in ":)", mean themselves."""
    open_: list[str] = []
    if not any(letter.isalnum() for letter in pattern):
        return
    for i, letter in enumerate(pattern):
        if letter in "([{":
            open_.append(letter)
        elif letter in _OPEN:
            if not open_ or open_[-1] != _OPEN[letter]:
                yield f"closes {letter!r} at character {i + 1} that is not open", "balanced brackets", "balance them"
                return
            open_.pop()
        elif letter == "|" and (not open_ or open_[-1] != "("):
            yield "has a '|' outside of ( )", "alternatives in ( )", _alternatives(pattern, i)
            return
    if open_:
        yield f"does not close {open_[-1]!r}", "balanced brackets", f"add the missing {_closing(open_[-1])!r}"
        return
    weight = _WEIGHT.search(pattern)
    if (
        weight is not None
        and (weight[0][1] == "×" or weight[1].isdecimal())
        and (not weight[1].isdecimal() or weight[1] == "0" or weight[0] != f" ×{weight[1]}")
    ):
        yield f"ends in {weight[0].strip()!r}", "a weight as in ' ×3'", "write a blank, ×, and a number above 0"
    if inside := _WEIGHT_INSIDE.search(pattern):
        yield f"has {inside[0].strip()!r} before its end", "a weight at the end", "move it there"
    for braces in re.findall(r"\{[^{}]*\}", pattern):
        place = PLACE.fullmatch(braces)
        name = place and (place[2] or place[1])
        if place is None or not name:
            yield f"has {braces!r}", "{slot}, {slot=source} or {=source}", "use letters, digits, '_', '.' and '-' in it"


def _alternatives(pattern: str, bar: int) -> str:
    """The edit of a pattern with a '|' at a place outside of ( ): the optional part, the places or words beside it."""
    begin, end = pattern.rfind("[", 0, bar), pattern.find("]", bar)
    if begin > pattern.rfind("]", 0, bar) and end >= 0:
        return f"write [({pattern[begin + 1 : end]})]"
    words: str = next(one[0] for one in _BARRED.finditer(pattern) if one.start() <= bar < one.end())
    places = words.strip("{}").split("|")
    return f"write ({'|'.join(f'{{{one}}}' for one in places) if words[0] + words[-1] == '{}' else words})"


def _source_faults(
    spec: TomlText, sections: list[tuple[tuple[str, str], Any]], known: Collection[str]
) -> Iterator[DataFault]:
    """The sources that patterns name and nothing has, each once, with the first pattern of it."""
    first: dict[str, tuple[tuple[str, str], str]] = {}
    uses: Counter[str] = Counter()
    for keys, section in sections:
        patterns = section.get("patterns") if isinstance(section, dict) else None
        for pattern in patterns if isinstance(patterns, list) else ():
            for place in PLACE.finditer(pattern) if isinstance(pattern, str) else ():
                if (name := place[2] or place[1]) and name not in known:
                    first.setdefault(name, (keys, pattern))
                    uses[name] += 1
    for name, (keys, pattern) in first.items():
        more = f" (and {uses[name] - 1} more)" if uses[name] > 1 else ""
        seen = f"pattern {pattern!r}{more} draws from {name!r}, neither a column nor a list"
        names = ", ".join(sorted(known)[:12]) or "some"
        fix = near(name, sorted(known)) or f"add {name} = […] to lists.toml, or a column {name} in works.tsv"
        if name == "elsewhere":
            fix = "add elsewhere.tsv, with the columns title and also"
        yield DataFault(str(spec.path), spec.line_with(pattern, *keys), ".".join(keys), seen, f"one of {names}", fix)


def _closing(bracket: str) -> str:
    return {"(": ")", "[": "]", "{": "}"}[bracket]


def _shared_patterns(spec: TomlText, sections: list[tuple[tuple[str, str], Any]]) -> Iterator[DataFault]:
    """Patterns of two sections of the domain's own, and intents that differ by their case alone: no reading is sure."""
    first: dict[str, tuple[str, str]] = {}
    labels: dict[str, tuple[str, str]] = {}
    for keys, section in sections:
        patterns = section.get("patterns") if isinstance(section, dict) else None
        if keys[0] != "own":
            continue
        if (alike := labels.setdefault(keys[1].casefold(), keys)) != keys:
            seen = f"differs from {'.'.join(alike)} by its case alone"
            yield _at(spec, keys, seen, "one name for each intent", "join them, or rename one", False)
        for pattern in patterns if isinstance(patterns, list) else ():
            if isinstance(pattern, str) and (before := first.setdefault(pattern, keys)) != keys:
                seen = f"has the pattern {pattern!r} of {'.'.join(before)}, too"
                fault = _at(spec, keys, seen, "one intent for each wording", "keep it where it belongs", False)
                yield replace(fault, line=spec.line_with(pattern, *keys))


def _context_faults(spec: TomlText) -> Iterator[DataFault]:
    values = spec.values
    contexts = values.get("context", {})
    if isinstance(contexts, dict):
        for key, table in contexts.items():
            if key not in _LABEL:
                fix = near(key, _LABEL)
                yield replace(_unknown(spec, ("context", key), tuple(_LABEL), "section"), fix=fix or "remove it")
            elif key == "others":
                for other, one in table.items() if isinstance(table, dict) else ():
                    if other not in (values.get("others") or {}):
                        expected = f"a domain with a section [others.{other}]"
                        fix = near(other, values.get("others") or {}) or "add that section, or remove this one"
                        yield _at(spec, ("context", key, other), "has no requests", expected, fix)
                    yield from _weights(spec, ("context", key, other), one)
            else:
                yield from _weights(spec, ("context", key), table)
    for keys, section in _sections(values):
        if isinstance(section, dict) and "context" in section:
            yield from _weights(spec, (*keys, "context"), section["context"])
    derived = values.get("derived", {})
    for key, sources in derived.items() if isinstance(derived, dict) else ():
        if not isinstance(sources, dict) or not all(isinstance(one, dict) for one in sources.values()):
            expected = "a table of values by another key, as in device = { tv = true }"
            yield _at(spec, ("derived", key), shown(sources), expected, "write it so")


def _weights(spec: TomlText, keys: tuple[str, ...], table: Any) -> Iterator[DataFault]:
    if not isinstance(table, dict):
        yield _at(spec, keys, shown(table), "a section with a table for each context key", "write device = { tv = 1 }")
        return
    for key, weights in table.items():
        place = (*keys, key)
        if not isinstance(weights, dict) or not weights:
            yield _at(spec, place, shown(weights), "weights by value", f'write {key} = {{ tv = 50, "" = 10 }}')
        elif bad := [value for value in weights.values() if not _is_number(value, 0.0, math.inf)]:
            yield _at(spec, place, f"a weight {shown(bad[0])}", "numbers of at least 0", "write it without quotes")
        elif sum(weights.values()) <= 0:
            yield _at(spec, place, "all its weights are 0", "one above 0", "give the values their weights")


def _is_number(value: Any, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high and math.isfinite(value)
