"""Port of the metrics' own: a small HTTP server in a thread, which replies while workers hang, drain or restart."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from arbitrank.errors import InputError
from arbitrank.serve.auth import Denied, authorize, read_tokens
from arbitrank.serve.metrics_page import MetricsCollector
from arbitrank.serve.reloading import Reloaded

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_AT_ONCE = 8  # calls; further ones are closed
_SECONDS = 5.0  # for a client to send a call, or to accept its reply


class _Handler(WSGIRequestHandler):
    timeout = _SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: standard error is the event log's."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a client that has gone; nothing else fails here but for the page, which replies 500."""


class _Server6(_Server):
    address_family = socket.AF_INET6


@contextmanager
def metrics_server(folder: Path, host: str, port: int, tokens: Path | None) -> Iterator[str]:
    """Serve `GET /metrics` of the service with this folder while the context lasts; its URL.

    With `tokens` a call needs a token of the scope `metrics`. Raises `InputError` where the address cannot be had.
    """
    server_class = _Server6 if ":" in host else _Server
    try:
        server = make_server(host, port, _application(folder, tokens), server_class, _Handler)
    except (OSError, OverflowError) as error:
        raise InputError(f"--metrics-host {host} --metrics-port {port}: cannot listen: {error}") from error
    thread = threading.Thread(target=server.serve_forever, name="arbitrank metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()


def _application(folder: Path, tokens: Path | None) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    registry = CollectorRegistry()
    registry.register(MetricsCollector(folder))
    shown = make_wsgi_app(registry)
    granted = Reloaded(tokens, read_tokens) if tokens is not None else None

    def application(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refused(start, 405, "expected GET", ("allow", "GET, HEAD"))
        if granted is not None:
            granted.poll()
            sent = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
            denied = authorize(granted.value, [(b"authorization", sent)], "metrics", loopback=False)
            if isinstance(denied, Denied):
                return _refused(start, denied.status, denied.reason, ("www-authenticate", "Bearer"))
        if environ["PATH_INFO"] != "/metrics":
            return _refused(start, 404, "expected /metrics")
        reply: Iterable[bytes] = shown(environ, start)
        return reply

    return application


def _refused(start: StartResponse, status: int, reason: str, *headers: tuple[str, str]) -> Iterable[bytes]:
    start(f"{status} {HTTPStatus(status).phrase}", [("content-type", "text/plain; charset=utf-8"), *headers])
    return [f"{reason}\n".encode()]
