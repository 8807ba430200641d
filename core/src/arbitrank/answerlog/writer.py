"""Writer of the answer log: answers and feedback, each process into segments of its own.

    with AnswerLog(Path("log"), LogSettings(days=30)) as log:
        log.write(request, answer, hypotheses)
        log.feedback(Feedback(id="42", truth=Truth("weather", "AskRain")))

`write`, `append` and `feedback` never block and never raise: one thread encodes, appends and syncs. Where it falls
behind, or the disk is full, lines are lost, counted and reported by `status`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from time import monotonic

import msgspec
from msgspec.structs import replace

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.origins import NO_ARMS, NOWHERE, Arms, Claims, Drawn, Origin
from arbitrank.answerlog.redaction import redactor
from arbitrank.answerlog.segments import Segment, prune
from arbitrank.answerlog.settings import LogSettings, LogStatus
from arbitrank.errors import DataError, describe, os_errors
from arbitrank.values import Answer, Hypothesis, Request
from arbitrank.wire.json_lines import MAX_LINE
from arbitrank.wire.requests import Logged

_INTERVAL = 0.05  # seconds between looks at the buffer; waking up for each line would cost its request more
_BATCH, _BATCH_SECONDS = 16, 0.0002  # lines and time of encoding before other threads get the interpreter
_PER_LINE = 20  # buffered hypotheses for each line of the buffer
_HOUR = 3600.0

_Entry = tuple[Request | Feedback, Answer | None, Sequence[Hypothesis], float, Origin]


class AnswerLog:
    """A log folder that this process writes to, beside other processes. Thread-safe; must not cross a fork.

    `clock`: seconds since 1970. Raises `DataError` where the folder cannot be created, `InputError` without a hash key.
    """

    def __init__(
        self, folder: Path, settings: LogSettings = LogSettings(), *, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.settings = folder, settings
        self._redactor = redactor(settings.words, settings.key, settings.context)
        with os_errors(DataError, f"log {folder}: cannot be made", "; expected a folder to write to"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clock, self._latest = clock, 0.0
        self._waiting: deque[_Entry] = deque()
        self._buffered, self._dropped, self._putting = 0, 0, threading.Lock()  # buffered hypotheses; lines lost
        self._counts = LogStatus(str(folder))
        self._segment: Segment | None = None
        self._number = 0
        self._synced = self._pruned = monotonic()
        self._encode = msgspec.json.Encoder().encode
        self._writing = threading.Lock()  # held while lines are written, synced or pruned
        self._wake, self._stopping = threading.Event(), False
        self._prune()
        self._thread = threading.Thread(target=self._work, name="arbitrank log", daemon=True)
        self._thread.start()

    def write(
        self,
        request: Request,
        answer: Answer,
        recognised: Sequence[Hypothesis] = (),
        *,
        call: tuple[str, str | None] | None = None,
        arms: Arms = NO_ARMS,
        claims: Claims | None = None,
        selection: Drawn | None = None,
    ) -> None:
        """Log an answer, with the recognised hypotheses where the request brought none.

        `call` has the request id and the `traceparent` of the call that brought it, `arms` are the arbitration's,
        `claims` the domains' own, `selection` how it was drawn.
        """
        if self.settings.share < 1.0 and not self._sampled(request.id or request.utterance or ""):
            return
        brought = request.hypotheses
        self._put(
            (request, answer, recognised, self._clock(), Origin(call, arms, claims, selection)),
            len(recognised if brought is None else brought),
        )

    def append(self, line: Logged) -> None:
        """Log a line that is complete but for its time."""
        if self.settings.share < 1.0 and not self._sampled(line.id or line.utterance or ""):
            return
        self._put((line, None, (), self._clock(), NOWHERE), len(line.hypotheses or ()))

    def feedback(self, feedback: Feedback) -> None:
        """Log feedback on a request, which may have been answered by another process or long ago."""
        if self.settings.share < 1.0 and not self._sampled(feedback.id):
            return
        self._put((feedback, None, (), self._clock(), NOWHERE), 0)

    def _put(self, entry: _Entry, hypotheses: int) -> None:
        most = self.settings.waiting
        with self._putting:
            waiting, buffered = len(self._waiting), self._buffered + hypotheses
            if waiting >= most or buffered > most * _PER_LINE or self._stopping:
                self._dropped += 1
                return
            self._waiting.append(entry)
            self._buffered = buffered
        if 2 * waiting >= most or 2 * buffered >= most * _PER_LINE:
            self._wake.set()

    def _sampled(self, key: str) -> bool:
        drawn = int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).digest())
        return drawn < self.settings.share * (1 << 48)

    def status(self) -> LogStatus:
        """The counters now."""
        name = segment.path.name if (segment := self._segment) else None
        return replace(self._counts, segment=name, waiting=len(self._waiting), dropped=self._dropped)

    def flush(self) -> None:
        """Write and sync the buffer; returns when that is done."""
        with self._writing:
            self._drain()
            self._sync()

    def close(self, timeout: float = 10.0) -> None:
        """Write and sync the buffer, for at most `timeout` seconds, and stop; later lines are dropped."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout)

    def __enter__(self) -> AnswerLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _work(self) -> None:
        while not self._stopping:
            self._wake.wait(_INTERVAL)
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
            while self._waiting and len(lines) < _BATCH and monotonic() - began < _BATCH_SECONDS:
                line = self._line(self._next())
                if line is not None:
                    lines.append(line)
            if lines:
                self._append(lines)
                self._rotate()

    def _next(self) -> _Entry:
        with self._putting:
            entry = self._waiting.popleft()
            subject, _, recognised, *_ = entry
            if isinstance(subject, Request):
                self._buffered -= len(recognised if subject.hypotheses is None else subject.hypotheses)
            return entry

    def _line(self, entry: _Entry) -> bytes | None:
        try:
            line = self._encode(self._redacted(*entry)) + b"\n"
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            # A request built in Python may hold values that JSON cannot express.
            self._counts.problem = f"a line cannot be encoded: {type(error).__name__}"
        else:
            if len(line) <= MAX_LINE:
                return line
            self._counts.problem = f"a line of {len(line)} bytes, expected at most {MAX_LINE}"
        self._counts.refused += 1
        return None

    def _redacted(
        self,
        subject: Request | Feedback,
        answer: Answer | None,
        recognised: Sequence[Hypothesis],
        when: float,
        origin: Origin,
    ) -> Logged | Feedback:
        redactor = self._redactor
        if isinstance(subject, Feedback):
            return replace(subject if redactor is None else redactor.feedback(subject), time=when)
        if isinstance(subject, Logged):
            line = replace(subject, time=when)
            return line if redactor is None else redactor.line(line)
        brought, (call, arms, claims, selection) = subject.hypotheses, origin
        if answer is not None and selection is not None:
            answer = replace(answer, selection=selection())
        line = Logged(
            id=subject.id,
            utterance=subject.utterance,
            context=subject.context,
            hypotheses=tuple(recognised) if brought is None else brought,
            session=subject.session,
            account=subject.account,
            dialogue=subject.dialogue,
            answer=answer,
            recognised=brought is None,
            time=when,
            request_id=call and call[0],
            traceparent=call and call[1],
            arms=dict(arms) or None,
            claims={} if claims is None else claims(),
        )
        return line if redactor is None else redactor.line(line)

    def _append(self, lines: Sequence[bytes]) -> None:
        try:
            segment = self._segment or self._begin()
        except (OSError, OverflowError, ValueError) as error:  # the latter two: a clock out of range
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
            self._end()  # a new one may succeed

    def _begin(self) -> Segment:
        self._latest = max(self._latest, self._clock())  # keeps segments in order when the clock goes back
        while True:
            self._number += 1
            try:
                self._segment = Segment(self.folder, self._latest, self._number)
                return self._segment
            except FileExistsError:
                continue  # a process with this number on another machine
            except FileNotFoundError:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it was removed

    def _rotate(self) -> None:
        one, most = self._segment, self.settings
        if one and (one.size >= most.segment_bytes or one.age >= most.segment_seconds):
            self._end()

    def _sync(self) -> None:
        self._synced = monotonic()
        if (segment := self._segment) is None:
            return
        problem = None if segment.exists else "removed by someone else, its lines with it"
        if self._counts.unsynced and not problem:
            try:
                segment.sync()
            except OSError as error:
                # The system may have dropped the pages that it could not write: continue in a new segment.
                problem = f"not synced: {describe(error)}"
        self._counts.unsynced = 0
        if problem:
            self._counts.problem = f"{segment.path.name}: {problem}"
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
