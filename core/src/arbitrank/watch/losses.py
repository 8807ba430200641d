"""Requests that a domain takes from its neighbours: of those that each of them claims itself, now and before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from arbitrank.evaluate.intervals import Estimate
from arbitrank.watch.collector import LogSlot

_Z, _SURELY = 1.96, 3.29  # of 95 and 99.9 %


class Loss(msgspec.Struct, frozen=True):
    """Requests that one neighbour lost to a domain beyond those before, with a 95 % interval; negative: won back.

    `before` and `now` are the shares of the requests that the neighbour claims itself, of which there are `n` now.
    """

    requests: Estimate
    before: float
    now: float
    n: int


def won(name: str, slots: Iterable[LogSlot]) -> int:
    """The requests that a domain won."""
    return sum(slot.wins[name] for slot in slots)


def losses(name: str, before: Sequence[LogSlot], now: Sequence[LogSlot]) -> dict[str, Loss]:
    """The neighbours that surely (99.9 %) lose requests to a domain, the greatest loss first."""
    surely = {}
    for neighbour in sorted({each for slot in now for each in slot.wanted} - {name}):
        counts = (*_taken(name, neighbour, before), *_taken(name, neighbour, now))
        if counts[1] and counts[3] and _loss(*counts, _SURELY).requests.low > 0.0:
            surely[neighbour] = _loss(*counts, _Z)
    return dict(sorted(surely.items(), key=lambda pair: -pair[1].requests.mean))


def _taken(name: str, neighbour: str, slots: Iterable[LogSlot]) -> tuple[int, int]:
    """The requests that the neighbour claims itself and the domain won, and all that the neighbour claims."""
    pairs = [(slot.taken[name, neighbour], slot.wanted[neighbour]) for slot in slots]
    return sum(taken for taken, _ in pairs), sum(wanted for _, wanted in pairs)


def _loss(before: int, could_before: int, now: int, could: int, z: float) -> Loss:
    """The difference of two shares with Newcombe's interval, in requests of now."""
    p, q = before / could_before, now / could
    (p_low, p_high), (q_low, q_high) = _wilson(p, could_before, z), _wilson(q, could, z)
    low = q - p - math.hypot(q - q_low, p_high - p)
    high = q - p + math.hypot(q_high - q, p - p_low)
    return Loss(Estimate(could * (q - p), could * low, could * high), p, q, could)


def _wilson(share: float, n: int, z: float) -> tuple[float, float]:
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
