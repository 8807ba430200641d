"""Dialogflow ES agents: a folder or zip of `intents/` and `entities/`, or single files of them.

Training phrases become utterances, or patterns where they are templates (`isTemplate`). Entities' synonyms become
lists. A fallback intent's phrases are out of scope.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from arbitrank.errors import DataError
from arbitrank.importers.corpora.files import SourceFile
from arbitrank.importers.corpora.items import (
    CorpusOptions,
    Item,
    LeftOut,
    ListValue,
    OpenList,
    Pattern,
    Synonyms,
    Utterance,
    keys_left_out,
)
from arbitrank.importers.corpora.placed import Placed, read_json
from arbitrank.importers.corpora.templates import characters, literal, place, plain_name
from arbitrank.values import Slot

_USERSAYS = re.compile(r"(.+)_usersays_([A-Za-z]{2,3}(?:-[A-Za-z]{2,4})?)")
_ENTRIES = re.compile(r"(.+)_entries_([A-Za-z]{2,3}(?:-[A-Za-z]{2,4})?)")
_NAMED = re.compile(r"@([\w.-]+)(?::([\w.-]+))?")
_INTENT_KEYS = {
    "id", "name", "userSays", "auto", "fallbackIntent", "isFallback", "priority", "webhookUsed", "lastUpdate",
    "webhookForSlotFilling", "condition", "conditionalResponses", "conditionalFollowupEvents", "parameters",
}  # fmt: skip
_ENTITY_KEYS = {"id", "name", "entries", "isOverridable", "isEnum", "isRegexp", "automatedExpansion",
                "allowFuzzyExtraction"}  # fmt: skip


class _Phrases(NamedTuple):
    """Training phrases of an intent in a language."""

    where: Placed
    intent: str
    fallback: bool
    locale: str | None


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances, patterns and lists of an agent."""
    intents: dict[str, Placed] = {}
    entities: dict[str, Placed] = {}
    phrases: list[tuple[str, Placed, str | None]] = []
    entries: list[tuple[str, Placed, str | None]] = []
    for file in files:
        if file.path.suffix != ".json" and len(files) > 1:
            yield LeftOut("file of another kind", file.label)
            continue
        document, stem = read_json(file), file.path.stem
        named = _USERSAYS.fullmatch(stem) or _ENTRIES.fullmatch(stem)
        kind = _kind(file, document, alone=len(files) == 1)
        if kind == "phrases":
            phrases.append((named[1], document, named[2]) if named else (stem, document, None))
        elif kind == "entries":
            entries.append((named[1], document, named[2]) if named else (stem, document, None))
        elif kind is not None:
            (intents if kind == "intent" else entities)[stem] = document
        else:
            yield LeftOut("file that is no intent, entity, phrases or entries", file.label)
    values: list[ListValue] = []
    for item in _lists(entities, entries):
        values += [item] if isinstance(item, ListValue) else []
        yield item
    synonyms = Synonyms(values)
    with_phrases = set()
    for one in _phrases(intents, phrases):
        with_phrases.add(one.intent)
        for phrase in one.where.each():
            yield from _phrase(phrase, one, synonyms)
    for stem, intent in intents.items():
        yield from keys_left_out(intent, _INTENT_KEYS)
        if (name := intent.text_or("name", stem)) not in with_phrases:
            yield LeftOut("intent without training phrases", f"{intent.where}: {name}")


def _kind(file: SourceFile, document: Placed, *, alone: bool) -> str | None:
    """The kind of a file, by its name, its folder and its keys: `intent`, `phrases`, `entity` or `entries`."""
    folder, value = file.path.parent.name, document.value
    if _ENTRIES.fullmatch(file.path.stem):
        return "entries"
    if _USERSAYS.fullmatch(file.path.stem):
        return "phrases"
    if isinstance(value, list) and (alone or folder in ("intents", "entities")):
        return "entries" if folder == "entities" else "phrases"
    keys = set(value) if isinstance(value, dict) else set()
    if "name" in keys and (folder == "entities" or {"isEnum", "isOverridable", "entries"} & keys):
        return "entity"
    if "name" in keys and (folder == "intents" or {"fallbackIntent", "isFallback", "userSays"} & keys):
        return "intent"
    return None


def _phrases(intents: dict[str, Placed], phrases: Sequence[tuple[str, Placed, str | None]]) -> Iterator[_Phrases]:
    for stem, document, locale in phrases:
        own = intents.get(stem)
        name = stem if own is None else own.name("name")
        yield _Phrases(document, name, _fallback(own, name), locale)
    for intent in intents.values():
        if (inline := intent.maybe("userSays")) is not None:
            yield _Phrases(inline, intent.name("name"), _fallback(intent, intent.name("name")), None)


def _fallback(intent: Placed | None, name: str) -> bool:
    if intent is None:
        return name == "Default Fallback Intent"
    return intent.flag("fallbackIntent") or intent.flag("isFallback")


def _phrase(phrase: Placed, of: _Phrases, synonyms: Synonyms) -> Iterator[Item]:
    locale = phrase.text_or("lang", None) or of.locale
    if phrase.flag("isTemplate"):
        yield from _template(phrase, of, locale)
        return
    text, slots = "", []
    for part in phrase.each("data"):
        words = part.text("text")
        alias = part.text_or("alias", None)
        entity = (part.text_or("meta", None) or "").removeprefix("@")
        if alias and words.strip() and entity != "sys.ignore":
            start = len(text) + len(words) - len(words.lstrip())
            value = words.strip()
            resolved = synonyms.resolved(plain_name(entity), value, locale)
            slots.append(Slot(alias, value, start=start, end=start + len(value), resolved=resolved))
        text += words
    yield Utterance(
        phrase.where, text, of.intent, tuple(slots), of.fallback, locale=locale, id=phrase.text_or("id", None)
    )


def _template(phrase: Placed, of: _Phrases, locale: str | None) -> Iterator[Item]:
    text = "".join(part.text("text") for part in phrase.each("data"))
    pattern, rest = "", 0
    for match in _NAMED.finditer(text):
        entity, alias = match[1].rstrip("."), (match[2] or match[1]).rstrip(".")
        alias = alias if match[2] else alias.rpartition(".")[2]
        end = match.end() - (len(match[0]) - len(match[0].rstrip(".")))
        pattern += _spaced(text[rest : match.start()]) + place(alias, entity)
        rest = end
        if entity.startswith("sys."):
            yield OpenList(plain_name(entity), f"@{entity}")
    pattern = " ".join((pattern + _spaced(text[rest:])).split())
    if pattern:
        yield from characters(pattern)
        yield Pattern(phrase.where, of.intent, pattern, of.fallback, locale)


def _spaced(text: str) -> str:
    """A text as a pattern, its spaces at both ends kept."""
    return " " * text[:1].isspace() + literal(text) + " " * text[-1:].isspace()


def _lists(entities: dict[str, Placed], entries: Sequence[tuple[str, Placed, str | None]]) -> Iterator[Item]:
    for stem, document, locale in entries:
        own = entities.get(stem)
        yield from _entries(document, stem if own is None else own.name("name"), own, locale)
    for stem, entity in entities.items():
        yield from keys_left_out(entity, _ENTITY_KEYS)
        if (inline := entity.maybe("entries")) is not None:
            yield from _entries(inline, entity.text_or("name", None) or stem, entity, None)


def _entries(entries: Placed, name: str, entity: Placed | None, locale: str | None) -> Iterator[Item]:
    regular = entity is not None and entity.flag("isRegexp")
    for entry in entries.each():
        if not isinstance(entry.value, dict):
            raise DataError(f"{entry.where}: an entry is no object, expected one with value and synonyms")
        canonical = entry.text("value").strip()
        if regular:
            yield LeftOut("regular expression", f"{entry.where}: {name}: {canonical}")
            continue
        for words in dict.fromkeys([*(one.text().strip() for one in entry.each("synonyms"))] or [canonical]):
            if "@" in words and _NAMED.search(words):
                yield LeftOut("value composed of entities", f"{entry.where}: {name}: {words}")
            else:
                yield ListValue(plain_name(name), words, None if words == canonical else canonical, locale)
