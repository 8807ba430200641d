"""Amazon Lex exports: V2 (a folder or zip of Intent.json, Slot.json, SlotType.json) and V1 (one JSON file).

Sample utterances are patterns; values and synonyms of slot types become lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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

_INTENT_KEYS = {
    "name", "identifier", "description", "parentIntentSignature", "sampleUtterances", "slotPriorities", "slots",
    "version", "checksum",
}  # fmt: skip

_TYPE_KEYS = {
    "name", "identifier", "description", "slotTypeValues", "enumerationValues", "valueSelectionSetting",
    "valueSelectionStrategy", "version", "checksum", "createdDate", "lastUpdatedDate",
}  # fmt: skip
_V2 = frozenset({"Intent.json", "SlotType.json", "Slot.json", "Manifest.json", "Bot.json", "BotLocale.json"})


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The patterns and lists of a bot."""
    for file in files:
        if file.path.suffix != ".json":
            yield LeftOut("file of another kind", file.label)
            continue
        document = read_json(file)
        if not isinstance(document.value, dict):
            raise document.invalid("an object exported from Lex")
        locale, kind = locale_in(file.path.parent), file.path.name
        if "resource" in document.value:
            yield from _v1(document.at("resource"))
            continue
        if kind not in _V2 and {"sampleUtterances", "enumerationValues"} & document.value.keys():
            yield from _v1(document)
            continue
        if kind == "Intent.json":
            yield from _intent(document, _slot_types(file, files), locale)
        elif kind == "SlotType.json":
            yield from _slot_type(document, locale)
        elif len(files) == 1:
            raise DataError(f"{file.label}: lacks the key resource, and is no Intent.json, expected an export of Lex")
        elif kind not in _V2:
            yield LeftOut("file that is no intent or slot type", file.label)


def _slot_types(file: SourceFile, files: Sequence[SourceFile]) -> dict[str, str]:
    """The types of an intent's slots, from the files beside it."""
    found = {}
    for one in files:
        if one.path.name == "Slot.json" and file.path.parent in one.path.parents:
            slot = read_json(one)
            kind = slot.text_or("slotTypeName", None)
            found[slot.name("name")] = kind or slot.text_or("slotTypeId", None) or slot.name("name")
    return found


def _v1(resource: Placed) -> Iterator[Item]:
    """A bot, an intent or a slot type of V1."""
    for one in resource.each("slotTypes"):
        yield from _slot_type(one, None)
    intents = list(resource.each("intents"))
    if resource.maybe("sampleUtterances") is not None:
        intents.append(resource)
    elif not intents and resource.maybe("enumerationValues") is not None:
        yield from _slot_type(resource, None)
    locale = resource.text_or("locale", None)
    for intent in intents:
        types = {slot.name("name"): slot.name("slotType") for slot in intent.each("slots")}
        yield from _intent(intent, types, locale)


def _intent(intent: Placed, types: dict[str, str], locale: str | None) -> Iterator[Item]:
    name = intent.name("name")
    yield from keys_left_out(intent, _INTENT_KEYS | {"slotTypes"})
    signature = intent.text_or("parentIntentSignature", None) or ""
    fallback = signature == "AMAZON.FallbackIntent" or (not signature and name == "FallbackIntent")

    def placed(slot: str) -> str:
        return place(slot, types.get(slot, slot))

    for kind in types.values():
        if kind.startswith("AMAZON."):
            yield OpenList(plain_name(kind), kind)
    count = 0
    for sample in intent.each("sampleUtterances"):
        text = sample.text() if isinstance(sample.value, str) else sample.text("utterance")
        count += 1
        try:
            pattern = pattern_of(text, Notation(placed, brackets=False, optional=False))
        except InputError as error:
            yield LeftOut("template that cannot be read", f"{sample.where}: {text[:80]!r}: {error}")
            continue
        if pattern:
            yield from characters(pattern)
            yield Pattern(sample.where, name, pattern, fallback, locale)
    if not count:
        yield LeftOut("intent without sample utterances", f"{intent.where}: {name}")


def _slot_type(where: Placed, locale: str | None) -> Iterator[Item]:
    name = plain_name(where.name("name"))
    for value in (*where.each("slotTypeValues"), *where.each("enumerationValues")):
        sample = value.maybe("sampleValue")
        canonical = (value if sample is None else sample).text("value").strip()
        yield ListValue(name, canonical, locale=locale)
        for synonym in value.each("synonyms"):
            words = synonym if isinstance(synonym.value, str) else synonym.at("value")
            yield ListValue(name, words.text().strip(), canonical, locale)
    yield from keys_left_out(where, _TYPE_KEYS)
    setting = where.maybe("valueSelectionSetting")
    if setting is not None and setting.maybe("regexFilter") is not None:
        yield LeftOut("regular expression", setting.where)
