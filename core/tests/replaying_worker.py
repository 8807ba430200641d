"""A worker that replays a recorded conversation: `replaying_worker.py FRAMES … FD MEMORY`, without arbitrank.

To each message it sends the recorded replies to one of that type, in turn where several were recorded.
"""

import os
import socket
import struct
import sys

replies, last = {}, None
rows = [line.split() for line in open(sys.argv[1])]  # noqa: SIM115 - it ends soon
for side, text in rows[1:]:
    content = bytes.fromhex(text)
    if side == "service":
        last = []
        replies.setdefault(content[7 : 7 + content[6] - 0xA0], []).append(last)  # the type, a short text
    else:
        last.append(content)
connection = socket.socket(fileno=int(sys.argv[-2]))
file = connection.makefile("rb")
sent = [bytes.fromhex(rows[0][1])]
while True:
    connection.sendall(b"".join(struct.pack("!I", len(one)) + one for one in sent))
    head = file.read(4)
    content = file.read(struct.unpack("!I", head)[0]) if len(head) == 4 else b""
    kind = content[7 : 7 + content[6] - 0xA0] if content else b"bye"
    if kind == b"bye":
        os._exit(0)
    queue = replies[kind]
    sent = queue[0]
    queue.append(queue.pop(0))
