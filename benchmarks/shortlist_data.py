"""Requests to very many skills, generated and real, for `benchmarks.shortlist`: a task is a folder of files."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import read_examples

Numbers = NDArray[np.int64]

_BLOCK = 200_000  # generated utterances that are in memory at a time
_COMMON, _TOPIC, _SHARED, _OWN = 150, 60, 12, 4
_TEXTS, _NUMBERS, _ASKED, _RIGHT, _ALIKE = "texts.txt", "skills.npy", "asked.txt", "right.npy", "alike.npy"
_CATALOGUE = "catalogue.jsonl"

_WHEN = re.compile(
    r"\b(?:use|used|invoke|trigger|activate)\b[^.:]{0,40}?\b(?:when|if|whenever|for)\b:?\s+(?P<request>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)
_WORDS = 4  # of a held-out part, and of what is left of a description, at least


@dataclass(frozen=True)
class Task:
    """Training texts, one skill's each, and requests, in a folder; `texts` are read anew by each use.

    `numbers` and `right`: the number of each text's and each request's skill. A skill found is right where it is
    `alike`: that maps skills to the group of those that serve the same requests.
    """

    folder: Path
    skills: int

    @property
    def texts(self) -> Iterator[str]:
        return _lines(self.folder / _TEXTS)

    @property
    def numbers(self) -> Numbers:
        return np.asarray(np.load(self.folder / _NUMBERS), np.int64)

    @property
    def utterances(self) -> int:
        """The number of the texts."""
        return len(np.load(self.folder / _NUMBERS, mmap_mode="r"))

    @property
    def asked(self) -> list[str]:
        return list(_lines(self.folder / _ASKED))

    @property
    def right(self) -> Numbers:
        return np.asarray(np.load(self.folder / _RIGHT), np.int64)

    @property
    def alike(self) -> Numbers:
        path = self.folder / _ALIKE
        return np.asarray(np.load(path), np.int64) if path.is_file() else np.arange(self.skills)

    @property
    def catalogue(self) -> Path | None:
        """The catalogue, by the order of the numbers, where the texts are those of its skills."""
        path = self.folder / _CATALOGUE
        return path if path.is_file() else None


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line[:-1]


def _write(path: Path, texts: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{' '.join(text.split())}\n" for text in texts)


class World:
    """Skills, their words, and utterances for them; see the docstring of `benchmarks.shortlist`."""

    def __init__(self, skills: int, *, vocabulary: int = 30_000, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.skills, self.words = skills, _words(vocabulary, rng)
        self.popularity, self.common = _power(skills, 0.8), _power(_COMMON, 1.0)
        frequency = _power(vocabulary - _COMMON, 0.7)
        topics = rng.choice(vocabulary - _COMMON, (max(5, skills // 200), _TOPIC), p=frequency) + _COMMON
        of_topic = topics[rng.integers(0, len(topics), skills)]
        shared = np.take_along_axis(of_topic, rng.integers(0, _TOPIC, (skills, _SHARED)), 1)
        own = rng.choice(vocabulary - _COMMON, (skills, _OWN), p=frequency) + _COMMON
        self.names = own[:, :2]
        self.profile = np.concatenate((own[:, :2], shared[:, :6], own[:, 2:], shared[:, 6:]), axis=1)

    def draw(self, n: int, seed: int) -> tuple[list[str], Numbers]:
        """Utterances and the number of the skill of each."""
        rng = np.random.default_rng(seed)
        skills = rng.choice(self.skills, n, p=self.popularity)
        informative = self.profile[skills[:, None], rng.choice(16, (n, 4), p=_power(16, 0.7))]
        common = rng.choice(_COMMON, (n, 4), p=self.common)
        counts, fills = rng.integers(2, 5, n).tolist(), rng.integers(1, 5, n).tolist()
        named, noisy = (rng.random(n) < 0.25).tolist(), (rng.random(n) < 0.15).tolist()
        noise = rng.integers(_COMMON, len(self.words), n).tolist()
        texts = []
        for row, skill in enumerate(skills.tolist()):
            half = (fills[row] + 1) // 2
            words = common[row, :half].tolist()
            words += self.names[skill].tolist() if named[row] else []
            words += informative[row, : counts[row] - named[row]].tolist()
            words += common[row, half : fills[row]].tolist() + ([noise[row]] if noisy[row] else [])
            texts.append(" ".join([self.words[word] for word in words]))
        return texts, skills

    def catalogue(self) -> Iterator[dict[str, str]]:
        """Each skill as a line of a catalogue: described by its words, of an owner that has 25."""
        taken: set[str] = set()
        for number, words in enumerate(self.profile.tolist()):
            said = [self.words[word] for word in words]
            name, owner = "_".join(said[:2]), number // 25
            if number % 25 == 0:
                taken.clear()
            while name in taken:
                name += "_too"
            taken.add(name)
            yield {
                "name": name,
                "owner": f"owner{owner}",
                "description": f"{' '.join(said[2:9])}, {' '.join(said[9:])}.",
            }


def _words(n: int, rng: np.random.Generator) -> list[str]:
    syllables = [c + v for c in "bcdfghjklmnprstvz" for v in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < n:
        found["".join(syllables[i] for i in rng.integers(0, len(syllables), rng.integers(2, 5)))] = None
    return list(found)


def _power(n: int, exponent: float) -> NDArray[np.float64]:
    weights = np.arange(1, n + 1) ** -exponent
    return weights / weights.sum()


def utterances_of(world: World, utterances: int, asked: int, folder: Path, seed: int) -> Task:
    """Generated utterances to train on, and others to ask."""
    numbers = np.empty(utterances, np.int32)

    def drawn() -> Iterator[str]:
        for at in range(0, utterances, _BLOCK):
            texts, numbers[at : at + _BLOCK] = world.draw(min(_BLOCK, utterances - at), seed + 1_000 + at // _BLOCK)
            yield from texts

    _write(folder / _TEXTS, drawn())
    np.save(folder / _NUMBERS, numbers)
    return _asking(Task(folder, world.skills), *world.draw(asked, seed + 2))


def catalogue_of(world: World, asked: int, folder: Path, seed: int) -> Task:
    """Generated skills that are known by their names and descriptions alone, and utterances to ask."""
    with (folder / _CATALOGUE).open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in world.catalogue())
    _write(folder / _TEXTS, (f"{line['name'].replace('_', ' ')} {line['description']}" for line in world.catalogue()))
    np.save(folder / _NUMBERS, np.arange(world.skills, dtype=np.int32))
    return _asking(Task(folder, world.skills), *world.draw(asked, seed + 2))


def registry(path: Path, asked: int, folder: Path, seed: int) -> Task | None:
    """Real skills; a request is what a description says of its use ("use when …"), which is held out of it.

    Every skill of the same name is right: owners copy skills from each other. A request is asked of no skill of which
    another one still says the same. None where the corpus is not present.
    """
    if not path.is_file():
        return None
    with gzip.open(path, "rt", encoding="utf-8") as file:
        every: list[dict[str, Any]] = [json.loads(line) for line in file]
    lines = list({(one["owner"], one["name"]): one for one in every}.values())
    said = [one["description"] or "" for one in lines]
    parts = [_held_out(text) for text in said]
    times: dict[str, int] = {}
    for part in parts:
        times[part[1]] = times.get(part[1], 0) + 1
    fit = [number for number, (_, request) in enumerate(parts) if request and times[request] == 1]
    chosen = sorted(np.random.default_rng(seed).permutation(fit)[:asked].tolist())
    for number in chosen:
        lines[number]["description"] = parts[number][0]
    with (folder / _CATALOGUE).open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)
    _write(folder / _TEXTS, (f"{re.sub(r'[-_]', ' ', one['name'])} {one['description']}" for one in lines))
    np.save(folder / _NUMBERS, np.arange(len(lines), dtype=np.int32))
    np.save(folder / _ALIKE, np.unique([one["name"].lower() for one in lines], return_inverse=True)[1])
    return _asking(Task(folder, len(lines)), [parts[number][1] for number in chosen], np.array(chosen))


def _held_out(description: str) -> tuple[str, str]:
    """A description without what it says of its use, and that; nothing held out where either is short."""
    found = _WHEN.search(description)
    if found is None:
        return description, ""
    rest, request = description[: found.start()].strip(), found["request"]
    if not request.endswith((".", "!", "。", '"')):
        request = request.rpartition(" ")[0]  # it was cut within a word
    long = min(len(rest.split()), len(request.split())) >= _WORDS
    return (rest, request) if long else (description, "")


def clinc(path: Path, folder: Path) -> Task | None:
    """clinc150's in-scope intents as skills; None where the corpus is not present."""
    if not (path / "train.jsonl.gz").is_file():
        return None
    parts = []
    for split in ("train", "dev"):
        lines = [one for one in read_examples(path / f"{split}.jsonl.gz") if not isinstance(one, BadLine)]
        inside = [one for one in lines if one.truth.domain is not None]
        parts.append([(one.request.utterance or "", one.truth.intent or "") for one in inside])
    numbers = {name: i for i, name in enumerate(sorted({intent for _, intent in parts[0]}))}
    _write(folder / _TEXTS, (text for text, _ in parts[0]))
    np.save(folder / _NUMBERS, np.array([numbers[intent] for _, intent in parts[0]], np.int32))
    right = np.array([numbers[intent] for _, intent in parts[1]])
    return _asking(Task(folder, len(numbers)), [text for text, _ in parts[1]], right)


def _asking(task: Task, asked: Sequence[str], right: Numbers) -> Task:
    _write(task.folder / _ASKED, asked)
    np.save(task.folder / _RIGHT, right.astype(np.int32))
    return task
