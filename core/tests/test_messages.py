"""The messages between this process and a worker: framing, bounds, and whatever a plugin writes to the socket."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.isolation.channel import Channel, Decoder, Malformed
from arbitrank.isolation.decoders import from_worker, query_content, to_worker
from arbitrank.isolation.messages import (
    MAX_OUTCOMES,
    Bye,
    DomainOutcome,
    DomainStated,
    FromWorker,
    Hello,
    LoadModel,
    ModelLoaded,
    Query,
    QueryContent,
    QueryDone,
    StopQuery,
    ToWorker,
    Welcome,
    encode,
)
from arbitrank.values import Hypothesis, Request, Slot


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
    assert msgspec.msgpack.decode(frame[4:]) == {"type": "stop"}


@pytest.mark.parametrize("step", [1, 3, 1_000])
def test_messages_arrive_whole_and_in_order_however_they_are_cut(pair: Pair, step: int) -> None:
    theirs, channel = pair
    sent = [DomainOutcome(7, place, right=(0.1,) * place) for place in range(5)] + [QueryDone(7)]
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
    [b"", b"\xc1", encode({"type": "stop"}), encode({"type": "outcome", "query": "7", "place": 0})],
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


# --------------------------------------------------------------------------------------------- versions of the protocol

READING = Hypothesis("music", "Play", 0.9, None, (Slot("title", "mary poppins", 0.5, 5, 17),), features={"known": 1.0})
REQUEST = Request(utterance="play mary poppins", context={"device": "tv"})
CONTENT = {
    "request": {"utterance": "play mary poppins", "context": {"device": "tv"}},
    "given": [
        [
            {
                "domain": "music",
                "intent": "Play",
                "domain_confidence": 0.9,
                "slots": [{"name": "title", "value": "mary poppins", "confidence": 0.5, "start": 5, "end": 17}],
                "features": {"known": 1.0},
            }
        ]
    ],
}
FROZEN: list[tuple[ToWorker | FromWorker, dict[str, Any]]] = [
    (
        Hello((1, 0), "0.2.0", "3.11.9", {"numpy": "2.1.0"}, ("given",), (DomainStated("music", "arbitrank-music"),)),
        {
            "type": "hello",
            "protocol": [1, 0],
            "core": "0.2.0",
            "python": "3.11.9",
            "libraries": {"numpy": "2.1.0"},
            "capabilities": ["given"],
            "domains": [{"name": "music", "package": "arbitrank-music"}],
        },
    ),
    (Welcome((1, 0)), {"type": "welcome", "protocol": [1, 0]}),
    (
        LoadModel(1, "music", "/weights", (1,), 30.0, {"domain_confidence": "0..100"}),
        {
            "type": "load",
            "number": 1,
            "domain": "music",
            "folder": "/weights",
            "keep": [1],
            "seconds": 30.0,
            "scales": {"domain_confidence": "0..100"},
        },
    ),
    (
        ModelLoaded(None, ("device",)),
        {"type": "loaded", "problem": None, "context_keys": ["device"], "features": None},
    ),
    (
        Query(7, (1,), 150.0, False, msgspec.Raw(encode(QueryContent(REQUEST, ((READING,),))))),
        {"type": "rank", "id": 7, "models": [1], "remaining_ms": 150.0, "explain": False, "content": CONTENT},
    ),
    (StopQuery(), {"type": "stop"}),
    (
        DomainOutcome(7, 0, mine=0.75, right=(0.5,), hypotheses=(READING,)),
        {"type": "outcome", "query": 7, "place": 0, "mine": 0.75, "right": [0.5], "hypotheses": CONTENT["given"][0]},
    ),
    (QueryDone(7), {"type": "done", "query": 7, "problem": None}),
    (Bye(), {"type": "bye"}),
]
"""Messages of protocol 1.0. A minor version adds keys with defaults here, and never changes those that are there."""


@pytest.mark.parametrize(("message", "content"), FROZEN, ids=[content["type"] for _, content in FROZEN])
def test_the_keys_and_values_of_a_message_are_frozen(message: ToWorker | FromWorker, content: dict[str, Any]) -> None:
    sent = msgspec.msgpack.decode(encode(message))
    assert msgspec.json.encode(sent) == msgspec.json.encode(content)


@pytest.mark.parametrize(("message", "content"), FROZEN, ids=[content["type"] for _, content in FROZEN])
def test_what_a_newer_minor_version_adds_is_ignored(message: ToWorker | FromWorker, content: dict[str, Any]) -> None:
    newer = encode(with_more(content))
    decoder: Decoder[Any] = to_worker if isinstance(message, ToWorker) else from_worker
    decoded = decoder.decode(newer)
    if isinstance(decoded, Query):
        assert query_content.decode(decoded.content) == QueryContent(REQUEST, ((READING,),))
        decoded = msgspec.structs.replace(decoded, content=message.content)  # type: ignore[union-attr]
    assert decoded == message


def with_more(content: Any) -> Any:
    """A message in which each map whose keys are fields has one more."""
    if isinstance(content, list):
        return [with_more(one) for one in content]
    if not isinstance(content, dict):
        return content
    free = {"context", "features", "libraries", "scales"}  # the keys of these maps are data
    return {"colour": "blue", **{key: one if key in free else with_more(one) for key, one in content.items()}}


def test_a_hypothesis_is_of_the_same_class_whatever_version_it_came_from() -> None:
    """A plugin compares the slots that it gets with its own."""
    [outcome] = [content for message, content in FROZEN if isinstance(message, DomainOutcome)]
    decoded = from_worker.decode(encode(with_more(outcome)))
    assert isinstance(decoded, DomainOutcome)
    assert decoded.hypotheses
    assert type(decoded.hypotheses[0]) is Hypothesis
    assert decoded.hypotheses[0].slots == READING.slots
