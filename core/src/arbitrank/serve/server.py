"""Processes of the service: one port shared by one or several workers, each running uvicorn on uvloop."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
from contextlib import ExitStack
from multiprocessing import connection
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn

from arbitrank.errors import InputError
from arbitrank.serve.app import App
from arbitrank.serve.event_log import EventLog, EventLogHandler
from arbitrank.serve.http_protocol import LimitedProtocol
from arbitrank.serve.metrics import SHARED
from arbitrank.serve.settings import ServiceSettings

_GRACE = 30  # seconds that a stop waits for calls that have begun
_BACKLOG = 2_048
_RESTART_SECONDS = 1.0  # before a worker that has ended is replaced, so that one that cannot start doesn't spin


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


def run(settings: ServiceSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `InputError` where the address cannot be listened at."""
    with ExitStack() as stack:
        sockets = _listen(settings, stack)
        host, port = sockets[0].getsockname()[:2]
        scheme = "https" if settings.tls.certificate else "http"
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        started = {"event": "listening", "at": url, "workers": settings.workers, "process": os.getpid()}
        if settings.workers == 1:
            work(settings, sockets[0], started)
            return
        if SHARED not in os.environ:
            os.environ[SHARED] = stack.enter_context(tempfile.TemporaryDirectory(prefix="arbitrank-"))
            stack.callback(os.environ.pop, SHARED)
        _supervise(settings, sockets, started)


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
        backlog=_BACKLOG,
        timeout_keep_alive=max(1, round(settings.limits.idle)),
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=tls.certificate,
        ssl_keyfile=tls.key,
        ssl_keyfile_password=tls.password,
    )
    try:
        config.load()
    except OSError as error:  # `ssl.SSLError` is one too
        raise InputError(f"TLS: the certificate or key cannot be used: {error}") from error
    return config


def _supervise(settings: ServiceSettings, sockets: list[socket.socket], started: dict[str, Any]) -> None:
    """Keep the workers running; on a signal, let each finish the calls that have begun."""
    events = EventLog()
    spawn = multiprocessing.get_context("spawn")
    signalled, waker = os.pipe()
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: os.write(waker, b"."))
    events.write(**started)

    def start(number: int) -> multiprocessing.process.BaseProcess:
        process = spawn.Process(target=work, args=(settings, sockets[number]), name=f"arbitrank worker {number}")
        process.start()
        return process

    workers = [start(number) for number in range(settings.workers)]
    while signalled not in (ready := connection.wait([signalled, *(worker.sentinel for worker in workers)])):
        for number, worker in enumerate(workers):
            if worker.sentinel in ready:
                worker.join()
                events.write("worker ended", "error", process=worker.pid, status=worker.exitcode)
                if not connection.wait([signalled], _RESTART_SECONDS):
                    workers[number] = start(number)
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(settings.drain + _GRACE + 10)
        worker.kill()
        worker.join()
    events.write("stopped")
    events.close()


def _listen(settings: ServiceSettings, stack: ExitStack) -> list[socket.socket]:
    """A socket for each worker, closed by `stack`, all at one port: the kernel spreads connections over them."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sockets: list[socket.socket] = []
    port, several = settings.port, settings.workers > 1
    try:
        for _ in range(settings.workers):
            address = settings.host, port
            listening = socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=several)
            sockets.append(stack.enter_context(listening))
            listening.setblocking(False)
            port = listening.getsockname()[1]
    except (OSError, ValueError) as error:  # a system without SO_REUSEPORT has one worker
        raise InputError(f"--host {settings.host} --port {settings.port}: cannot listen: {error}") from error
    return sockets
