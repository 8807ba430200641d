"""Program that puts its process into a box, reports the measures that are active, and becomes another program there.

`python -I -m arbitrank.isolation.box_launcher FD WALLS COMMAND…`: the JSON of `Walls`; the report, a JSON object from
each measure to null or the reason why it is missing, goes to the file descriptor. It runs before anything of the
environment does, whose own core may be of any version, or hostile; what it restricts stays so for the program.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Mapping, Sequence

from arbitrank.isolation import landlock, seccomp
from arbitrank.isolation.libc import checked, libc, refuse_new_privileges

__all__ = ["FILES", "MEASURES", "TEMPORARY_BYTES", "main"]

MEASURES = ("disk", "limits", "privileges", "files", "network", "processes", "signals")
"""Measures of a box, each of which the kernel may lack."""

FILES = 256
"""Files that it may have open."""

TEMPORARY_BYTES = 64 << 20
"""Bytes of its temporary folder, which is in memory, and of any file."""

_NEW_USER, _NEW_MOUNT = 0x10000000, 0x00020000  # of unshare
_PRIVATE, _RECURSIVE, _NOSUID, _NODEV, _NOEXEC = 1 << 18, 1 << 14, 2, 4, 8  # of mount
_DROP_BOUND = 24  # of prctl
_CAPABILITIES = 0x20080522  # the version of the structure that capset takes
_SET_CAPABILITIES = {"x86_64": 126, "aarch64": 91}
_SCOPE_VERSION = 6  # of Landlock: signals
_INODES = 10_000


def main(arguments: Sequence[str]) -> None:
    """Enter the box and execute the command; never returns."""
    report, walls, command = int(arguments[0]), json.loads(arguments[1]), arguments[2:]
    os.set_inheritable(report, False)  # the program must not have it
    identity = walls["user"]
    found = {"disk": _tried(lambda: _mount(walls["temporary"], *(identity or (os.getuid(), os.getgid()))))}
    if identity:
        _become(*identity)
    found |= {name: _tried(measure) for name, measure in _measures(walls).items()}
    os.write(report, json.dumps(found).encode())
    if walls["required"] and any(found.values()):
        os._exit(1)
    os.execve(command[0], list(command), {**os.environ, "TMPDIR": walls["temporary"]})


def _measures(walls: Mapping[str, object]) -> dict[str, Callable[[], None]]:
    """The measures in the order in which they can be taken: each takes away what those before it need."""
    temporary = str(walls["temporary"])
    read, run = ([str(path) for path in walls[key]] for key in ("read", "run"))  # type: ignore[attr-defined]
    return {
        "limits": lambda: _limit(int(str(walls["memory"]))),
        "privileges": _drop,
        "files": lambda: landlock.restrict([*read, f"/proc/{os.getpid()}"], [temporary, "/dev/null"], run),
        "network": seccomp.restrict,
        "processes": _check_filtered,
        "signals": _check_scoped,
    }


def _tried(measure: Callable[[], None]) -> str | None:
    try:
        measure()
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


def _mount(folder: str, user: int, group: int) -> None:
    """Mount a bounded file system in memory on the temporary folder, in a name space of this process's own."""
    root = os.getuid() == 0
    checked(libc.unshare(_NEW_MOUNT if root else _NEW_USER | _NEW_MOUNT), "unshare")
    if not root:
        for name, content in {
            "setgroups": "deny",
            "uid_map": f"{user} {user} 1",
            "gid_map": f"{group} {group} 1",
        }.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(content)
    checked(libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE | _RECURSIVE), None), "mount")
    options = f"size={TEMPORARY_BYTES},nr_inodes={_INODES},mode=0700,uid={user},gid={group}".encode()
    flags = ctypes.c_ulong(_NOSUID | _NODEV | _NOEXEC)
    checked(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options), "mount of tmpfs")


def _become(user: int, group: int) -> None:
    """Become that user, with no other group, for good. Raises `OSError`, which ends the process."""
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def _limit(memory: int) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_FSIZE, TEMPORARY_BYTES),
    ):
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _drop() -> None:
    """Give up all capabilities, those of root too, and the way to new ones."""
    for capability in range(64):  # what root would get back from a program that it executes
        libc.prctl(_DROP_BOUND, capability, 0, 0, 0)
    refuse_new_privileges()
    number = _SET_CAPABILITIES.get(os.uname().machine)
    if number is None:
        raise OSError(f"no number of capset for {os.uname().machine}")
    header, sets = struct.pack("=Ii", _CAPABILITIES, 0), bytes(24)
    checked(libc.syscall(number, header, sets), "capset")


def _check_filtered() -> None:
    if not _filtered():
        raise OSError("no filter of system calls is active")


def _check_scoped() -> None:
    if landlock.version() < _SCOPE_VERSION and not _filtered():
        raise OSError(f"Landlock {landlock.version()} has no scope of signals, expected {_SCOPE_VERSION}")


def _filtered() -> bool:
    """True where a filter of system calls is active."""
    with open("/proc/self/status") as file:
        return "Seccomp:\t2" in file.read()


if __name__ == "__main__":
    main(sys.argv[1:])
