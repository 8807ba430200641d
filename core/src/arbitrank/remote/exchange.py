"""One call of a remote: sent at once where a connection is open, by a thread of its own where one has to be made.

The caller waits for many exchanges together (`wait_for`), for each to its own deadline. HTTP libraries limit the time
of a single read, so that a reply which drips byte by byte takes as long as it likes, and have a thread for every call;
here a deadline is that of the whole call.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Sequence
from time import perf_counter, sleep
from typing import TYPE_CHECKING, NamedTuple

from arbitrank.guard import Fault, guarded
from arbitrank.remote.connection import RemoteConnection
from arbitrank.remote.http_reply import BadReply, ReplyReader

if TYPE_CHECKING:
    from arbitrank.remote.client import Client

__all__ = ["Exchange", "Missed", "wait_for"]

_READS = 16  # of a connection, after which deadlines and other connections are looked at
_PAUSES = (0.02, 0.05)  # seconds before a call is tried again that was refused, or reset before a byte came back


class Missed(NamedTuple):
    """A call without a reply: the reason, whether it is that the time is over, and whether the remote is to blame."""

    reason: str
    late: bool = False
    blamed: bool = True


class Exchange:
    """One call, begun when it is made. `result` is the body of the reply or `Missed`, None before the end.

    `ms` are its milliseconds.
    """

    def __init__(self, client: Client, call: bytes, began: float, until: float, limit: int) -> None:
        self.began, self.until = began, until
        self._client, self._call, self._limit = client, call, limit
        self._attempt: _Attempt | None = None  # in the thread of the caller
        self._ended: threading.Event | None = None  # of a thread of its own
        self.result: bytes | Missed | None = None
        self.ms = 0.0
        if not client.enter():
            self._settle(Missed(f"{client.entry.connections} calls are with it already", late=True, blamed=False))
        elif (connection := client.open_connection()) is None:
            self._begin_thread()
        else:
            self._attempt = _Attempt(connection, call, limit)
            self._advance(self._attempt.send)

    @property
    def waiting(self) -> bool:
        """True where `fileno` is to be waited for, and `advance` called then."""
        return self._attempt is not None

    @property
    def events(self) -> int:
        """Events that `fileno` is to be waited for, as `select.poll` has them."""
        sending = self._attempt is not None and self._attempt.sending
        return select.POLLIN | (select.POLLOUT if sending else 0)

    def fileno(self) -> int:
        """The file to wait for."""
        assert self._attempt is not None
        return self._attempt.connection.fileno()

    def advance(self) -> None:
        """Send and receive what is possible without waiting."""
        assert self._attempt is not None
        self._advance(self._attempt.step)

    def finish(self) -> None:
        """Wait to the deadline; what is not there by then is late."""
        if self._ended is not None:
            self._ended.wait(max(self.until - perf_counter(), 0.0))
        elif self._attempt is not None and perf_counter() >= self.until:
            self._attempt.connection.close()
            self._attempt = None
            self._client.leave()
        self._settle(_LATE)

    def _advance(self, step: Callable[[], None]) -> None:
        attempt = self._attempt
        assert attempt is not None
        fault = guarded(step)
        if isinstance(fault, Fault):
            attempt.connection.close()
            self._attempt = None
            if attempt.repeatable(fault.error):
                self._begin_thread()  # a connection that the other side has closed meanwhile
            else:
                self._client.leave()
                self._settle(_missed(fault.error))
        elif attempt.reader.complete:
            self._attempt = None
            self._complete(attempt)

    def _complete(self, attempt: _Attempt) -> None:
        self._client.give_back(attempt.connection, reusable=attempt.reader.reusable)
        self._client.leave()
        self._settle(bytes(attempt.reader.body))

    def _settle(self, result: bytes | Missed) -> None:
        """Note the result; the first one stands."""
        with _settling:
            if self.result is None:
                self.result, self.ms = result, 1e3 * (perf_counter() - self.began)
        if self._ended is not None:
            self._ended.set()

    # -------------------------------------------------------------------------------------------------- in the thread

    def _begin_thread(self) -> None:
        self._ended = threading.Event()
        thread = threading.Thread(target=self._run, name=f"arbitrank {self._client.entry.parts.hostname}", daemon=True)
        if isinstance(fault := guarded(thread.start), Fault):
            self._client.leave()
            self._settle(Missed(f"no thread for its connection: {fault.reason}", blamed=False))

    def _run(self) -> None:
        """Connect and call, again after a pause where that has no effect."""
        attempt: _Attempt | Fault = Fault(TimeoutError())
        for pause in (*_PAUSES, 0.0):
            attempt = guarded(self._called)
            again = isinstance(attempt, Fault) and _repeatable(attempt.error)
            if not again or not pause or perf_counter() + pause >= self.until:
                break
            sleep(pause)
        if isinstance(attempt, Fault):
            self._client.leave()
            self._settle(_missed(attempt.error))
        else:
            self._complete(attempt)

    def _called(self) -> _Attempt:
        """A call over a new connection, done. Raises `OSError`, `BadReply`, `TimeoutError` at the deadline."""
        attempt = _Attempt(self._client.connect(self.until), self._call, self._limit)
        found = guarded(attempt.run, self.until)
        if isinstance(found, Fault):
            attempt.connection.close()
            raise _Unanswered if attempt.repeatable(found.error) else found.error
        return attempt


class _Unanswered(ConnectionResetError):
    """Raised where a connection was reset before a byte of the reply."""

    def __init__(self) -> None:
        super().__init__(104, "the connection was closed before its reply")


class _Attempt:
    """A call over one connection: what is not sent yet, and the reader of the reply."""

    def __init__(self, connection: RemoteConnection, call: bytes, limit: int) -> None:
        self.connection, self.reader = connection, ReplyReader(limit)
        self._unsent = memoryview(call)

    @property
    def sending(self) -> bool:
        """True while a part of the call is not sent."""
        return len(self._unsent) > 0

    def repeatable(self, error: BaseException) -> bool:
        """True where an error has ended it before a byte of the reply was there."""
        closed = isinstance(error, ConnectionError | BadReply) or type(error).__name__.startswith("SSL")
        return closed and not self.reader.begun

    def send(self) -> None:
        """Send what there is room for. Raises `OSError`."""
        if self.sending:
            self._unsent = self._unsent[self.connection.send(self._unsent) :]

    def step(self) -> None:
        """Send and receive what is possible now. Raises `OSError` and `BadReply`."""
        self.send()
        for _ in range(_READS):
            if self.reader.complete or (content := self.connection.receive()) is None:
                break
            if content:
                self.reader.feed(content)
            else:
                self.reader.end()

    def run(self, until: float) -> None:
        """Send and receive all. Raises as `step` does, and `TimeoutError` at the time `until`."""
        self.step()
        while not self.reader.complete:
            self.connection.wait(sending=self.sending, until=until)
            self.step()


def wait_for(exchanges: Sequence[Exchange]) -> None:
    """Wait until each exchange has its result, to its own deadline at most."""
    waiting = {one.fileno(): one for one in exchanges if one.waiting}
    poll = select.poll()
    for file, one in waiting.items():
        poll.register(file, one.events)
    while waiting:
        left = min(one.until for one in waiting.values()) - perf_counter()
        for file, _ in poll.poll(max(1e3 * left, 0.0)):
            waiting[file].advance()
            poll.modify(file, waiting[file].events)
        now = perf_counter()
        for file, one in [*waiting.items()]:
            if one.waiting and now >= one.until:
                one.finish()
            if not one.waiting:
                poll.unregister(file)
                del waiting[file]
    for one in sorted(exchanges, key=lambda one: one.until):
        if one.result is None:
            one.finish()


_LATE = Missed("", late=True)
_settling = threading.Lock()  # of the results of all, as it is held for a moment alone


def _repeatable(error: BaseException) -> bool:
    """True where a call that failed so has had no effect: nothing listens, or nothing came back."""
    return isinstance(error, ConnectionRefusedError | _Unanswered)


def _missed(error: BaseException) -> Missed:
    """A call that an error has ended."""
    if isinstance(error, TimeoutError):
        return _LATE
    if isinstance(error, BadReply):
        return Missed(f"it sent {error}")
    if isinstance(error, OSError):
        return Missed(f"it cannot be reached: {_words(error)}")
    return Missed(f"the call failed: {Fault(error).reason}")


def _words(error: OSError) -> str:
    """The system's words for an error of the network or of TLS."""
    verified = getattr(error, "verify_message", None)
    if verified:
        return f"its certificate is not trusted: {verified}"
    reason = getattr(error, "reason", None)
    return (
        f"TLS: {reason}" if reason and isinstance(reason, str) else error.strerror or str(error) or type(error).__name__
    )
