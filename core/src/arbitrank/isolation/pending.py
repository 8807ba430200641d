"""A request that a group of domains is answering: what each said, or why it has nothing to say, by the deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import msgspec
import numpy as np

from arbitrank.arbitration.dispatch import (
    MAX_HYPOTHESES,
    WHOLE,
    Answered,
    Call,
    Elsewhere,
    Failed,
    Late,
    Outcome,
    Place,
    check_features,
    checked_scores,
    checked_why,
)
from arbitrank.domain import Scores
from arbitrank.errors import PluginError, describe
from arbitrank.isolation.shared_memory import HALF, MODELS, REQUEST, Ask, Said
from arbitrank.isolation.worker_process import Gone, Worker, waited
from arbitrank.values import Hypothesis, Request

_RESTARTING = "its worker process is being started again"
_encode = msgspec.msgpack.Encoder().encode
_decode_said = msgspec.msgpack.Decoder(list[Said]).decode


class Remote(Elsewhere):
    """A model in a group's workers, by its number there."""

    def __init__(self, name: str, place: Place, number: int) -> None:
        super().__init__(name, place)
        self.number = number


class Pair(Protocol):
    """Two workers of which this request has the use: one that answers, and one that stands by."""

    deadline: float
    active: Worker | None
    spare: Worker | None

    def retire(self, worker: Worker) -> None:
        """Have a worker replaced; who stands by takes over."""

    def release(self) -> None:
        """Give back the use of them."""


class Told(Call):
    """A request of which it is known already how everybody fared."""

    def __init__(self, found: dict[str, Outcome]) -> None:
        self._found = found

    def outcomes(self) -> dict[str, Outcome]:
        """It."""
        return self._found


@dataclass
class _Part:
    """What one worker was asked: the domains, in order, and how many of them the other one is not asked for.

    `taken` of their outcomes are read. A `spoilt` worker is replaced, as its memory is short or somebody spoke for it.
    """

    worker: Worker
    names: list[str]
    began: float
    kept: int
    taken: int = 0
    spoilt: bool = False


class Asked(Call):
    """A request that a group is answering, by its worker and, where that one hangs or ends, the one that stands by."""

    def __init__(
        self,
        pair: Pair,
        models: Mapping[str, Elsewhere],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> None:
        self._pair, self._models, self._given, self._explain = pair, models, given, explain
        self._request = msgspec.structs.replace(request, hypotheses=None)
        self._by, self._half = began + pair.deadline, began + pair.deadline / 2
        self._open: list[_Part] = []
        self._found: dict[str, Outcome] = {}

    def start(self, worker: Worker | None, names: list[str], why: str = _RESTARTING) -> None:
        """Have a worker answer for these domains; without one they fail, and `why` says so."""
        numbers = [self._models[name].number for name in names]  # type: ignore[attr-defined]
        if worker is not None and not worker.loaded.issuperset(numbers):
            for name, number in zip(names, numbers, strict=True):
                if number not in worker.loaded:
                    reason = worker.refused.get(number, "it ended the worker process")
                    self._found[name] = Failed(f"cannot be loaded again: {reason}", 0.0, counts=0)
            names = [name for name in names if name not in self._found]
            numbers = [self._models[name].number for name in names]  # type: ignore[attr-defined]
        if worker is None or not names:
            self._found |= dict.fromkeys(names, Failed(why, 0.0, counts=0))
            return
        given = self._given
        own = None if given is None else tuple(tuple(given[name]) for name in names)
        try:
            content = _encode(Ask(self._explain, self._request, tuple(numbers), own))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self._found |= dict.fromkeys(names, Failed(f"the request can't be sent: {describe(error)}", 0.0, counts=0))
            return
        if len(content) > REQUEST or len(names) > MODELS:
            seen = f"{len(content)} bytes for {len(names)} domains"
            wrong = Failed(f"the request has {seen}, a worker takes {REQUEST} for {MODELS}", 0.0, counts=0)
            self._found |= dict.fromkeys(names, wrong)
            return
        part = _Part(worker, names, perf_counter(), len(names))
        self._open.append(part)
        try:
            worker.ask(content)
        except Gone as error:
            self._ended(part, error)

    def outcomes(self) -> dict[str, Outcome]:
        """How each domain fared."""
        try:
            until = self._half
            while self._open:
                heard = waited([part.worker for part in self._open], max(until - perf_counter(), 0.0))
                for part in [part for part in self._open if part.worker in heard]:
                    self._hear(part)
                if not heard and until < self._by:
                    until = self._by
                    self._hand_over(self._open[0])
                elif not heard:
                    for part in list(self._open):
                        self._overrun(part)
            return self._found
        finally:
            for part in self._open:  # something unforeseen was raised
                self._pair.retire(part.worker)
            self._pair.release()

    # ------------------------------------------------------------------------------------ what may become of a worker

    def _hear(self, part: _Part) -> None:
        """A worker is done, couldn't read the request, or has ended."""
        try:
            said_ = part.worker.reply()
        except ValueError:
            # A domain wrote where only the worker should. What matters lies in memory; the worker is replaced.
            part.spoilt, said_ = True, HALF
        except Gone as error:
            self._ended(part, error)
            return
        done = min(part.worker.memory.done(), len(part.names))
        if said_ not in (HALF, b""):
            reason = f"its worker couldn't read the request: {said_.decode(errors='replace')}"
            self._close(part, Failed(reason, 0.0, counts=0), part.names)
        elif done >= part.kept and (said_ == b"" or part.spoilt):
            self._take(part, done)
            if part.spoilt:
                self._pair.retire(part.worker)
            self._open.remove(part)
        elif said_ == HALF:
            self._take(part, min(done, part.kept))
        else:
            self._ended(part, Gone("said that it was done, and was not"))

    def _ended(self, part: _Part, error: Gone) -> None:
        """A worker ended. Whoever it ran is to blame; the one that stands by is asked for the others."""
        running, rest = self._given_up(part)
        if running is None:
            return
        blamed = part.names[running]
        self._add(blamed, Failed(f"its worker process {error}", self._since(part), counts=WHOLE))
        if rest:
            other = self._pair.active
            busy = any(one.worker is other for one in self._open)
            self.start(
                None if busy or perf_counter() >= self._by else other,
                rest,
                f"{blamed}, with which it shares a worker process, ended that: {error}",
            )

    def _given_up(self, part: _Part) -> tuple[int | None, list[str]]:
        """Have a worker replaced, once what it has is taken: which domain ran, if one did, and who waits for it."""
        done = min(part.worker.memory.done(), part.kept)
        self._take(part, done)
        self._pair.retire(part.worker)
        self._open.remove(part)
        return (done if done < part.kept else None), part.names[done + 1 : part.kept]

    def _hand_over(self, part: _Part) -> None:
        """Half of the time is gone: the one that stands by is asked for what the other has not begun with."""
        if part.worker.dead:
            self._ended(part, Gone(part.worker.end()))
            return
        running = part.worker.memory.done()
        rest = part.names[running + 1 : part.kept]
        spare = self._pair.spare
        if rest and spare:
            part.worker.memory.stop()
            part.kept = running + 1
            self.start(spare, rest)

    def _overrun(self, part: _Part) -> None:
        """The deadline is there. Whoever runs is late, and so is who waits for it; the worker is killed."""
        running, rest = self._given_up(part)
        if running is None:
            return
        blamed = part.names[running]
        ms = self._since(part)
        own = ms - sum(_took(self._found[name]) for name in part.names[:running])
        # Who had little of the time has no more than a failure on it.
        counts = WHOLE if own >= 0.4e3 * self._pair.deadline else 1
        limit = 1e3 * self._pair.deadline
        self._add(blamed, Late(f"no answer within {limit:.0f} ms; its worker process was killed", ms, counts))
        for name in rest:
            self._add(name, Late(f"{blamed}, with which it shares a worker process, took all the time", ms, counts=0))

    # ------------------------------------------------------------------------------------------ what a worker has said

    def _take(self, part: _Part, n: int) -> None:
        """Read the outcomes of the first `n` domains, as far as they are new and can be trusted."""
        names = part.names[part.taken : n]
        if not names:
            return
        try:
            content = part.worker.memory.outcomes(part.taken, n)
            found = _decode_said(b"\xdd" + len(names).to_bytes(4, "big") + content)
            if [one.place for one in found] != list(range(part.taken, n)):
                raise ValueError("out of order")
            outcomes = checked(names, found, self._given, self._explain)
            part.spoilt = part.spoilt or any(one.memory for one in found)
        except (msgspec.MsgspecError, ValueError) as error:
            wrong = Failed(f"its worker process wrote what can't be read: {error}", 0.0)
            outcomes = dict.fromkeys(names, wrong)
        part.taken = n
        self._found = {**outcomes, **self._found}  # what was said first stands

    def _add(self, name: str, outcome: Outcome) -> None:
        self._found.setdefault(name, outcome)

    def _close(self, part: _Part, outcome: Outcome, names: Sequence[str]) -> None:
        for name in names:
            self._add(name, outcome)
        self._open.remove(part)

    def _since(self, part: _Part) -> float:
        return 1e3 * (perf_counter() - part.began)


def checked(
    names: Sequence[str], found: Sequence[Said], given: Mapping[str, Sequence[Hypothesis]] | None, explain: bool
) -> dict[str, Outcome]:
    """What a worker says of each domain, none of it believed: sizes, owners, finite numbers, sums.

    The worker has checked all of it, so it is right unless something there went very wrong.
    """
    outcomes: dict[str, Outcome] = {}
    # All domains' numbers at once: numpy takes longer to begin with five than Python to look at them.
    rights = np.frombuffer(b"".join([one.right[: len(one.right) & ~7] for one in found]))
    numbers, end = rights.tolist(), 0
    for name, one in zip(names, found, strict=False):
        if one.failure is not None:
            outcomes[name] = Failed(one.failure, one.recognise_ms)
            end += len(one.right) >> 3
            continue
        hypotheses = (one.hypotheses or ()) if given is None else given[name]
        start, end = end, end + (len(one.right) >> 3)
        scores, mine, own = Scores(one.mine, rights[start:end]), one.mine, numbers[start:end]
        try:
            if len(one.right) != 8 * len(hypotheses):
                raise PluginError(f"right has {len(one.right)} bytes, promised those of {len(hypotheses)} numbers")
            if not (0.0 <= mine <= 1.0 and sum(own) <= mine and (not own or min(own) >= 0.0)):
                checked_scores(scores, len(own))  # which knows how much sums may be off, and what to say
            if given is None:
                _check_readings(name, hypotheses)
            why = checked_why(one.why or (), len(hypotheses)) if explain else None
        except PluginError as error:
            outcomes[name] = Failed(str(error), one.recognise_ms + one.rerank_ms)
            continue
        outcomes[name] = Answered(hypotheses, scores, why, one.recognise_ms, one.rerank_ms)
    return outcomes


def _check_readings(name: str, hypotheses: Sequence[Hypothesis]) -> None:
    if len(hypotheses) > MAX_HYPOTHESES:
        raise PluginError(f"{len(hypotheses)} hypotheses, promised at most {MAX_HYPOTHESES}")
    for one in hypotheses:
        if one.domain != name:
            raise PluginError(f"a hypothesis is of domain {one.domain!r}, promised {name!r}")
        if one.features:
            check_features(hypotheses.index(one), one)


def _took(outcome: Outcome) -> float:
    return outcome.recognise_ms + outcome.rerank_ms if isinstance(outcome, Answered) else 0.0
