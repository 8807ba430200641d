"""Interaction models of Alexa skills: intents with sample utterances, and slot types with values and synonyms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.files import SourceFile, locale_in
from arbitrank.importers.corpora.items import (
    CorpusOptions,
    Item,
    LeftOut,
    ListValue,
    OpenList,
    Pattern,
    keys_left_out,
)
from arbitrank.importers.corpora.placed import Placed, read_json
from arbitrank.importers.corpora.templates import Notation, characters, pattern_of, place, plain_name

_FALLBACK = "AMAZON.FallbackIntent"


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The patterns and lists of interaction models."""
    for file in files:
        if len(files) > 1 and file.path.suffix != ".json":
            continue
        document = read_json(file)
        model = language_model(document)
        if model is None and len(files) == 1:
            raise DataError(f"{file.label}: has no interactionModel.languageModel with intents")
        if model is None:
            yield LeftOut("file without an interaction model", file.label)
            continue
        locale = locale_in(file.path.with_suffix(""))
        yield from _language_model(document, model, locale)


def language_model(document: Placed) -> Placed | None:
    """The language model of a document, of today's layout or those before it."""
    value: Any = document.value
    if not isinstance(value, dict):
        return None
    outer = document.maybe("interactionModel") or document
    if not isinstance(outer.value, dict):
        return None
    model = outer.maybe("languageModel") or outer
    return model if isinstance(model.value, dict) and "intents" in model.value else None


def _language_model(document: Placed, model: Placed, locale: str | None) -> Iterator[Item]:
    outer = document.maybe("interactionModel") or document
    if outer.value is not model.value:
        yield from keys_left_out(outer, {"languageModel"})
    yield from keys_left_out(model, {"intents", "types"})
    valued = set()
    for one in model.each("types"):
        name = plain_name(one.name("name"))
        valued.add(name)
        yield from keys_left_out(one, {"name", "values"})
        for value in one.each("values"):
            yield from _value(name, value, locale)
    for intent in model.each("intents"):
        yield from _intent(intent, valued, locale)


def _value(source: str, value: Placed, locale: str | None) -> Iterator[Item]:
    yield from keys_left_out(value, {"name"})
    name = value.at("name")
    canonical = name.text("value").strip()
    yield ListValue(source, canonical, locale=locale)
    for synonym in name.each("synonyms"):
        yield ListValue(source, synonym.text().strip(), canonical, locale)


def _intent(intent: Placed, valued: set[str], locale: str | None) -> Iterator[Item]:
    name = intent.name("name") if intent.maybe("name") is not None else intent.name("intent")
    yield from keys_left_out(intent, {"name", "intent", "slots", "samples"})
    types = {}
    for slot in intent.each("slots"):
        kind = slot.name("type")
        types[plain_name(slot.name("name"))] = kind
        yield from keys_left_out(slot, {"name", "type"})
        if plain_name(kind) not in valued:
            yield OpenList(plain_name(kind), kind)
    examples: list[ListValue] = []

    def placed(text: str) -> str:
        words, bar, slot = text.rpartition("|")  # `{two|guests}`, the notation of before 2017
        source = types.get(plain_name(slot), slot)
        if bar and words.strip(" -"):
            examples.append(ListValue(plain_name(source), words.strip(), locale=locale))
        return place(slot, source)

    notation = Notation(placed, brackets=False, optional=False)
    count = 0
    for sample in intent.each("samples"):
        text = sample.text()
        count += 1
        try:
            pattern = pattern_of(text, notation)
        except InputError as error:
            yield LeftOut("template that cannot be read", f"{sample.where}: {text[:80]!r}: {error}")
            continue
        if pattern:
            yield from characters(pattern)
            yield Pattern(sample.where, name, pattern, name == _FALLBACK, locale)
    yield from examples
    if not count:
        yield LeftOut("intent without samples", f"{intent.where}: {name}")
