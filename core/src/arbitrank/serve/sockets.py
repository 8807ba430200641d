"""Sockets beneath what asyncio offers: bytes on their way, the end of a connection, and of listening.

What a system lacks is left out: without a count of bytes none are on their way, and a connection is not reset.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import sys
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ

_SIOCOUTQNSD, _SO_ATTACH_FILTER = 0x894B, 26  # of Linux, which Python does not name
_LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_FLAGS, _SYN, _SYN_ACK = 13, 0x02, 0x12  # the flags of a TCP header: their offset, and those of a first packet
_WHOLE = 0xFFFFFFFF
_RTT = 68  # offset of the round-trip time in Linux's `struct tcp_info`, in microseconds
_libc = ctypes.PyDLL(None)  # which keeps the interpreter to itself during a call
_libc.recv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_one_byte = ctypes.create_string_buffer(1)
_NO_ADDRESS = bytes(16)  # of the family AF_UNSPEC, which is 0: `connect(2)` to it resets a connection

# ------------------------------------------------------------------------------------------- connections, by transport


def unread(transport: asyncio.Transport) -> int:
    """Bytes that the system has received and nobody has read."""
    return _queued(transport, FIONREAD)


def unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the system has taken and the other side has not acknowledged; the end of the stream counts as one."""
    return _queued(transport, TIOCOUTQ)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the system has taken and not sent; all that are not acknowledged where it counts no others."""
    return _queued(transport, _SIOCOUTQNSD if sys.platform == "linux" else TIOCOUTQ)


def send_now(transport: asyncio.Transport, data: bytes) -> bytes:
    """Send data past the transport, where nothing else is to be sent before; the rest that the system does not take."""
    own = transport.get_extra_info("socket")
    if not data or transport.get_write_buffer_size() or own.fileno() < 0:
        return data
    connection = socket.socket(own.family, own.type, own.proto, own.fileno())
    try:
        with suppress(OSError):  # nothing can be sent now, or the connection is gone
            data = data[connection.send(data) :]
    finally:
        connection.detach()  # it stays the transport's
    return data


def finish(transport: asyncio.Transport, *, though_unread: bool) -> bool:
    """Send the end of the stream, and reset the connection, so that the other side can send no more.

    False where something has arrived that nobody has read, and nothing is done, except `though_unread`. No other thread
    of this process runs in between. Without Linux the connection is not reset.
    """
    descriptor = _descriptor(transport)
    if descriptor < 0:
        return True
    if not though_unread and _libc.recv(descriptor, _one_byte, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) > 0:
        return False
    _libc.shutdown(descriptor, socket.SHUT_WR)
    if sys.platform == "linux":
        _libc.connect(descriptor, _NO_ADDRESS, len(_NO_ADDRESS))
    return True


def _queued(transport: asyncio.Transport, queue: int) -> int:
    try:
        return int.from_bytes(ioctl(_descriptor(transport), queue, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # closed, or a system that does not count them
        return 0


def _descriptor(transport: asyncio.Transport) -> int:
    return int(transport.get_extra_info("socket").fileno())


# --------------------------------------------------------------------------------------------------- listening sockets
# The kernel completes a connection before anybody accepts it, and its client sends at once; closing the listening
# socket resets those that wait. So the first packet of a connection (SYN) is dropped first, and the client's next try
# is refused or reaches the successor. Once the handshakes that had begun are done, everything that waits is accepted.


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


_NO_FIRST_PACKETS = (_Instruction * 5)(
    _Instruction(_LOAD_BYTE, 0, 0, _FLAGS),
    _Instruction(_AND, 0, 0, _SYN_ACK),
    _Instruction(_JUMP_IF_EQUAL, 0, 1, _SYN),
    _Instruction(_RETURN, 0, 0, 0),
    _Instruction(_RETURN, 0, 0, _WHOLE),
)


def refuse_new(listening: socket.socket) -> None:
    """Have the kernel begin no further connection at a socket, also where other processes hold it. Linux only."""
    if sys.platform == "linux":
        with suppress(OSError):
            program = _Program(len(_NO_FIRST_PACKETS), _NO_FIRST_PACKETS)
            listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))


def round_trip(connection: socket.socket) -> float:
    """Seconds that a packet and its acknowledgement took as a connection was accepted; 0 where that is unknown."""
    if sys.platform != "linux":
        return 0.0
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RTT + 4)
    return 1e-6 * int.from_bytes(info[_RTT:], sys.byteorder)
