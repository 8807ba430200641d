"""The messages between this process and a worker: framing, bounds, and whatever a plugin writes to the socket."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.isolation.messages import (
    MAX_OUTCOMES,
    Channel,
    DomainOutcome,
    FromWorker,
    Malformed,
    QueryDone,
    StopQuery,
    encode,
    from_worker,
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Channel[FromWorker]]]:
    """The worker's socket, and the channel that reads what is written to it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield theirs, Channel(ours, from_worker, MAX_OUTCOMES)


Pair = tuple[socket.socket, Channel[FromWorker]]


def test_a_message_is_four_bytes_of_length_and_a_map_that_names_its_type(pair: Pair) -> None:
    theirs, channel = pair
    channel.send(encode(StopQuery()))
    frame = theirs.recv(1 << 10)
    assert struct.unpack("!I", frame[:4]) == (len(frame) - 4,)
    assert msgspec.msgpack.decode(frame[4:]) == {"type": "StopQuery"}


@pytest.mark.parametrize("step", [1, 3, 1_000])
def test_messages_arrive_whole_and_in_order_however_they_are_cut(pair: Pair, step: int) -> None:
    theirs, channel = pair
    sent = [DomainOutcome(7, place, right=bytes(8 * place)) for place in range(5)] + [QueryDone(7)]
    frames = b"".join(struct.pack("!I", len(content)) + content for content in map(encode, sent))
    received: list[FromWorker] = []
    for start in range(0, len(frames), step):
        theirs.sendall(frames[start : start + step])
        received += channel.received()
    assert received == sent


def test_a_message_that_is_too_long_is_malformed_before_it_has_arrived(pair: Pair) -> None:
    theirs, channel = pair
    theirs.sendall(struct.pack("!I", MAX_OUTCOMES + 1))
    with pytest.raises(Malformed, match="4194305 bytes, expected at most 4194304"):
        list(channel.received())


@pytest.mark.parametrize(
    "content",
    [b"", b"\xc1", encode({"type": "StopQuery"}), encode({"type": "DomainOutcome", "query": "7", "place": 0})],
    ids=["empty", "no msgpack", "another direction", "a field of another type"],
)
def test_other_content_is_malformed(pair: Pair, content: bytes) -> None:
    theirs, channel = pair
    theirs.sendall(struct.pack("!I", len(content)) + content)
    with pytest.raises(Malformed):
        list(channel.received())


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_malformed(content: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(content + b"\xff")
        with suppress(Malformed):
            list(Channel(ours, from_worker, MAX_OUTCOMES).received())


def test_what_was_read_before_a_malformed_message_counts(pair: Pair) -> None:
    theirs, channel = pair
    content = encode(QueryDone(7))
    theirs.sendall(struct.pack("!I", len(content)) + content + b"\xff" * 8)
    received = channel.received()
    assert next(received) == QueryDone(7)
    with pytest.raises(Malformed):
        next(received)


def test_the_end_of_the_other_side_is_raised(pair: Pair) -> None:
    theirs, channel = pair
    theirs.close()
    for read in (channel.receive, lambda: list(channel.received())):
        with pytest.raises(EOFError):
            read()


def test_a_reader_that_hangs_does_not_hold_up_the_sender(pair: Pair) -> None:
    """The rest of the message is left out; the reader can only be killed then."""
    _, channel = pair
    channel.send(bytes(1 << 23), seconds=0.01)
