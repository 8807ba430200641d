"""Values in msgpack, whose integers have 64 bits; JSON's may have more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

__all__ = ["packed"]


def packed(encode: Callable[[Any], bytes], value: Any) -> bytes:
    """`encode(value)`, with integers of more than 64 bits as floats. Raises what `encode` raises for anything else."""
    try:
        return encode(value)
    except OverflowError:
        return encode(_narrowed(msgspec.to_builtins(value)))


def _narrowed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _narrowed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_narrowed(inner) for inner in value]
    if not isinstance(value, int) or -(1 << 63) <= value < 1 << 64:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
