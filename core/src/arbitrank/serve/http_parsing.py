"""Parsing of HTTP/1.1 within bounds: of headers and framing however they arrive, and without other protocols."""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from arbitrank.serve import refusal
from arbitrank.serve.refusal import Refusal

_SLICE = 4 << 10  # bytes of headers or framing that are parsed at once, by so much their limit may be exceeded
_BODY_SLICE = 64 << 10
_FRAMING = 8  # bytes of a chunked body for each byte of its framing beyond what headers may have


class BoundedHttp(HttpToolsProtocol):
    """Protocol that parses what arrives, and stops at the first call that is malformed or exceeds its bounds.

    An offer of another protocol is ignored, with HTTP/1.1 going on; trailers of a chunked body are dropped.
    """

    _overhead = _body = 0  # bytes of the arriving call beside its body, and of the body in the piece being parsed
    _in_head = True
    _ended = _upgrading = False
    _problem: Refusal | None = None  # with what the parser is stopped

    def parse(self, data: bytes, head: int) -> int:
        """Parse what has arrived; the bytes left where the connection ends. `head`: bytes that headers may have."""
        rest: bytes | memoryview = data if len(data) <= _SLICE else memoryview(data)
        while rest and not self.ending:
            size = _SLICE if self._in_head or self.chunked else _BODY_SLICE
            self._parse(rest[:size], head)
            rest = rest[size:]
        return len(rest)

    @property
    def chunked(self) -> bool:
        """True of a call whose body comes in chunks."""
        return any(name == b"transfer-encoding" for name, _ in self.headers)

    @property
    def ending(self) -> bool:
        """True once no further call of the connection is read."""
        return self.transport.is_closing()

    def stop(self, reason: str, response: Refusal) -> None:
        """End the connection with a response."""
        raise NotImplementedError

    def _parse(self, data: bytes | memoryview, head: int) -> None:
        self._ended, self._body = False, 0
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._without_upgrade() + bytes(data[offer.args[0] :])
                continue
            except httptools.HttpParserError:
                self.stop("http", self._problem or refusal.MALFORMED)
                return
            break
        if self._ended:
            self._overhead = 0  # part of it ended the call before
            return
        self._overhead += len(data) - self._body
        received = 0 if self._in_head else len(self.cycle.body)
        if self._overhead > head + received // _FRAMING:
            self.stop("head", refusal.LARGE_HEAD)

    def _without_upgrade(self) -> bytes:
        """The head of a call that offers another protocol, as HTTP/1.1 alone: the parser takes no body after one."""
        self._upgrading = False
        head = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*head, b"", b""])

    # ------------------------------------------------------------------------------------------ callbacks of the parser

    def on_message_begin(self) -> None:
        """Begin to count the bytes of a call's head."""
        self._in_head, self._overhead = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if self._in_head:  # else it is a chunked body's trailer, which must not pass for a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the call whose head has arrived, except where it comes again without its offer of a protocol."""
        if self.ending:
            raise httptools.HttpParserError("closed")
        if self.parser.should_upgrade():
            self._upgrading = self.parser.get_method() != b"CONNECT"
            if not self._upgrading:
                self._problem = refusal.NO_TUNNEL
                raise httptools.HttpParserError("a tunnel")
            return
        self._in_head = False
        super().on_headers_complete()
        self.on_call()

    def on_call(self) -> None:
        """Take the call whose head has arrived, as `cycle` and `scope`."""
        raise NotImplementedError

    def on_body(self, body: bytes) -> None:
        """Count a part of the body apart from its framing."""
        self._body += len(body)
        self.on_content(body)

    def on_content(self, body: bytes) -> None:
        """Take a part of the call's body."""
        raise NotImplementedError

    def on_message_complete(self) -> None:
        """End the call, except where its head comes again."""
        if not self._upgrading:
            self._ended = True
            self.on_end()

    def on_end(self) -> None:
        """Take the call, which has arrived whole."""
        super().on_message_complete()
