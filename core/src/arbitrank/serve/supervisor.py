"""Supervisor of the service: it listens at the port, and starts, watches and replaces the workers that answer there.

One worker is supervised as several are. All share the listening socket, which the supervisor keeps open: while no
worker runs, connections wait for the next one. A worker whose event loop stands still is killed and replaced.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, time

from arbitrank.child import how_ended
from arbitrank.errors import InputError
from arbitrank.extras import EXTRAS
from arbitrank.serve.board import WorkerBoard
from arbitrank.serve.counters import Counters, shared_folder
from arbitrank.serve.event_log import EventLog
from arbitrank.serve.gauges import SUPERVISOR, WorkerGauges, write_gauges
from arbitrank.serve.orphans import reap_orphans
from arbitrank.serve.rereading import FollowedSettings, Reread, Rereading, changeable, changed
from arbitrank.serve.seat import WorkerSeat
from arbitrank.serve.service_manager import ALIVE, READY, STOPPING, notify
from arbitrank.serve.settings import GRACE, ServiceSettings
from arbitrank.serve.watch_process import WatchProcess
from arbitrank.serve.worker_place import WorkerReport

_BACKLOG = 2_048  # connections that may wait to be accepted
_LOADING_SECONDS = 60.0  # without a heartbeat, after which a worker that is still loading is taken for hung
_STEADY_SECONDS = 60.0  # for which a worker has to serve, so that its end is no sign of a crash loop
_LONGEST_PAUSE = 30.0  # before a worker is started again that ended several times in a row
_AT_ONCE_SECONDS = 5.0  # for a worker to stop at once
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_TICK = 0.5  # seconds between two looks at the heartbeats, at most


def run(settings: ServiceSettings, reread: Reread | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. At SIGHUP the configuration is read again by `reread`.

    Raises `InputError` where the service cannot start.
    """
    for name in EXTRAS["serve"]:  # which the workers need
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    with ExitStack() as stack:
        listening = stack.enter_context(_listen(settings))
        host, port = listening.getsockname()[:2]
        scheme = "https" if settings.tls.certificate else "http"
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        folder = stack.enter_context(shared_folder())
        metrics = _metrics_url(settings, folder, stack)
        events = EventLog()
        stack.callback(events.close)
        events.write("listening", at=url, workers=settings.workers, process=os.getpid(), **metrics)
        supervisor = Supervisor(settings, listening, folder, events, reread)
        with _signals() as signalled:
            return supervisor.run(signalled)


class Supervisor:
    """Keeps the workers of a service running, until it is signalled to stop or the first of them cannot start."""

    def __init__(
        self,
        settings: ServiceSettings,
        listening: socket.socket,
        folder: Path,
        events: EventLog,
        reread: Reread | None = None,
    ) -> None:
        self._settings, self._listening, self._folder, self._events = settings, listening, folder, events
        self._counters = Counters(folder, SUPERVISOR)
        write_gauges(WorkerGauges(SUPERVISOR, os.getpid(), time()), folder, SUPERVISOR)
        self._board = WorkerBoard(settings.workers)
        self._seats = [WorkerSeat(number, self._board) for number in range(settings.workers)]
        self._watching = WatchProcess(settings, folder, events)
        self._rereading = Rereading(reread or (lambda: self._settings))
        self._loaded = False  # since when a worker that cannot start ends the service no more
        self._stop_by: float | None = None
        self._failure: WorkerReport | None = None

    def run(self, signalled: int) -> int:
        """Supervise; `signalled` is a file from which the numbers of signals are read."""
        self._start(self._seats[0])
        looked = monotonic()
        while self._stop_by is None or any(seat.process for seat in self._seats):
            by_file = {seat.reports: seat for seat in self._seats if seat.process}
            ready, _, _ = select.select([signalled, *by_file], [], [], self._patience())
            for file in ready:
                if file == signalled:
                    for number in os.read(signalled, 64):
                        self._signal(number)
                else:
                    self._read(by_file[file])
            now = monotonic()
            self._watch(min(now - looked, 2 * _TICK))  # time for which this process was stopped itself does not count
            looked = now
            self._start_due(now)
            if (read := self._rereading.result()) is not None:
                self._configure(read)
            if self._stop_by is None:
                self._watching.tick(now)
            if os.getpid() == 1:  # of a container; elsewhere another process does
                reap_orphans({self._watching.pid, *(seat.process.pid for seat in self._seats if seat.process)})
            notify(ALIVE)
        self._events.write("stopped")
        if self._failure is None:
            return 0
        if self._failure.status == 2:
            raise InputError(self._failure.problem or "the worker cannot start")
        return 1

    def _signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._rereading.ask()
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self._stop_by is None:
                self._stop()
            else:  # a second signal
                self._stop_by = min(self._stop_by, monotonic() + _AT_ONCE_SECONDS)
                self._send(signal.SIGQUIT)

    def _configure(self, read: ServiceSettings | str) -> None:
        """Have the workers follow settings that were read again, and read their files again."""
        problem = None
        if isinstance(read, str):
            problem = f"{read}; the previous settings stay in force"
            self._events.write("configuration", "error", reason=problem)
        else:
            self._settings, taken, fixed = changed(self._settings, read)
            self._watching.settings = self._settings
            if taken or fixed:
                self._events.write("configuration", "warning" if fixed else "info", changed=taken, needs_restart=fixed)
        try:
            FollowedSettings(changeable(self._settings), problem).write(self._folder)
        except OSError as error:
            self._events.write("configuration", "error", reason=f"not handed to the workers: {error}")
        self._send(signal.SIGHUP)

    def _stop(self) -> None:
        """Have each worker answer what has arrived."""
        self._stop_by = monotonic() + self._settings.drain + GRACE + 10
        notify(STOPPING)
        for seat in self._seats:
            seat.due = None
        self._watching.stop()
        self._board.close()
        self._listening.close()  # else connections would wait at it that no worker accepts
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for seat in self._seats:
            if seat.process:
                seat.process.send_signal(number)

    def _patience(self) -> float:
        """Seconds to the next look."""
        now = monotonic()
        dues = [seat.due - now for seat in self._seats if seat.due is not None]
        return max(0.0, min([_TICK, self._settings.hang / 4, *dues]))

    # ------------------------------------------------------------------------------------------------ starting, ending

    def _start_due(self, now: float) -> None:
        for seat in self._seats:
            if seat.due is not None and seat.due <= now:
                self._start(seat)

    def _start(self, seat: WorkerSeat) -> None:
        """Start a worker; where the system cannot now, later."""
        try:
            seat.start(self._settings, self._folder, self._listening.fileno(), first=not self._loaded)
        except OSError as error:
            if not self._loaded:
                raise InputError(f"the worker cannot be started: {error}") from error
            self._restart(seat, f"cannot be started: {error}")

    def _read(self, seat: WorkerSeat) -> None:
        """Read the reports of a worker, or note its end."""
        reports = seat.received()
        if not reports:
            self._end(seat)
        elif seat.report.problem is None:
            seat.serving_since, seat.silent = monotonic(), 0.0
            if not self._loaded:  # the first worker has loaded, so the others can
                self._loaded = True
                notify(READY)
                for other in self._seats[1:]:
                    other.due = monotonic() if self._stop_by is None else None

    def _end(self, seat: WorkerSeat) -> None:
        """Note the end of a worker, and when it is replaced; the first one's ends the service before it has loaded."""
        assert seat.process
        process, status = seat.process.pid, seat.end()
        if self._stop_by is not None:
            return
        reason = seat.report.problem or how_ended(status)
        if self._loaded:
            self._counters.add("worker_ends")
            self._restart(seat, reason, process=process, status=status)
            return
        self._failure = WorkerReport(reason, seat.report.status or 1)
        self._events.write("not started", "error", process=process, status=status, reason=reason)
        self._stop()

    def _restart(self, seat: WorkerSeat, reason: str, **fields: int) -> None:
        """Have a worker replaced: at once, or after a pause that doubles while none in its place serves steadily."""
        now = monotonic()
        steady = seat.serving_since is not None and now - seat.serving_since >= _STEADY_SECONDS
        seat.in_a_row = 0 if steady else seat.in_a_row + 1
        pause = restart_pause(seat.in_a_row)
        seat.due = now + pause
        self._events.write("worker ended", "error", **fields, reason=reason, restart_seconds=pause)

    # ---------------------------------------------------------------------------------------------------- heartbeats

    def _watch(self, seconds: float) -> None:
        """Kill the workers that hang, or have not stopped in time; `seconds` have passed since the last look."""
        overdue = self._stop_by is not None and monotonic() >= self._stop_by
        for seat in self._seats:
            if not seat.process:
                continue
            if seat.ended():  # its pipe may be held open by a process that a plugin has forked
                self._end(seat)
                continue
            hang = self._settings.hang
            limit = hang if seat.serving_since is not None else max(hang, _LOADING_SECONDS)
            if seat.silent_for(seconds) >= limit or overdue:
                event = "worker did not stop" if overdue else "worker hung"
                self._events.write(event, "error", process=seat.process.pid, seconds=round(seat.silent, 1))
                seat.process.kill()
                seat.silent = 0.0


def restart_pause(in_a_row: int) -> float:
    """Seconds before a worker is replaced after so many in a row that did not serve steadily."""
    return min(2.0 ** (in_a_row - 2), _LONGEST_PAUSE) if in_a_row > 1 else 0.0


@contextmanager
def _signals() -> Iterator[int]:
    """A file from which the numbers of the signals that arrive are read, until the end of the block."""
    signalled, waker = os.pipe()
    os.set_blocking(waker, False)
    before = signal.set_wakeup_fd(waker)
    handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    try:
        yield signalled
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(signalled)
        os.close(waker)


def _metrics_url(settings: ServiceSettings, folder: Path, stack: ExitStack) -> dict[str, str]:
    """The URL of the metrics' own port, which `stack` closes, as a field of an event; empty without one."""
    if settings.metrics_port is None:
        return {}
    from arbitrank.serve.metrics_port import metrics_server  # brings what only this port needs here

    server = metrics_server(folder, settings.metrics_host, settings.metrics_port, settings.metrics_tokens)
    return {"metrics": stack.enter_context(server)}


def _listen(settings: ServiceSettings) -> socket.socket:
    """The listening socket. Raises `InputError` where another service has the port, or the address is wrong."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, ValueError) as error:
        raise InputError(f"--host {settings.host} --port {settings.port}: cannot listen: {error}") from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit this
    listening.setblocking(False)
    return listening
