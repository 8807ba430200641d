"""LUIS apps: utterances with entities from `startPos` to `endPos` inclusive, closed lists, and patterns.

Nested entities are named by their path, `Order.Quantity`; an entity with a role goes by the role, as LUIS' predictions
have it. The intent `None` is out of scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from arbitrank.errors import DataError, InputError
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
    slot_at,
)
from arbitrank.importers.corpora.placed import Placed, read_json
from arbitrank.importers.corpora.templates import Notation, characters, pattern_of, place, plain_name
from arbitrank.values import Slot

_APP_KEYS = {
    "luis_schema_version", "versionId", "name", "desc", "culture", "tokenizerVersion", "settings", "intents",
    "entities", "closedLists", "utterances", "patterns", "prebuiltEntities", "patternAnyEntities", "hierarchicals",
}  # fmt: skip

_DEEPEST = 20


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances, patterns and lists of an app."""
    for file in files:
        if file.path.suffix != ".json" and len(files) > 1:
            yield LeftOut("file of another kind", file.label)
            continue
        document = read_json(file)
        if not isinstance(document.value, dict) or "utterances" not in document.value:
            raise DataError(f"{file.label}: lacks the key utterances, expected an app exported from LUIS")
        yield from _app(document)


def _app(document: Placed) -> Iterator[Item]:
    yield from keys_left_out(document, _APP_KEYS)
    culture = document.text_or("culture", None)
    values: list[ListValue] = []
    for closed in document.each("closedLists"):
        name = plain_name(closed.name("name"))
        yield from keys_left_out(closed, {"name", "subLists", "roles"})
        for sublist in closed.each("subLists"):
            canonical = sublist.text("canonicalForm").strip()
            values.append(ListValue(name, canonical))
            values += [ListValue(name, one.text().strip(), canonical) for one in sublist.each("list")]
    yield from values
    synonyms = Synonyms(values)
    labelled = set()
    for utterance in document.each("utterances"):
        labelled.add(utterance.text_or("intent", None))
        yield from _utterance(utterance, synonyms, culture)
    for pattern in document.each("patterns"):
        labelled.add(pattern.text_or("intent", None))
        yield from _pattern(pattern, culture)
    for intent in document.each("intents"):
        yield from keys_left_out(intent, {"name", "features"})
        if (name := intent.name("name")) not in labelled:
            yield LeftOut("intent without utterances", f"{intent.where}: {name}")


def _utterance(where: Placed, synonyms: Synonyms, culture: str | None) -> Iterator[Item]:
    yield from keys_left_out(where, {"text", "intent", "entities"})
    text, intent = where.text("text"), where.text_or("intent", None)
    slots: list[Slot] = []
    try:
        for entity in where.each("entities"):
            slots += _slots(text, entity, "", synonyms)
    except DataError:
        raise
    except InputError as error:
        yield LeftOut("utterance with offsets that do not fit", f"{where.where}: {error}")
        return
    yield Utterance(where.where, text, intent, tuple(slots), intent == "None", locale=culture)


def _slots(text: str, entity: Placed, parent: str, synonyms: Synonyms, depth: int = 0) -> Iterator[Slot]:
    """The slots of an entity: itself, or those of its children, where it has some."""
    own = entity.name("entity")
    name = entity.text_or("role", None) or own
    name = f"{parent}.{name}" if parent and not name.startswith(f"{parent}.") else name
    if depth > _DEEPEST:
        raise DataError(f"{entity.where}: more than {_DEEPEST} entities within each other")
    children = list(entity.each("children"))
    if children:
        for child in children:
            yield from _slots(text, child, name, synonyms, depth + 1)
        return
    start, end = entity.whole_number("startPos"), entity.whole_number("endPos") + 1
    slot = slot_at(text, name, start, end, ("utf16", "characters"))
    resolved = synonyms.resolved(plain_name(own), slot.value)
    yield replace(slot, resolved=resolved)


def _pattern(where: Placed, culture: str | None) -> Iterator[Item]:
    text, intent = where.text("pattern"), where.name("intent")
    opened: list[str] = []

    def placed(name: str) -> str:
        entity, _, role = name.partition(":")
        opened.append(entity)
        return place(role or entity, entity)

    try:
        pattern = pattern_of(text.strip().removeprefix("^").removesuffix("$"), Notation(placed))
    except InputError as error:
        yield LeftOut("template that cannot be read", f"{where.where}: {text[:80]!r}: {error}")
        return
    yield from (OpenList(plain_name(name), name) for name in opened)
    yield from characters(pattern)
    if pattern:
        yield Pattern(where.where, intent, pattern, intent == "None", culture)
