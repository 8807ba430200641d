"""Worker of the service: uvicorn on uvloop, serving the application at a socket that all workers share."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import ssl
import sys
from socket import socket
from time import monotonic
from types import FrameType

import uvicorn

from arbitrank.serve.accepting import Acceptor, CountedConnections
from arbitrank.serve.app import App
from arbitrank.serve.board import Phase
from arbitrank.serve.certificate import exchangeable
from arbitrank.serve.event_log import EventLogHandler
from arbitrank.serve.http_protocol import LimitedProtocol
from arbitrank.serve.settings import GRACE, ServiceSettings
from arbitrank.serve.worker_place import WorkerPlace, WorkerReport

_IDLE = 1.0  # seconds that an idle connection is kept for a call which may be on its way
_TICK = 0.05
_FLUSH = 2.0  # seconds for what is to be written when a stop at once was asked for
_BEATS = 10  # heartbeats in the time after which the supervisor takes a worker for hung
_BEAT_SECONDS = 0.25  # between two heartbeats, at most
_SWITCH = 0.0005  # seconds for which another thread may hold up a call; Python's own 5 ms are those of many calls


class WorkerServer(uvicorn.Server):
    """Server that accepts connections once its application has loaded, and whose stop leaves no call unanswered.

    A signal, or the end of the supervisor, begins the drain: calls are answered as before, each connection ending with
    its next answer, while readiness is denied. After the drain time it accepts what waits, stops listening, answers
    all that arrives until no connection is left, and closes those that stay idle; after `GRACE` seconds, or at once
    where that is asked for, it reports the calls that are left and cuts them off.
    """

    def __init__(self, config: uvicorn.Config, app: App, place: WorkerPlace) -> None:
        super().__init__(config)
        self.app, self._state, self._place = app, app.state, place
        self._stop_at: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.server_state.connections = CountedConnections(place.board, place.number)
        self._before = 0  # calls answered before the drain
        self._announced = self._reload = False
        self.failed, self.orphaned = 0, False

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application, and accept connections once it has loaded."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(
            self._place.listening, self._protocol, self.config.ssl, self._state.settings.limits.seconds,
            self.server_state.connections, self._place.board, self._place.number,
        )  # fmt: skip
        self.servers = [acceptor]  # type: ignore[list-item]
        if self._place.first:
            acceptor.start()
        loop.add_reader(self._place.lifeline, self._orphaned)
        self._tasks = [loop.create_task(self._beat()), loop.create_task(self._open(acceptor))]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Sweep the connections once a second; true where the server is to stop listening."""
        if counter % 10 == 0:
            self._sweep()
        if self._reload:
            self._reload = False
            self._state.reload.set()
        if self._stop_at is not None:
            if not self._announced:
                self._announced = True
                drain, connections = self._state.settings.drain, len(self.server_state.connections)
                self._state.events.write("draining", seconds=drain, connections=connections)
            self.should_exit = self.should_exit or self.force_exit or monotonic() >= self._stop_at
        return await super().on_tick(counter)

    def handle_exit(self, sig: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """Begin the drain, or stop at once at SIGQUIT, which the supervisor sends after a second signal.

        Further signals change nothing: systemd sends SIGTERM to all processes, and so does the supervisor then.
        """
        self.force_exit = self.force_exit or sig == signal.SIGQUIT
        if self._stop_at is None:
            self._stop_at = monotonic() + self._state.settings.drain
            self._before = self.server_state.total_requests
            self._state.stopping = self._state.load.draining = True

    def handle_reload(self, sig: int, frame: FrameType | None) -> None:
        """Have the application read its files again."""
        self._reload = True

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop listening, answer what has arrived, and stop the application."""
        loop = asyncio.get_running_loop()
        by = loop.time() + GRACE
        self._state.load.draining = True
        opening = [loop.create_task(server.wait_closed()) for server in self.servers]
        while not self.force_exit and loop.time() < by:
            if all(task.done() for task in opening) and not (self.server_state.connections or self.server_state.tasks):
                break
            self._sweep(_IDLE)
            await asyncio.sleep(_TICK)
        await self._cut_off()
        await self._stop_application()

    # ------------------------------------------------------------------------------------------------ parts of the stop

    def _connections(self) -> list[LimitedProtocol]:
        return [one for one in list(self.server_state.connections) if isinstance(one, LimitedProtocol)]

    def _sweep(self, idle: float | None = None) -> None:
        """Close the connections of slow clients, and end those that have been idle for so many seconds."""
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            connection.sweep(now)
            if idle is not None and not connection.ending:
                connection.end_idle(now, idle)

    async def _cut_off(self) -> None:
        """Report the calls that are left, and close their connections."""
        left = [connection.unanswered() for connection in self._connections()]
        unanswered, arriving = (sum(column) for column in zip(*left, strict=True)) if left else (0, 0)
        self._state.events.write(
            "drained", "error" if unanswered or arriving else "info", unanswered=unanswered, arriving=arriving,
            answered=self.server_state.total_requests - self._before,
        )  # fmt: skip
        for connection in self._connections():
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_FLUSH)

    async def _stop_application(self) -> None:
        """Have the application write what is to be written; end the process where a thread of it hangs."""
        stopping, flushed_by = asyncio.ensure_future(self.lifespan.shutdown()), None
        while not stopping.done():
            await asyncio.wait([stopping], timeout=_TICK)
            if self.force_exit:
                flushed_by = flushed_by or monotonic() + _FLUSH
                if monotonic() >= flushed_by:
                    self._state.events.close()
                    os._exit(1)  # no code of the process is to wait for that thread

    # -------------------------------------------------------------------------------------------- place in the service

    def _protocol(self) -> asyncio.Protocol:
        return LimitedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def _open(self, acceptor: Acceptor) -> None:
        """Accept connections once the application has loaded; stop where it cannot."""
        await self._state.started.wait()
        failure = self._state.failure
        if failure is None:
            if not self._state.stopping:
                self._place.board.enter(self._place.number, Phase.SERVING)
                acceptor.start()
            self._place.report(WorkerReport())
        else:
            self.failed = failure.status
            self._place.report(failure)
            self.should_exit = True

    async def _beat(self) -> None:
        """Show the supervisor that the event loop is running, as long as it is."""
        while True:
            self._place.board.beat(self._place.number)
            await asyncio.sleep(min(_BEAT_SECONDS, self._state.settings.hang / _BEATS))

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._place.lifeline)
        self._state.events.write("the supervisor has ended", "error")
        self._place.board.close()
        self.orphaned = True
        self.handle_exit()


def work(settings: ServiceSettings, place: WorkerPlace) -> int:
    """Run one worker until it is signalled, or the supervisor ends; the exit status. Raises `InputError`."""
    server = worker_server(settings, place)
    sys.setswitchinterval(_SWITCH)
    root = logging.getLogger()
    root.handlers = [EventLogHandler(server.app.state.events)]
    root.setLevel(logging.WARNING)
    signal.signal(signal.SIGQUIT, server.handle_exit)
    signal.signal(signal.SIGHUP, server.handle_reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # it waits since this process started
    try:
        server.run()
    finally:
        server.app.state.events.close()
        if server.orphaned:  # nobody else will remove it
            shutil.rmtree(place.folder, ignore_errors=True)
    return server.failed


def worker_server(settings: ServiceSettings, place: WorkerPlace) -> WorkerServer:
    """The server of a worker, which `run` starts. Raises `InputError` where a file of the settings is invalid."""
    app = App(settings, place.folder, place.number)
    app.state.board = place.board
    return WorkerServer(_config(settings, app), app, place)


def _config(settings: ServiceSettings, app: App) -> uvicorn.Config:
    def tls() -> ssl.SSLContext:
        return app.state.files.tls_context()

    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=LimitedProtocol,
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=max(1, round(settings.limits.idle)),
        timeout_graceful_shutdown=GRACE,
        ssl_context_factory=None if settings.tls.certificate is None else lambda *_: exchangeable(tls),
    )
    config.load()
    return config
