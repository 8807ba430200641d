"""Worker of the service: uvicorn on uvloop, serving the application at a socket that it is given."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import socket
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn

from arbitrank.errors import InputError
from arbitrank.serve.app import App
from arbitrank.serve.event_log import EventLogHandler
from arbitrank.serve.http_protocol import LimitedProtocol
from arbitrank.serve.settings import ServiceSettings

GRACE = 30
"""Seconds that a stop waits for calls that have begun."""

BACKLOG = 2_048
"""Connections that may wait to be accepted."""


class WorkerServer(uvicorn.Server):
    """Server that closes the connections of slow clients, and reports not ready before it stops."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._state, self._parent = app.state, multiprocessing.parent_process()
        self._stop_at: float | None = None

    async def on_tick(self, counter: int) -> bool:
        """Sweep the connections once a second; true where the server is to stop, as it does without its parent."""
        if self._parent is not None and not self._parent.is_alive():
            self.handle_exit()
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


def work(settings: ServiceSettings, listening: socket.socket, started: dict[str, Any] | None = None) -> None:
    """Run one worker until it is signalled, or its parent process ends; `started` is an event to write first."""
    app = App(settings)
    events = app.state.events
    root = logging.getLogger()
    root.handlers = [EventLogHandler(events)]
    root.setLevel(logging.WARNING)
    if started is not None:
        events.write(**started)
    server = WorkerServer(_config(settings, app), app)
    try:
        server.run(sockets=[listening])
    finally:
        events.close()


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
        backlog=BACKLOG,
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
