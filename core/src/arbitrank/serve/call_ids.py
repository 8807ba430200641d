"""Ids of the call that is being served: `X-Request-Id`, and the W3C's `traceparent`.

Both come from the caller where they are well-formed, and go into the reply's headers, the log and all events of the
call. A request id that is absent or malformed is made; a malformed `traceparent` is dropped, as its specification says.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

import msgspec

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._~:/+=@,-]{0,127}")
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class CallIds(msgspec.Struct, frozen=True, gc=False):
    """The id of a call, and the trace that it is part of, None outside of any."""

    request_id: str
    traceparent: str | None = None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of the reply."""
        request_id = (b"x-request-id", self.request_id.encode())
        return [request_id] if self.traceparent is None else [request_id, (b"traceparent", self.traceparent.encode())]


CURRENT: ContextVar[CallIds | None] = ContextVar("call", default=None)
"""The ids of the call that the running task serves."""


@contextmanager
def serving(ids: CallIds) -> Iterator[None]:
    """A block that serves the call with these ids."""
    token = CURRENT.set(ids)
    try:
        yield
    finally:
        CURRENT.reset(token)


def id_maker() -> Callable[[], str]:
    """A function that makes ids which no other process makes."""
    prefix, numbers = secrets.token_hex(8), count()
    return lambda: f"{prefix}-{next(numbers)}"


def call_ids(headers: Sequence[tuple[bytes, bytes]], found: Mapping[bytes, bytes], make: Callable[[], str]) -> CallIds:
    """The ids of a call with these headers, `found` being the same by name."""
    traceparent, sent = None, found.get(b"traceparent")
    if sent is not None:
        several = len(found) != len(headers) and [name for name, _ in headers].count(b"traceparent") > 1
        traceparent = None if several else checked_traceparent(sent)
    request_id = found.get(b"x-request-id")
    if request_id is None or not _REQUEST_ID.fullmatch(request_id):
        return CallIds(make(), traceparent)
    return CallIds(request_id.decode(), traceparent)


def checked_traceparent(value: bytes) -> str | None:
    """A `traceparent` in the fields of version 00, of which later versions are a superset; None where it is malformed.

    Specification: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    found = _TRACEPARENT.fullmatch(value) if len(value) <= 256 else None
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return b"-".join((b"00", found[2], found[3], found[4])).decode()
