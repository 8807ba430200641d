"""A remote domain that tests script: a server on loopback whose replies are whatever a test gives, byte by byte."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from arbitrank.arbitration.dispatch import HostedModel, query_all
from arbitrank.arbitration.outcomes import Outcome
from arbitrank.remote.domain import RemoteDomain, remote_domain
from arbitrank.remote.host import RemoteHost
from arbitrank.remote_entry import checked_entry
from arbitrank.values import Hypothesis, Request

READING = {"domain": "weather", "intent": "AskRain", "domain_confidence": 0.9, "intent_confidence": 0.8}
STATED = {"protocol": [1, 0], "name": "weather", "version": "v1", "title": "The weather"}


class Call(NamedTuple):
    """A call that has arrived, and the connection that it came by."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any
    connection: socket.socket


Reply = Callable[[Call], bytes | None]
"""Returns the bytes of a reply; None ends the connection."""


def reply(value: Any, status: str = "200 OK", kind: str = "application/json", *more: str) -> bytes:
    """A reply of HTTP with a value in JSON, or with bytes."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    head = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


def ranked(call: Call, **fields: Any) -> bytes:
    """A reply that recognises one reading, or ranks those that were sent."""
    given = call.body.get("hypotheses")
    readings = {"hypotheses": [READING]} if given is None else {}
    n = 1 if given is None else len(given)
    return reply({"version": "v1", "mine": 0.9, "right": [0.8 / max(n, 1)] * n, **readings, **fields})


def usual(call: Call) -> bytes:
    """The reply of a remote that works."""
    return reply(STATED) if call.method == "GET" else ranked(call)


class FakeRemote:
    """The server: `calls` are those that arrived, `connections` counts what was accepted."""

    def __init__(self, answer: Reply, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.answer, self._context = answer, context
        self.calls: list[Call] = []
        self.connections = 0
        self.arrived = threading.Condition()
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{'http' if self._context is None else 'https'}://localhost:{self.port}"

    def close(self) -> None:
        """End it and its connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End its connections, and listen on."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self._context is not None:
                accepted = self._context.wrap_socket(accepted, server_side=True)
            self._open.append(accepted)
            with accepted, accepted.makefile("rb") as file:
                while line := file.readline().decode():
                    method, target, _ = line.split()
                    headers = dict(self._headers(file))
                    raw = file.read(int(headers.get("content-length", 0)))
                    call = Call(method, target, headers, json.loads(raw) if raw else None, accepted)
                    with self.arrived:
                        self.calls.append(call)
                        self.arrived.notify_all()
                    found = self.answer(call)
                    if found is None:
                        return
                    accepted.sendall(found)

    def _headers(self, file: Any) -> Iterator[tuple[str, str]]:
        while (line := file.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            yield name.lower(), value.strip()


@contextmanager
def fake_remote(answer: Reply = usual, context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[FakeRemote]:
    """A server while the block runs."""
    server = FakeRemote(answer, context, port)
    try:
        yield server
    finally:
        server.close()


def domain_at(url: str, name: str = "weather", **entry: Any) -> Any:
    """The domain of an entry."""
    return remote_domain(name, checked_entry({"url": url, **entry}, f"domains.{name}"), RemoteHost.of_process())


def model_at(url: str, name: str = "weather", **entry: Any) -> HostedModel:
    """The model of a remote that ranks, as it would state itself."""
    scales = {"domain_confidence": entry.pop("scale")} if "scale" in entry else {}
    domain = domain_at(url, name, **entry)
    assert isinstance(domain, RemoteDomain)
    domain.look()()
    return domain.serving(scales).model  # type: ignore[return-value]


def outcome(model: HostedModel, request: Request, given: list[Hypothesis] | None = None, **settings: Any) -> Outcome:
    """The outcome of one request."""
    own = None if given is None else {model.name: given}
    return query_all({model.name: model}, request, own, **settings)[model.name]
