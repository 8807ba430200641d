"""The service's processes: one port, and one or several workers that share it, each with uvicorn on uvloop."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import tempfile
from contextlib import ExitStack
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn

from arbitrank.errors import InputError
from arbitrank.serve.app import App
from arbitrank.serve.event_log import Handler, Journal
from arbitrank.serve.http_protocol import Door
from arbitrank.serve.metrics import SHARED
from arbitrank.serve.settings import Settings

_GRACE = 30  # seconds that a stop waits for what was begun
_BACKLOG = 2_048
_AGAIN = 1.0  # seconds before a worker that has ended is replaced, so that one that can't start doesn't spin


class Worker(uvicorn.Server):
    """A server that looks after its connections, and says that it isn't ready before it stops."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._service = app.service
        self._stop_at: float | None = None

    async def on_tick(self, counter: int) -> bool:
        """Cut off who is too slow, once a second; whether to stop."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Door):
                    connection.sweep(now)
        if self._stop_at is not None and monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """Stop once whoever sends requests had time to find out; at once where asked a second time."""
        if self._stop_at is not None:
            self.should_exit = True
            self.force_exit = sig == signal.SIGINT
        self._stop_at = monotonic() + self._service.settings.drain
        self._service.stopping = True


def run(settings: Settings) -> None:
    """Serve until told to stop by SIGTERM or SIGINT. Raises `InputError` where it can't listen."""
    with ExitStack() as stack:
        listening = [stack.enter_context(one) for one in _listen(settings)]
        host, port = listening[0].getsockname()[:2]
        scheme = "https" if settings.tls else "http"
        at = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        said = {"event": "listening", "at": at, "workers": settings.workers, "process": os.getpid()}
        if settings.workers == 1:
            work(settings, listening[0], said)
            return
        if SHARED not in os.environ:
            os.environ[SHARED] = stack.enter_context(tempfile.TemporaryDirectory(prefix="arbitrank-"))
            stack.callback(os.environ.pop, SHARED)
        _supervise(settings, listening, said)


def work(settings: Settings, listening: socket.socket, said: dict[str, Any] | None = None) -> None:
    """One worker, until it is told to stop."""
    app = App(settings)
    journal = app.service.journal
    _hear(journal)
    if said is not None:
        journal.say(**said)
    worker = Worker(_config(settings, app), app)
    parent = multiprocessing.parent_process()
    if parent is not None:
        app.on_start = lambda: asyncio.get_running_loop().add_reader(parent.sentinel, worker.handle_exit)
    try:
        worker.run(sockets=[listening])
    finally:
        journal.close()


def _config(settings: Settings, app: App) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if settings.tls is not None:
        tls = {
            "ssl_certfile": settings.tls.certificate,
            "ssl_keyfile": settings.tls.key,
            "ssl_keyfile_password": settings.tls.password,
        }
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Door,
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
        **tls,
    )
    try:
        config.load()
    except OSError as error:  # `ssl.SSLError` is one too
        raise InputError(f"TLS: the certificate or key cannot be used: {error}") from error
    return config


def _supervise(settings: Settings, listening: list[socket.socket], said: dict[str, Any]) -> None:
    """Keep the workers running; once told to stop, have each finish what it has begun."""
    journal = Journal()
    spawn = multiprocessing.get_context("spawn")
    told: list[int] = []
    wake, waker = os.pipe()

    def stop(number: int, frame: FrameType | None) -> None:
        told.append(number)
        os.write(waker, b".")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    journal.say(**said)

    def start(number: int) -> multiprocessing.process.BaseProcess:
        process = spawn.Process(target=work, args=(settings, listening[number]), name=f"arbitrank worker {number}")
        process.start()
        return process

    workers = [start(number) for number in range(settings.workers)]
    while not told:
        ended = multiprocessing.connection.wait([wake, *(one.sentinel for one in workers)])
        if told or wake in ended:
            break
        for i, one in enumerate(workers):
            if one.sentinel in ended:
                one.join()
                journal.say("worker ended", "error", process=one.pid, status=one.exitcode)
                multiprocessing.connection.wait([wake], _AGAIN)
                if not told:
                    workers[i] = start(i)
    for one in workers:
        if one.is_alive():
            one.terminate()
    for one in workers:
        one.join(settings.drain + _GRACE + 10)
        if one.is_alive():
            one.kill()
            one.join()
    journal.say("stopped")
    journal.close()


def _listen(settings: Settings) -> list[socket.socket]:
    """A socket for each worker, all at one port: the system spreads connections over them, however busy one is."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made: list[socket.socket] = []
    port, several = settings.port, settings.workers > 1
    try:
        for _ in range(settings.workers):
            made.append(
                socket.create_server((settings.host, port), family=family, backlog=_BACKLOG, reuse_port=several)
            )
            made[-1].setblocking(False)
            port = made[0].getsockname()[1]
    except (OSError, ValueError) as error:  # a system without SO_REUSEPORT has one worker
        for one in made:
            one.close()
        raise InputError(f"--host {settings.host} --port {settings.port}: cannot listen: {error}") from error
    return made


def _hear(journal: Journal) -> None:
    """Have what libraries log go to the journal."""
    root = logging.getLogger()
    root.handlers = [Handler(journal)]
    root.setLevel(logging.WARNING)
