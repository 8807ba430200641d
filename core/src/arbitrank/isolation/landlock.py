"""Landlock: this process reads, writes and signals nothing but what it names, by the kernel, without root.

`struct landlock_ruleset_attr` and the rights are those of linux/landlock.h; `man 7 landlock` describes them.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from arbitrank.isolation.libc import checked, libc, refuse_new_privileges

__all__ = ["restrict", "version"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on every architecture
_VERSION_FLAG, _BENEATH = 1, 1  # flag of the first; type of a rule

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_MAKE_DEVICES = 1 << 6 | 1 << 11  # character and block devices
_READ = _READ_FILE | _READ_DIR
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}  # by version
_TCP = 0b11  # bind and connect, from version 4
_SCOPES = 0b11  # abstract Unix sockets and signals, from version 6


def version() -> int:
    """The version of the kernel's interface; 0 without Landlock."""
    found: int = libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(found, 0)


def restrict(read: Sequence[str], write: Sequence[str], run: Sequence[str]) -> None:
    """Restrict this process for good to files and folders to read, to write beneath, and to execute.

    A path that does not exist is left out. Raises `OSError` where the kernel refuses.
    """
    abi = version()
    handled = _HANDLED[min(abi, 5)] if abi else 0
    attributes = struct.pack("=QQQ", handled, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = ctypes.c_size_t(24 if abi >= 6 else 16 if abi >= 4 else 8)
    rules = checked(libc.syscall(_CREATE, attributes, size, ctypes.c_uint32(0)), "landlock")
    try:
        for paths, rights in ((read, _READ), (write, handled & ~(_EXECUTE | _MAKE_DEVICES)), (run, _EXECUTE | _READ)):
            for path in paths:
                _allow(rules, path, rights & handled)
        refuse_new_privileges()
        checked(libc.syscall(_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0)), "landlock")
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, file)
        checked(libc.syscall(_ADD, ctypes.c_int(rules), ctypes.c_int(_BENEATH), rule, ctypes.c_uint32(0)), "landlock")
    finally:
        os.close(file)
