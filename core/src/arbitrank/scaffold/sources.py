"""The file that a new domain is made from: a corpus or hypotheses of ours, or a corpus in another format."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.corpora import FORMATS, CorpusOptions, import_corpus
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import decode_example, read_examples

__all__ = ["LearningSource", "own_hypotheses", "read_source"]

_SHOWN = 3


class LearningSource(NamedTuple):
    """Examples, and the patterns and lists of a source that has templates; what could not be read, by kind."""

    examples: list[Example]
    patterns: Mapping[str, Any] = {}
    lists: Mapping[str, Sequence[Any]] = {}
    left_out: Mapping[str, tuple[int, list[str]]] = {}
    notes: Sequence[str] = ()


def read_source(path: Path, format: str | None, name: str) -> LearningSource:
    """The source at a path: JSON Lines of ours, a folder that `import --corpus` wrote, or a corpus in a `format`.

    Where all that has an owner in it is of one domain, it is taken as the domain `name`. Raises `InputError`.
    """
    if not path.exists():
        raise InputError(f"--from: {path} is not there; expected a corpus, a file or a folder")
    if format is not None:
        found = import_corpus(format, path, CorpusOptions(name))
        examples = [decode_example(msgspec.json.encode(line)) for line in found.lines]
        return LearningSource(examples, found.patterns, found.lists, dict(found.left_out))
    files = [path] if path.is_file() else sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")])
    templates = [] if path.is_file() else [file for file in _templates(path) if file.is_file()]
    if not (files or templates) or not all(file.name.endswith((".jsonl", ".jsonl.gz")) for file in files):
        raise InputError(
            f"--from: {path} is no corpus of ours, expected a .jsonl file or a folder with some; of another format, "
            f"name it: --corpus {'|'.join(FORMATS)}"
        )
    examples, left = _read(files)
    patterns, lists = (_toml(file) for file in _templates(path)) if templates else ({}, {})
    examples, notes = _as_own(examples, name, bool(patterns.get("own")))
    return LearningSource(examples, patterns, lists, left, notes)


def _templates(folder: Path) -> tuple[Path, Path]:
    return folder / "patterns.toml", folder / "lists.toml"


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
    except (OSError, ValueError) as problem:
        raise InputError(f"--from: {path}: cannot be read: {problem}") from None


def _read(files: Iterable[Path]) -> tuple[list[Example], dict[str, tuple[int, list[str]]]]:
    examples, bad = [], []
    for file in files:
        for line in read_examples(str(file)):
            if isinstance(line, BadLine):
                bad.append(str(line))
            else:
                examples.append(line)
    return examples, {"line that cannot be read": (len(bad), bad[:_SHOWN])} if bad else {}


def _as_own(examples: list[Example], name: str, has_templates: bool) -> tuple[list[Example], list[str]]:
    """The examples as the domain's own, where they are of one other domain alone. Raises `InputError`."""
    owners = Counter(owner for example in examples for owner in example.truth.owners)
    if name in owners or has_templates:
        return examples, []
    if len(owners) != 1:
        seen = ", ".join(f"{owner} ({n:,})" for owner, n in owners.most_common(8)) or "none"
        raise InputError(
            f"--from: no line is of the domain {name}; domains in it: {seen}; name the new one as one of them"
        )
    (other,) = owners
    renamed = [_renamed(example, other, name) for example in examples]
    return renamed, [f"the utterances of {other} are read as those of {name}"]


def _renamed(example: Example, other: str, name: str) -> Example:
    hypotheses = example.request.hypotheses
    if hypotheses is not None:
        named = tuple(msgspec.structs.replace(h, domain=name) if h.domain == other else h for h in hypotheses)
        example = msgspec.structs.replace(example, request=msgspec.structs.replace(example.request, hypotheses=named))
    if not example.truth.owned_by(other):
        return example
    return msgspec.structs.replace(example, truth=msgspec.structs.replace(example.truth, domain=name))


def own_hypotheses(examples: Iterable[Example], name: str) -> list[dict[str, Any]]:
    """The lines of a hypotheses file with the readings of one domain alone, and the truth as that domain sees it.

    Requests of which the domain has no reading and which are not its own are left out. Raises `InputError` where no
    request brings a reading of it.
    """
    lines = []
    for example in examples:
        own = [h for h in example.request.hypotheses or () if h.domain == name]
        truth = example.truth.seen_by(name)
        if own or truth.owned_by(name):
            request = msgspec.structs.replace(example.request, hypotheses=tuple(own))
            lines.append({**msgspec.to_builtins(request), "truth": msgspec.to_builtins(truth)})
    if not any(line["hypotheses"] for line in lines):
        raise InputError(
            f"--from: no request brings a reading of {name}; expected lines of hypotheses with their truth"
        )
    return lines
