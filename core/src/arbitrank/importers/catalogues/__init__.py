"""Importers of catalogues: skills in other formats, as lines of a catalogue.

    read_catalogue("mcp", Path("tools.json")) -> FoundSkill | LeftOut | BadLine, …

A format is a module with `read(path, options)`, which yields items (`catalogues.items`).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from arbitrank.errors import DataError
from arbitrank.importers.catalogues.items import CatalogueItem, CatalogueOptions, FoundSkill
from arbitrank.importers.corpora import CorpusFormat, named_format
from arbitrank.wire.catalogue_lines import CatalogueSkill
from arbitrank.wire.json_lines import BadLine

__all__ = ["FORMATS", "CatalogueOptions", "FoundSkill", "catalogue_format", "listed_skills", "read_catalogue"]

FORMATS = {
    "jsonl": CorpusFormat("lines", "JSON Lines, one skill a line, or a list of skills", ("json", "lines", "jsonlines")),
    "csv": CorpusFormat("table", "CSV or TSV with named columns", ("tsv", "table")),
    "mcp": CorpusFormat("mcp", "results of MCP's tools/list", ("mcp-tools", "tools-list", "anthropic")),
    "openai": CorpusFormat("openai", "tools of OpenAI's chat completions and responses", ("openai-tools", "functions")),
    "openapi": CorpusFormat("openapi", "OpenAPI 3 documents, JSON or YAML", ("oas", "openapi3", "openapi-3")),
    "a2a": CorpusFormat("a2a", "A2A agent cards", ("agent-card", "agent-cards")),
    "alexa": CorpusFormat("alexa", "Alexa interaction models", ("ask", "interaction-model")),
}
"""The formats by name."""


def catalogue_format(name: str) -> str:
    """The canonical name of a format of catalogues. Raises `InputError` that suggests the one meant."""
    return named_format(name, FORMATS, "--catalogue", "catalogues")


def read_catalogue(format: str, path: Path, options: CatalogueOptions = CatalogueOptions()) -> Iterator[CatalogueItem]:
    """The skills at a path, a file or a folder, in one of `FORMATS`; what cannot be read or taken over comes as such.

    Raises `DataError` where the file as a whole is not as the format has it.
    """
    module = import_module(f"{__name__}.{FORMATS[catalogue_format(format)].module}")
    items: Iterator[CatalogueItem] = module.read(path, options)
    return items


def listed_skills(path: Path, left: list[str]) -> Iterator[tuple[str, CatalogueSkill]]:
    """The skills of a catalogue in our own formats, JSON Lines or CSV, with their places, for training.

    What was cut is appended to `left`. Raises `DataError` at the first line that cannot be read.
    """
    name = path.name.removesuffix(".gz").lower()
    for item in read_catalogue("csv" if name.endswith((".csv", ".tsv")) else "jsonl", path):
        if isinstance(item, FoundSkill):
            yield item
        elif isinstance(item, BadLine):
            raise DataError(str(item))
        else:
            left.append(item.example)
