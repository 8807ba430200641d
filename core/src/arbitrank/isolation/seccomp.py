"""Seccomp: the kernel refuses this process new processes, network sockets and what acts on other processes.

The filter is a program of classic BPF over `struct seccomp_data` (linux/seccomp.h; `man 2 seccomp`): a refused call
fails with EPERM, so that the code which made it gets an error and goes on. Threads, files and pipes remain.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator, Mapping

from arbitrank.isolation.libc import failure, libc

__all__ = ["restrict"]

# The numbers of the system calls that are refused. Landlock leaves those that change a file by its path alone: modes,
# owners, times, and before Linux 6.2 its length.
_X86_64 = {
    "socket": 41, "fork": 57, "vfork": 58, "execveat": 322, "ptrace": 101, "process_vm_readv": 310,
    "process_vm_writev": 311, "process_madvise": 440, "pidfd_open": 434, "pidfd_send_signal": 424, "pidfd_getfd": 438,
    "kcmp": 312, "tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "perf_event_open": 298, "bpf": 321,
    "keyctl": 250, "add_key": 248, "request_key": 249, "mount": 165, "umount2": 166, "move_mount": 429,
    "open_tree": 428, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "userfaultfd": 323, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "open_by_handle_at": 304, "kexec_load": 246,
    "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176, "reboot": 169,
    "swapon": 167, "swapoff": 168, "acct": 163, "quotactl": 179, "settimeofday": 164, "clock_settime": 227,
    "adjtimex": 159, "clock_adjtime": 305, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173,
    "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240, "mq_unlink": 241, "migrate_pages": 256,
    "move_pages": 279, "setpriority": 141, "ioprio_set": 251, "sched_setscheduler": 144, "sched_setparam": 142,
    "sched_setattr": 314, "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92,
    "fchown": 93, "lchown": 94, "fchownat": 260, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
    "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "utime": 132, "utimes": 235, "futimesat": 261,
    "utimensat": 280, "truncate": 76,
}  # fmt: skip
_ARM_64 = {
    "socket": 198, "execveat": 281, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271,
    "process_madvise": 440, "pidfd_open": 434, "pidfd_send_signal": 424, "pidfd_getfd": 438, "kcmp": 272, "tkill": 130,
    "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "perf_event_open": 241, "bpf": 280, "keyctl": 219, "add_key": 217,
    "request_key": 218, "mount": 40, "umount2": 39, "move_mount": 429, "open_tree": 428, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "mount_setattr": 442, "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268,
    "userfaultfd": 282, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_by_handle_at": 265, "kexec_load": 104, "kexec_file_load": 294, "init_module": 105, "finit_module": 273,
    "delete_module": 106, "reboot": 142, "swapon": 224, "swapoff": 225, "acct": 89, "quotactl": 60, "settimeofday": 170,
    "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266, "sethostname": 161, "setdomainname": 162,
    "shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180, "mq_unlink": 181, "migrate_pages": 238,
    "move_pages": 239, "setpriority": 140, "ioprio_set": 30, "sched_setscheduler": 119, "sched_setparam": 118,
    "sched_setattr": 274, "fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "fchown": 55,
    "fchownat": 54, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
    "fremovexattr": 16, "utimensat": 88, "truncate": 45,
}  # fmt: skip
_MACHINES: Mapping[str, tuple[int, Mapping[str, int], Mapping[str, int]]] = {
    "x86_64": (
        0xC000003E,
        _X86_64,
        {"clone": 56, "kill": 62, "tgkill": 234, "prlimit64": 302, "sched_setaffinity": 203},
    ),
    "aarch64": (
        0xC00000B7,
        _ARM_64,
        {"clone": 220, "kill": 129, "tgkill": 131, "prlimit64": 261, "sched_setaffinity": 122},
    ),
}
"""By machine: the audit number of its architecture, the calls that are refused, those allowed with some arguments."""

_CLONE3 = 435
_THREAD = 0x10000  # CLONE_THREAD

_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_SYSTEM_CALL = {"x86_64": 317, "aarch64": 277}  # seccomp itself
_NUMBER, _MACHINE, _FIRST = 0, 4, 16  # offsets: the call's number, the machine, its first argument's low half
_LOAD, _EQUAL, _ABOVE, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def restrict() -> None:
    """Refuse them to this process, its threads and what it executes, for good.

    Raises `OSError` where the kernel or the machine does not allow that; needs `PR_SET_NO_NEW_PRIVS` before.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {machine}")
    program = b"".join(_program(*_MACHINES[machine]))
    code = ctypes.create_string_buffer(program, len(program))
    filtered = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    mode, flags = ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_ALL_THREADS)
    if libc.syscall(_SYSTEM_CALL[machine], mode, flags, filtered):
        raise failure("seccomp")


def _program(machine: int, refused: Mapping[str, int], some: Mapping[str, int]) -> Iterator[bytes]:
    """The instructions: each refusal is a comparison and the return behind it."""
    own = os.getpid()
    yield _step(_LOAD, _MACHINE)
    yield from _unless(_EQUAL, machine, _KILL)
    yield _step(_LOAD, _NUMBER)
    yield from _where(_ABOVE, 0x40000000, _ERROR | errno.EPERM)  # calls of x32, which have other numbers
    for number in sorted(refused.values()):
        yield from _where(_EQUAL, number, _ERROR | errno.EPERM)
    yield from _where(_EQUAL, _CLONE3, _ERROR | errno.ENOSYS)  # its flags are in memory: libraries go back to clone
    yield from _only(some["clone"], (_BITS, _THREAD))
    for name in ("kill", "tgkill", "prlimit64", "sched_setaffinity"):
        yield from _only(some[name], (_EQUAL, 0), (_EQUAL, own), (_EQUAL, -own & 0xFFFFFFFF))
    yield _step(_RETURN, _ALLOW)


def _only(number: int, *tests: tuple[int, int]) -> Iterator[bytes]:
    """A call that is allowed where one of the tests of its first argument holds."""
    yield _step(_EQUAL, number, 0, len(tests) + 3)
    yield _step(_LOAD, _FIRST)
    for place, (test, value) in enumerate(tests):
        yield _step(test, value, len(tests) - place, 0)
    yield _step(_RETURN, _ERROR | errno.EPERM)
    yield _step(_RETURN, _ALLOW)


def _where(test: int, value: int, then: int) -> Iterator[bytes]:
    yield _step(test, value, 0, 1)
    yield _step(_RETURN, then)


def _unless(test: int, value: int, then: int) -> Iterator[bytes]:
    yield _step(test, value, 1, 0)
    yield _step(_RETURN, then)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
