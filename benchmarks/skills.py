"""Utterances with one known label for training and all acceptable skills for evaluation: sgd, bbai, synthetic."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Truths = NDArray[np.bool_]

_REFUSAL = re.compile(
    r"didn.?t (get|understand|catch)|say (that|it) again|say again|what was that|one more time|missed (that|what)"
    r"|tell me (again|one more)|out of scope|don.?t (know|understand|have an)|not supported|tell me again"
    r"|not sure (how|i)|couldn.?t (find|understand)|can.?t help",
    re.IGNORECASE,
)
"""Refusals by bbai's assistants; "For what date?" is none."""


@dataclass(frozen=True)
class Task:
    """Utterances with the skill named by each and, for evaluation only, all acceptable skills: (n, skills).

    Data are split by `groups` (dialogues). `spare` are unlabelled utterances; `refused`, of shape (spare, skills),
    marks the skills that refused them. `failed` are rows used as feedback only: the named service could not serve them.
    """

    name: str
    skills: tuple[str, ...]
    utterances: tuple[str, ...]
    named: Rows
    acceptable: Truths
    groups: Rows
    failed: Rows
    spare: tuple[str, ...]
    refused: Truths | None = None


@dataclass(frozen=True)
class Services:
    """The services of sgd: the schema's domain of each, the services of each intent, and their descriptions."""

    domain: dict[str, str]
    offering: dict[tuple[str, str], frozenset[str]]
    descriptions: dict[str, list[str]]

    @staticmethod
    def read(path: Path) -> Services:
        """The services of `services.json`."""
        services = json.loads(path.read_text(encoding="utf-8"))
        offering: dict[tuple[str, str], set[str]] = defaultdict(set)
        descriptions = {}
        for one in services:
            for intent in one["intents"]:
                offering[one["domain"], intent].add(one["service"])
            about = [what["description"] for what in one["intents"].values()]
            descriptions[one["service"]] = [one["description"], *about]
        fixed = {key: frozenset(names) for key, names in offering.items()}
        return Services({one["service"]: one["domain"] for one in services}, fixed, descriptions)

    def acceptable(self, row: dict[str, Any]) -> frozenset[str]:
        """The services of the row's domain with its intent."""
        return self.offering[self.domain[row["domain"]], row["intent"]]


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def turns(folder: Path, split: str) -> list[dict[str, Any]]:
    """The turns of a split with an intent."""
    return [row for row in read(folder / f"{split}.jsonl.gz") if row["intent"] != "NONE"]


def opens(row: dict[str, Any]) -> bool:
    """True where a turn opens a new request rather than continuing one: the case for arbitration."""
    context = row.get("context", {})
    return bool(context.get("prev_intent") != row["intent"] or context.get("prev_service") != row["domain"])


def truths(rows: Sequence[dict[str, Any]], services: Services, skills: Sequence[str]) -> Truths:
    """The acceptable ones of the skills, for each row."""
    return np.array([[skill in services.acceptable(row) for skill in skills] for row in rows], bool)


def sgd(folder: Path, *, every_turn: bool = False, spare: float = 0.1, share: float = 1.0, seed: int = 0) -> Task:
    """The requests of a share of sgd's training dialogues; those of a tenth of them without labels.

    Without `every_turn` only those that open something new, and, as feedback only, the turns whose service failed.
    """
    services = Services.read(folder / "services.json")
    everything = turns(folder, "train")
    skills = tuple(sorted({row["domain"] for row in everything}))
    rng = np.random.default_rng(seed)
    dialogues = sorted({row["dialogue"] for row in everything})
    draws = dict(zip(dialogues, rng.random(len(dialogues)) / share, strict=True))
    unlabelled = {name for name, draw in draws.items() if draw < spare}
    chosen = [
        row
        for row in everything
        if draws[row["dialogue"]] < 1.0 and (every_turn or opens(row) or row.get("system_failed"))
    ]
    rows = [row for row in chosen if row["dialogue"] not in unlabelled]
    number = {name: i for i, name in enumerate(skills)}
    return Task(
        "sgd, every turn" if every_turn else "sgd",
        skills,
        tuple(row["text"] for row in rows),
        np.array([number[row["domain"]] for row in rows]),
        truths(rows, services, skills),
        np.unique([row["dialogue"] for row in rows], return_inverse=True)[1],
        np.flatnonzero([bool(row.get("system_failed")) and not every_turn and not opens(row) for row in rows]),
        tuple(row["text"] for row in chosen if row["dialogue"] in unlabelled and (every_turn or opens(row))),
    )


def bbai(folder: Path, *, seed: int = 0) -> Task:
    """Questions to assistants; the label is drawn from those that answered well, refusals are read from the replies."""
    rows = [row for split in ("train", "dev") for row in read(folder / f"{split}.jsonl.gz")]
    skills = tuple(sorted({name for row in rows for name in row["agents_ok"]}))
    acceptable = np.array([[skill in row["agents_ok"] for skill in skills] for row in rows], bool)
    replies = list(read(folder / "responses.jsonl.gz"))
    rng = np.random.default_rng(seed)
    return Task(
        "bbai",
        skills,
        tuple(row["text"] for row in rows),
        np.array([rng.choice(np.flatnonzero(one)) for one in acceptable]),
        acceptable,
        np.arange(len(rows)),
        np.empty(0, np.int64),
        tuple(row["text"] for row in replies),
        np.array([[_refuses(row["responses"].get(skill, "")) for skill in skills] for row in replies], bool),
    )


def synthetic(n: int = 1_500, *, seed: int = 0) -> Task:
    """Twelve skills in groups of one to three that serve the same requests; a third of the words is noise."""
    rng = np.random.default_rng(seed)
    owners = [(0, 1), (2,), (3, 4, 5), (6,), (7, 8), (9,), (10, 11)]
    group = rng.integers(len(owners), size=n)
    texts = [
        " ".join(
            f"word{rng.integers(40)}" if rng.random() < 0.34 else f"thing{g}x{rng.zipf(1.6) % 12}" for _ in range(5)
        )
        for g in group
    ]
    acceptable = np.zeros((n, 12), bool)
    for row, g in enumerate(group):
        acceptable[row, list(owners[g])] = True
    named = np.array([rng.choice(owners[g]) for g in group])
    kept = n - n // 6
    return Task(
        "synthetic",
        tuple(f"skill{i}" for i in range(12)),
        tuple(texts[:kept]),
        named[:kept],
        acceptable[:kept],
        np.arange(kept),
        np.empty(0, np.int64),
        tuple(texts[kept:]),
        ~acceptable[kept:],
    )


def _refuses(reply: str) -> bool:
    return not reply.strip() or bool(_REFUSAL.search(reply))
