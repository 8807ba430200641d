"""A service in a process of its own, as an operator starts it, and its clients."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from sysconfig import get_path
from types import TracebackType
from typing import Any


class Service:
    """`arbitrank serve` with a store and options; its events are in `lines`. Leaving the context stops it."""

    def __init__(self, site: Path, store: Path, *options: str, wait: bool = True, **variables: str) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ARBITRANK_")}
        program = which("arbitrank", path=get_path("scripts"))
        assert program
        self.process = subprocess.Popen(
            [program, "serve", "--port", "0", "--store", str(store), *options],
            stderr=subprocess.PIPE,
            env={**kept, "PYTHONPATH": str(site), "ARBITRANK_DOMAINS": "lights,shades", **variables},
            cwd=store.parent,
        )
        self.lines: list[dict[str, Any]] = []
        self._new = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.event("listening")["at"].rpartition(":")[2])
        if wait:
            self.event("ready")

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._new:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:  # not the service's: an interpreter or a tool that dies at exit writes here too
                    self.lines.append({"event": "text", "text": line.decode(errors="replace")})
                self._new.notify_all()
        with self._new:
            self.lines.append({"event": "ended"})
            self._new.notify_all()

    def event(self, event: str, n: int = 1, **fields: object) -> dict[str, Any]:
        """The n-th event with a name and fields, once it is written."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.lines if one["event"] == event and fields.items() <= one.items()]

        with self._new:
            assert self._new.wait_for(lambda: len(found()) >= n or self.lines[-1:] == [{"event": "ended"}], 30), event
            assert len(found()) >= n, self.lines
            return found()[n - 1]

    @property
    def worker(self) -> int:
        """The process of the worker that was ready first."""
        return int(self.event("ready")["worker"])

    def call(
        self, method: str, path: str, body: object = None, token: str | None = None, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, decoded body and headers of one call on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if token:
            sent["authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, raw, sent)
            reply = connection.getresponse()
            content = reply.read()
            kind = reply.headers.get_content_type()
            return reply.status, json.loads(content) if kind == "application/json" else content.decode(), reply.headers
        finally:
            connection.close()

    def rank(self, body: object, **more: Any) -> tuple[int, Any]:
        return self.call("POST", "/v1/rank", body, **more)[:2]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def stop(self, timeout: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """The status and body of the next answer on a connection; (0, b"") where it is closed instead."""
    reply = http.client.HTTPResponse(connection)
    try:
        reply.begin()
    except (http.client.BadStatusLine, ConnectionError):
        return 0, b""
    return reply.status, reply.read()


def answers_on(connection: socket.socket, n: int) -> list[tuple[int, bytes]]:
    """The status and body of the next n answers on a connection, which may arrive together."""
    found = []
    with connection.makefile("rb") as stream:
        for _ in range(n):
            status = int(stream.readline().split()[1])
            length = int(http.client.parse_headers(stream)["content-length"])
            found.append((status, stream.read(length)))
    return found


def raw_call(body: bytes, *headers: str) -> bytes:
    """The bytes of `POST /v1/rank`."""
    lines = ["POST /v1/rank HTTP/1.1", "host: localhost", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
