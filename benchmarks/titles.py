"""Requests for titles that several media share, sampled from a known model, so that the best decision is known.

A title exists in two or three media. A user on a device asks for it in words that fit all of them, and means one of the
media with the probability that the device gives it. The words do not reveal which.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from arbitrank.evaluate.corpus import Corpus
from arbitrank.values import Example, Request, Slot, Truth

MEDIA = ("books", "music", "video")
DEVICES: Mapping[str, tuple[float, float, float]] = {
    "tv": (0.05, 0.15, 0.80),
    "speaker": (0.35, 0.60, 0.05),
    "car": (0.30, 0.68, 0.02),
    "phone": (0.20, 0.45, 0.35),
    "tablet": (0.40, 0.15, 0.45),
}
"""Invented shares of `MEDIA` on each device, where all of them have the title."""

PHRASES = ("play {}", "start {}", "put on {}", "open {}", "find {}", "i want {}", "play {} please", "can you play {}")

_PLAIN = re.compile(r"[a-z][a-z ]{2,30}")
_SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
_SUBSETS = (("books", "music"), ("books", "video"), ("music", "video"), MEDIA)

Titles = Mapping[str, tuple[str, ...]]
"""The media that have a title of this name."""


def read_titles(path: Path) -> Titles:
    """The shared titles of a file that are plain words, with those of `MEDIA` that have them, where two or more do."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = {row["norm"]: tuple(m for m in MEDIA if m in row["media"]) for row in rows if _PLAIN.fullmatch(row["norm"])}
    return {title: media for title, media in found.items() if len(media) > 1}


def invented_titles(count: int, seed: int = 0) -> Titles:
    """Titles of one to three made-up words, each in a random choice of two or three media."""
    rng = np.random.default_rng(seed)
    found: dict[str, tuple[str, ...]] = {}
    while len(found) < count:
        words = ("".join(rng.choice(_SYLLABLES, rng.integers(2, 4))) for _ in range(rng.integers(1, 4)))
        found[" ".join(words)] = _SUBSETS[rng.integers(len(_SUBSETS))]
    return found


def chances(media: Sequence[str], device: str) -> dict[str, float]:
    """P(the person means the medium), for the media that have the title, on the device."""
    weights = {m: DEVICES[device][MEDIA.index(m)] for m in media}
    return {m: weight / sum(weights.values()) for m, weight in weights.items()}


def draw(titles: Titles, *, train: int, held: int, seed: int = 0) -> Corpus:
    """Requests from the model; those held out ask for other titles than those trained on.

    Each example's `extra` holds the `media` that have its title.
    """
    rng = np.random.default_rng(seed)
    names = sorted(titles)
    order = rng.permutation(len(names))
    border = len(names) * train // (train + held)
    drawn = [
        _example(names[order[place]], titles, rng, number)
        for number, place in enumerate([*rng.integers(0, border, train), *rng.integers(border, len(names), held)])
    ]
    return Corpus("titles", MEDIA, tuple(drawn[:train]), (), tuple(drawn[train:]), "held out", ())


def _example(title: str, titles: Titles, rng: np.random.Generator, number: int) -> Example:
    device = str(rng.choice(list(DEVICES)))
    of = chances(titles[title], device)
    meant = str(rng.choice(list(of), p=list(of.values())))
    phrase = str(rng.choice(PHRASES))
    start = phrase.index("{")
    return Example(
        Request(id=str(number), utterance=phrase.format(title), context={"device": device}),
        Truth(meant, "Open", (Slot("title", title, start=start, end=start + len(title)),)),
        {"media": titles[title]},
    )
