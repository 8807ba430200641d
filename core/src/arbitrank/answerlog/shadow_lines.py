"""Lines of a shadow log: those of an answer log, with the answers of the other versions, which were never served."""

from __future__ import annotations

import msgspec

from arbitrank.values import Answer
from arbitrank.wire.requests import Logged


class ShadowAnswer(msgspec.Struct, frozen=True):
    """The answer of the other `version` of one name, and whether it `flips` the answer that was served.

    `candidate` is False where the candidate's answer was served, so that this is the stable version.
    """

    version: str
    candidate: bool
    flips: bool
    answer: Answer


class ShadowLine(Logged, frozen=True, omit_defaults=True, kw_only=True):
    """A line of a log, as a replay reads it, with the other versions' answers, by name."""

    shadow: dict[str, ShadowAnswer]
