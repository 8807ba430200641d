"""Rasa's training data in Markdown: `## intent:NAME`, `## synonym:NAME`, `## lookup:NAME`, `## regex:NAME`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from arbitrank.errors import InputError
from arbitrank.importers.corpora.files import SourceFile, lines_of
from arbitrank.importers.corpora.items import Item, LeftOut
from arbitrank.importers.corpora.rasa_data import RasaData, RasaExample
from arbitrank.importers.corpora.rasa_markup import marked

__all__ = ["read_markdown"]

_SECTION = re.compile(r"##\s*(intent|synonym|lookup|regex)\s*:\s*(\S.*)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)


def read_markdown(file: SourceFile, data: RasaData) -> Iterator[Item]:
    """Keep the examples, synonyms and tables of a file; what is neither is left out."""
    kind, name, commented = "", "", False
    for where, line in lines_of(file):
        text, commented = _without_comments(line, commented)
        if section := _SECTION.match(text):
            kind, name = section[1], section[2].strip()[:200]
        elif text.startswith("#"):
            kind = ""
            if text.startswith("##"):
                yield LeftOut("section of another kind", f"{where}: {text[:80]}")
        elif text and kind:
            yield from _entry(where, kind, name, text, data)
        elif text:
            yield LeftOut("line outside the sections", f"{where}: {text[:80]}")


def _entry(where: str, kind: str, name: str, text: str, data: RasaData) -> Iterator[Item]:
    item = re.match(r"[-*+]\s*(.+)", text)
    if item is None and kind != "lookup":
        yield LeftOut("line that is no example, - TEXT", f"{where}: {text[:80]}")
        return
    words = (text if item is None else item[1]).strip()
    if kind == "regex":
        yield LeftOut("regular expression", f"{where}: {name}: {words}")
    elif kind != "intent":
        yield from data.entry(kind, name, words, where)
    else:
        try:
            bare, entities = marked(words)
        except InputError as error:
            yield LeftOut("example that cannot be read", f"{where}: {error}")
            return
        yield from data.example(RasaExample(where, bare, name, tuple(entities)))


def _without_comments(line: str, commented: bool) -> tuple[str, bool]:
    """The line without HTML comments, and True where one goes on in the next line."""
    if commented:
        _, end, line = line.partition("-->")
        if not end:
            return "", True
    open_ = line.rfind("<!--") > line.rfind("-->")
    return _COMMENT.sub("", line).strip(), open_
