"""Rasa training data: `nlu.yml` (and, by their endings, `nlu.md` and `nlu.json`).

An entity's role becomes part of its name, `tea.ordered`. A slot's value is the words said; the entity's `value`, or the
canonical form of a synonym, is `resolved`. Lookup tables and synonyms become lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.files import SourceFile
from arbitrank.importers.corpora.items import CorpusOptions, Item, LeftOut, keys_left_out
from arbitrank.importers.corpora.placed import Placed, read_json, read_yaml
from arbitrank.importers.corpora.rasa_data import RasaData, RasaExample
from arbitrank.importers.corpora.rasa_markdown import read_markdown
from arbitrank.importers.corpora.rasa_markup import marked
from arbitrank.wire.json_text import short

_KINDS = ("intent", "synonym", "lookup", "regex")


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances and lists of Rasa's files; the synonyms of each hold for all."""
    data = RasaData(files)
    for file in files:
        suffix = file.path.suffix.lower()
        if suffix in (".yml", ".yaml") or (len(files) == 1 and suffix not in (".md", ".json")):
            yield from _yaml(file, data, alone=len(files) == 1)
        elif suffix == ".md":
            yield from read_markdown(file, data)
        elif suffix == ".json":
            yield from _json(file, data, alone=len(files) == 1)
    yield from data.items()


def _yaml(file: SourceFile, data: RasaData, *, alone: bool) -> Iterator[Item]:
    document = read_yaml(file)
    if not isinstance(document.value, dict) or "nlu" not in document.value:
        if alone:
            raise DataError(f"{file.label}: lacks the key nlu, expected Rasa's training data")
        yield LeftOut("file without the key nlu", file.label)
        return
    yield from keys_left_out(document, {"version", "nlu"})
    for entry in document.each("nlu"):
        kind = next((kind for kind in _KINDS if entry.maybe(kind) is not None), None)
        if kind is None:
            yield LeftOut(
                "entry of nlu without intent, synonym, lookup or regex", f"{entry.where}: {short(entry.value)}"
            )
            continue
        yield from keys_left_out(entry, {kind, "examples"})
        name = entry.name(kind)
        texts = list(_examples(entry))
        yield from _other_keys(entry)
        if kind == "intent":
            for where, text in texts:
                yield from _utterance(where, text, name, data)
        elif kind == "regex":
            yield from (LeftOut("regular expression", f"{where}: {name}: {text}") for where, text in texts)
        else:
            for where, text in texts:
                yield from data.entry(kind, name, text, where)


def _examples(entry: Placed) -> Iterator[tuple[str, str]]:
    """The examples under an entry, each with its place: a text of lines that begin with `-`, or a list."""
    examples = entry.maybe("examples")
    if examples is None:
        return
    if isinstance(examples.value, list):
        for one in examples.each():
            inner = one if isinstance(one.value, str) else one.at("text")
            yield inner.where, inner.text().strip().removeprefix("- ").strip()
        return
    for number, line in enumerate(examples.text().split("\n"), 1):
        text = line.strip()
        if text.startswith("-") and text[1:].strip():
            yield f"{examples.where}, line {number}", text[1:].strip()
        elif text:
            raise DataError(f"{examples.where}, line {number}: {short(text)} is invalid, expected a line of - TEXT")


def _other_keys(entry: Placed) -> Iterator[LeftOut]:
    """Keys of an entry's examples beside their text."""
    examples = entry.maybe("examples")
    if examples is not None and isinstance(examples.value, list):
        for one in examples.each():
            if isinstance(one.value, dict):
                yield from keys_left_out(one, {"text"})


def _utterance(where: str, text: str, intent: str, data: RasaData) -> Iterator[Item]:
    try:
        bare, entities = marked(text)
    except InputError as error:
        yield LeftOut("example that cannot be read", f"{where}: {error}")
        return
    yield from data.example(RasaExample(where, bare, intent, tuple(entities)))


def _json(file: SourceFile, data: RasaData, *, alone: bool) -> Iterator[Item]:
    """The JSON of Rasa before 1.0 and its exports: `rasa_nlu_data`."""
    document = read_json(file)
    if not isinstance(document.value, dict) or "rasa_nlu_data" not in document.value:
        if alone:
            raise DataError(f"{file.label}: lacks the key rasa_nlu_data, expected Rasa's training data")
        yield LeftOut("file without the key rasa_nlu_data", file.label)
        return
    inner = document.at("rasa_nlu_data")
    yield from keys_left_out(
        inner, {"common_examples", "intent_examples", "entity_examples", "entity_synonyms", "lookup_tables"}
    )
    for synonym in inner.each("entity_synonyms"):
        for one in synonym.each("synonyms"):
            yield from data.entry("synonym", synonym.name("value"), one.text(), one.where)
    for table in inner.each("lookup_tables"):
        elements = table.at("elements")
        for one in elements.each() if isinstance(elements.value, list) else (elements,):
            yield from data.entry("lookup", table.name("name"), one.text(), one.where)
    for key in ("common_examples", "intent_examples", "entity_examples"):
        for example in inner.each(key):
            yield from keys_left_out(example, {"text", "intent", "entities"})
            yield from data.placed_example(example)
