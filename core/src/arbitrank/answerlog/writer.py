"""Writer of the answer log: answers and feedback, each process into segments of its own.

    with AnswerLog(Path("log"), LogSettings(days=30)) as log:
        log.write(request, answer, hypotheses)
        log.feedback(Feedback(id="42", truth=Truth("weather", "AskRain")))

`write`, `append` and `feedback` never wait for the disk and never raise. They encode a line at once, while its values
are in the processor's cache; one thread appends and syncs. Where it falls behind, or the disk is full, lines are lost,
counted and reported by `status`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import ParamSpec

import msgspec
from msgspec.structs import replace

from arbitrank.answerlog.answer_lines import answer_line
from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.origins import NO_ARMS, Arms, Claims, Drawn, Origin
from arbitrank.answerlog.redaction import redactor
from arbitrank.answerlog.segments import Segment, prune
from arbitrank.answerlog.settings import LogSettings, LogStatus
from arbitrank.errors import DataError, describe, os_errors
from arbitrank.values import Answer, Hypothesis, Request
from arbitrank.wire.json_lines import MAX_LINE
from arbitrank.wire.requests import Logged

_INTERVAL = 0.05  # seconds between looks at the buffer; waking up for each line would cost its request more
_BATCH = 32  # lines that are appended at once
_PAUSE = 0.002  # seconds between two batches: a thread that answers on the same processor waits for one, not for all
_SYNCED = 2 << 20  # bytes that are synced at once: a second's worth would hold the processor for milliseconds
_PER_LINE = 16 << 10  # buffered bytes for each line of the buffer
_HOUR = 3600.0

P = ParamSpec("P")


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
        self._waiting: deque[bytes] = deque()
        self._buffered, self._dropped, self._putting = 0, 0, threading.Lock()  # buffered bytes; lines lost
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
        encoded: bytes | None = None,
    ) -> None:
        """Log an answer, with the recognised hypotheses where the request brought none.

        `call` has the request id and the `traceparent` of the call that brought it, `arms` are the arbitration's,
        `claims` the domains' own, `selection` how it was drawn. `encoded` is the answer in JSON, where it has been
        encoded already.
        """
        if self._taken(request.id or request.utterance or ""):
            self._put(self._line, request, answer, recognised, Origin(call, arms, claims, selection), encoded)

    def append(self, line: Logged) -> None:
        """Log a line that is complete but for its time."""
        if self._taken(line.id or line.utterance or ""):
            self._put(self._redacted, replace(line, time=self._clock()))

    def feedback(self, feedback: Feedback) -> None:
        """Log feedback on a request, which may have been answered by another process or long ago."""
        if self._taken(feedback.id):
            self._put(self._feedback, replace(feedback, time=self._clock()))

    def _taken(self, key: str) -> bool:
        """True for a line of the sample that there is room for."""
        if self.settings.share < 1.0 and not self._sampled(key):
            return False
        most = self.settings.waiting
        if len(self._waiting) < most and self._buffered < most * _PER_LINE and not self._stopping:
            return True
        with self._putting:
            self._dropped += 1
        return False

    def _put(self, line: Callable[P, Logged | Feedback], *parts: P.args, **named: P.kwargs) -> None:
        """Buffer the line that `line` makes of its parts."""
        most = self.settings.waiting
        try:
            content = self._encode(line(*parts, **named)) + b"\n"
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            # A request built in Python may hold values that JSON cannot express.
            self._refuse(f"a line cannot be encoded: {type(error).__name__}")
            return
        if len(content) > MAX_LINE:
            self._refuse(f"a line of {len(content)} bytes, expected at most {MAX_LINE}")
            return
        with self._putting:
            if self._stopping:
                self._dropped += 1
                return
            self._waiting.append(content)
            self._buffered += len(content)
        if 2 * len(self._waiting) >= most or 2 * self._buffered >= most * _PER_LINE:
            self._wake.set()

    def _refuse(self, problem: str) -> None:
        with self._putting:
            self._counts.refused += 1
            self._counts.problem = problem

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
            self._wake.wait(_PAUSE if self._waiting else _INTERVAL)
            self._wake.clear()
            with self._writing:
                self._write_batch()
                if monotonic() - self._synced >= self.settings.sync_seconds or self._much_unsynced:
                    self._sync()
                self._rotate()
                if monotonic() - self._pruned >= _HOUR:
                    self._prune()
        with self._writing:
            self._drain()
            self._end()

    def _drain(self) -> None:
        while self._waiting:
            self._write_batch()

    def _write_batch(self) -> None:
        """Append the first lines of the buffer, if any."""
        with self._putting:
            lines = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
            self._buffered -= sum(map(len, lines))
        if lines:
            self._append(lines)
            self._rotate()

    def _line(
        self, request: Request, answer: Answer, recognised: Sequence[Hypothesis], origin: Origin, encoded: bytes | None
    ) -> Logged:
        encoded = encoded if self._redactor is None else None
        return self._redacted(answer_line(request, answer, recognised, origin, encoded, self._clock()))

    def _redacted(self, line: Logged) -> Logged:
        return line if self._redactor is None else self._redactor.line(line)

    def _feedback(self, feedback: Feedback) -> Feedback:
        return feedback if self._redactor is None else self._redactor.feedback(feedback)

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

    @property
    def _much_unsynced(self) -> bool:
        return self._segment is not None and self._segment.unsynced >= _SYNCED

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
