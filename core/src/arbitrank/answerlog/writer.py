"""Writing the log: what was answered and what became of it, each process into segments of its own.

    with AnswerLog(Path("log"), LogSettings(days=30)) as log:
        heard: list[Hypothesis] = []
        answer = arbitrator.answer(request, heard=heard)
        log.write(request, answer, heard)
        log.feedback(Feedback("42", truth=Truth("weather", "AskRain")))

`write` and `feedback` never wait and never raise: they leave the line to one thread, which encodes, appends and syncs.
Where that falls behind, or the disk is full, lines are lost and counted, and `status` says so.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Annotated

import msgspec
from msgspec import Meta, field

from arbitrank.answerlog.redaction import CONTEXT, Redactor, Words, read_key
from arbitrank.answerlog.segments import Segment, prune
from arbitrank.errors import DataError, InputError, describe
from arbitrank.values import Answer, Confidence, Hypothesis, Request, Truth
from arbitrank.wire import MAX_LINE, Logged, Outcome

_BREATH = 0.05  # seconds between looks at what waits; a wake-up for each line would cost its request more than the line
_AT_ONCE, _SPELL = 16, 0.0002  # lines and seconds of encoding before others get the interpreter, as by appending
_EACH = 20  # readings for each line that may wait
_HOUR = 3600.0


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept, in what form, and for how long.

    `share`: of the requests, chosen by a hash of their id, so that all processes agree and feedback goes with its
    answer. `words`: `keep` them, `hash` them with the key in the file `key`, or `drop` them; see
    `arbitrank.answerlog.redaction`, also for `context`, the keys of the context that are kept then. `days`: segments
    begun longer ago are removed; None keeps all. A segment ends at `segment_bytes`, and `segment_seconds` after it was
    begun. What was answered more than about `sync_seconds` ago outlasts a power cut. At most `waiting` lines wait, and
    twenty times as many readings.
    """

    share: Confidence = 1.0
    words: Words = "keep"
    key: Path | None = None
    context: tuple[str, ...] = CONTEXT
    days: Annotated[float, Meta(gt=0)] | None = None
    segment_bytes: Annotated[int, Meta(ge=1)] = 64 << 20
    segment_seconds: Annotated[float, Meta(gt=0)] = _HOUR
    sync_seconds: Annotated[float, Meta(ge=0)] = 1.0
    waiting: Annotated[int, Meta(ge=1)] = 10_000


class Feedback(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of an answered request, by its id: what it really meant, what the user made of the answer, or both.

    As JSON it is both a line of the log and what a service is told.
    """

    id: Annotated[str, Meta(min_length=1)]
    truth: Truth | None = None
    outcome: Outcome | None = None
    time: float | None = None

    def __post_init__(self) -> None:
        if self.truth is None and self.outcome is None:
            raise ValueError("neither truth nor outcome, promised one of them")


class LogStatus(msgspec.Struct, frozen=True):
    """How the log fares: lines written, and lines lost since the start, by why.

    `dropped` came while too many waited; `refused` could not be encoded, or are longer than a reader takes; `failed`
    could not be written. `unsynced` lines would not outlast a power cut now. `removed` counts segments that grew too
    old. `problem` is why the last attempt to write, sync or remove failed, None once one succeeds again.
    """

    folder: str
    segment: str | None
    written: int = 0
    waiting: int = 0
    unsynced: int = 0
    dropped: int = 0
    refused: int = 0
    failed: int = 0
    removed: int = 0
    problem: str | None = None


class _Counts(msgspec.Struct):
    written: int = 0
    unsynced: int = 0
    refused: int = 0
    failed: int = 0
    removed: int = 0
    problem: str | None = field(default=None)


_Entry = tuple[Request | Feedback, Answer | None, Sequence[Hypothesis], float]


class AnswerLog:
    """A folder that this process logs to, beside others. Any thread may write. Make it where it is used: no fork.

    Raises `DataError` where the folder can't be made, `InputError` where there is no key to hash with. `clock` gives
    seconds since 1970.
    """

    def __init__(
        self, folder: Path, settings: LogSettings = LogSettings(), *, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.settings = folder, settings
        self._redactor = redactor(settings)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"log {folder}: cannot be made: {error.strerror}; promised a folder to write to") from error
        self._clock, self._latest = clock, 0.0
        self._waiting: deque[_Entry] = deque()
        self._readings, self._dropped, self._putting = 0, 0, threading.Lock()  # readings that wait; lines lost so
        self._counts = _Counts()
        self._segment: Segment | None = None
        self._number = 0
        self._synced = self._pruned = monotonic()
        self._encode = msgspec.json.Encoder().encode
        self._writing = threading.Lock()  # of everything that the thread does
        self._wake, self._stopping = threading.Event(), False
        with self._writing:
            self._prune()
        self._thread = threading.Thread(target=self._work, name="arbitrank log", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------ on the request's path

    def write(self, request: Request, answer: Answer, heard: Sequence[Hypothesis] = ()) -> None:
        """Log an answer, with what `Arbitrator.answer` heard where the request brought no hypotheses."""
        if self.settings.share < 1.0 and not self._sampled(request.id or request.utterance or ""):
            return
        brought = request.hypotheses
        self._put((request, answer, heard, self._clock()), len(heard) if brought is None else len(brought))

    def feedback(self, told: Feedback) -> None:
        """Log what became of a request, which may have been answered by another process, or long ago."""
        if self.settings.share < 1.0 and not self._sampled(told.id):
            return
        self._put((told, None, (), self._clock()), 0)

    def _put(self, entry: _Entry, readings: int) -> None:
        most = self.settings.waiting
        with self._putting:
            waiting, readings = len(self._waiting), self._readings + readings
            if waiting >= most or readings > most * _EACH or self._stopping:
                self._dropped += 1
                return
            self._waiting.append(entry)
            self._readings = readings
        if 2 * waiting >= most or 2 * readings >= most * _EACH:
            self._wake.set()

    def _sampled(self, who: str) -> bool:
        drawn = int.from_bytes(blake2b(who.encode("utf-8", "surrogatepass"), digest_size=6).digest())
        return drawn < self.settings.share * (1 << 48)

    # ------------------------------------------------------------------------------------------------ for the operator

    def status(self) -> LogStatus:
        """How the log fares."""
        segment = self._segment
        return LogStatus(
            str(self.folder),
            segment.path.name if segment else None,
            waiting=len(self._waiting),
            dropped=self._dropped,
            **msgspec.structs.asdict(self._counts),
        )

    def flush(self) -> None:
        """Write and sync what waits now; returns when that is done."""
        with self._writing:
            self._drain()
            self._sync()

    def close(self, timeout: float = 10.0) -> None:
        """Write and sync what waits, for `timeout` seconds at most, and end; what comes later is dropped."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout)

    def __enter__(self) -> AnswerLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -------------------------------------------------------------------------------------------------- in the thread

    def _work(self) -> None:
        while not self._stopping:
            self._wake.wait(_BREATH)
            self._wake.clear()
            with self._writing:
                self._drain()
                if monotonic() - self._synced >= self.settings.sync_seconds:
                    self._sync()
                self._rotate()
                if monotonic() - self._pruned >= _HOUR:
                    self._prune()
        with self._writing:
            self._drain()
            self._end()

    def _drain(self) -> None:
        while self._waiting:
            lines: list[bytes] = []
            began = monotonic()
            while self._waiting and len(lines) < _AT_ONCE and monotonic() - began < _SPELL:
                line = self._line(self._next())
                if line is not None:
                    lines.append(line)
            if lines:
                self._append(lines)
                self._rotate()

    def _next(self) -> _Entry:
        with self._putting:
            entry = self._waiting.popleft()
            told, _, heard, _ = entry
            if isinstance(told, Request):
                self._readings -= len(heard if told.hypotheses is None else told.hypotheses)
            return entry

    def _line(self, entry: _Entry) -> bytes | None:
        try:
            line = self._encode(self._redacted(*entry)) + b"\n"
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            # A request that was made in Python may hold what JSON has no word for.
            self._refuse(f"a line cannot be encoded: {type(error).__name__}")
            return None
        if len(line) > MAX_LINE:
            self._refuse(f"a line of {len(line)} bytes, promised at most {MAX_LINE}")
            return None
        return line

    def _refuse(self, why: str) -> None:
        self._counts.refused += 1
        self._counts.problem = why

    def _redacted(
        self, told: Request | Feedback, answer: Answer | None, heard: Sequence[Hypothesis], when: float
    ) -> Logged | Feedback:
        redactor = self._redactor
        if isinstance(told, Feedback):
            truth = told.truth if told.truth is None or redactor is None else redactor.truth(told.truth)
            return Feedback(id=told.id, truth=truth, outcome=told.outcome, time=when)
        brought = told.hypotheses
        line = Logged(
            id=told.id,
            utterance=told.utterance,
            context=told.context,
            hypotheses=tuple(heard) if brought is None else brought,
            session=told.session,
            account=told.account,
            dialogue=told.dialogue,
            answer=answer,
            recognised=brought is None,
            time=when,
        )
        return line if redactor is None else redactor.line(line)

    def _append(self, lines: Sequence[bytes]) -> None:
        try:
            segment = self._segment or self._begin()
        except (OSError, OverflowError, ValueError) as error:  # the latter two: a clock that tells no time
            self._counts.failed += len(lines)
            self._counts.problem = f"no segment: {describe(error)}"
            return
        written, failure = segment.append(lines)
        self._counts.written += written
        self._counts.unsynced += written
        self._counts.problem = None
        if failure:
            self._counts.failed += len(lines) - written
            self._counts.problem = f"{segment.path.name}: not written: {describe(failure)}"
            self._end()  # a new one may fare better

    def _begin(self) -> Segment:
        self._latest = max(self._latest, self._clock())  # so that a process's segments stay in order, whatever the time
        while True:
            self._number += 1
            try:
                self._segment = Segment(self.folder, self._latest, self._number)
                return self._segment
            except FileExistsError:
                continue  # of a process with this number on another machine
            except FileNotFoundError:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody removed it

    def _rotate(self) -> None:
        one, most = self._segment, self.settings
        if one and (one.size >= most.segment_bytes or one.age >= most.segment_seconds):
            self._end()

    def _sync(self) -> None:
        self._synced = monotonic()
        if self._segment is None:
            return
        if not self._segment.there:
            self._counts.problem = f"{self._segment.path.name}: somebody removed it, with what was in it"
            self._counts.unsynced = 0
            self._leave()
        elif self._counts.unsynced:
            try:
                self._segment.sync()
                self._counts.unsynced = 0
            except OSError as error:
                # The system may have forgotten what it could not write: what follows goes elsewhere.
                self._counts.problem = f"{self._segment.path.name}: not synced: {describe(error)}"
                self._counts.unsynced = 0
                self._leave()

    def _end(self) -> None:
        self._sync()
        self._leave()

    def _leave(self) -> None:
        if self._segment:
            self._segment.close()
            self._segment = None

    def _prune(self) -> None:
        self._pruned = monotonic()
        if self.settings.days is None:
            return
        try:
            self._counts.removed += len(prune(self.folder, self.settings.days, self._clock()))
        except (OSError, OverflowError, ValueError) as error:
            self._counts.problem = f"old segments not removed: {describe(error)}"


def redactor(settings: LogSettings) -> Redactor | None:
    """What takes the words out, None where they are kept. Raises `InputError` where there is no key to hash with."""
    if settings.words == "keep":
        return None
    if settings.words == "hash" and settings.key is None:
        raise InputError("a log of hashed words needs a key to hash with; make one: openssl rand -hex 32 > log.key")
    key = read_key(settings.key) if settings.words == "hash" and settings.key else None
    return Redactor(settings.words, key, settings.context)
