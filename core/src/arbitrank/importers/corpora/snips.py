"""Snips NLU datasets: JSON, YAML (`type: intent`, `type: entity`), and the files of its 2017 benchmark.

A slot's value is the words said; the canonical form of a synonym is `resolved`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from arbitrank.errors import DataError
from arbitrank.importers.corpora.files import SourceFile, split_in
from arbitrank.importers.corpora.items import (
    CorpusOptions,
    Item,
    LeftOut,
    ListValue,
    Synonyms,
    Utterance,
    keys_left_out,
)
from arbitrank.importers.corpora.placed import Placed, read_json, read_yamls
from arbitrank.importers.corpora.templates import plain_name
from arbitrank.values import Slot

_MARK = re.compile(r"\[([^\]:]+)(?::([^\]]+))?\]\(([^)]*)\)")


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances and lists of a dataset."""
    intents: list[tuple[str, Placed, str | None, str | None]] = []
    entities: list[tuple[str, Placed]] = []
    for file in files:
        suffix = file.path.suffix.lower()
        if suffix not in (".json", ".yaml", ".yml") and len(files) > 1:
            yield LeftOut("file of another kind", file.label)
        elif suffix in (".yaml", ".yml"):
            for document in read_yamls(file):
                yield from _yaml(document, intents, entities)
        else:
            yield from _json(read_json(file), split_in(file.path), intents, entities, alone=len(files) == 1)
    values = [value for name, entity in entities for value in _values(name, entity)]
    yield from values
    synonyms = Synonyms(values)
    for name, utterances, language, split in intents:
        for utterance in utterances.each():
            text, slots = (
                _yaml_text(utterance, synonyms) if isinstance(utterance.value, str) else _text(utterance, synonyms)
            )
            yield Utterance(utterance.where, text, name, tuple(slots), name == "None", locale=language, split=split)


def _json(
    document: Placed,
    split: str | None,
    intents: list[tuple[str, Placed, str | None, str | None]],
    entities: list[tuple[str, Placed]],
    *,
    alone: bool,
) -> Iterator[Item]:
    if isinstance(document.value, dict) and "intents" in document.value:
        language = document.text_or("language", None)
        yield from keys_left_out(document, {"language", "intents", "entities", "metadata"})
        for name, intent in document.at("intents").entries():
            yield from keys_left_out(intent, {"utterances"})
            if (utterances := intent.maybe("utterances")) is not None:
                intents.append((name, utterances, language, split))
        found = document.maybe("entities")
        entities += [] if found is None else found.entries()
    elif isinstance(document.value, dict) and all(isinstance(one, list) for one in document.value.values()):
        intents += [(name, utterances, None, split) for name, utterances in document.entries()]
    elif alone:
        raise DataError(f"{document.where}: has neither intents nor lists of utterances, expected a Snips dataset")
    else:
        yield LeftOut("file without intents", document.where)


def _yaml(
    document: Placed,
    intents: list[tuple[str, Placed, str | None, str | None]],
    entities: list[tuple[str, Placed]],
) -> Iterator[Item]:
    kind = document.text("type")
    if kind == "entity":
        entities.append((document.name("name"), document))
    elif kind == "intent":
        yield from keys_left_out(document, {"type", "name", "slots", "utterances"})
        if (utterances := document.maybe("utterances")) is not None:
            intents.append((document.name("name"), utterances, None, None))
    else:
        raise document.at("type").invalid("intent or entity")


def _values(name: str, entity: Placed) -> Iterator[ListValue]:
    """The values of an entity, of JSON as objects, of YAML as texts or lists whose first is canonical."""
    source = plain_name(name)
    for value in (*entity.each("data"), *entity.each("values")):
        if isinstance(value.value, dict):
            words = [value.text("value"), *(one.text() for one in value.each("synonyms"))]
        elif isinstance(value.value, list):
            words = [one.text() for one in value.each()]
        else:
            words = [value.text()]
        for word in words:
            yield ListValue(source, word.strip(), None if word == words[0] else words[0].strip())


def _text(utterance: Placed, synonyms: Synonyms) -> tuple[str, list[Slot]]:
    text, slots = "", []
    for part in utterance.each("data"):
        words = part.text("text")
        entity = part.text_or("entity", None)
        name = part.text_or("slot_name", None) or entity
        if name and (value := words.strip()):
            start = len(text) + len(words) - len(words.lstrip())
            resolved = synonyms.resolved(plain_name(entity or name), value)
            slots.append(Slot(name, value, start=start, end=start + len(value), resolved=resolved))
        text += words
    return text, slots


def _yaml_text(utterance: Placed, synonyms: Synonyms) -> tuple[str, list[Slot]]:
    raw = utterance.text()
    text, slots, rest = "", [], 0
    for match in _MARK.finditer(raw):
        text += raw[rest : match.start()]
        rest = match.end()
        name, entity, value = match[1].strip(), (match[2] or match[1]).strip(), match[3].strip()
        if value:
            resolved = synonyms.resolved(plain_name(entity), value)
            slots.append(Slot(name, value, start=len(text), end=len(text) + len(value), resolved=resolved))
        text += value
    return text + raw[rest:], slots
