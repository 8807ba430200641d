"""Catalogues of our own as JSON Lines, one skill a line, or as one JSON list; read line by line, gzip accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from arbitrank.importers.catalogues.items import CatalogueItem, CatalogueOptions, skill_items
from arbitrank.importers.documents import documents
from arbitrank.wire.json_lines import BadLine


def read(path: Path, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    """The skills of a file, `-` for standard input."""
    for found in documents(str(path)):
        if isinstance(found, BadLine):
            yield found
        else:
            yield from skill_items(found.where, found.value, options.owner)
