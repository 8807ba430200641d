"""A worker process, as the process that asks it sees it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from time import monotonic, sleep

import msgspec

from arbitrank.child import environment, how_ended, last_line
from arbitrank.isolation.shared_memory import CLOSED, Load, Memory, received, send, shared

STARTING = 30.0
"""Seconds in which a worker has to be there."""

_TAIL = 4096  # bytes that are kept of what a worker writes to its standard output and error
_CHILDREN = 8  # processes that a worker may have started
_ENDING = 0.1  # seconds that the system is given to end a process that has closed its socket
_page = os.sysconf("SC_PAGESIZE")


class Gone(Exception):
    """Raised when a worker can't be started, has ended, hangs, or says what can't be read; its text says which."""


class Unstarted(Gone):
    """Raised when the system starts no worker now."""


class Worker:
    """One process: its socket, its memory, and the numbers of the models it has loaded.

    `refused` holds the models that it couldn't load, with the reasons.
    """

    def __init__(self, memory: int, deadline: float) -> None:
        self.awake = False
        self.loaded: set[int] = set()
        self.refused: dict[int, str] = {}
        self._limit, self._base = memory, 0
        self._connection, theirs = socket.socketpair()
        fd = shared()
        out, into = os.pipe()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "arbitrank.isolation.worker_main"]
                + [str(one) for one in (theirs.fileno(), fd, memory, deadline)],
                stdin=subprocess.DEVNULL,
                stdout=into,
                stderr=into,
                pass_fds=(theirs.fileno(), fd),
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            self._connection.close()
            os.close(out)
            raise Unstarted(f"cannot be started: {error}") from error
        else:
            self.memory = Memory(fd)
        finally:
            theirs.close()
            os.close(fd)
            os.close(into)
        self._written = bytearray()
        threading.Thread(target=self._drain, args=(out,), name="arbitrank drain", daemon=True).start()
        self._poll = select.poll()
        self._poll.register(self._connection, select.POLLIN)

    def _drain(self, out: int) -> None:
        """Read what the process writes, so that it never waits for that, and keep the end of it."""
        with suppress(OSError):
            while content := os.read(out, 1 << 16):
                self._written += content[-_TAIL:]
                del self._written[:-_TAIL]
        os.close(out)

    # ------------------------------------------------------------------------------------------------------- exchange

    def wait(self) -> None:
        """Wait until it is there. Raises `Gone`."""
        if not self.done(STARTING):
            raise Gone(f"was not there after {STARTING:g} s")
        with suppress(ValueError):  # loading will tell
            self.reply()
        self.awake = True

    def load(self, task: Load) -> None:
        """Have it load a model; `refused` says what is wrong otherwise. Raises `Gone`."""
        try:
            send(self._connection, msgspec.msgpack.encode(task))
        except OSError as error:
            raise Gone(self.end()) from error
        if not self.done(task.seconds):
            raise Gone(f"was not done with loading after {task.seconds:g} s")
        try:
            wrong = msgspec.msgpack.decode(self.reply(), type=str | None)
        except ValueError as error:
            raise Gone("said what can't be read") from error
        self.loaded &= set(task.keep)
        if wrong is None:
            self.loaded.add(task.number)
            self._base = self._pages()
        else:
            self.refused[task.number] = wrong

    def ask(self, request: bytes) -> None:
        """Have it answer a request. Raises `Gone`."""
        self.memory.put(request)
        try:
            send(self._connection)
        except OSError as error:
            raise Gone(self.end()) from error

    def done(self, seconds: float) -> bool:
        """Wait for it, so long; whether it said something, or is gone."""
        return bool(self._poll.poll(1e3 * seconds))

    def reply(self) -> bytes:
        """What it said: nothing, or what is wrong. Raises `Gone`, and `ValueError` where it said what can't be read."""
        try:
            return received(self._connection)
        except (EOFError, OSError) as error:
            raise Gone(self.end()) from error

    def fileno(self) -> int:
        """Its socket, to wait for several."""
        return self._connection.fileno()

    # ------------------------------------------------------------------------------------------------------ life, death

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self._status() is not None

    def end(self) -> str:
        """End it, which has closed its socket, and say how it ended."""
        by = monotonic() + _ENDING
        while (status := self._status()) is None and monotonic() < by:
            sleep(0.0005)
        self.kill()
        if status in (None, CLOSED):
            return "has had its connection closed"
        return f"{how_ended(status) if status else 'ended'}{last_line(bytes(self._written))}"

    def _status(self) -> int | None:
        """Its exit status, or minus the signal that ended it. To look only keeps its number from being another's."""
        if self.process.returncode is not None:
            return self.process.returncode
        if not hasattr(os, "waitid"):
            return self.process.poll()
        found = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def kill(self) -> None:
        """End it and what it started, which is a group of its own, at once; `close` has to follow."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, wait for that and let its memory go."""
        self.kill()
        self.process.wait()
        self._connection.close()
        self.memory.close()

    def unfit(self) -> str | None:
        """Why it should be replaced before it harms: too much memory, or too many processes. None where it is well."""
        room = self._limit - self._base * _page
        if self._base and (self._pages() - self._base) * _page > 0.8 * room:
            return f"uses most of the {self._limit >> 20} MB that it may"
        pid = self.process.pid
        with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            if len(file.read().split()) > _CHILDREN:
                return f"has started more than {_CHILDREN} processes"
        return None

    def _pages(self) -> int:
        """Pages of address space that it uses; 0 where the system doesn't tell."""
        with suppress(OSError), open(f"/proc/{self.process.pid}/statm", "rb") as file:
            return int(file.read().split()[0])
        return 0


def waited(workers: list[Worker], seconds: float) -> list[Worker]:
    """Wait for any of them, so long: those that said something, or are gone."""
    if len(workers) == 1:
        return workers[:] if workers[0].done(seconds) else []
    poll = select.poll()
    for one in workers:
        poll.register(one.fileno(), select.POLLIN)
    found = {fd for fd, _ in poll.poll(1e3 * seconds)}
    return [one for one in workers if one.fileno() in found]
