"""Settings by which a service follows the share of out-of-scope requests in its traffic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from arbitrank.errors import InputError


class ShareFollowing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `arbitrank.live.share`: off, unless `follow`.

    The odds of the share stay within a `factor` of those of the share that was tuned, and the share between `least` and
    `most`. After `half_life` requests half of what was before is forgotten.
    """

    follow: bool = False
    factor: float = 4.0
    least: float = 0.005
    most: float = 0.6
    half_life: float = 5_000.0

    def bounds(self, tuned: float) -> tuple[float, float]:
        """The least and the greatest share that may be assumed in place of the one that was tuned."""
        odds = tuned / (1.0 - tuned)
        low, high = (one / (1.0 + one) for one in (odds / self.factor, odds * self.factor))
        return min(max(low, self.least), tuned), max(min(high, self.most), tuned)


def read_following(table: Mapping[str, Any], where: str) -> ShareFollowing:
    """The settings in a table of the configuration, at `where`. Raises `InputError` for one unknown or out of range."""
    names = ShareFollowing.__struct_fields__
    for key in table:
        if key not in names:
            raise InputError(f"{where}: key {key!r}: unknown, expected {', '.join(names)}")
    try:
        settings = msgspec.convert(table, ShareFollowing)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}") from None
    ranges = {"factor": (1.0, 100.0), "least": (1e-3, 0.9), "most": (1e-3, 0.9), "half_life": (100.0, 1e9)}
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise InputError(f"{where}.{name}: {value} is out of range, expected a number in [{low:g}, {high:g}]")
    if settings.least > settings.most:
        raise InputError(f"{where}.least: {settings.least} is above most, {settings.most}")
    return settings
