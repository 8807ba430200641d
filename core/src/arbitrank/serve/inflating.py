"""Bodies that come compressed by gzip, inflated up to the size that they may have."""

from __future__ import annotations

import zlib

from arbitrank.serve.refusal import Refusal

_GZIP = 16 + zlib.MAX_WBITS
_MEMBERS = 100  # of one body: members that inflate to nothing must not occupy the service


def inflated(body: bytes | bytearray, largest: int) -> bytes | Refusal:
    """The body that a gzip file of one or several members holds; the refusal where it is damaged, or too large."""
    rest, found = bytes(body), bytearray()
    for _ in range(_MEMBERS):
        member = zlib.decompressobj(_GZIP)
        try:
            found += member.decompress(rest, largest - len(found) + 1)
        except zlib.error:
            return _DAMAGED
        if len(found) > largest:
            return Refusal(413, f"the body is too large, expected at most {largest} bytes once inflated")
        if not member.eof:
            return _DAMAGED
        rest = member.unused_data
        if not rest:
            return bytes(found)
    return _DAMAGED


_DAMAGED = Refusal(400, "the body: damaged, expected gzip, as Content-Encoding has it")
