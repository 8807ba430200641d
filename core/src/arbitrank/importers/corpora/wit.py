"""Wit.ai apps: utterances with entities by offsets, and entities with keywords and their synonyms.

A slot goes by the entity's role, as in Wit's answers. Of an utterance without an intent, or of `wit$out_of_scope`,
nothing is the app's: it is out of scope. Exports of before 2020 (`expressions.json`) are read too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.files import SourceFile
from arbitrank.importers.corpora.items import (
    CorpusOptions,
    Item,
    LeftOut,
    ListValue,
    Synonyms,
    Utterance,
    keys_left_out,
    slot_at,
)
from arbitrank.importers.corpora.placed import Placed, read_json
from arbitrank.importers.corpora.templates import plain_name
from arbitrank.values import Slot

_OUT_OF_SCOPE = ("wit$out_of_scope", "out_of_scope")


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances and lists of an app."""
    utterances: list[Placed] = []
    values: list[ListValue] = []
    for file in files:
        if file.path.suffix != ".json" and len(files) > 1:
            yield LeftOut("file of another kind", file.label)
            continue
        document = read_json(file)
        if isinstance(document.value, dict) and "utterances" in document.value:
            utterances += document.each("utterances")
        elif isinstance(document.value, dict) and "data" in document.value:
            utterances += document.each("data")
        elif isinstance(document.value, list):
            utterances += document.each()
        elif isinstance(document.value, dict) and {"keywords", "lookups", "values"} & document.value.keys():
            for item in _entity(document.maybe("data") or document):
                values += [item] if isinstance(item, ListValue) else []
                yield item
        elif len(files) == 1:
            raise DataError(f"{file.label}: has neither utterances nor keywords, expected a file of a Wit.ai app")
        else:
            yield LeftOut("file without utterances and keywords", file.label)
    synonyms = Synonyms(values)
    for one in utterances:
        yield from _utterance(one, synonyms)


def _entity(document: Placed) -> Iterator[Item]:
    name = document.name("name") if document.maybe("name") is not None else document.name("id")
    source = plain_name(name)
    yield from keys_left_out(document, {"id", "name", "roles", "lookups", "keywords", "values", "builtin", "lang"})
    for word in (*document.each("keywords"), *document.each("values")):
        canonical = word.text("keyword" if word.maybe("keyword") is not None else "value").strip()
        yield ListValue(source, canonical)
        for key in ("synonyms", "expressions"):
            for one in word.each(key):
                yield ListValue(source, one.text().strip(), canonical)


def _utterance(where: Placed, synonyms: Synonyms) -> Iterator[Item]:
    yield from keys_left_out(where, {"text", "intent", "entities", "traits", "_text"})
    text = where.text("text") if where.maybe("text") is not None else where.text("_text")
    intent = _intent(where)
    slots: list[Slot] = []
    for trait in where.each("traits"):
        yield LeftOut("trait", f"{trait.where}: {trait.text_or('trait', None) or trait.text_or('name', None)}")
    try:
        for entity in where.each("entities"):
            name = entity.name("entity") if entity.maybe("entity") is not None else entity.name("name")
            if name == "intent":
                intent = _unquoted(entity.text("value"))
            elif entity.maybe("start") is None:
                yield LeftOut("entity without offsets", f"{entity.where}: {name}")
            else:
                slots.append(_slot(text, name, entity, synonyms))
                for inner in entity.each("entities"):
                    yield LeftOut("entity within an entity", inner.where)
    except DataError:
        raise
    except InputError as error:
        yield LeftOut("utterance with offsets that do not fit", f"{where.where}: {error}")
        return
    out = intent is None or intent in _OUT_OF_SCOPE
    yield Utterance(where.where, text, intent, tuple(slots), out)


def _intent(where: Placed) -> str | None:
    intent = where.maybe("intent")
    if intent is not None and isinstance(intent.value, dict):
        return intent.name("name")
    return None if intent is None else intent.text() or None


def _slot(text: str, name: str, entity: Placed, synonyms: Synonyms) -> Slot:
    plain, _, role = name.partition(":")
    slot = entity.text_or("role", None) or role or plain
    start, end = entity.whole_number("start"), entity.whole_number("end")
    found = slot_at(text, slot, start, end, ("characters", "utf16"), entity.text_or("body", None))
    resolved = synonyms.resolved(plain_name(plain), found.value)
    if resolved is None and (value := entity.maybe("value")) is not None and isinstance(value.value, str):
        resolved = _unquoted(value.text())
    return replace(found, resolved=None if resolved == found.value else resolved)


def _unquoted(value: str) -> str:
    """The text of a value, which before 2020 was JSON in a text."""
    try:
        inner = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return inner if isinstance(inner, str) else value
