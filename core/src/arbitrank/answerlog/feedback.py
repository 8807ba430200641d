"""Feedback on answers: truths and users' reactions, joined with the requests that they name, if they can be theirs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, UnsetType
from msgspec.structs import force_setattr, replace

from arbitrank.truths import Labelling, any_of
from arbitrank.values import Truth
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import Logged, Outcome, SkillName, names_another

CLOCKS = 60.0
"""Seconds by which clocks of two machines may differ."""


class Feedback(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The truth of an answered request, the user's reaction to the answer, or both, by the request's id.

    Its JSON is a line of the log and the body of a call to a service, whose ids the line has as `request_id` and
    `traceparent`. `called` is the skill that the reaction is to, by its name in the answer's shortlist, where the
    caller chose it. `session`, where it is given, has to be the request's. Raises `ValueError` where it has neither
    truth nor reaction.
    """

    id: Annotated[str, Meta(min_length=1)]
    truth: Labelling | None = None
    outcome: Outcome | None = None
    called: SkillName | None = None
    time: float | None = None
    session: Annotated[str, Meta(max_length=200)] | None = None
    request_id: str | None = None
    traceparent: str | None = None

    def __post_init__(self) -> None:
        if self.truth is not None:
            force_setattr(self, "truth", any_of(self.truth))
        if self.truth is None and self.outcome is None:
            raise ValueError("neither truth nor outcome, expected one of them")


class UnusedFeedback(msgspec.Struct):
    """Counts of the reactions that a log holds and that are not used, and of those of which an earlier one is not.

    `unknown`: no request of the log has the id. `repeated`: a later one of the same request was used. `early`: from
    before the answer. `future`: from a time that is yet to come. `other_session`: it names another session.
    """

    unknown: int = 0
    repeated: int = 0
    early: int = 0
    future: int = 0
    other_session: int = 0

    def __str__(self) -> str:
        counted = msgspec.structs.asdict(self).items()
        return ", ".join(f"{n} {_REASONS[name]}" for name, n in counted if n) or "none"


_REASONS = {
    "unknown": "of requests that the log does not hold",
    "repeated": "corrected by a later one",
    "early": "from before the answer",
    "future": "from a time to come",
    "other_session": "from another session",
}


class LineHead(msgspec.Struct, frozen=True):
    """The fields that tell a request from feedback and join the two; other values are left undecoded."""

    id: str | None = None
    utterance: Raw | UnsetType = UNSET
    hypotheses: Raw | UnsetType = UNSET
    answer: Raw | UnsetType = UNSET
    truth: Raw | UnsetType = UNSET
    session: Raw | UnsetType = UNSET
    time: float | None = None

    @property
    def is_feedback(self) -> bool:
        """True for a line that is no request."""
        return UNSET is self.utterance is self.hypotheses is self.answer


class Reaction(msgspec.Struct, gc=False):
    """A user's reaction, the skill that it is to, when it was reported, and the session that it names.

    `use` says what became of it: `JOINED`, `EARLY`, `OTHER_SESSION` and `REPEATED`, added up; 0 where no request has
    its id. `before` is the one before it of the same request, of another session.
    """

    outcome: Outcome
    called: str | None
    time: float | None
    session: str | None
    use: int = 0
    before: Reaction | None = None


JOINED, EARLY, OTHER_SESSION, REPEATED = 1, 2, 4, 8

_SESSIONS = 8  # whose reactions to one request are kept


class KnownTruth(NamedTuple):
    """A truth that was reported, when, and the session that it names; no time where that is yet to come."""

    truth: Truth
    time: float | None
    session: str | None

    @classmethod
    def of(cls, feedback: Feedback, now: float) -> KnownTruth | None:
        """The truth of feedback, None where it has none; `now` in seconds since 1970."""
        if feedback.truth is None:
            return None
        return cls(feedback.truth, None if _ahead(feedback, now) else feedback.time, feedback.session)

    def is_of(self, session: Any) -> bool:
        """True for the truth of a request of this session, which may be raw."""
        return not _of_another(self.session, session)

    def comes_after(self, known: float | None) -> bool:
        """True where it takes the place of one that was reported before it, at a time that may be unknown."""
        return not _later(known, self.time)


class FeedbackUse(NamedTuple):
    """The use of each reaction in a log, in its order, by the requests that were read; `|` adds those that others read.

    `repeated` and `future` are counts as in `UnusedFeedback`, of the whole log.
    """

    repeated: int
    future: int
    uses: bytes

    def __or__(self, other: FeedbackUse) -> FeedbackUse:
        both = (np.frombuffer(one.uses, np.uint8) for one in (self, other))
        return self._replace(uses=np.bitwise_or(*both).tobytes())

    @property
    def unused(self) -> UnusedFeedback:
        """The counts of reactions that are not used, once every request of the log was read."""
        uses = np.frombuffer(self.uses, np.uint8)
        unused = uses[uses & JOINED == 0]
        repeated = unused & REPEATED > 0
        early = (unused & EARLY > 0) & ~repeated
        other = (unused & OTHER_SESSION > 0) & ~repeated & ~early
        unknown, again, before, elsewhere = (int(one.sum()) for one in (uses == 0, repeated, early, other))
        return UnusedFeedback(unknown, self.repeated + again, before, self.future, elsewhere)


class FeedbackById:
    """The latest truth and the latest reactions of each request, by its id, and the use that is made of these.

    The latest is that with the greatest time; where one has none, that which was added last. A reaction that cannot be
    to the answer takes no other's place. `now` is the time from which on nothing can have been reported, in seconds
    since 1970.
    """

    def __init__(self, now: float | None = None) -> None:
        self._truths: dict[str, KnownTruth] = {}
        self._reactions: dict[str, Reaction] = {}
        self._repeated = self._future = 0
        self._now = time.time() if now is None else now

    def add(self, where: str, line: bytes) -> None:
        """Add a line of feedback, if it can be read."""
        feedback = read_feedback(where, line)
        if not isinstance(feedback, BadLine):
            self.take(feedback)

    def take(self, feedback: Feedback) -> None:
        """Add feedback that has been read."""
        if feedback.truth is not None and (known := KnownTruth.of(feedback, self._now)) is not None:
            before = self._truths.get(feedback.id)
            if before is None or known.comes_after(before.time):
                self._truths[feedback.id] = known
        if feedback.outcome is not None and _ahead(feedback, self._now):
            self._future += 1
        elif feedback.outcome is not None:
            reaction = Reaction(feedback.outcome, feedback.called, feedback.time, feedback.session)
            self._add_reaction(feedback.id, reaction)

    def joined(self, line: bytes, head: LineHead) -> bytes:
        """A request's line with its feedback appended. Of a repeated key the latter counts."""
        truth, reaction = self.truth(head), self.meet(head)
        if truth is None and reaction is None:
            return line
        fields = b"" if truth is None else b',"truth":' + msgspec.json.encode(truth)
        if reaction is not None:
            fields += f',"outcome":"{reaction.outcome}"'.encode()
            fields += b"" if reaction.called is None else b',"called":' + msgspec.json.encode(reaction.called)
        return b"".join((memoryview(line)[: line.rindex(b"}")], fields, b"}\n"))

    def with_feedback(self, line: Logged) -> Logged:
        """A decoded request with its feedback, as `joined` has it."""
        truth, reaction = self._truth(line.id, line.session), self._meet(line.id, line.time, line.session)
        if truth is not None:
            line = replace(line, truth=truth)
        if reaction is not None:
            line = replace(line, outcome=reaction.outcome, called=reaction.called or line.called)
        return line

    def only_reaction_to(self, id: str) -> bool:
        """True where a reaction names a request, and no truth does."""
        return id in self._reactions and id not in self._truths

    def use(self) -> FeedbackUse:
        """The use that the requests which were joined so far have made."""
        uses = (one.use for newest in self._reactions.values() for one in _and_before(newest))
        return FeedbackUse(self._repeated, self._future, bytes(uses))

    def truth(self, head: LineHead) -> Truth | None:
        """The truth that was reported of a request, None where there is none."""
        return self._truth(head.id, head.session)

    def meet(self, head: LineHead) -> Reaction | None:
        """The reaction to the answer of a request, None where there is none that can be."""
        return self._meet(head.id, head.time, head.session)

    def _add_reaction(self, id: str, new: Reaction) -> None:
        newest = self._reactions.get(id)
        if newest is None:
            self._reactions[id] = new
            return
        all_of = [*_and_before(newest)]
        place = next((i for i, one in enumerate(all_of) if not _later(one.time, new.time)), len(all_of))
        all_of.insert(place, new)
        kept = sorted({one.session: one for one in reversed(all_of)}.values(), key=all_of.index)[:_SESSIONS]
        self._repeated += len(all_of) - len(kept)
        for one, before in zip(kept, [*kept[1:], None], strict=True):
            one.before = before
        self._reactions[id] = kept[0]

    def _truth(self, id: str | None, session: Any) -> Truth | None:
        known = None if id is None else self._truths.get(id)
        return known.truth if known is not None and known.is_of(session) else None

    def _meet(self, id: str | None, answered: float | None, session: Any) -> Reaction | None:
        if id is None or (newest := self._reactions.get(id)) is None:
            return None
        found: Reaction | None = None
        one: Reaction | None = newest
        while one is not None:
            if found is not None:
                one.use |= REPEATED
            elif one.time is not None and answered is not None and one.time < answered - CLOCKS:
                one.use |= EARLY
            elif _of_another(one.session, session):
                one.use |= OTHER_SESSION
            else:
                one.use |= JOINED
                found = one
            one = one.before
        return found


def _ahead(feedback: Feedback, now: float) -> bool:
    return feedback.time is not None and feedback.time > now + CLOCKS


def _later(one: float | None, other: float | None) -> bool:
    """True for a time after the other; False where one is not known."""
    return one is not None and other is not None and one > other


def _and_before(newest: Reaction) -> Iterator[Reaction]:
    one: Reaction | None = newest
    while one is not None:
        yield one
        one = one.before


def _of_another(named: str | None, session: Any) -> bool:
    """True where feedback names a session that is not that of the request, which may still be raw."""
    if named is None or session is UNSET:
        return False
    return names_another(named, msgspec.json.decode(session) if isinstance(session, Raw) else session)


_decode = msgspec.json.Decoder(Feedback).decode


def read_feedback(where: str, line: bytes) -> Feedback | BadLine:
    """A line of feedback, or the problem where it cannot be read."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return BadLine(where, f"feedback that cannot be read: {error}")
