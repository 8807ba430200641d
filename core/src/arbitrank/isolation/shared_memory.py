"""What this process and a worker say to each other, and the memory in which they do.

Requests and outcomes lie in memory that both share; over the socket only goes, in frames of a length and as many bytes,
that there is something to read. So each outcome is there as soon as a domain gave it, even if the next one hangs with
all of the process, and it costs no call of the system.

    0    how many domains have their outcome there, which is the place in the request of the one that runs
    4    1 where the worker is to stop after that one
    8    bytes of the request
    16   where each outcome ends; written before they are counted
    …    the request, for the worker alone to read
    …    outcomes, one after the other
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
import tempfile
from contextlib import suppress
from typing import Final

import msgspec

from arbitrank.values import Hypothesis, Request

REQUEST: Final = 16 << 20
"""Bytes that one request may have, the hypotheses of a worker's domains included."""

OUTCOMES: Final = 4 << 20
"""Bytes that all outcomes of one request may have."""

MODELS: Final = 1 << 16
"""Models that a worker may be asked in one request."""

_ENDS: Final = 16
_REQUEST: Final = _ENDS + 4 * MODELS
_OUTCOMES: Final = _REQUEST + REQUEST
SIZE: Final = _OUTCOMES + OUTCOMES
CLOSED: Final = 86
"""The exit status of a worker in which a domain closed the socket."""

HALF: Final = b"+"
"""What a worker says that has half of the outcomes."""

_FUTURE_WRITE: Final = 0x10  # Linux's F_SEAL_FUTURE_WRITE
_LENGTH: Final = struct.Struct("<I")
_NUMBER: Final = struct.Struct("@I")  # of this machine, so that it is written at once and not byte by byte
_MAX_FRAME: Final = 1 << 20


class Ask(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A request without hypotheses, and who is asked: the number of each model, with its hypotheses where given."""

    explain: bool
    request: Request
    models: tuple[int, ...]
    given: tuple[tuple[Hypothesis, ...], ...] | None


class Said(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What came of one domain: `place` is its place in the `Ask`; `failure` says why it has no answer.

    `right` are float64s. `hypotheses` are None where they were given.
    """

    place: int
    failure: str | None
    mine: float
    right: bytes
    hypotheses: tuple[Hypothesis, ...] | None
    why: list[dict[str, float]] | None
    recognise_ms: float
    rerank_ms: float
    memory: bool = False


class Load(msgspec.Struct, frozen=True):
    """Load a domain's artifact as model `number`, and let go of all models that aren't in `keep`."""

    number: int
    domain: str
    folder: str
    keep: tuple[int, ...]
    seconds: float


class Memory:
    """Memory that two processes share."""

    def __init__(self, fd: int) -> None:
        self.map = mmap.mmap(fd, SIZE)

    def close(self) -> None:
        """Let go of it."""
        self.map.close()

    def put(self, request: bytes) -> None:
        """Put a request there, for a worker that is idle."""
        self.map[0:8] = bytes(8)
        _NUMBER.pack_into(self.map, 8, len(request))
        self.map[_REQUEST : _REQUEST + len(request)] = request

    def request(self) -> bytes:
        """The request."""
        (length,) = _NUMBER.unpack_from(self.map, 8)
        return self.map[_REQUEST : _REQUEST + length]

    def write(self, place: int, begin: int, outcome: bytes) -> int:
        """Add the outcome of a domain behind those before it, which end at `begin`; where it ends.

        Raises `OverflowError` where there is no room.
        """
        end = begin + len(outcome)
        if end > OUTCOMES:
            raise OverflowError
        self.map[_OUTCOMES + begin : _OUTCOMES + end] = outcome
        _NUMBER.pack_into(self.map, _ENDS + 4 * place, end)
        _NUMBER.pack_into(self.map, 0, place + 1)
        return end

    def done(self) -> int:
        """How many domains have their outcome there."""
        return int(_NUMBER.unpack_from(self.map, 0)[0])

    def outcomes(self, first: int, last: int) -> bytes:
        """The outcomes of the domains from the first to before the last."""
        begin = _NUMBER.unpack_from(self.map, _ENDS + 4 * (first - 1))[0] if first else 0
        (end,) = _NUMBER.unpack_from(self.map, _ENDS + 4 * (last - 1))
        return self.map[_OUTCOMES + begin : _OUTCOMES + min(end, OUTCOMES)]

    def stop(self) -> None:
        """Have the worker stop after the domain that runs."""
        self.map[4] = 1

    @property
    def stopped(self) -> bool:
        """Whether the worker is to stop."""
        return self.map[4] != 0


def shared() -> int:
    """A file in memory that a worker can map and nobody can shrink, as who reads beyond its end would crash."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("arbitrank", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, SIZE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        return fd
    with tempfile.TemporaryFile() as file:
        file.truncate(SIZE)
        return os.dup(file.fileno())


def seal(fd: int) -> None:
    """Have nobody write to shared memory any more but by the mappings there are: a mapping keeps its file open."""
    with suppress(AttributeError, OSError):  # a system without, or an old one
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _FUTURE_WRITE | fcntl.F_SEAL_SEAL)


def send(connection: socket.socket, content: bytes = b"") -> None:
    """Send a frame; an empty one says that there is something in the memory."""
    connection.sendall(_LENGTH.pack(len(content)) + content)


def receive(connection: socket.socket) -> bytes:
    """The next frame. Raises `EOFError` where the other side is gone, and `OSError`."""
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
    if length > _MAX_FRAME:
        raise EOFError
    return _read(connection, length) if length else b""


def received(connection: socket.socket) -> bytes:
    """The last frame that is there, without waiting.

    Raises `EOFError` where the other side is gone, `ValueError` where it said what is no frame, and `OSError`.
    """
    found = connection.recv(1 << 16, socket.MSG_DONTWAIT)
    if not found:
        raise EOFError
    start = 0
    while len(found) - start >= _LENGTH.size:
        begin = start + _LENGTH.size
        start = begin + _LENGTH.unpack_from(found, start)[0]
        if start == len(found):
            return found[begin:]
    raise ValueError


def _read(connection: socket.socket, n: int) -> bytes:
    found = connection.recv(n)
    while len(found) < n:
        more = connection.recv(n - len(found)) if found else b""
        if not more:
            raise EOFError
        found += more
    return found
