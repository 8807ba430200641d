"""Lessons of a log: weighted examples for re-rankers from accepted, rejected and rephrased answers.

A reaction is no truth. What it says is P(the reading was entirely right | the reaction), by the calibrated claim before
it and the noise of all reactions (`arbitrank.outcomes.beliefs`); the example of a right reading has that weight, and
those of a wrong one the rest: of a reading that is wrong, P(the request is the domain's all the same) follows from
P(mine) and P(right). So with claims that are right and noise that is known, lessons say on average what the claims say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from arbitrank.normal_text import comparable
from arbitrank.outcomes.beliefs import Beliefs, beliefs
from arbitrank.outcomes.reactions import ReactionRows
from arbitrank.outcomes.rephrasing import Rephrasings
from arbitrank.semer import same_reading
from arbitrank.values import Example, Ranked, Request, Truth
from arbitrank.wire.requests import Logged

Kind = Literal["accepted", "rejected", "rephrased"]

MARK = "arbitrank_lesson"
"""The key of an example's `extra` that says which kind of lesson it is, and that no line of a log has."""

SHARE = 1.0
"""The weight of all lessons together, at most, for each labelled request."""

_REPHRASED = 0.8  # P(what was accepted after a rephrasing is what was meant before)
_LEAST = 0.02  # the smallest weight of a lesson; of lighter ones so many are left that they weigh the same together


class Lesson(NamedTuple):
    """An example, and the domain that it is for; None is every domain."""

    domain: str | None
    example: Example


@dataclass
class LessonReport:
    """Lessons by domain and kind, and the noise that they were weighed with."""

    lessons: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    weight: dict[tuple[str, Kind], float] = field(default_factory=lambda: defaultdict(float))
    labelled: int = 0
    reactions: int = 0
    nameless: int = 0
    scale: float = 1.0
    noise: Beliefs | None = None

    def notes(self, domain: str | None = None) -> Iterator[str]:
        """Remarks on the lessons of a domain, or of all, for people."""
        if self.noise is None or not self.reactions:
            yield "no answer of this log was accepted or rejected; report some: POST /v1/feedback"
            return
        kinds, weights = Counter[Kind](), defaultdict[Kind, float](float)
        for (name, kind), n in self.lessons.items():
            if domain in (None, name):
                kinds[kind] += n
                weights[kind] += self.weight[name, kind]
        counts = ", ".join(f"{kinds[kind]} {kind} that weigh {weights[kind]:.1f}" for kind in sorted(kinds))
        noise = self.noise
        yield (
            f"lessons from outcomes: {counts or 'none'}; estimated: {100 * noise.spurious:.0f} % of right answers are "
            f"rejected, {100 * noise.missed:.0f} % of wrong ones accepted"
        )
        if noise.distrusted or noise.capped:
            yield (
                f"{noise.distrusted} clients' outcomes have nothing to do with the answers and hardly count; "
                f"{noise.capped} clients are limited to 5 % of a domain's weight"
            )
        if self.nameless:
            yield f"{self.nameless} outcomes name neither account nor session; together they count as one client's"


def lessons(lines: Callable[[], Iterable[Logged]], report: LessonReport) -> Iterator[Lesson]:
    """The lessons of a log, which is read twice; what is labelled teaches nothing here, as it is an example itself."""
    rows, rephrasings = ReactionRows(), Rephrasings()
    for place, line in enumerate(lines()):
        rows.add(line, place)
        rephrasings.add(place, line)
        report.labelled += line.truth is not None
    reactions = rows.reactions()
    noise = beliefs(reactions)
    report.noise, report.nameless = noise, reactions.nameless
    report.reactions = int(reactions.reacted.sum())
    told = (1.0 - noise.spurious - noise.missed) ** 2  # the information of a reaction, in units of a truth's
    unlabelled = float(noise.weight[~reactions.known].sum())
    report.scale = min(1.0, SHARE * report.labelled / unlabelled) if unlabelled else 1.0
    judged = {
        place: (float(right), report.scale * told * float(weight))
        for place, right, weight in zip(rows.places, noise.right, noise.weight, strict=True)
    }
    rephrased = rephrasings.found()
    for place, line in enumerate(lines()):
        if line.truth is not None or line.answer is None:
            continue
        if place in rephrased and rephrased[place][0] in judged:
            second, reading = rephrased[place]
            right, weight = judged[second]
            found: Iterable[tuple[Kind, Lesson]] = _of_rephrased(line, reading, _REPHRASED * right * weight)
        elif place in judged and line.called is None and line.outcome is not None:
            found = _of_reaction(line, *judged[place])
        else:
            continue
        for kind, lesson in found:
            name = lesson.domain or next(iter(lesson.example.truth.owners), "")
            report.lessons[name, kind] += 1
            report.weight[name, kind] += lesson.example.weight
            yield lesson


def _of_reaction(line: Logged, right: float, weight: float) -> Iterator[tuple[Kind, Lesson]]:
    """The lessons of a reaction to the reading that was acted on."""
    reading = line.answer.chosen if line.answer else None
    if reading is None or line.outcome is None:
        return
    kind, name = line.outcome, reading.domain
    yield from _weighed(kind, line, None, Truth(name, reading.intent, reading.slots), weight * right)
    mine, p = reading.domain_probability or 0.0, reading.probability or 0.0
    still_mine = min(max((mine - p) / max(1.0 - p, 1e-9), 0.0), 1.0)
    wrong = weight * (1.0 - right)
    yield from _weighed(kind, line, name, Truth(None), wrong * (1.0 - still_mine))
    if all(h.intent != name for h in line.hypotheses or () if h.domain == name):
        # Without an intent the truth's is the domain's own name, which no reading here has: none of them is right.
        yield from _weighed(kind, line, name, Truth(name), wrong * still_mine)


def _of_rephrased(line: Logged, reading: Ranked, weight: float) -> Iterator[tuple[Kind, Lesson]]:
    """The lessons of an answer that was not accepted, and the reading that was after a rephrasing."""
    words = comparable(line.utterance or "")
    known = any(same_reading(h, reading) for h in line.hypotheses or ())
    if known or all(comparable(slot.value) in words for slot in reading.slots):
        yield from _weighed("rephrased", line, None, Truth(reading.domain, reading.intent, reading.slots), weight)
    elif line.answer is not None and (first := line.answer.chosen) is not None:
        yield from _weighed("rephrased", line, first.domain, Truth(None), weight)


def _weighed(
    kind: Kind, line: Logged, domain: str | None, truth: Truth, weight: float
) -> Iterator[tuple[Kind, Lesson]]:
    if weight < _LEAST:
        # Drawn by the request: were they left out, the small rests of sure labels, claims would become too sure.
        drawn = blake2b(f"{line.id}/{line.time}/{domain}/{truth.domain}".encode(), digest_size=4).digest()
        if int.from_bytes(drawn) >= 2**32 * weight / _LEAST:
            return
        weight = _LEAST
    # Without an id, of which the last example would count alone.
    request = replace(_request(line), id=None)
    extra: dict[str, Any] = {"weight": weight, MARK: kind}
    if line.time is not None:
        extra["time"] = line.time
    if line.utterance_hash is not None:
        extra["utterance_hash"] = line.utterance_hash
    yield kind, Lesson(domain, Example(request, truth, extra))


def _request(line: Logged) -> Request:
    return Request(**{name: getattr(line, name) for name in Request.__struct_fields__})


def is_lesson(example: Example) -> bool:
    """True for an example that a reaction taught, and no truth."""
    return MARK in example.extra
