"""Worker of the service: uvicorn on uvloop, serving the application at a socket that all workers share."""

from __future__ import annotations

import asyncio
import logging
import signal
from socket import socket
from time import monotonic
from types import FrameType

import uvicorn

from arbitrank.errors import InputError
from arbitrank.serve.accepting import Acceptor, CountedConnections
from arbitrank.serve.app import App
from arbitrank.serve.board import Phase
from arbitrank.serve.event_log import EventLogHandler
from arbitrank.serve.http_protocol import LimitedProtocol
from arbitrank.serve.settings import GRACE, ServiceSettings
from arbitrank.serve.worker_place import WorkerPlace, WorkerReport

_BEATS = 10  # heartbeats in the time after which the supervisor takes a worker for hung
_BEAT_SECONDS = 0.25  # between two heartbeats, at most


class WorkerServer(uvicorn.Server):
    """Server that accepts connections once its application has loaded, and closes those of slow clients.

    It reports not ready before it stops, and stops when the supervisor ends.
    """

    def __init__(self, config: uvicorn.Config, app: App, place: WorkerPlace) -> None:
        super().__init__(config)
        self._state, self._place = app.state, place
        self._stop_at: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.server_state.connections = CountedConnections(place.board, place.number)
        self.failed = 0

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application, and accept connections once it has loaded."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(
            self._place.listening, self._protocol, self.config.ssl, self.server_state.connections,
            self._place.board, self._place.number,
        )  # fmt: skip
        self.servers = [acceptor]  # type: ignore[list-item]
        if self._place.first:
            acceptor.start()
        loop.add_reader(self._place.lifeline, self._orphaned)
        self._tasks = [loop.create_task(self._beat()), loop.create_task(self._open(acceptor))]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Sweep the connections once a second; true where the server is to stop."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for client in list(self.server_state.connections):
                if isinstance(client, LimitedProtocol):
                    client.sweep(now)
        if self._stop_at is not None and monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """Stop after the drain time, in which it reports not ready; a second signal stops at once."""
        if self._stop_at is not None:
            self.should_exit = True
            self.force_exit = sig == signal.SIGINT
        self._stop_at = monotonic() + self._state.settings.drain
        self._state.stopping = True

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
        pause = min(_BEAT_SECONDS, self._state.settings.hang / _BEATS)
        while True:
            self._place.board.beat(self._place.number)
            await asyncio.sleep(pause)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._place.lifeline)
        self.handle_exit()


def work(settings: ServiceSettings, place: WorkerPlace) -> int:
    """Run one worker until it is signalled, or the supervisor ends; the exit status."""
    app = App(settings, place.folder, place.number)
    events = app.state.events
    root = logging.getLogger()
    root.handlers = [EventLogHandler(events)]
    root.setLevel(logging.WARNING)
    server = WorkerServer(_config(settings, app), app, place)
    try:
        server.run()
    finally:
        events.close()
    return server.failed


def _config(settings: ServiceSettings, app: App) -> uvicorn.Config:
    tls = settings.tls
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
        ssl_certfile=tls.certificate,
        ssl_keyfile=tls.key,
        ssl_keyfile_password=tls.password,
    )
    try:
        config.load()
    except OSError as error:  # `ssl.SSLError` is one too
        raise InputError(f"TLS: the certificate or key cannot be used: {error}") from error
    return config
