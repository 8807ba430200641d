"""Refusals of calls by the protocol, written as whole HTTP responses without starting a task."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from arbitrank.serve.call_ids import CallIds
from arbitrank.serve.messages import Error

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Refusal:
    """Status, error and headers of the response to a call that is refused; `ends`: the connection ends with it."""

    status: int
    error: str
    headers: tuple[tuple[str, str], ...] = ()
    ends: bool = False

    def response(self, *, close: bool, body: bool = True, ids: CallIds | None = None) -> bytes:
        """The response's bytes, with the call's ids; `close` announces the connection's end, HEAD gets no `body`."""
        content = _encode(Error.of(self.error))
        head = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        if ids is not None:
            head += [f"{name.decode()}: {value.decode()}" for name, value in ids.headers]
        if close:
            head.append("connection: close")
        return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + (content if body else b"")


RETRY = (("retry-after", "1"),)
BUSY = Refusal(503, "too many requests are pending; try again", RETRY)
MALFORMED = Refusal(400, "malformed, expected HTTP/1.1", ends=True)
LATE = Refusal(408, "the call took too long to arrive")
LARGE_BODY = Refusal(413, "the body is too large")
LARGE_HEAD = Refusal(431, "the headers are too large", ends=True)
FULL = Refusal(503, "too many calls are arriving at once; try again", RETRY)
NO_TUNNEL = Refusal(405, "method CONNECT: expected another, the service is no proxy", (("allow", "GET, HEAD, POST"),))
