"""Interaction models of Alexa skills: an intent is a skill, owned by the invocation name, its samples are phrases.

In a sample, a slot stands as its first value, or as its name in words. Several locales, by the files' names, belong to
one owner: the invocation name of the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from arbitrank.errors import DataError
from arbitrank.importers.catalogues.items import CatalogueItem, CatalogueOptions, files_and_owner, skill_items
from arbitrank.importers.corpora.alexa import language_model
from arbitrank.importers.corpora.builtin_values import in_words
from arbitrank.importers.corpora.files import locale_in
from arbitrank.importers.corpora.items import LeftOut
from arbitrank.importers.corpora.placed import Placed, read_json

_SLOT = re.compile(r"\{(?:([^{}|]*)\|)?([^{}|]*)\}")


def read(path: Path, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    """The intents of every model. Raises `DataError` where a file alone is none."""
    owners: dict[Path, str] = {}  # by folder, for its locales
    found = list(files_and_owner(path, options, (".json",), "alexa"))
    for one in found:
        if isinstance(one, LeftOut):
            yield one
            continue
        file, owner = one
        document = read_json(file)
        model = language_model(document)
        if model is None and len(found) == 1:
            raise DataError(f"{file.label}: has no interactionModel.languageModel with intents")
        if model is None:
            yield LeftOut("file without an interaction model", file.label)
            continue
        locale = locale_in(file.path.with_suffix(""))
        name = options.owner or (model.text_or("invocationName", None) or owner)[:200]
        folder = Path(*file.path.parent.parts)
        owner = owners.setdefault(folder, name) if locale else name
        yield from _intents(model, owner, locale)


def _intents(model: Placed, owner: str, locale: str | None) -> Iterator[CatalogueItem]:
    values = {}
    for kind in model.each("types"):
        first = next(iter(kind.each("values")), None)
        value = first.maybe("name") if first is not None else None
        if value is not None:
            values[kind.name("name")] = value.text("value")
    for intent in model.each("intents"):
        name = intent.name("name") if intent.maybe("name") is not None else intent.name("intent")
        slots = {slot.name("name"): slot.name("type") for slot in intent.each("slots")}
        shown = {slot: values.get(kind, in_words(slot)) for slot, kind in slots.items()}
        samples = [sample.text() for sample in intent.each("samples")]
        if not samples and name.startswith("AMAZON."):
            yield LeftOut("built-in intent without samples", f"{intent.where}: {name}")
            continue
        phrases = [_phrase(sample, shown) for sample in samples]
        line = {
            "name": name,
            "owner": owner,
            "phrases": list(dict.fromkeys(phrases)),
            "parameters": list(slots),
            "language": locale,
        }
        yield from skill_items(intent.where, line)


def _phrase(sample: str, shown: Mapping[str, str]) -> str:
    """A sample with a value in the place of each slot; `{two|guests}`, the notation of before 2017, has one."""
    words = _SLOT.sub(lambda found: found[1] or shown.get(found[2]) or in_words(found[2]), sample)
    return " ".join(words.split())
