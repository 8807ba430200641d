"""One reply of HTTP, read as it arrives: its bounds and headers are checked before its body is kept."""

from __future__ import annotations

import httptools

__all__ = ["BadReply", "ReplyReader"]

_HEAD = 64 << 10  # bytes of a status line and headers
_OK = 200
_OF_THE_BODY = frozenset((b"content-type", b"content-length", b"transfer-encoding", b"content-encoding"))


class BadReply(Exception):
    """Raised where what arrives is not the reply that is expected; its text says what was seen, and expected."""


class ReplyReader:
    """Reader of one reply with a JSON body of at most `limit` bytes.

    It has `begun` with the first byte, and is `complete` with the last; `reusable` then says that the connection is.
    Interim replies (status 1xx) are passed over. The body of a reply that is not as expected is never kept.
    """

    def __init__(self, limit: int) -> None:
        self.body = bytearray()
        self.begun = self.complete = self.reusable = False
        self._limit, self._problem = limit, ""
        self._received = 0
        self._headed = self._interim = self._delimited = False
        self._type: str | None = None
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, content: bytes) -> None:
        """Read what has arrived. Raises `BadReply`."""
        self.begun = True
        self._received += len(content)
        try:
            self._parser.feed_data(content)
        except httptools.HttpParserError as error:
            raise BadReply(self._problem or f"no reply of HTTP/1.1 ({error})") from None
        if not self._headed and self._received > _HEAD:
            self._problem = f"more than {_HEAD} bytes of headers"
        elif self._received > _HEAD + 2 * len(self.body):  # extensions of chunks, trailers, or chunks of a few bytes
            self._problem = self._problem or f"more than {_HEAD} bytes beside its body"
        if self._problem:
            raise BadReply(self._problem)

    def end(self) -> None:
        """Note the end of the connection. Raises `BadReply` where the reply is not complete with it."""
        self.reusable = False
        if self._headed and not self._delimited:
            self.complete = True
        if not self.complete:
            raise BadReply("a reply that ends before its end" if self.begun else "no reply, the connection was closed")

    # ------------------------------------------------------------------------------------------ callbacks of httptools

    def on_message_begin(self) -> None:
        """Begin: a second reply is to nothing that was called."""
        self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what the headers say of the body."""
        key = name.lower()
        if key not in _OF_THE_BODY:
            return
        text = value.decode("latin-1").strip()
        if key == b"content-type":
            self._type = text
        elif key == b"content-length":
            self._delimited = True
            if text.isdecimal() and len(text) < 19 and int(text) > self._limit:
                self._problem = self._problem or f"a body of {text} bytes, expected at most {self._limit}"
        elif key == b"transfer-encoding":
            self._delimited = True
        elif text.lower() not in ("", "identity"):
            self._problem = self._problem or f"the content coding {text[:40]!r}, expected none"

    def on_headers_complete(self) -> None:
        """Check the status and the type of the body."""
        status = self._parser.get_status_code()
        if status // 100 == 1:
            self._interim, self._delimited, self._type = True, False, None
            return
        self._headed = True
        kind = (self._type or "").partition(";")[0].strip().lower()
        if status != _OK:
            redirect = "; a redirect is not followed" if status // 100 == 3 else ""
            self._problem = f"the status {status}, expected {_OK}{redirect}"
        elif not kind.startswith("application/") or kind[12:].rpartition("+")[2] != "json":
            seen = "no content type" if self._type is None else f"the content type {self._type[:60]!r}"
            self._problem = self._problem or f"{seen}, expected application/json"

    def on_body(self, content: bytes) -> None:
        """Keep a part of the body, within its bounds."""
        if self._problem or self.complete:
            return
        if len(self.body) + len(content) > self._limit:
            self._problem = f"a body of more than {self._limit} bytes"
        else:
            self.body += content

    def on_message_complete(self) -> None:
        """End of the reply, unless it was an interim one."""
        if self._interim:
            self._interim = False
            return
        self.complete, self.reusable = True, self._parser.should_keep_alive()
