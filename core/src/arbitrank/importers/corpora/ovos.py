"""Intent, entity and vocabulary files of OVOS, Mycroft and Padatious: `.intent`, `.entity` and `.voc`.

Lines of an `.intent` file are templates of the intent that the file is named after; those of `.entity` and `.voc`
files are values of a list of that name. `#` stands for a digit. `:0:`, any word, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from arbitrank.errors import InputError
from arbitrank.importers.corpora.files import SourceFile, lines_of, locale_in
from arbitrank.importers.corpora.items import CorpusOptions, Item, LeftOut, ListValue, Pattern
from arbitrank.importers.corpora.templates import Notation, characters, pattern_of, place, plain_name, wordings

_WORDINGS = 200  # of one line of a list

_NUMBER = re.compile(r"#+(?:$|[:.,/%-]|\s*[#(])")
"""The beginning of a line of digits, as `##:##`, which is no comment."""

_DIGITS = ("0123456789", "5274130689")


def _placed(text: str) -> str:
    name, _, kind = text.partition(":")  # `{count:int}` states a type
    return place(name, name or kind)


_NOTATION = Notation(_placed, escapes=True)


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The patterns and lists of a skill's files."""
    for file in files:
        suffix = file.path.suffix
        if suffix == ".intent":
            yield from _patterns(file)
        elif suffix in (".entity", ".voc"):
            yield from _values(file)
        else:
            yield LeftOut(f"{suffix or 'other'} file", file.label)


def _lines(file: SourceFile) -> Iterator[tuple[str, str]]:
    for where, line in lines_of(file):
        text = line.strip()
        if text and not text.startswith("//") and (text[0] != "#" or _NUMBER.match(text)):
            yield where, text


def _patterns(file: SourceFile) -> Iterator[Item]:
    locale = locale_in(file.path.parent)
    for where, text in _lines(file):
        if re.search(r":0:", text):
            yield LeftOut("template with any word, :0:", f"{where}: {text}")
            continue
        try:
            pattern = pattern_of(text, _NOTATION)
        except InputError as error:
            yield LeftOut("template that cannot be read", f"{where}: {text[:80]!r}: {error}")
            continue
        if "#" in pattern:
            pattern = pattern.replace("#", "{=digit}")
            yield from (ListValue("digit", digit, locale=locale) for digit in _DIGITS[0])
        yield from characters(pattern)
        yield Pattern(where, file.path.stem, pattern, locale=locale)


def _values(file: SourceFile) -> Iterator[Item]:
    name, locale = plain_name(file.path.stem), locale_in(file.path.parent)
    for where, text in _lines(file):
        if ":0:" in text:
            yield LeftOut("any word, :0:, among values", f"{where}: {text}")
            continue
        try:
            found, complete = wordings(pattern_of(text, _NOTATION), _WORDINGS)
        except InputError as error:
            yield LeftOut("value that cannot be read", f"{where}: {text[:80]!r}: {error}")
            continue
        if not complete:
            yield LeftOut(f"wording of a value beyond {len(found)}", f"{where}: {text[:80]}")
        for value in found:
            for digits in _DIGITS if "#" in value else _DIGITS[:1]:
                yield ListValue(name, _in_digits(value, digits), locale=locale)


def _in_digits(value: str, digits: str) -> str:
    """The value with a digit in the place of each `#`."""
    for i in range(value.count("#")):
        value = value.replace("#", digits[i % len(digits)], 1)
    return value
