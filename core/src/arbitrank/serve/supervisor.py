"""Supervisor of the service: one port shared by one or several workers, whose processes it starts and replaces."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
from contextlib import ExitStack
from multiprocessing import connection
from typing import Any

from arbitrank.errors import InputError
from arbitrank.serve.event_log import EventLog
from arbitrank.serve.metrics import SHARED
from arbitrank.serve.server import BACKLOG, GRACE, work
from arbitrank.serve.settings import ServiceSettings

_RESTART_SECONDS = 1.0  # before a worker that has ended is replaced, so that one that cannot start doesn't spin


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
        worker.join(settings.drain + GRACE + 10)
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
            listening = socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=several)
            sockets.append(stack.enter_context(listening))
            listening.setblocking(False)
            port = listening.getsockname()[1]
    except (OSError, ValueError) as error:  # a system without SO_REUSEPORT has one worker
        raise InputError(f"--host {settings.host} --port {settings.port}: cannot listen: {error}") from error
    return sockets
