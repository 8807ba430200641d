"""Sentence templates of Home Assistant (hassil): YAML with `intents`, `lists` and `expansion_rules`.

A list's values become values of a list, `in` the words and `out` the canonical form; a range its numbers. A wildcard
has no values. A sentence's fixed slots, which no word stands for, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.files import SourceFile
from arbitrank.importers.corpora.items import (
    CorpusOptions,
    Item,
    LeftOut,
    ListValue,
    OpenList,
    Pattern,
    keys_left_out,
)
from arbitrank.importers.corpora.placed import Placed, read_yaml
from arbitrank.importers.corpora.templates import Notation, characters, pattern_of, place, plain_name, wordings

_WORDINGS = 200  # of one value of a list
_NUMBERS = 1000  # of a range

_SECTIONS = {"intents", "lists", "expansion_rules", "data"}
_BLOCK = {"sentences", "lists", "expansion_rules"}
_OF_LISTS = {"values", "range", "wildcard"}


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The patterns and lists of YAML files; rules and lists hold for all files of a language."""
    documents = []
    for file in files:
        if file.path.suffix not in (".yaml", ".yml", ".json") and len(files) > 1:
            yield LeftOut("file of another kind", file.label)
            continue
        document = read_yaml(file)
        if isinstance(document.value, dict) and _SECTIONS & document.value.keys():
            documents.append((document, document.text_or("language", None), file.path.parent.name))
        elif len(files) == 1:
            raise DataError(f"{file.label}: has none of the keys {', '.join(sorted(_SECTIONS))}")
        else:
            yield LeftOut("file without intents, lists or rules", file.label)
    languages = dict.fromkeys(its for _, its, _ in documents if its is not None)
    for language in languages or (None,):
        if options.locale is None or language is None or language.split("-")[0] == options.locale.split("-")[0]:
            yield from _language([(one, folder) for one, its, folder in documents if its in (None, language)], language)


def _language(documents: Sequence[tuple[Placed, str]], language: str | None) -> Iterator[Item]:
    """The items of one language's documents, each with the name of its folder, which names the intent of `data`."""
    rules = {name: text for document, _ in documents for name, text in _rules(document).items()}
    for document, folder in documents:
        yield from keys_left_out(document, {"language", *_SECTIONS})
        for block in document.each("data"):
            yield from _block(folder or "intent", block, rules, language)
        yield from _lists(document, rules, language)
        if (intents := document.maybe("intents")) is not None:
            for intent, value in intents.entries():
                yield from keys_left_out(value, {"data"})
                for block in value.each("data"):
                    yield from _block(intent, block, rules, language)


def _rules(where: Placed) -> dict[str, str]:
    found = where.maybe("expansion_rules")
    return {} if found is None else {name: text.text() for name, text in found.entries()}


def _block(intent: str, block: Placed, rules: Mapping[str, str], language: str | None) -> Iterator[Item]:
    own = block.maybe("lists")
    local = {} if own is None else {name: f"{intent}.{name}" for name, _ in own.entries()}
    yield from keys_left_out(block, _BLOCK)
    yield from _lists(block, rules, language, local)
    notation = _notation({**rules, **_rules(block)}, local)
    for sentence in block.each("sentences"):
        text = sentence.text()
        try:
            pattern = pattern_of(text, notation)
        except InputError as error:
            yield LeftOut("template that cannot be read", f"{sentence.where}: {text[:80]!r}: {error}")
            continue
        if pattern:
            yield from characters(pattern)
            yield Pattern(sentence.where, intent, pattern, locale=language)


def _notation(rules: Mapping[str, str], local: Mapping[str, str]) -> Notation:
    def placed(text: str) -> str:
        source, _, slot = text.partition(":")
        source = source.strip().removeprefix("@")
        return place(slot or source, local.get(source, source))

    return Notation(placed, orders=True, escapes=True, rules=rules)


def _lists(
    where: Placed, rules: Mapping[str, str], language: str | None, local: Mapping[str, str] | None = None
) -> Iterator[Item]:
    lists = where.maybe("lists")
    for name, value in () if lists is None else lists.entries():
        source = plain_name((local or {}).get(name, name))
        yield from keys_left_out(value, _OF_LISTS)
        if value.flag("wildcard"):
            yield OpenList(source, "wildcard")
        for one in value.each("values"):
            yield from _value(source, one, rules, language)
        if (span := value.maybe("range")) is not None:
            yield from _range(source, span, language)


def _value(source: str, value: Placed, rules: Mapping[str, str], language: str | None) -> Iterator[Item]:
    simple = isinstance(value.value, str)
    text = value.text() if simple else value.text("in")
    out = None if simple else value.maybe("out")
    canonical: Any = None if out is None else out.value
    if not simple:
        yield from keys_left_out(value, {"in", "out"})
    try:
        found, complete = wordings(pattern_of(text, _notation(rules, {})), _WORDINGS)
    except InputError as error:
        yield LeftOut("value that cannot be read", f"{value.where}: {text[:80]!r}: {error}")
        return
    if not complete:
        yield LeftOut(f"wording of a value beyond {len(found)}", f"{value.where}: {text[:80]}")
    for words in found:
        yield ListValue(source, words, None if canonical == words else canonical, language)


def _range(source: str, span: Placed, language: str | None) -> Iterator[Item]:
    low, high = span.whole_number("from"), span.whole_number("to")
    step = span.whole_number("step") if span.maybe("step") is not None else 1
    if step < 1 or high < low:
        raise DataError(f"{span.where}: from {low} to {high} by {step} is no range, expected from <= to and step >= 1")
    yield from keys_left_out(span, {"from", "to", "step"})
    count = (high - low) // step + 1
    if count > _NUMBERS:
        yield LeftOut(f"number of a range beyond {_NUMBERS}", f"{span.where}: {count} numbers, every {step}th")
        step *= -(-count // _NUMBERS)
    for number in range(low, high + 1, step):
        yield ListValue(source, str(number), locale=language)
