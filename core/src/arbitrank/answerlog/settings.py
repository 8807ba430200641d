"""Settings and status of a log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from arbitrank.answerlog.redaction import CONTEXT, Words
from arbitrank.values import Confidence


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Retention, redaction and buffering of a log.

    `share`: sampled share of the requests, by a hash of their id, so that all processes agree and feedback goes with
    its answer. `words`: `keep`, `hash` (with the key in the file `key`) or `drop` them; `context`: the keys of the
    context that are then kept (`arbitrank.answerlog.redaction`). `days`: segments begun longer ago are removed; None
    keeps all. A segment is closed at `segment_bytes`, or `segment_seconds` after it was begun. Answers older than about
    `sync_seconds` survive a power failure. At most `waiting` lines, and 16 KiB for each of them, are buffered.
    """

    share: Confidence = 1.0
    words: Words = "keep"
    key: Path | None = None
    context: tuple[str, ...] = CONTEXT
    days: Annotated[float, Meta(gt=0)] | None = None
    segment_bytes: Annotated[int, Meta(ge=1)] = 64 << 20
    segment_seconds: Annotated[float, Meta(gt=0)] = 3600.0
    sync_seconds: Annotated[float, Meta(ge=0)] = 1.0
    waiting: Annotated[int, Meta(ge=1)] = 10_000


class LogStatus(msgspec.Struct):
    """Counters of a log since the start: lines written, and lines lost by cause.

    `dropped`: the buffer was full. `refused`: could not be encoded, or longer than a reader accepts. `failed`: could
    not be written. `unsynced`: would not survive a power failure now. `removed`: segments past their age. `problem`:
    error of the last write, sync or removal, None once one succeeds again.
    """

    folder: str
    segment: str | None = None
    written: int = 0
    waiting: int = 0
    unsynced: int = 0
    dropped: int = 0
    refused: int = 0
    failed: int = 0
    removed: int = 0
    problem: str | None = None

    @property
    def lost(self) -> int:
        """Lines lost, by whatever cause."""
        return self.dropped + self.refused + self.failed
