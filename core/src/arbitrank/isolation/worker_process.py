"""A worker process as its parent sees it: a child process, its messages and its resource use."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TypeVar

from arbitrank.child import Child
from arbitrank.configuration import ENVIRONMENT
from arbitrank.domain import Progress
from arbitrank.isolation.bell import BELL, CAPABILITY
from arbitrank.isolation.box import Box, Entering
from arbitrank.isolation.channel import Channel, Malformed
from arbitrank.isolation.decoders import from_worker
from arbitrank.isolation.messages import (
    CLOSED,
    MAX_OUTCOMES,
    PROTOCOL,
    STARTING,
    DomainOutcome,
    ExamplesWritten,
    FromWorker,
    Hello,
    LoadModel,
    ModelLoaded,
    QueryDone,
    SelfTested,
    SelfTestModel,
    Trained,
    TrainingProgress,
    Welcome,
    encode,
)

_RINGS = 64  # bytes read of the bell at once
_CHILDREN = 8  # processes that a worker may have started
_page = os.sysconf("SC_PAGESIZE")

Reply = TypeVar("Reply", ModelLoaded, Hello, ExamplesWritten, SelfTested, Trained)


class WorkerEnded(Exception):
    """Raised when a worker has ended, hangs or sends a malformed message; its text gives the reason."""


class WorkerUnavailable(WorkerEnded):
    """Raised when the system cannot start a worker now."""


class WorkerProcess(Child):
    """One process and its socket: `loaded` has the numbers of its models, `refused` why others could not be loaded.

    `interpreter` is that of an environment whose domains it holds, None holds those of this process.
    `stated` has the context keys and the features of hypotheses that each model states to read. `hello` is its first
    message, None until `wait_until_ready` has returned. It `rings` once a query of several models is done. `boxed` is
    the box that it is in and its folder of artifacts, `measures` has the reason of each that is missing, None of each
    that is active.
    """

    def __init__(self, memory: int, interpreter: Path | None = None, boxed: tuple[Box, Path] | None = None) -> None:
        self.measures: dict[str, str | None] = {}
        self._entering = None if boxed is None or interpreter is None else Entering(*boxed, interpreter, memory)
        self.hello: Hello | None = None
        self.rings = False
        self.loaded: set[int] = set()
        self.refused: dict[int, str] = {}
        self.stated: dict[int, tuple[Collection[str] | None, Collection[str] | None]] = {}
        self._limit, self._base = memory, 0
        ours, theirs = socket.socketpair()
        self._bell, rung = os.pipe()
        arguments = [str(argument) for argument in (theirs.fileno(), memory)]
        try:
            super().__init__(
                "-m",
                "arbitrank.isolation.worker_main",
                *arguments,
                pass_fds=(theirs.fileno(), rung, *((self._entering.report,) if self._entering else ())),
                output=True,
                interpreter=interpreter,
                variables={BELL: str(rung), ENVIRONMENT: ""},  # no remote domain is in a worker
                within=entering.command if (entering := self._entering) else (),
            )
        except OSError as error:
            ours.close()
            os.close(self._bell)
            if self._entering:
                self._entering.close()
            raise WorkerUnavailable(f"cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(rung)
            if self._entering:
                self._entering.started()
        self._channel: Channel[FromWorker] = Channel(ours, from_worker, MAX_OUTCOMES)
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)
        self._rung = select.poll()
        self._rung.register(self._bell, select.POLLIN)

    # ------------------------------------------------------------------------------------------------------- messages

    def wait_until_ready(self) -> None:
        """Wait until it can load models. Raises `WorkerEnded`, also where it speaks another protocol."""
        if self.hello is None:
            if self._entering:
                self.measures = self._measures(self._entering)
            hello = self.reply(STARTING, Hello, "ready")
            (major, minor), (ours, lower) = hello.protocol, PROTOCOL
            if major != ours:
                raise WorkerEnded(f"speaks protocol {major}.{minor}, expected {ours}.x; install a core of that version")
            self.send(encode(Welcome((ours, min(minor, lower)))))
            self.hello = hello
            self.rings = self.capable(CAPABILITY)

    def _measures(self, entering: Entering) -> dict[str, str | None]:
        """The measures of its box. Raises `WorkerEnded` where they are not reported, or one that is required lacks."""
        found = entering.measures(STARTING)
        if found is None:
            raise WorkerEnded(f"did not enter its box: {self.end()}")
        missing = "; ".join(f"{name}: {reason}" for name, reason in found.items() if reason)
        if missing and entering.box.required:
            raise WorkerEnded(f"is not started, as its box lacks {missing}; without --box-required it would be")
        return found

    def load(self, task: LoadModel) -> None:
        """Have it load a model; `refused` has the reason where that fails. Raises `WorkerEnded`."""
        self.send(encode(task))
        loaded = self.reply(task.seconds, ModelLoaded, "done with loading")
        self.loaded &= set(task.keep)
        self.stated = {number: names for number, names in self.stated.items() if number in task.keep}
        if loaded.problem is None:
            self.loaded.add(task.number)
            self.stated[task.number] = loaded.context_keys, loaded.features
            self._base = self._pages()
        else:
            self.refused[task.number] = loaded.problem

    def capable(self, name: str) -> bool:
        """True where it has named a capability."""
        return self.hello is not None and name in self.hello.capabilities

    def selftest(self, number: int, seconds: float) -> str | None:
        """The problem of a model by the worker's own test, None where there is none, or no such test.

        Raises `WorkerEnded`.
        """
        if not self.capable("selftest"):
            return None
        self.send(encode(SelfTestModel(number, seconds)))
        # The worker ends itself after a second more, in case this process has ended.
        return self.reply(seconds + 0.5, SelfTested, "done with its self-test").problem

    def outcomes(self, content: bytes, id: int, seconds: float) -> list[DomainOutcome]:
        """The outcomes of the batch `id`, those of its first requests; none where it could not be read.

        Raises `WorkerEnded`, also where one is not as expected.
        """
        until = monotonic() + seconds
        self.send(content, seconds)
        found: list[DomainOutcome] = []
        try:
            while self.readable(until - monotonic()):
                for message in self.received():
                    if isinstance(message, DomainOutcome) and (message.query, message.place) == (id, len(found)):
                        found.append(message)
                    elif isinstance(message, QueryDone) and message.query == id:
                        return [] if message.problem else found
                    else:
                        raise Malformed(f"{type(message).__name__} in place of an outcome")
        except Malformed as error:
            raise WorkerEnded(f"sent a malformed message: {error}") from error
        raise WorkerEnded(f"was not done with a batch after {seconds:g} s")

    def reply(
        self, seconds: float, kind: type[Reply], state: str, progress: Progress = lambda stage, done, total: None
    ) -> Reply:
        """The reply, waited for; `progress` receives what is reported before. Raises `WorkerEnded`, also for others."""
        until = monotonic() + seconds
        try:
            while self.readable(until - monotonic()):
                for message in self.received():
                    if isinstance(message, kind):
                        return message
                    if isinstance(message, TrainingProgress):
                        progress(message.stage, message.done, message.total)
                        continue
                    raise Malformed(f"{type(message).__name__} in place of {kind.__name__}")
        except Malformed as error:
            raise WorkerEnded(f"sent a malformed message: {error}") from error
        raise WorkerEnded(f"was not {state} after {seconds:g} s")

    def send(self, content: bytes, seconds: float | None = None) -> None:
        """Send an encoded message, as `Channel.send` does. Raises `WorkerEnded`."""
        try:
            self._channel.send(content, seconds=seconds)
        except OSError as error:
            raise WorkerEnded(self.end()) from error

    def received(self) -> Iterator[FromWorker]:
        """The messages that have arrived. Raises `WorkerEnded`, and `Malformed` where one is not as expected."""
        try:
            yield from self._channel.received()
        except (EOFError, OSError) as error:
            raise WorkerEnded(self.end()) from error

    def readable(self, seconds: float, bell: bool = False) -> bool:
        """True as soon as a message, or with `bell` that, or the end of the process arrives; False after `seconds`."""
        return bool((self._rung if bell else self._poll).poll(1e3 * max(seconds, 0.0)))

    def waited_for(self, bell: bool) -> int:
        """The file descriptor that becomes readable as soon as a message arrives, or with `bell` once it rings.

        Either becomes readable where the process has ended.
        """
        return self._bell if bell else self._channel.connection.fileno()

    def heard(self) -> bool:
        """Empty the bell, which has rung; False where it rings no more, as a domain closed it or the process ended."""
        return bool(os.read(self._bell, _RINGS))

    @property
    def drained(self) -> bool:
        """False where the rest of a message is to come, for which no bell rings."""
        return self._channel.drained

    # ---------------------------------------------------------------------------------------------------- state, end

    def end(self) -> str:
        """Kill the process, which has closed its socket; the text says how it ended."""
        how = super().end()
        return "has had its connection closed" if self.status() == CLOSED else how

    def close(self) -> None:
        """Kill it and everything it started, wait for its end and close the socket."""
        super().close()
        self._channel.connection.close()
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1
        if self._entering:
            self._entering.close()

    def unfit(self) -> bool:
        """True where it should be replaced before it does harm: it uses too much memory, or too many processes."""
        available = self._limit - self._base * _page
        if self._base and (self._pages() - self._base) * _page > 0.8 * available:
            return True
        if self._entering and self._entering.hogs(self.pid):
            return True
        with suppress(OSError), open(f"/proc/{self.pid}/task/{self.pid}/children", "rb") as file:
            return len(file.read().split()) > _CHILDREN
        return False

    def _pages(self) -> int:
        """Pages of address space that it uses; 0 where the system does not say."""
        with suppress(OSError), open(f"/proc/{self.pid}/statm", "rb") as file:
            return int(file.read().split()[0])
        return 0
