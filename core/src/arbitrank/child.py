"""Bounded child process: started in a process group of its own, killed with everything it started, its end described.

    with Child("-m", "arbitrank.selftest", str(MEMORY)) as child:
        reply = child.exchange(task, seconds=60.0)

The parent sends one line and receives one line, within a deadline. In the child, `serve` answers the lines; what the
code under test prints goes to standard error, of which the parent keeps the end for its messages. The kernel kills the
child and everything in its group when the parent ends, however that ends: by a pipe that only the parent keeps open.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from arbitrank.errors import ArbitrankError

__all__ = [
    "Child",
    "Ended",
    "Expired",
    "alarm",
    "command",
    "end_with_parent",
    "environment",
    "how_ended",
    "last_line",
    "limit",
    "serve",
]

_LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")  # by the prefix of the variable that sets their threads
_KEPT = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ")  # variables that any program may need
_LIFELINE = "_ARBITRANK_LIFELINE"  # the environment variable with the file descriptor of the pipe to a child
_TAIL = 4096  # bytes kept of what a child writes to standard error
_LONGEST = 1 << 24  # bytes of a reply
_CHUNK = 4096  # POSIX's PIPE_BUF is at least 512; a pipe that polls as writable takes a write of PIPE_BUF at once
_GRACE = 0.1  # seconds for a process to end that has closed its pipes


class Ended(ArbitrankError):
    """Raised when the child ended, or replied what cannot be read, before the exchange was done."""


class Expired(Ended):
    """Raised when the child did not reply by the deadline; it has been killed."""


class Child:
    """A Python process in a group of its own, with one thread per numerical library.

    `arguments` follow the interpreter: `"-m", "package.module", …`. Its standard input and output are pipes, its
    standard error is drained by a thread, so that it never blocks; `output` sends its standard output there too. It is
    this Python with this process's modules, or the `interpreter` of another environment, with that one's alone.
    `variables` are added to its environment variables. `within` is a program that executes the command that follows it.
    One thread at a time may use it; `kill` is safe from any. Raises `OSError` where the system cannot start it.
    """

    def __init__(
        self,
        *arguments: str,
        pass_fds: Sequence[int] = (),
        output: bool = False,
        interpreter: Path | None = None,
        variables: Mapping[str, str] = {},
        within: Sequence[str] = (),
    ) -> None:
        errors, into = os.pipe()
        lifeline, self._lifeline = os.pipe()
        try:
            self.process = subprocess.Popen(
                [*within, *command(interpreter), *arguments],
                stdin=subprocess.DEVNULL if output else subprocess.PIPE,
                stdout=into if output else subprocess.PIPE,
                stderr=into,
                pass_fds=(*pass_fds, lifeline),
                env={**environment(interpreter), **variables, _LIFELINE: str(lifeline)},
                start_new_session=True,
            )
        except OSError:
            os.close(errors)
            os.close(self._lifeline)
            raise
        finally:
            os.close(into)
            os.close(lifeline)
        self._written = bytearray()
        self._drain = threading.Thread(target=self._read, args=(errors,), name="arbitrank drain", daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """The process's number, which is its group's as well."""
        return self.process.pid

    def exchange(self, message: bytes, seconds: float) -> bytes:
        """The line that the child replies to the line `message`, without its end.

        Raises `Expired` after `seconds`, and `Ended` where the child ends first. Only `close` may follow these.
        """
        assert self.process.stdin
        assert self.process.stdout
        into, out = self.process.stdin.fileno(), self.process.stdout.fileno()
        by, unsent, reply = monotonic() + seconds, memoryview(message + b"\n"), bytearray()
        poll = select.poll()
        poll.register(out, select.POLLIN)
        poll.register(into, select.POLLOUT)
        while not reply.endswith(b"\n"):
            ready = {fd for fd, _ in poll.poll(max(1e3 * (by - monotonic()), 0.0))}
            if not ready:
                self.kill()
                raise Expired(f"not done after {seconds:g} s")
            if into in ready:
                with suppress(BrokenPipeError):  # its standard output tells that it has ended
                    unsent = unsent[os.write(into, unsent[:_CHUNK]) :]
                    if unsent:
                        continue
                poll.unregister(into)
            if out in ready:
                content = os.read(out, 1 << 16)
                if not content:
                    raise Ended(self.end())
                reply += content
                if len(reply) > _LONGEST:
                    self.kill()
                    raise Ended(f"replied more than {_LONGEST} bytes")
        return bytes(reply[:-1])

    def end(self) -> str:
        """Description of the process's end; one that still runs is killed after a moment."""
        by = monotonic() + _GRACE
        while (status := self.status()) is None and monotonic() < by:
            sleep(0.0005)
        self.kill()
        self._drain.join(_GRACE)  # a process that left the group may hold the pipe open
        how = how_ended(status) if status is not None else "closed its connection"
        return f"{how}{last_line(bytes(self._written))}"

    def status(self) -> int | None:
        """The exit status, or minus the signal that ended the process; None while it runs. Does not reap it.

        Until it is reaped, its number is no other process's, so that its group can be killed safely.
        """
        if self.process.returncode is not None or not hasattr(os, "waitid"):
            return self.process.poll()
        found = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def kill(self) -> None:
        """Kill the process and everything it started, at once; `close` has to follow."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the process and everything it started, reap it and close its pipes."""
        self.kill()
        self.process.wait()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # bytes that were still to be written
                if pipe:
                    pipe.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self, errors: int) -> None:
        with suppress(OSError):
            while content := os.read(errors, 1 << 16):
                self._written += content[-_TAIL:]
                del self._written[:-_TAIL]
        os.close(errors)


def command(interpreter: Path | None) -> list[str]:
    """The start of the command that runs this Python, or isolated the one of another environment.

    Neither imports anything from the working folder (-P), in which others may be able to write.
    """
    return [sys.executable, "-P"] if interpreter is None else [str(interpreter), "-I"]


def environment(interpreter: Path | None) -> dict[str, str]:
    """The environment variables of a child: with the modules of this process, or with few variables in another Python.

    A path to modules that was exported would be another Python's too.
    """
    threads = {f"{name}_NUM_THREADS": "1" for name in _LIBRARIES}
    if interpreter is None:
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path), **threads}
    return {**{name: os.environ[name] for name in _KEPT if name in os.environ}, **threads}


def how_ended(status: int) -> str:
    """An exit status, or minus the signal that ended a process, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"crashed with {signal.Signals(-status).name}"
    except ValueError:
        return f"crashed with signal {-status}"


def last_line(written: bytes) -> str:
    """The last line that a process wrote, printable and after a colon; empty where it wrote none."""
    lines = written.decode(errors="replace").split("\n")
    shown = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {re.sub(r'[^ -~]', '?', shown)[:200]}" if shown else ""


# ------------------------------------------------------------------------------------------------------- in the child


def limit(memory: int) -> None:
    """Limit this process to `memory` bytes of address space and no core file, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # a system without limits, or with lower ones
        pass


def serve(answer: Callable[[bytes], bytes], seconds: float | None = None) -> None:
    """Reply `answer(line)` to each line on standard input until it is closed, then end the process; never returns.

    Whatever else writes to standard output writes to standard error instead. A line that takes longer than `seconds`
    ends the process, in case the parent died before it could.
    """
    end_with_parent()
    lines, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    for line in lines:
        alarm(seconds)
        reply = answer(line)
        alarm(None)
        with suppress(OSError):  # the parent is gone
            replies.write(reply + b"\n")
            replies.flush()
    os._exit(0)  # no code of a plugin's is to run at exit


def end_with_parent() -> None:
    """Have the kernel kill this process's group when its parent ends, where the system can; a hanging one too.

    Its parent alone ends it: SIGTERM, which a service manager sends to all processes of a service, is ignored.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    lifeline = os.environ.pop(_LIFELINE, None)
    try:
        import fcntl

        if lifeline is not None:
            file = int(lifeline)
            fcntl.fcntl(file, fcntl.F_SETOWN, -os.getpgrp())
            if hasattr(fcntl, "F_SETSIG"):  # else SIGIO is sent, which Linux alone ends a process by; `alarm` does then
                fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_ASYNC)
            if select.select([file], [], [], 0)[0]:  # it ended before this was set
                os.killpg(0, signal.SIGKILL)
    except (ImportError, ValueError, OSError):  # a system without these signals
        pass


def alarm(seconds: float | None) -> None:
    """End this process a second after `seconds`, in case its parent dies before it can do that; None cancels."""
    if hasattr(signal, "setitimer"):
        if seconds is not None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.0 if seconds is None else seconds + 1.0)
