"""Protocol between this process and a worker process: messages over a pair of stream sockets.

A message is its length, four bytes in network order, and a msgpack map of that many bytes; the key `type` names it.

    to the worker    from the worker
                     WorkerReady      once, when it can load models
    LoadModel        ModelLoaded      with what is wrong, or null
    Query            DomainOutcome    one per model, in the order of the query, each as soon as it is there
                     QueryDone        with what is wrong with the query, or null
    StopQuery                         no reply: no further model of the query is called

There is one query at a time. A receiver believes nothing: it bounds lengths, validates every field and treats a
malformed message as the end of the other side.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Generic, TypeVar

import msgspec

from arbitrank.scores import Kept
from arbitrank.values import Hypothesis, Request

MAX_QUERY: Final = 16 << 20
"""Bytes of the longest message to a worker: a query with the hypotheses of the worker's domains."""

MAX_OUTCOMES: Final = 4 << 20
"""Bytes of all outcomes of one query together, and so of the longest message from a worker."""

CLOSED: Final = 86
"""Exit status of a worker in which a domain closed the socket."""

_LENGTH: Final = struct.Struct("!I")
_CHUNK: Final = 1 << 16

T = TypeVar("T")


class Malformed(Exception):
    """Raised when received bytes are not an expected message; its text gives the reason."""


class LoadModel(msgspec.Struct, frozen=True, tag=True):
    """Load a domain's artifact as model `number`, and release all models that are not in `keep`.

    `scales` are stated for the domain's scores, by field; those that the domain itself states are known there.
    """

    number: int
    domain: str
    folder: str
    keep: tuple[int, ...]
    seconds: float
    scales: dict[str, str] = {}


class ModelLoaded(msgspec.Struct, frozen=True, tag=True):
    """The end of loading; `problem` is the reason why the model was refused.

    `context_keys` and `features` are what the model states to read of the context and of hypotheses.
    """

    problem: str | None
    context_keys: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None


class Query(msgspec.Struct, frozen=True, tag=True):
    """Call of the models with these numbers; `content` is an encoded `QueryContent`.

    All replies repeat `id`, a random number: a plugin that writes to the socket does not know it.
    """

    id: int
    models: tuple[int, ...]
    explain: bool
    content: msgspec.Raw


class QueryContent(msgspec.Struct, frozen=True):
    """A request without hypotheses, and where hypotheses are given, those of each model."""

    request: Request
    given: tuple[tuple[Hypothesis, ...], ...] | None


class StopQuery(msgspec.Struct, frozen=True, tag=True):
    """Call no further model of the query."""


class WorkerReady(msgspec.Struct, frozen=True, tag=True):
    """The worker has found the installed domains."""


class DomainOutcome(msgspec.Struct, frozen=True, tag=True, gc=False, omit_defaults=True):
    """The outcome of one model: `place` is its index in the query; `failure` is the reason why it has no answer.

    `right` holds float64 numbers. `hypotheses` is None where they were given; `kept` are then the places and numbers of
    the distinct ones, None where all are. `unread` is as in `Failed`, `scales` as in `Answered`. `out_of_memory` says
    that an allocation failed.
    """

    query: int
    place: int
    failure: str | None = None
    mine: float = 0.0
    right: bytes = b""
    hypotheses: tuple[Hypothesis, ...] | None = None
    why: list[dict[str, float]] | None = None
    recognise_ms: float = 0.0
    rerank_ms: float = 0.0
    out_of_memory: bool = False
    kept: Kept | None = None
    unread: int | None = None
    scales: dict[str, str] | None = None


class QueryDone(msgspec.Struct, frozen=True, tag=True):
    """The end of a query; `problem` is the reason why it could not be read."""

    query: int
    problem: str | None = None


ToWorker = LoadModel | Query | StopQuery
FromWorker = WorkerReady | ModelLoaded | DomainOutcome | QueryDone

encode = msgspec.msgpack.Encoder().encode
to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
query_content = msgspec.msgpack.Decoder(QueryContent)


class Channel(Generic[T]):
    """One end of the socket pair: sends encoded messages and reads those of the other side, decoded by `decoder`."""

    def __init__(self, connection: socket.socket, decoder: msgspec.msgpack.Decoder[T], longest: int) -> None:
        self.connection = connection
        self._decode, self._longest = decoder.decode, longest
        self._buffer = bytearray()

    def send(self, *contents: bytes, seconds: float | None = None) -> None:
        """Send encoded messages; at most for `seconds`, then the rest of them is left out. Raises `OSError`."""
        frame = b"".join([_LENGTH.pack(len(content)) + content for content in contents])
        sent = 0
        with suppress(BlockingIOError):
            sent = self.connection.send(frame, 0 if seconds is None else socket.MSG_DONTWAIT)
        if sent < len(frame):
            self.connection.settimeout(None if seconds is None else max(seconds, 1e-3))
            with suppress(TimeoutError):
                self.connection.sendall(memoryview(frame)[sent:])
            self.connection.settimeout(None)

    def receive(self) -> T:
        """The next message, waited for. Raises `Malformed`, `EOFError` where the other side is gone, and `OSError`."""
        while (message := self._next()) is None:
            self._read(0)
        return message

    def received(self) -> Iterator[T]:
        """The messages that have arrived, one after another, without waiting. Raises as `receive` does."""
        self._read(socket.MSG_DONTWAIT)
        while (message := self._next()) is not None:
            yield message

    def _read(self, flags: int) -> None:
        content = self.connection.recv(_CHUNK, flags)
        if not content:
            raise EOFError
        self._buffer += content

    def _next(self) -> T | None:
        """The first message in the buffer, None where it is not complete."""
        buffer = self._buffer
        if len(buffer) < _LENGTH.size:
            return None
        length = _LENGTH.unpack_from(buffer)[0]
        if length > self._longest:
            raise Malformed(f"a message of {length} bytes, expected at most {self._longest}")
        end = _LENGTH.size + length
        if len(buffer) < end:
            return None
        content = buffer[_LENGTH.size : end]
        del buffer[:end]
        try:
            return self._decode(content)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Malformed(str(error)) from error
