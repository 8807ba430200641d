"""Rasa's examples, synonyms and lookup tables, gathered from all files before slots are resolved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from arbitrank.errors import InputError
from arbitrank.importers.corpora.files import SourceFile, lines_of
from arbitrank.importers.corpora.items import Item, LeftOut, ListValue, Utterance, slot_at
from arbitrank.importers.corpora.placed import Placed
from arbitrank.importers.corpora.rasa_markup import RasaEntityMark, entity_name
from arbitrank.importers.corpora.templates import plain_name

__all__ = ["RasaData", "RasaExample"]

_OUT_OF_SCOPE = frozenset({"nlu_fallback", "out_of_scope", "None", "outofscope"})
"""Intents that Rasa's projects have for what is not theirs, by convention."""


class RasaExample(NamedTuple):
    """An example of an intent, its entities with offsets in characters."""

    where: str
    text: str
    intent: str | None
    entities: tuple[RasaEntityMark, ...]


class RasaData:
    """The content of a project's files, taken together."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._files = {file.path: file for file in files}
        self._examples: list[RasaExample] = []
        self._synonyms: dict[str, str] = {}
        self._lookups: dict[tuple[str, str], None] = {}

    def example(self, example: RasaExample) -> Iterator[Item]:
        """Keep an example, without entities' groups, which are left out."""
        for entity in example.entities:
            if entity.group is not None:
                yield LeftOut("group of an entity", f"{example.where}: {entity.name}: {entity.group}")
        self._examples.append(example)

    def placed_example(self, where: Placed) -> Iterator[Item]:
        """Keep an example of Rasa's JSON."""
        text = where.text("text")
        entities = []
        try:
            for one in where.each("entities"):
                role = one.text_or("role", None)
                value = one.maybe("value")
                stated = None if value is None else value.value if isinstance(value.value, str) else str(value.value)
                name = entity_name(one.text("entity"), role)
                start, end = one.whole_number("start"), one.whole_number("end")
                slot_at(text, name, start, end)  # only a check
                entities.append(RasaEntityMark(start, end, name, stated, one.text_or("group", None)))
        except InputError as error:
            yield LeftOut("example that cannot be read", f"{where.where}: {error}")
            return
        yield from self.example(RasaExample(where.where, text, where.text_or("intent", None), tuple(entities)))

    def entry(self, kind: str, name: str, text: str, where: str) -> Iterator[Item]:
        """Keep an entry of a synonym or a lookup table; one that names a file stands for the file's lines."""
        if kind == "synonym":
            self._synonyms.setdefault(text.lower(), name)
        elif text.endswith(".txt"):
            file = self._named(text)
            if file is None:
                yield LeftOut("file of a lookup table, not found", f"{where}: {text}")
            else:
                for _, line in lines_of(file):
                    if line.strip():
                        self._lookups[name, line.strip()] = None
        else:
            self._lookups[name, text] = None

    def items(self) -> Iterator[Item]:
        """The utterances with resolved slots, and the lists."""
        entities: dict[str, set[str]] = defaultdict(set)
        for example in self._examples:
            try:
                slots = tuple(
                    slot_at(example.text, e.name, e.start, e.end, resolved=self._canonical(example.text, e))
                    for e in example.entities
                )
            except InputError as error:
                yield LeftOut("example that cannot be read", f"{example.where}: {error}")
                continue
            for slot, entity in zip(slots, example.entities, strict=True):
                if entity.value is not None and slot.resolved is not None:
                    self._synonyms.setdefault(slot.value.lower(), slot.resolved)
                for words in {slot.value, slot.resolved or slot.value}:
                    entities[words.lower()].add(slot.name.partition(".")[0])
            out = (example.intent or "").partition("/")[0] in _OUT_OF_SCOPE
            yield Utterance(example.where, example.text, example.intent, slots, out)
        for name, text in self._lookups:
            entities[text.lower()].add(name)
            yield ListValue(plain_name(name), text, self._synonyms.get(text.lower()))
        for words, canonical in self._synonyms.items():
            names = entities[canonical.lower()] | entities[words]
            if not names:
                yield LeftOut("synonym of no entity in the data", f"{words}: {canonical}")
            yield from (ListValue(plain_name(name), words, canonical) for name in sorted(names))

    def _canonical(self, text: str, entity: RasaEntityMark) -> str | None:
        if entity.value is not None:
            return entity.value
        return self._synonyms.get(text[entity.start : entity.end].lower())

    def _named(self, text: str) -> SourceFile | None:
        """The file that a lookup table names, by the longest end of its path that is there."""
        parts = PurePosixPath(text.replace("\\", "/")).parts
        for first in range(len(parts)):
            end = PurePosixPath(*parts[first:])
            for path, file in self._files.items():
                if path == end or str(path).endswith(f"/{end}"):
                    return file
        return None
