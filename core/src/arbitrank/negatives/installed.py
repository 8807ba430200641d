"""Discovery and reading of installed sets of negatives: each is read, or refused with a reason; none of its code runs.

A distribution states a set by an entry point in the group `arbitrank.negatives`: `NAME = "PACKAGE"`, where the package
has a file `negatives.jsonl`, a corpus whose lines may have a `topic`. The package is located and never imported. Lines
that cannot be read are left out and counted, as are repeated requests, also of a set before it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec
from packaging.utils import canonicalize_name

from arbitrank.errors import DataError, InputError
from arbitrank.guard import Fault, guarded
from arbitrank.normal_text import blank, comparable
from arbitrank.packages import NEGATIVES, Package, is_near_negatives, packages
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine, lines_in, opened, place
from arbitrank.wire.requests import decode_example

__all__ = [
    "FILE",
    "MAX_BYTES",
    "MAX_LINES",
    "InstalledNegatives",
    "NegativeSet",
    "installed_negatives",
    "topic_name",
    "topic_of",
]

FILE = "negatives.jsonl"
"""The file of a package of negatives."""

MAX_BYTES, MAX_LINES = 16 << 20, 50_000
"""Bytes and lines of a set at most."""

LONGEST = 200
"""Characters of a request at most."""

_PAGE = "docs/how-to/negatives.md"
_QUOTED = 3  # bad lines that are quoted
_MODULE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class NegativeSet:
    """A set of negatives: its distribution and version, the SHA-256 of its file, its requests, and remarks on them."""

    name: str
    distribution: str
    version: str
    digest: str
    examples: tuple[Example, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class InstalledNegatives(NamedTuple):
    """The sets that were read, by their distributions' names, and the reasons why others were refused."""

    sets: tuple[NegativeSet, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """All remarks for people."""
        return (*self.refused, *(note for one in self.sets for note in one.notes))


def installed_negatives() -> InstalledNegatives:
    """All installed sets of negatives. Never raises: what cannot be read is refused."""
    sets: list[NegativeSet] = []
    refused: list[str] = []
    known: set[str] = set()
    for entry, package in _entries(packages(distributions())):
        where = f"negatives {entry.name} ({package.name} {package.version})"
        found = guarded(_read, entry, package, known)
        if not isinstance(found, Fault):
            sets.append(found)
        else:
            refused.append(f"{where}: {found.error if isinstance(found.error, InputError) else found.reason}")
    return InstalledNegatives(tuple(sets), tuple(refused))


def topic_of(example: Example) -> str:
    """The topic of a negative; without one, the name of the domain whose request it is."""
    topic = example.extra.get("topic")
    return topic_name(topic if isinstance(topic, str) else next(iter(example.truth.owners), "other"))


def topic_name(text: str) -> str:
    """A topic as it is compared: in lower case, with `_` between its words."""
    return re.sub(r"[\W_]+", "_", text.casefold()).strip("_")


def _entries(installed: Iterable[Package]) -> list[tuple[EntryPoint, Package]]:
    """The entry points of sets, also in groups of a similar name, in the order of their distributions' names."""
    found = [(entry, one) for one in installed for entry in one.entries if is_near_negatives(entry.group)]
    return sorted(found, key=lambda pair: (canonicalize_name(pair[1].name), pair[0].name))


def _read(entry: EntryPoint, package: Package, known: set[str]) -> NegativeSet:
    """The set of an entry point, without the requests in `known`, to which its own are added. Raises `InputError`."""
    path = _file(entry)
    raw = path.read_bytes()
    with opened(path) as file:
        numbered = [line for line, _ in zip(lines_in(file, str(path)), range(MAX_LINES + 1), strict=False)]
    if len(numbered) > MAX_LINES:
        raise DataError(f"{path} has more than {MAX_LINES:,} lines, expected at most that; ship a sample")
    examples, bad, repeated = [], [], 0
    for number, line in numbered:
        one = line if isinstance(line, BadLine) else _decoded(line, place(path, number))
        if isinstance(one, BadLine):
            bad.append(one)
        elif (words := comparable(one.request.utterance or "")) in known:
            repeated += 1
        else:
            known.add(words)
            examples.append(one)
    if not examples:
        first = f"; the first: {bad[0]}" if bad else f", {repeated} repeat those of other sets" if repeated else ""
        raise DataError(f"{path} has no request that can be read, expected a corpus{first}; see {_PAGE}")
    notes = [f"{one}; it is left out" for one in bad[:_QUOTED]]
    if len(bad) > _QUOTED:
        notes.append(f"{path}: and {len(bad) - _QUOTED} lines more that cannot be read")
    if repeated:
        notes.append(f"{path}: {repeated} requests are there already, in it or in another set, and left out")
    digest = hashlib.sha256(raw).hexdigest()
    return NegativeSet(entry.name, package.name, package.version, digest, tuple(examples), tuple(notes))


def _file(entry: EntryPoint) -> Path:
    """The file of an entry point's package. Raises `InputError`."""
    if entry.group != NEGATIVES:
        raise InputError(f"its entry point is in the group {entry.group!r}, expected {NEGATIVES!r}; correct it")
    if not _MODULE.fullmatch(entry.value):
        raise InputError(
            f"its entry point is {entry.value[:60]!r}, expected the name of a package alone, as in {entry.name} = "
            f'"PACKAGE"; correct it and install again'
        )
    spec = find_spec(entry.value)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        seen = "is not there" if spec is None else "is a module"
        raise InputError(f"its package {entry.value} {seen}, expected a package with {FILE}; install it again")
    path = Path(folders[0]) / FILE
    if not path.is_file():
        raise InputError(f"{path} is not there, expected JSON Lines; add it to the package, install it again")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path} has {size:,} bytes, expected at most {MAX_BYTES:,}; ship a sample")
    return path


def _decoded(line: bytes, where: str) -> Example | BadLine:
    """The request on a line, with an id of its own; its context is left out, as it would tell the set from others."""
    try:
        example = decode_example(line)
    except InputError as error:
        return BadLine(where, str(error))
    text = example.request.utterance or ""
    if example.request.hypotheses is not None:
        return BadLine(where, "it brings hypotheses, expected a text and its domain")
    if blank(text) or len(text) > LONGEST:
        return BadLine(where, f"its text has {len(text)} characters, expected 1 to {LONGEST}")
    request = msgspec.structs.replace(example.request, utterance=" ".join(text.split()), context={})
    truth = msgspec.structs.replace(example.truth, slots=())
    return Example(request, truth, {**example.extra, "topic": topic_of(example)})
