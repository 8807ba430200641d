"""Following of the share of out-of-scope requests in a service's traffic, and competitions for another share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from arbitrank.arbitration.competition import Competition
from arbitrank.errors import InputError
from arbitrank.probability import clipped, logit

_SHARES = 0.005, 0.9  # the least and the greatest share that is believed


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


def with_share(competition: Competition, share: float) -> Competition:
    """A competition, which has a term for "no domain" and the share that this is for, for another share, in (0, 1).

    The share is kept between 0.5 and 90 %, so that some requests stay in scope and some out of scope.
    """
    if competition.null is None or competition.share is None:
        raise ValueError("the competition has no share of out-of-scope requests to replace")
    share = min(max(share, _SHARES[0]), _SHARES[1])
    null = min(max(competition.null + shift(competition.share, share), -30.0), 30.0)
    return replace(competition, null=null, share=share)


def shift(before: float, after: float) -> float:
    """The change of the term for "no domain" by which a share of out-of-scope requests becomes another."""
    return logit(clipped(after)) - logit(clipped(before))
