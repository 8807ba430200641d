"""Box around the processes of domains: what the operator asked for, and the command that starts a process in one.

`--box NAME` and its companions are environment variables to the processes that a command starts, so that a service, its
workers and what tests weights for it all use the same box. `box_launcher` puts the process into it.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from time import monotonic

import msgspec

from arbitrank.boxed import is_boxed
from arbitrank.errors import InputError, os_errors

__all__ = ["READ", "REQUIRED", "USER", "Box", "Entering", "box_of", "described"]

REQUIRED = "ARBITRANK_BOX_REQUIRED"
"""Environment variable that is set where a process does not start without every measure."""

READ = "ARBITRANK_BOX_READ"
"""Environment variable with further folders that boxed domains may read, separated as in PATH."""

USER = "ARBITRANK_BOX_USER"
"""Environment variable with the user whom boxed domains run as, where the service runs as root."""

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_SYSTEM = (
    "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/dev/null", "/dev/zero", "/dev/random",
    "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu",
)  # fmt: skip
_LOADERS = ("/lib64/ld-*", "/lib/ld-*", "/lib/*/ld-*")  # of shared libraries, which the kernel executes first

_WINDOW, _PROCESSORS = 10.0, 1.25  # seconds, and processors that may be used in them: one, and what the system does


class Walls(msgspec.Struct, frozen=True):
    """Paths that a process in a box may read and execute, its temporary folder, its memory in bytes, and its user.

    `box_launcher` reads it as JSON.
    """

    read: tuple[str, ...]
    run: tuple[str, ...]
    temporary: str
    memory: int
    required: bool
    user: tuple[int, int] | None


class Box(msgspec.Struct, frozen=True):
    """A box for the processes of one environment: folders to read, and the user, None for the service's own.

    `required`: a process does not start where the kernel lacks a measure.
    """

    read: tuple[str, ...]
    required: bool = False
    user: str | None = None

    def command(self, report: int, interpreter: Path, artifacts: Path, temporary: Path, memory: int) -> list[str]:
        """The start of the command that runs the interpreter in this box; its launcher is this process's own code.

        `report` is the file descriptor that the measures are reported to, `memory` bytes of address space.
        """
        real = interpreter.resolve()
        own = (str(real.parents[1] / "lib"), str(real.parents[1] / "lib64"))
        loaders = sorted(os.path.realpath(one) for pattern in _LOADERS for one in glob(pattern))
        walls = Walls(
            (*self.read, str(artifacts), *own, *_LIBRARIES, *_SYSTEM),
            (str(real), *loaders),
            str(temporary),
            memory,
            self.required,
            self._identity(),
        )
        launcher = (sys.executable, "-I", "-m", "arbitrank.isolation.box_launcher")
        return [*launcher, str(report), msgspec.json.encode(walls).decode()]

    def give(self, folder: Path) -> None:
        """Make a folder, and the files in it, the user's, so that its processes can read it. Raises `InputError`."""
        if identity := self._identity():
            with os_errors(InputError, f"--as-user {self.user}", "; that needs root"):
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, *identity, follow_symlinks=False)

    def _identity(self) -> tuple[int, int] | None:
        """The numbers of the user and of that user's group. Raises `InputError`."""
        if self.user is None:
            return None
        import pwd

        try:
            found = pwd.getpwnam(self.user)
        except KeyError as error:
            raise InputError(f"--as-user {self.user}: saw no such user, expected one of this machine") from error
        return found.pw_uid, found.pw_gid


class Entering:
    """One process on its way into a box: its command, its report, its temporary folder and its use of the processor."""

    def __init__(self, box: Box, artifacts: Path, interpreter: Path, memory: int) -> None:
        self.box = box
        self.temporary = Path(tempfile.mkdtemp(prefix="box-", dir=artifacts))
        box.give(self.temporary)
        self._read, self.report = os.pipe()
        self.command = box.command(self.report, interpreter, artifacts, self.temporary, memory)
        self._seen: tuple[float, float] | None = None  # a moment, and the processor seconds by then

    def started(self) -> None:
        """Note that the process has the end of the pipe that it reports to."""
        os.close(self.report)

    def measures(self, seconds: float) -> dict[str, str | None] | None:
        """The reported measures; None where the process ended before, or has not reported by then."""
        content, until = b"", monotonic() + seconds
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        while poll.poll(max(1e3 * (until - monotonic()), 0.0)):
            more = os.read(self._read, 1 << 16)
            if not more:
                break
            content += more
        try:
            return msgspec.json.decode(content, type=dict[str, str | None])
        except msgspec.MsgspecError:
            return None

    def hogs(self, pid: int) -> bool:
        """True where the process has used much more than one processor since it was last seen, ten seconds ago."""
        with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            used, now = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), monotonic()
            if self._seen is None:
                self._seen = now, used
            elif now - self._seen[0] >= _WINDOW:
                (before, spent), self._seen = self._seen, (now, used)
                return used - spent > _PROCESSORS * (now - before)
        return False

    def close(self) -> None:
        """Remove its folder, once the process has ended."""
        if self._read >= 0:
            os.close(self._read)
            self._read = -1
        shutil.rmtree(self.temporary, ignore_errors=True)


def described(measures: Mapping[str, str | None]) -> str:
    """The measures of a box in words, those that are missing with the reason."""
    active = ", ".join(name for name, reason in measures.items() if reason is None)
    missing = "".join(f"; without {name}: {reason}" for name, reason in measures.items() if reason)
    return f"in a box, by {active or 'no measure'}{missing}"


def box_of(domains: Collection[str], folders: Iterable[Path]) -> Box | None:
    """The box of an environment with these domains and folders; None where none of them is to be in one."""
    if not is_boxed(domains):
        return None
    more: Sequence[str] = [os.path.abspath(path) for path in os.environ.get(READ, "").split(os.pathsep) if path]
    return Box(
        (*map(str, folders), *more),
        bool(os.environ.get(REQUIRED)),
        os.environ.get(USER) or None,
    )
