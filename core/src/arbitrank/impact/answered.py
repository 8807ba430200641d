"""Impact of a change of a stage: requests that are answered whole, before and after, as no domain's scores show it."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.answerlog.joining import view, written_since
from arbitrank.answerlog.reader import source
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.fallback import FALLBACK
from arbitrank.arbitration.outcomes import Arbitration
from arbitrank.arbitration.policy import Policy
from arbitrank.errors import DataError
from arbitrank.impact.flips import ROW, SIDES, Rows, Side, worst, worst_flips
from arbitrank.impact.logged_actions import UNPROMOTED, ExchangedVersions, fill_logged
from arbitrank.impact.replayed import Replayed, decoded, fill_truths
from arbitrank.impact.report import Impact, impact_of
from arbitrank.impact.valued import ValueReport, value_of
from arbitrank.impact.work import CHUNK, Chunks, Requests
from arbitrank.semer import same_reading, semer
from arbitrank.values import Answer, Ranked, Request
from arbitrank.wire.requests import Logged

MOST = 5_000
"""Requests that are answered, and as many with a reaction; of more a sample is drawn."""

_QUERIED = ("answered", "failed", "late")
_DECIDED = DecisionSettings(none=0.5, clarify=0.5, accept=0.0)  # by which rows are decided as their answers were
_NONE = float(np.nextafter(0.5, 1.0))  # the least P(no domain) of the decision none, by these
_OPERATOR = "operator"  # the name of the operator's settings in draws of canaries

Lines = Mapping[int, Logged]


@dataclass(frozen=True)
class StageExchange:
    """The versions of a stage that are exchanged, and what answers requests before and after."""

    versions: ExchangedVersions
    arbitrate: Mapping[Side, Callable[[Request], Arbitration]]

    @classmethod
    def of(
        cls,
        name: str,
        before: str | None,
        after: str,
        arbitrate: Mapping[Side, Callable[[Request], Arbitration]],
        policy: Policy | None = None,
    ) -> StageExchange:
        """The exchange of two versions, None for no version; `policy` is the operator's."""
        beside = (_OPERATOR, UNPROMOTED) if before is None else (before,)
        return cls(ExchangedVersions(name, before, after, beside, _DECIDED, policy, sorts=True), arbitrate)


class _Sample:
    """A random sample of at most so many lines by their numbers, always the same of the same ones; `n` counts all."""

    def __init__(self, most: int) -> None:
        self.n, self._most, self._draw = 0, most, random.Random(0)
        self._kept = list[tuple[int, Logged]]()

    def add(self, number: int, line: Logged) -> None:
        """Count a line, and perhaps take it."""
        self.n += 1
        if self.n <= self._most:
            self._kept.append((number, line))
        elif (at := self._draw.randrange(self.n)) < self._most:
            self._kept[at] = (number, line)

    @property
    def lines(self) -> dict[int, Logged]:
        """The lines that were drawn, by number."""
        return dict(sorted(self._kept, key=lambda one: one[0]))

    def notes(self, what: str) -> list[str]:
        """That it is a sample, where it is one."""
        return [f"{self._most:,} of {self.n:,} {what}, drawn at random"] if self.n > self._most else []


def answered_impact(
    path: Path,
    exchange: StageExchange,
    *,
    since: float | None = None,
    called: str | None = None,
    seed: int = 0,
    most: int = MOST,
) -> tuple[Impact, Replayed]:
    """The impact of replacing a version of a stage by another on the requests of a file or a log's folder, since then.

    Of more than `most` requests a random sample is answered, always the same, and one of those with a reaction. Raises
    `DataError` where the file cannot be read, or holds no request. The decision "none" is an answer like others, as
    users have it.
    """
    requests = source(path)
    found, sample, reacted = _read(requests, since, most)
    if not sample.n:
        raise DataError(f"{path}: no request to replay, expected some")
    notes, on = _Notes(), called or path.name
    rows = _answered(exchange, sample.lines, reacted.lines, found, notes)
    found.rows = rows[np.isin(rows["line"], [*sample.lines])]
    of = exchange.versions
    impact = impact_of(found, _DECIDED, of.name, (of.before, of.after), on, seed, none_counts=True)
    value = _value(exchange, rows, reacted, found, on, sample.n) if reacted.n else None
    return replace(impact, notes=[*sample.notes("requests"), *notes.texts(len(sample.lines))], value=value), found


def answered_value(log: Path, exchange: StageExchange, since: float | None, *, most: int = MOST) -> ValueReport:
    """The value of replacing a version of a stage, by the reactions in a log from a time on, None for all.

    Raises as `answered_impact` does.
    """
    seen = view(log)
    found, sample, reacted = _read(seen if since is None else written_since(seen, since), since, most)
    rows = _answered(exchange, {}, reacted.lines, found, _Notes())
    return _value(exchange, rows, reacted, found, log.name, sample.n)


def _read(requests: Requests, since: float | None, most: int) -> tuple[Replayed, _Sample, _Sample]:
    """Samples of all requests since then and of those with a reaction to their answer; bad lines are counted."""
    found, sample, reacted = Replayed(), _Sample(most), _Sample(most)
    chunks = Chunks(requests)
    for some in chunks:
        for number, line in zip(*decoded(some, requests, since, found), strict=True):
            sample.add(number, line)
            if line.outcome is not None and line.answer is not None:
                reacted.add(number, line)
    found.use = chunks.use
    return found, sample, reacted


def _value(exchange: StageExchange, rows: Rows, reacted: _Sample, found: Replayed, on: str, n: int) -> ValueReport:
    """The value report of the rows with a reaction, of `n` requests."""
    own = rows[np.isin(rows["line"], [*reacted.lines])]
    valued = dataclasses.replace(found, rows=own, silent=n - len(own))
    report = value_of(valued, exchange.versions, on, unused=None if found.use is None else found.use.unused)
    return replace(report, notes=[*reacted.notes("reactions"), *report.notes])


def _answered(exchange: StageExchange, sampled: Lines, reacted: Lines, found: Replayed, notes: _Notes) -> Rows:
    """The rows of lines, answered on both sides: flips are of those `sampled`, reactions of those `reacted`."""
    lines = dict(sorted({**sampled, **reacted}.items()))
    numbers, rows = [*lines], [np.zeros(0, ROW)]
    for start in range(0, len(numbers), CHUNK):
        some = {number: lines[number] for number in numbers[start : start + CHUNK]}
        rows.append(_chunk(exchange, some, sampled, reacted, found, notes))
    return np.concatenate(rows)


def _chunk(
    exchange: StageExchange, some: Lines, sampled: Lines, reacted: Lines, found: Replayed, notes: _Notes
) -> Rows:
    """The rows of some lines."""
    lines, rows = [*some.values()], np.zeros(len(some), ROW)
    fill_truths(rows, [*some], lines, found)
    heads, asked = list[list[Ranked | None]](), [*map(_request, lines)]
    answers = {side: [*map(exchange.arbitrate[side], asked)] for side in SIDES}
    for side in SIDES:
        heads.append([one.answer.chosen or one.answer.best for one in answers[side]])
        _fill(rows, side, answers[side], heads[-1], lines, found)
    rows["situation"] = rows["reaction"] = -1
    rows["moved"] = [not same_reading(*pair) for pair in zip(*heads, strict=True)]

    def part(of: Lines) -> tuple[list[int], list[Logged], list[list[Ranked | None]]]:
        places = [i for i, number in enumerate(some) if number in of]
        return places, [lines[i] for i in places], [[side[i] for i in places] for side in heads]

    places, own, their = part(sampled)
    for counts, kept in found.worst.items():
        found.worst[counts] = worst([*kept, *worst_flips(rows[places], own, their, _DECIDED if counts else None)])
    for i in places:
        notes.add(*(answers[side][i].answer for side in SIDES))
    places, own, their = part(reacted)
    used = rows[places]
    fill_logged(used, own, their, exchange.versions, found)
    rows[places] = used
    return rows


def _request(line: Logged) -> Request:
    """The request as it came, to be answered again: its words without the hypotheses that were recognised then."""
    again = line.recognised and line.utterance is not None
    fields = {name: getattr(line, name) for name in Request.__struct_fields__}
    return Request(**fields | ({"hypotheses": None} if again else {}))


def _fill(
    rows: Rows,
    side: Side,
    answers: Sequence[Arbitration],
    heads: Sequence[Ranked | None],
    lines: Sequence[Logged],
    found: Replayed,
) -> None:
    """Fill in one side of the rows so that `_DECIDED` decides as the answers did."""
    one = rows[side]
    actions = [each.answer.decision.action for each in answers]
    one["head"] = [-1 if head is None else found.names[head.domain] for head in heads]
    one["probability"] = [0.0 if head is None else head.probability or 0.0 for head in heads]
    one["out_of_scope"] = [
        max(_NONE, each.out_of_scope) if action == "none" else min(0.5, each.out_of_scope)
        for each, action in zip(answers, actions, strict=True)
    ]
    one["closest"] = [0.0 if action == "clarify" else np.inf for action in actions]
    one["fallback"] = [each.answer.decision.reason == FALLBACK for each in answers]
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
        self._queried, self._listed, self._first, self._asked = [0, 0], 0, 0, 0

    def add(self, before: Answer, after: Answer) -> None:
        """Count a request's answers."""
        for side, answer in enumerate((before, after)):
            self._queried[side] += sum(one.status in _QUERIED for one in answer.domains.values())
        self._asked += {before.decision.action, after.decision.action} == {"accept", "clarify"}
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
        if self._asked:
            found.append(f"{self._asked} requests change between accept and clarify, which is no flip")
        if self._first:
            found.append(f"another skill heads {self._first} of {self._listed} shortlists")
        return found
