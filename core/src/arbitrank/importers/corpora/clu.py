"""Azure CLU projects: utterances with entities by offset and length, and lists of entities with synonyms.

Offsets are UTF-16 code units unless the project states `stringIndexType`. The intent `None` is out of scope.
Of an orchestration, the project that an utterance is sent to is its domain, unless the caller names one.
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
    Synonyms,
    Utterance,
    keys_left_out,
    slot_at,
)
from arbitrank.importers.corpora.placed import Placed, read_json
from arbitrank.importers.corpora.templates import plain_name
from arbitrank.importers.options import domain_name
from arbitrank.importers.text_elements import in_characters
from arbitrank.values import Slot

_ELEMENTS = "text elements"
_UNITS = {
    "Utf16CodeUnit": "utf16",
    "UnicodeCodePoint": "characters",
    "TextElement_V8": _ELEMENTS,
    "TextElements_v8": _ELEMENTS,
}
_SPLITS = {"train": "train", "test": "test"}


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances and lists of a project."""
    for file in files:
        if file.path.suffix != ".json" and len(files) > 1:
            yield LeftOut("file of another kind", file.label)
            continue
        document = read_json(file)
        if not isinstance(document.value, dict) or "assets" not in document.value:
            raise DataError(f"{file.label}: lacks the key assets, expected a project exported from CLU")
        yield from _project(document, options.domain)


def _kind(metadata: Placed | None) -> str | None:
    return None if metadata is None else metadata.text_or("projectKind", None)


def _project(document: Placed, domain: str | None) -> Iterator[Item]:
    assets = document.at("assets")
    metadata = document.maybe("metadata")
    stated = document.text_or("stringIndexType", None) or "Utf16CodeUnit"
    if stated not in _UNITS:
        raise document.at("stringIndexType").invalid(f"one of {', '.join(_UNITS)}")
    language = None if metadata is None else metadata.text_or("language", None)
    yield from keys_left_out(document, {"projectFileVersion", "stringIndexType", "metadata", "assets", "api-version"})
    yield from keys_left_out(assets, {"projectKind", "intents", "entities", "utterances"})
    values: list[ListValue] = []
    for entity in assets.each("entities"):
        for item in _entity(entity):
            values += [item._replace(locale=None)] if isinstance(item, ListValue) else []
            yield item
    synonyms = Synonyms(values)
    orchestrated = "Orchestration" in (assets.text_or("projectKind", None), _kind(metadata))
    labelled = set()
    for utterance in assets.each("utterances"):
        labelled.add(utterance.text_or("intent", None))
        for item in _utterance(utterance, synonyms, _UNITS[stated], language):
            # The intents of an orchestration name other projects, each of which is a domain.
            if isinstance(item, Utterance) and item.intent and not item.out_of_scope and orchestrated and not domain:
                yield item._replace(domain=domain_name(item.intent), intent=None)
            else:
                yield item
    for intent in assets.each("intents"):
        yield from keys_left_out(intent, {"category", "orchestration"} if orchestrated else {"category"})
        if (name := intent.name("category")) not in labelled:
            yield LeftOut("intent without utterances", f"{intent.where}: {name}")


def _utterance(where: Placed, synonyms: Synonyms, unit: str, language: str | None) -> Iterator[Item]:
    yield from keys_left_out(where, {"text", "language", "intent", "dataset", "entities"})
    text, intent = where.text("text"), where.text_or("intent", None)
    slots = []
    try:
        for entity in where.each("entities"):
            slots.append(_slot(text, entity, synonyms, unit))
            yield from keys_left_out(entity, {"category", "offset", "length"})
    except DataError:
        raise
    except InputError as error:
        yield LeftOut("utterance with offsets that do not fit", f"{where.where}: {error}")
        return
    dataset = (where.text_or("dataset", None) or "").lower()
    yield Utterance(
        where.where, text, intent, tuple(slots), intent == "None", split=_SPLITS.get(dataset),
        locale=where.text_or("language", None) or language,
    )  # fmt: skip


def _slot(text: str, entity: Placed, synonyms: Synonyms, unit: str) -> Slot:
    name, start = entity.name("category"), entity.whole_number("offset")
    end = start + entity.whole_number("length")
    if unit == _ELEMENTS:
        start, end = in_characters(text, start, end) or (-1, -1)
    slot = slot_at(text, name, start, end, ("utf16" if unit == "utf16" else "characters",))
    return replace(slot, resolved=synonyms.resolved(plain_name(name), slot.value))


def _entity(entity: Placed) -> Iterator[Item]:
    name = entity.name("category")
    yield from keys_left_out(entity, {"category", "compositionSetting", "list", "requiredComponents"})
    found = entity.maybe("list")
    for sublist in () if found is None else found.each("sublists"):
        canonical = sublist.text("listKey").strip()
        for synonym in sublist.each("synonyms"):
            language = synonym.text_or("language", None)
            for value in synonym.each("values"):
                yield ListValue(plain_name(name), value.text().strip(), canonical, language)
        yield ListValue(plain_name(name), canonical)
