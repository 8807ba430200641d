"""Draws of requests: pseudo-random numbers that are hashes of a session, so that a log alone reproduces them."""

from __future__ import annotations

import hashlib

import msgspec

from arbitrank.values import Request


def draw(name: str, version: str, key: str) -> float:
    """A pseudo-random number in [0, 1), a hash: the same for the same arguments, independent for each candidate.

    A request falls into each share above it, so that one that is in a share stays in when the share grows.
    """
    content = "\0".join((name, version, key)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=6).digest()) / (1 << 48)


def draw_key(request: Request) -> str | None:
    """The key by which a request is drawn: its session, else its id, else its words; None where it has none of them.

    A session that is an object goes by its `id`, where it has one, as the rest of it may change.
    """
    session = request.session
    if isinstance(session, dict):
        session = msgspec.json.encode(session.get("id", session), order="deterministic").decode()
    for kind, value in (("session", session), ("id", request.id), ("words", request.utterance)):
        if value:
            return f"{kind} {value}"
    return None
