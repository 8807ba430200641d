"""Notations of other systems in patterns, which would be drawn as words, and characters of values that nobody sees."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from arbitrank.nlu.data_faults import DataFault, TomlText

_NAME = r"([\w.-]*\w)"
_ELSEWHERE = (rf"<{_NAME}>", rf"\${_NAME}", rf"@{_NAME}", rf"%{_NAME}%", rf"\[[^\[\]()|]+\]\({_NAME}\)")
_PLACES = tuple(map(re.compile, _ELSEWHERE))
_TWICE = re.compile(r"\$?\{\{\s*([\w.=-]+)\s*\}\}|\$\{([\w.=-]+)\}")
_TAG = re.compile(rf"\S\)\{{{_NAME}\}}")
_UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}  # Unicode categories


def foreign_notation(
    spec: TomlText, sections: Sequence[tuple[tuple[str, str], Any]], known: Collection[str]
) -> Iterator[DataFault]:
    """Faults of patterns that mark a value as another system does; `known` are the names of slots and sources."""
    for keys, section in sections:
        patterns = section.get("patterns") if isinstance(section, dict) else None
        for pattern in patterns if isinstance(patterns, list) else ():
            for mark, expected, fix, fatal in _marks(pattern, known) if isinstance(pattern, str) else ():
                seen, line = f"pattern {pattern!r} has {mark!r}", spec.line_with(pattern, *keys)
                yield DataFault(str(spec.path), line, ".".join(keys), seen, expected, fix, fatal)


def _marks(pattern: str, known: Collection[str]) -> Iterator[tuple[str, str, str, bool]]:
    """Marks of another notation: the text, what is expected, the edit, and True where nothing else can be meant."""
    place = "{slot}, {slot=source} or {=source}"
    for mark in _TWICE.finditer(pattern):
        yield mark[0], place, f"write {{{mark[1] or mark[2]}}}", True
    for kind in _PLACES:
        for mark in kind.finditer(pattern):
            if mark[1] in known:
                yield mark[0], place, f"write {{{mark[1]}}}", True
    for mark in _TAG.finditer(pattern):
        if mark[1] in known:
            fix = f"write a blank before {{{mark[1]}}}, or {{{mark[1]}}} in the place of the alternatives"
            yield mark[0][1:], "a blank between words", fix, False


def unseen_characters(lists: TomlText) -> Iterator[DataFault]:
    """Remarks on values of lists with blanks at an end, or with characters that nobody sees."""
    for name, values in lists.values.items():
        for word in map(_word, values) if isinstance(values, list) else ():
            odd = [letter for letter in word if letter != " " and unicodedata.category(letter) in _UNSEEN]
            if not word.strip() or (not odd and word == word.strip()):
                continue
            clean = " ".join("".join(" " if one.isspace() else one for one in word if _seen(one)).split())
            seen = f"the value {word!a} has {odd[0]!a} in it" if odd else f"the value {word!r} has a blank at an end"
            line = lists.line_with(word, name)
            yield DataFault(str(lists.path), line, name, seen, "words and single blanks", f"write {clean!r}", False)


def shadowed_columns(lists: TomlText, columns: Collection[str]) -> Iterator[DataFault]:
    """Remarks on lists that have the name of a column, whose values are not drawn then."""
    for name in lists.values:
        if name in columns:
            fix = "rename it, or leave it in the place of the column's values"
            seen, line = "is the name of a column of works.tsv, too", lists.line_of(name)
            yield DataFault(str(lists.path), line, name, seen, "a name of its own", fix, False)


def _seen(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) not in _UNSEEN


def _word(value: Any) -> str:
    word = value.get("value") if isinstance(value, Mapping) else value
    return word if isinstance(word, str) else ""
