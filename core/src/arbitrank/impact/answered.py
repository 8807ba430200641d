"""Impact of a change of a stage: requests that are answered whole, before and after, as no domain's scores show it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.answerlog.reader import source
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.fallback import FALLBACK
from arbitrank.errors import DataError
from arbitrank.impact.flips import ROW, SIDES, Rows, Side, worst, worst_flips
from arbitrank.impact.replayed import Replayed, decoded, fill_truths
from arbitrank.impact.report import Impact, impact_of
from arbitrank.impact.work import CHUNK, Chunks
from arbitrank.semer import same_reading, semer
from arbitrank.values import Answer, Ranked, Request
from arbitrank.wire.requests import Logged

MOST = 5_000
"""Requests that are answered; of more a sample is drawn."""

_QUERIED = ("answered", "failed", "late")
_DECIDED = DecisionSettings(none=0.5, clarify=0.5, accept=0.0)  # by which rows are decided as their answers were


def answered_impact(
    path: Path,
    before: Callable[[Request], Answer],
    after: Callable[[Request], Answer],
    name: str,
    versions: tuple[str | None, str],
    *,
    since: float | None = None,
    called: str | None = None,
    most: int = MOST,
) -> tuple[Impact, Replayed]:
    """The impact of replacing a version of the stage `name` by another on the requests of a file or a log's folder.

    Of more than `most` requests, since then, a random sample is answered, always the same. Raises `DataError` where the
    file cannot be read, or holds no request. The decision "none" is an answer like others, as users have it.
    """
    found, sample, n = Replayed(), list[tuple[int, Logged]](), 0
    requests, draw = source(path), random.Random(0)
    for some in Chunks(requests):
        for one in zip(*decoded(some, requests, since, found), strict=True):
            n += 1
            if len(sample) < most:
                sample.append(one)
            elif (at := draw.randrange(n)) < most:
                sample[at] = one
    if not sample:
        raise DataError(f"{path}: no request to replay, expected some")
    sample.sort(key=lambda one: one[0])
    notes = _Notes()
    for start in range(0, len(sample), CHUNK):
        _answer(sample[start : start + CHUNK], before, after, found, notes)
    impact = impact_of(found, _DECIDED, name, versions, called or path.name, none_counts=True)
    drawn = [f"{len(sample):,} of {n:,} requests, drawn at random"] if n > len(sample) else []
    return replace(impact, notes=[*drawn, *notes.texts(len(sample))]), found


def _answer(
    some: Sequence[tuple[int, Logged]],
    before: Callable[[Request], Answer],
    after: Callable[[Request], Answer],
    found: Replayed,
    notes: _Notes,
) -> None:
    """Answer requests on both sides, and add their rows and their flips."""
    numbers, lines = [number for number, _ in some], [line for _, line in some]
    rows, heads = np.zeros(len(lines), ROW), list[list[Ranked | None]]()
    fill_truths(rows, numbers, lines, found)
    asked = list(map(_request, lines))
    answers = {"before": list(map(before, asked)), "after": list(map(after, asked))}
    for side in SIDES:
        heads.append([one.chosen or one.best for one in answers[side]])
        _fill(rows, side, answers[side], heads[-1], lines, found)
    rows["situation"] = rows["reaction"] = -1
    rows["moved"] = [not same_reading(*pair) for pair in zip(*heads, strict=True)]
    for counts, kept in found.worst.items():
        found.worst[counts] = worst([*kept, *worst_flips(rows, lines, heads, _DECIDED if counts else None)])
    found.rows = np.concatenate([found.rows, rows])
    for pair in zip(*answers.values(), strict=True):
        notes.add(*pair)


def _request(line: Logged) -> Request:
    """The request as it came, to be answered again: its words without the hypotheses that were recognised then."""
    again = line.recognised and line.utterance is not None
    fields = {name: getattr(line, name) for name in Request.__struct_fields__}
    return Request(**fields | ({"hypotheses": None} if again else {}))


def _fill(
    rows: Rows,
    side: Side,
    answers: Sequence[Answer],
    heads: Sequence[Ranked | None],
    lines: Sequence[Logged],
    found: Replayed,
) -> None:
    """Fill in one side of the rows so that `_DECIDED` decides as the answers did."""
    one = rows[side]
    actions = [answer.decision.action for answer in answers]
    one["head"] = [-1 if head is None else found.names[head.domain] for head in heads]
    one["probability"] = [0.0 if head is None else head.probability or 0.0 for head in heads]
    one["out_of_scope"] = [float(action == "none") for action in actions]
    one["closest"] = [0.0 if action == "clarify" else np.inf for action in actions]
    one["fallback"] = [answer.decision.reason == FALLBACK for answer in answers]
    for i, (head, line) in enumerate(zip(heads, lines, strict=True)):
        if head is not None and line.truth is not None:
            rate = semer(head, line.truth)
            one["right"][i], one["semer"][i] = rate == 0.0, rate
            one["domain_right"][i] = line.truth.owned_by(head.domain)
        elif head is None:
            one["semer"][i] = 1.0


class _Notes:
    """Counts of what a stage changes beside the answers: the domains that are queried, the first skill of a list."""

    def __init__(self) -> None:
        self._queried, self._listed, self._first = [0, 0], 0, 0

    def add(self, before: Answer, after: Answer) -> None:
        """Count a request's answers."""
        for side, answer in enumerate((before, after)):
            self._queried[side] += sum(one.status in _QUERIED for one in answer.domains.values())
        lists = [() if one.shortlist is UNSET else one.shortlist.candidates for one in (before, after)]
        if all(lists):
            self._listed += 1
            self._first += lists[0][0].skill != lists[1][0].skill

    def texts(self, n: int) -> list[str]:
        """The counts of `n` requests in words, where they say anything."""
        found = []
        if self._queried[0] != self._queried[1]:
            before, after = (one / n for one in self._queried)
            found.append(f"domains queried of a request: {before:.2f} before, {after:.2f} after")
        if self._first:
            found.append(f"another skill heads {self._first} of {self._listed} shortlists")
        return found
