"""Accepting of connections: all workers share one listening socket, and whichever has the fewest takes the next.

A connection that waits belongs to no worker until one accepts it, so a worker that ends or hangs takes none with it,
and one that is still loading gets none. Left to the kernel, one of several idle workers takes nearly all of a burst: a
worker with more connections than another leaves the next to the others for a moment, and takes it where none does.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from time import sleep
from typing import Any

from arbitrank.serve.board import Phase, WorkerBoard
from arbitrank.serve.sockets import refuse_new, round_trip

_YIELD = 0.002  # seconds for which a worker leaves a connection to others
_TOGETHER = 0.5  # seconds at most that a worker waits for others to close the socket, and for what clients began
_LOOK = 0.002  # seconds between two looks
_FADING = 0.99  # of the longest round trip, with each further connection
_PAUSE = 0.1  # seconds before another try where the system has no more file descriptors


class CountedConnections(set[Any]):
    """The open connections of a worker, whose number stands on the board."""

    def __init__(self, board: WorkerBoard, number: int) -> None:
        super().__init__()
        self._board, self._number = board, number

    def add(self, connection: Any) -> None:
        """Add a connection that was made."""
        super().add(connection)
        self._board.connect(self._number, len(self))

    def discard(self, connection: Any) -> None:
        """Remove a connection that is closed."""
        super().discard(connection)
        self._board.connect(self._number, len(self))


class Acceptor:
    """Accepts connections at a shared socket for one worker, from `start` until `close`."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        encryption: ssl.SSLContext | None,
        seconds: float,
        connections: set[Any],
        board: WorkerBoard,
        number: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening, self._protocol, self._encryption = listening, protocol, encryption
        self._seconds = None if encryption is None else seconds  # for the two to agree on TLS
        self._connections, self._board, self._number = connections, board, number
        self._opening: set[asyncio.Task[Any]] = set()
        self._waiting: asyncio.TimerHandle | None = None
        self._round_trip = 0.0
        self._open = False

    def start(self) -> None:
        """Accept connections from now on."""
        if not self._open:
            self._open = True
            self._loop.add_reader(self._listening.fileno(), self._readable)

    def close(self) -> None:
        """Accept no more connections. Those that wait stay with the other workers."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listening.fileno())
        if self._waiting is not None:
            self._waiting.cancel()

    async def wait_closed(self) -> None:
        """Close the socket for this worker; wait for connections that are being opened.

        Where the service ends, its workers do this one after another, and the last one loses none that a client has
        begun: the kernel begins no further connection at the socket then, and each that it had begun is accepted.
        """
        board, number, by = self._board, self._number, self._loop.time() + _TOGETHER
        if board.closing():
            while board.highest(number) and not board.alone(number) and self._loop.time() < by:
                await asyncio.sleep(_LOOK)
            if board.alone(number):
                if self._round_trip > _LOOK:
                    refuse_new(self._listening)
                    await asyncio.sleep(min(2 * self._round_trip, _TOGETHER))
                self._accept_last()
        board.enter(number, Phase.STOPPING)
        self.close()
        self._listening.close()
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept_last(self) -> None:
        """Accept all connections that wait, once those are established that clients of this network have begun."""
        refuse_new(self._listening)
        sleep(2 * min(self._round_trip, _LOOK))  # shorter than a turn of the event loop may be
        while self._accept():
            pass

    def _readable(self) -> None:
        """Take the connection that waits, unless another worker has fewer."""
        fewest = self._board.fewest(self._number)
        if fewest is not None and len(self._connections) + len(self._opening) > fewest + 1:
            self._pause(_YIELD)
        else:
            self._accept()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._waiting = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Take a connection that no other worker has taken meanwhile."""
        self._waiting = None
        if self._open:
            self._loop.add_reader(self._listening.fileno(), self._readable)
            self._accept()

    def _accept(self) -> bool:
        """Take one connection; False where none waits any more, or where there is no file descriptor for it."""
        try:
            connection, _ = self._listening.accept()
        except ConnectionAbortedError:  # that client has gone
            return True
        except (BlockingIOError, InterruptedError):  # another worker was first
            return False
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._pause(_PAUSE)
            return False
        connection.setblocking(False)
        self._round_trip = max(round_trip(connection), _FADING * self._round_trip)
        opening = self._loop.connect_accepted_socket(
            self._protocol, connection, ssl=self._encryption, ssl_handshake_timeout=self._seconds
        )
        task = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opened)
        return True

    def _opened(self, task: asyncio.Task[Any]) -> None:
        """Forget a connection that is open, or whose TLS handshake has failed and has closed it."""
        self._opening.discard(task)
        if not task.cancelled():
            task.exception()
