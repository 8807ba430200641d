"""Items that a reader of catalogues yields: skills, and what it leaves out or cannot read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from arbitrank.errors import InputError
from arbitrank.importers.corpora.files import SourceFile, source_files
from arbitrank.importers.corpora.items import LeftOut
from arbitrank.importers.documents import Document, documents_of
from arbitrank.wire.catalogue_lines import CatalogueSkill, catalogue_skill
from arbitrank.wire.json_lines import BadLine

__all__ = [
    "CUT",
    "JSON_FILES",
    "CatalogueItem",
    "CatalogueOptions",
    "FoundSkill",
    "documents_and_owner",
    "files_and_owner",
    "skill_items",
]

JSON_FILES = (".json", ".jsonl", ".ndjson", ".gz")
"""Endings of files of JSON documents."""

CUT = "text beyond the bounds, which is cut"
"""The kind of texts that were cut."""


class FoundSkill(NamedTuple):
    """A skill, and its place for messages."""

    where: str
    skill: CatalogueSkill


CatalogueItem: TypeAlias = FoundSkill | LeftOut | BadLine


@dataclass(frozen=True)
class CatalogueOptions:
    """Options of an import: `owner` is that of skills whose source names none."""

    owner: str | None = None


def skill_items(where: str, line: Mapping[str, Any], owner: str | None = None) -> Iterator[CatalogueItem]:
    """The skill of a line at a place, after what was cut of it; `BadLine` where it is none."""
    cuts: list[str] = []
    try:
        skill = catalogue_skill(line, lambda key, text: cuts.append(text), owner)
    except InputError as error:
        yield BadLine(where, str(error))
        return
    for text in cuts:
        yield LeftOut(CUT, f"{where}: {text}")
    yield FoundSkill(where, skill)


def files_and_owner(
    path: Path, options: CatalogueOptions, endings: tuple[str, ...], otherwise: str
) -> Iterator[tuple[SourceFile, str] | LeftOut]:
    """The files at a path, each with the owner of its skills: that of the options, else the file's name without ending.

    Of a folder, files with other endings are left out; `otherwise` owns the skills of standard input.
    """
    files = source_files(path)
    for file in files:
        if len(files) > 1 and file.path.suffix.lower() not in endings:
            yield LeftOut("file of another kind", file.label)
            continue
        stem = file.path.name.partition(".")[0].strip()[:200]
        yield file, options.owner or (stem if stem not in ("", "-") else otherwise)


def documents_and_owner(
    path: Path, options: CatalogueOptions, otherwise: str
) -> Iterator[tuple[Document, str] | LeftOut | BadLine]:
    """The JSON documents of the files at a path, each with the owner of its skills, as `files_and_owner` has it."""
    for found in files_and_owner(path, options, JSON_FILES, otherwise):
        if isinstance(found, LeftOut):
            yield found
            continue
        file, owner = found
        for document in documents_of(file.text.encode(), file.label):
            yield document if isinstance(document, BadLine) else (document, owner)
