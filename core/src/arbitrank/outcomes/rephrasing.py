"""Rephrasings in a log: an answer that was not accepted, and the next words of the session, alike, answered elsewhere.

The idea is Ponnusamy et al.'s (arXiv 1911.02557, 2010.12251): users who are misunderstood say it again in other words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from arbitrank.normal_text import comparable
from arbitrank.values import Ranked
from arbitrank.wire.requests import Logged, identity

WINDOW = 60.0
"""Seconds within which the next words are a rephrasing."""

ALIKE = 0.5
"""Dice coefficient of the character trigrams from which on two utterances are alike."""

_GRAM = 3


@dataclass(frozen=True, slots=True)
class _Turn:
    time: float
    place: int
    words: str
    reading: Ranked | None
    accepted: bool


@dataclass
class Rephrasings:
    """Rephrasings of a log's lines, which are added in any order, numbered from 0."""

    _sessions: dict[str, list[_Turn]] = field(default_factory=lambda: defaultdict(list))

    def add(self, place: int, line: Logged) -> None:
        """Add a line; one without words, session, time or answer is no part of any."""
        session = identity(line.session)
        if line.utterance is None or line.time is None or line.answer is None or session is None:
            return
        turn = _Turn(
            line.time,
            place,
            comparable(line.utterance),
            line.answer.chosen,
            line.outcome == "accepted" and line.called is None,
        )
        self._sessions[session].append(turn)

    def found(self) -> Mapping[int, tuple[int, Ranked]]:
        """By the number of a line that was not accepted: that of its rephrasing, and the reading accepted there."""
        pairs = {}
        for turns in self._sessions.values():
            turns.sort(key=lambda turn: (turn.time, turn.place))
            for first, second in pairwise(turns):
                reading = second.reading
                if first.accepted or not second.accepted or reading is None or second.time - first.time > WINDOW:
                    continue
                elsewhere = first.reading is None or first.reading.domain != reading.domain
                if elsewhere and first.words != second.words and alike(first.words, second.words) >= ALIKE:
                    pairs[first.place] = second.place, reading
        return pairs


def alike(one: str, other: str) -> float:
    """Dice coefficient of the character trigrams of two texts, in [0, 1]."""
    a, b = _grams(one), _grams(other)
    return 2.0 * len(a & b) / (len(a) + len(b))


def _grams(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[i : i + _GRAM] for i in range(max(1, len(padded) - _GRAM + 1))}
