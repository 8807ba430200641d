"""A domain without arbitrank or any library: `foreign_domain.py … FD MEMORY` speaks protocol 1.0 over the socket FD.

It reads each utterance with "rain" in it as AskRain. Of msgpack it writes one form of each type, and reads all of them.
"""

import os
import socket
import struct
import sys

FIXED = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
         0xD3: ">q"}  # fmt: skip
SIZED = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H",
         0xDF: ">I"}  # fmt: skip


def pack(value):  # noqa: PLR0911 - one for each type
    """The bytes of a plain value."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\xdb" + struct.pack(">I", len(text)) + text
    if isinstance(value, dict):
        parts = (part for item in value.items() for part in item)
        return b"\xdf" + struct.pack(">I", len(value)) + b"".join(map(pack, parts))
    return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))


def unpack(data, at=0):
    """The value at a place, and the place after it."""
    code, at = data[at], at + 1
    if code < 0x80 or code >= 0xE0:
        return (code if code < 0x80 else code - 256), at
    if code in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[code], at
    if code in FIXED:
        return struct.unpack_from(FIXED[code], data, at)[0], at + struct.calcsize(FIXED[code])
    if code in SIZED:
        (n,) = struct.unpack_from(SIZED[code], data, at)
        at += struct.calcsize(SIZED[code])
    else:
        n = code & (31 if code >= 0xA0 else 15)
    if 0xC4 <= code <= 0xC6:
        return data[at : at + n], at + n
    if 0xA0 <= code < 0xC0 or 0xD9 <= code <= 0xDB:
        return data[at : at + n].decode(), at + n
    values = []
    for _ in range(2 * n if 0x80 <= code < 0x90 or code >= 0xDE else n):
        value, at = unpack(data, at)
        values.append(value)
    return (dict(zip(values[::2], values[1::2], strict=True)) if 0x80 <= code < 0x90 or code >= 0xDE else values), at


def send(connection, **message):
    """Send a message: its length, and its map."""
    content = pack(message)
    connection.sendall(struct.pack("!I", len(content)) + content)


def receive(file):
    """The next message; None at the end."""
    head = file.read(4)
    return unpack(file.read(struct.unpack("!I", head)[0]))[0] if len(head) == 4 else None


def main():
    """Answer until the service is gone."""
    connection = socket.socket(fileno=int(sys.argv[-2]))
    file = connection.makefile("rb")
    domain = {"name": "weather", "skills": [{"name": "weather", "phrases": ["will it rain"]}], "colour": "blue"}
    send(connection, type="hello", protocol=[1, 7], domains=[domain], capabilities=["given"])
    while (message := receive(file)) is not None and message["type"] != "bye":
        if message["type"] == "load":
            send(connection, type="loaded", problem=None)
        elif message["type"] == "rank":
            request, given = message["content"]["request"], message["content"].get("given")
            mine = 0.9 if "rain" in (request.get("utterance") or "") else 0.01
            for place, _ in enumerate(message["models"]):
                n = len(given[place]) if given else 1
                reading = {} if given else {"hypotheses": [{"domain": "weather", "intent": "AskRain", "mood": "wet"}]}
                send(connection, type="outcome", query=message["id"], place=place, mine=mine,
                     right=[mine / n / 2] * n, **reading)  # fmt: skip
            send(connection, type="done", query=message["id"], problem=None)
    os._exit(0)


main()
