"""Messages of protocol 1 between arbitrank and a remote domain, JSON over HTTP; docs/reference/remote.md shows them.

They are those of a worker process (`arbitrank.isolation.messages`) in fewer words: hypotheses are read before they are
sent, and the weights are the remote's.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from arbitrank.isolation.decoders import NewerHypothesis
from arbitrank.isolation.messages import DomainStated
from arbitrank.values import Hypothesis

__all__ = [
    "DOMAIN",
    "MAX_REPLY",
    "MAX_STATED",
    "PROTOCOL",
    "RANK",
    "RemoteCall",
    "RemoteReply",
    "RemoteStated",
    "read_reply",
]

PROTOCOL: Final = (1, 0)
"""Major and minor version of the protocol; majors have to be equal."""

DOMAIN: Final = "/v1/domain"
"""Route below the URL that states the domain."""

RANK: Final = "/v1/rank"
"""Route below the URL that recognises and ranks."""

MAX_STATED: Final = 1 << 20
"""Bytes of what a remote states at most."""

MAX_REPLY: Final = 4 << 20
"""Bytes of a reply at most."""

Version = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._+-]{1,64}\Z")]


class RemoteStated(DomainStated, frozen=True, kw_only=True):
    """A remote domain as it states itself, with the `version` of the weights and code that answer."""

    protocol: tuple[int, int]
    version: Version


class RemoteCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """Call: recognise the `request`, of which there is what the entry allows, or rank the `hypotheses` that are given.

    These have been read: their confidences are in [0, 1] or absent.
    """

    protocol: tuple[int, int]
    remaining_ms: float
    explain: bool
    request: dict[str, Any]
    hypotheses: tuple[Hypothesis, ...] | None = None


class RemoteReply(msgspec.Struct, frozen=True):
    """Reply: P(mine), P(right) of each hypothesis, those that were recognised, and `why`; or the `failure`."""

    version: Version
    mine: float = 0.0
    right: tuple[float, ...] = ()
    hypotheses: tuple[Hypothesis, ...] | None = None
    why: tuple[dict[str, float], ...] | None = None
    failure: str | None = None


class _NewerReply(RemoteReply, frozen=True):
    """The reply of a newer core."""

    hypotheses: tuple[NewerHypothesis, ...] | None = None


_decode, _decode_newer = msgspec.json.Decoder(RemoteReply).decode, msgspec.json.Decoder(_NewerReply).decode


def read_reply(body: bytes) -> RemoteReply:
    """The reply in a body, without the fields of hypotheses unknown here.

    Raises `msgspec.MsgspecError`, `ValueError` or `RecursionError` where it is none.
    """
    try:
        return _decode(body)
    except msgspec.ValidationError:
        return msgspec.convert(msgspec.to_builtins(_decode_newer(body)), RemoteReply)
