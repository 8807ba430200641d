"""Labelled examples in a file of JSON Lines, as a plugin reads its own data from its package."""

from __future__ import annotations

from pathlib import Path

from arbitrank.errors import DataError
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import read_examples as read_lines

__all__ = ["read_examples"]


def read_examples(path: Path) -> list[Example]:
    """The examples of a corpus or of hypotheses with their truth (`.jsonl` or `.jsonl.gz`), in the file's order.

    Raises `DataError` with the file, the line and the reason where a line cannot be read.
    """
    found = []
    for line in read_lines(str(path)):
        if isinstance(line, BadLine):
            raise DataError(str(line))
        found.append(line)
    return found
