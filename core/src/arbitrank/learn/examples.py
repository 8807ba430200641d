"""Labelled examples in a file of JSON Lines, as a plugin reads its own data from its package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from arbitrank.errors import DataError
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import read_examples as read_lines

__all__ = ["completed", "read_examples"]


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


def completed(said: Sequence[Example], drawn: Iterable[Example], domain: str, least: int = 20) -> list[Example]:
    """Examples that people said, and of those drawn from patterns the ones that are lacking.

    Of an intent of the domain, of another domain and of an out-of-scope kind that people said, drawn examples come in
    only up to `least` in all; of others, every one. None repeats an utterance of its owner.
    """
    counts = Counter(_group(example, domain) for example in said)
    known = set(counts)
    seen = {(_owner(example), (example.request.utterance or "").casefold()) for example in said}
    found = list(said)
    for example in drawn:
        group, words = _group(example, domain), (_owner(example), (example.request.utterance or "").casefold())
        if words not in seen and (group not in known or counts[group] < least):
            seen.add(words)
            counts[group] += 1
            found.append(example)
    return found


def _owner(example: Example) -> str | None:
    return next(iter(example.truth.owners), None)


def _group(example: Example, domain: str) -> tuple[str | None, str | None]:
    if example.truth.owned_by(domain):
        return domain, example.truth.intent
    owner = _owner(example)
    return owner, None if owner else str(example.extra.get("kind") or "other")
