"""Recorded conversations of a service with a worker, one of each minor version of the protocol: `frames/1.0.txt`, ….

A line is the side that sent a message, and its bytes. `python core/tests/recorded_frames.py` records that of this core,
for a new minor version; those that are there stay as they are.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from environment_folders import make, plugin

from arbitrank.isolation import messages as of
from arbitrank.values import Hypothesis, Request, Slot

FRAMES = Path(__file__).with_name("frames")
ID = int.from_bytes(b"\x01" * 6)
"""The number of every recorded query and batch."""


def recorded(path: Path) -> list[tuple[str, bytes]]:
    """The side and the content of each message."""
    rows = (line.split() for line in path.read_text().splitlines())
    return [(side, bytes.fromhex(content)) for side, content in rows]


class Peer:
    """One end of a socket pair, on which whole messages are sent and received."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self._file = connection, connection.makefile("rb")

    def send(self, content: bytes) -> None:
        self.connection.sendall(struct.pack("!I", len(content)) + content)

    def receive(self) -> bytes:
        (length,) = struct.unpack("!I", self._file.read(4))
        return self._file.read(length)


def worker(folder: Path) -> tuple[subprocess.Popen[bytes], Peer]:
    """A worker of this core in an environment at `folder`, with the domain kite."""
    make(folder, plugin("kite"))
    ours, theirs = socket.socketpair()
    arguments = ["-I", "-m", "arbitrank.isolation.worker_main", str(theirs.fileno()), str(4 << 30)]
    process = subprocess.Popen(
        [str(folder / "bin" / "python"), *arguments], pass_fds=(theirs.fileno(),), env={}, start_new_session=True
    )
    theirs.close()
    return process, Peer(ours)


def kite_alone(hello: bytes) -> bytes:
    """The greeting without the domains that this environment has besides."""
    found = msgspec.msgpack.decode(hello, type=of.Hello)
    kites = tuple(one for one in found.domains if one.name == "kite")
    return of.encode(msgspec.structs.replace(found, domains=kites))


def messages() -> list[tuple[bytes, int]]:
    """What the service sends after the greeting, each with the number of its replies."""
    raw, request = msgspec.Raw, Request(utterance="fly a kite", context={"device": "tv"})
    slots = (Slot("where", "hill", 0.25, 0, 4),)
    readings = Hypothesis("kite", "Fly", 90.0, 0.5, slots, features={"known": 1.0}), Hypothesis("kite", "Land", 10.0)
    found = [
        (of.Welcome(of.PROTOCOL), 0),
        (of.LoadModel(1, "kite", "/weights", (1,), 30.0, {"domain_confidence": "0..100"}), 1),
    ]
    for given in (None, (readings,)):
        found.append((of.Query(ID, (1,), 200.0, False, raw(of.encode(of.QueryContent(request, given)))), 2))
    batch = of.BatchContent((request, request), (None, readings))
    found += [
        (of.QueryBatch(ID, 1, 1_000.0, raw(of.encode(batch))), 3),
        (of.SelfTestModel(1, 30.0), 1),
        (of.Bye(), 0),
    ]
    return [(of.encode(message), replies) for message, replies in found]


def main() -> None:
    """Record a conversation."""
    with tempfile.TemporaryDirectory() as folder:
        process, peer = worker(Path(folder) / "environment")
        rows = [("worker", kite_alone(peer.receive()))]
        for content, replies in messages():
            peer.send(content)
            rows.append(("service", content))
            rows += [("worker", peer.receive()) for _ in range(replies)]
        process.wait()
    path = FRAMES / "{}.{}.txt".format(*of.PROTOCOL)
    path.write_text("".join(f"{side} {content.hex()}\n" for side, content in rows))
    print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
