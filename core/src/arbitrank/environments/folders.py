"""Folder of environments: one per package, its releases side by side, and a text file that names the current one.

    DIR/arbitrank-podcasts/current                  the name of a release
    DIR/arbitrank-podcasts/previous                 that of the one before, which `rollback --code` returns to
    DIR/arbitrank-podcasts/0.3.0-1f0c2b7a/          a virtual environment, never changed once it has this name
    DIR/arbitrank-podcasts/0.3.0-1f0c2b7a/environment.json
    DIR/arbitrank-podcasts/.0.4.0.part/             what an installation is building, or left behind

A process that runs a release's code holds a shared lock on its `.lease`, so that the release is not removed under it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arbitrank.errors import InputError, os_errors
from arbitrank.file_locks import try_lock
from arbitrank.isolation.messages import Hello
from arbitrank.store.artifact import write_durably

__all__ = [
    "Recorded",
    "Release",
    "check_platform",
    "current",
    "lease",
    "locked",
    "names",
    "prune",
    "releases",
    "set_aside",
    "switch",
    "withdraw",
]

PART = ".part"
"""The ending of a folder that is no release yet, or no more."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RELEASE = re.compile(r"[0-9][A-Za-z0-9._-]{0,150}")
_RECORD, _LEASE, _CURRENT, _PREVIOUS, _LOCK = "environment.json", ".lease", "current", "previous", ".lock"
_LONGEST = 8 << 20  # bytes of a record
_NONE = "none"  # in `current` after a package was uninstalled: a file that is gone was lost


def check_platform() -> None:
    """Raise `InputError` on a system without what environments need."""
    if sys.platform == "win32":
        raise InputError(
            "environments of domains need Linux or macOS, this is Windows, which has neither locks that end with their "
            "process nor sockets that a child process inherits; install the package beside the core: pip install NAME"
        )


class Recorded(msgspec.Struct, frozen=True):
    """Facts recorded when a release was installed: its requirement, what was installed, and its worker's greeting.

    `options` are those of the installation that a repetition needs.
    """

    requirement: str
    package: str
    version: str
    packages: dict[str, str]
    hello: Hello
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Release:
    """One release of a package: a virtual environment."""

    folder: Path

    @property
    def package(self) -> str:
        """The name of the package's distribution, normalised."""
        return self.folder.parent.name

    @property
    def name(self) -> str:
        """The version and a digest of all that is installed."""
        return self.folder.name

    @property
    def version(self) -> str:
        """The package's version, as the release's name has it."""
        return self.name.rpartition("-")[0]

    @property
    def interpreter(self) -> Path:
        """The Python of the environment."""
        return self.folder / "bin" / "python"

    def __str__(self) -> str:
        return f"{self.package} {self.name}"

    def recorded(self) -> Recorded:
        """The facts that were recorded when it was installed. Raises `InputError` where they cannot be read."""
        path = self.folder / _RECORD
        again = f"; run: arbitrank install {self.package} again"
        with os_errors(InputError, f"environment {self}", again), path.open("rb") as file:
            content = file.read(_LONGEST + 1)
        try:
            if len(content) > _LONGEST:
                raise ValueError(f"more than {_LONGEST} bytes")
            return msgspec.json.decode(content, type=Recorded)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: cannot be read: {error}; run: arbitrank install {self.package} again") from error

    def reinstalling(self, *beside: str) -> str:
        """The command that installs it again with further requirements. Raises as `recorded` does."""
        found = self.recorded()
        options = ["--environments", str(self.folder.parent.parent), *found.options]
        more = [word for one in beside for word in ("--with", one)]
        return shlex.join(["arbitrank", "install", found.requirement, *options, *more])


def record(folder: Path, recorded: Recorded) -> None:
    """Write the facts of a release."""
    write_durably(folder / _RECORD, msgspec.json.format(msgspec.json.encode(recorded), indent=1))


def names(folder: Path) -> list[str]:
    """The packages that have an environment in the folder, sorted, also those that were uninstalled.

    Raises `InputError` where it cannot be read.
    """
    check_platform()
    with os_errors(InputError, f"environments {folder}", "; name a folder with --environments"):
        found = [entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name) and entry.is_dir()]
    return sorted(name for name in found if (folder / name / _CURRENT).exists())


def current(folder: Path, package: str) -> Release | None:
    """The release of a package that is to serve; None where none is installed.

    The name is resolved here, once: what is started from the release imports from no other. Raises `InputError` where
    the file is damaged, or names what is not there.
    """
    return _named(folder / package, _CURRENT)


def previous(folder: Path, package: str) -> Release | None:
    """The release before the current one; None where there is none, or it is gone."""
    with suppress(InputError):
        return _named(folder / package, _PREVIOUS)
    return None


def _named(home: Path, file: str) -> Release | None:
    path = home / file
    try:
        with path.open("rb") as opened:
            text = opened.read(300).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if text == _NONE:
        return None
    if not _RELEASE.fullmatch(text):
        raise InputError(f"{path}: names {text[:60]!r}, expected a release; run: arbitrank install {home.name} again")
    release = Release(home.resolve() / text)
    if not release.interpreter.exists():
        raise InputError(f"{path}: names {text}, which is not there; run: arbitrank install {home.name} again")
    return release


def releases(home: Path) -> list[Release]:
    """The releases of a package, by name."""
    with os_errors(InputError, f"environments {home}"):
        found = [entry.name for entry in os.scandir(home) if _RELEASE.fullmatch(entry.name) and entry.is_dir()]
    return [Release(home / name) for name in sorted(found)]


def switch(folder: Path, release: Release) -> None:
    """Make a release the current one, atomically; the one before is kept as the previous one. The lock is held."""
    home = folder / release.package
    with os_errors(InputError, f"environments {home}", "; free space, then repeat the command"):
        with suppress(InputError):  # one that is damaged, or is not there, is no release to return to
            before = _named(home, _CURRENT)
            if before is not None and before.name != release.name:
                write_durably(home / _PREVIOUS, f"{before.name}\n".encode())
        write_durably(home / _CURRENT, f"{release.name}\n".encode())


def withdraw(folder: Path, package: str) -> None:
    """Have no release of a package be current. The lock is held."""
    with os_errors(InputError, f"environments {folder / package}"):
        write_durably(folder / package / _CURRENT, f"{_NONE}\n".encode())
        (folder / package / _PREVIOUS).unlink(missing_ok=True)


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """A block in which no other process changes a package's environments. Raises `InputError` where one does."""
    check_platform()
    with os_errors(InputError, f"environments {home}", "; name a folder that can be written with --environments"):
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not try_lock(handle):
            raise InputError(f"{home.name}: another installation of it is in progress; try again later")
        yield
    finally:
        os.close(handle)


class Lease:
    """A shared lock on a release, held until it is closed or the process ends: `prune` leaves the release alone."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    def close(self) -> None:
        """Release the lock."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __del__(self) -> None:
        self.close()


def lease(release: Release) -> Lease:
    """A lease of a release. Raises `InputError` where it is being removed or gone."""
    import fcntl

    path = release.folder / _LEASE
    with os_errors(InputError, f"environment {release}", f"; run: arbitrank install {release.package} again"):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InputError(f"environment {release}: is being removed; run: arbitrank domains") from error
    return Lease(handle)


def leasable(folder: Path) -> None:
    """Give a new environment the file that leases lock."""
    (folder / _LEASE).touch()


def set_aside(release: Release) -> None:
    """Give the folder of a release, where there is one, a name that `prune` removes. The lock is held."""
    if release.folder.exists():
        release.folder.rename(release.folder.with_name(f".{release.name}.{os.getpid()}{PART}"))


def prune(home: Path, keep: Collection[str]) -> list[str]:
    """Remove a package's releases that are not kept and not in use, and what was left behind; their names.

    The lock is held. One that is in use is removed by a later call.
    """
    removed = []
    for entry in sorted(os.scandir(home), key=lambda entry: entry.name):
        if entry.name.endswith(PART) and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
    for release in releases(home):
        if release.name in keep:
            continue
        with _unused(release) as unused, suppress(OSError):
            if unused:
                gone = home / f".{release.name}{PART}"  # no release any more before anything of it is gone
                release.folder.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
                removed.append(release.name)
    return removed


@contextmanager
def _unused(release: Release) -> Iterator[bool]:
    """A block in which nobody can lease a release; False where somebody does."""
    try:
        handle = os.open(release.folder / _LEASE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield True  # its installation was interrupted
        return
    try:
        yield try_lock(handle)
    finally:
        os.close(handle)
