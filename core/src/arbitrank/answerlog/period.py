"""Beginning of a period of a log: a date, a time, or days or hours before the log's latest request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from arbitrank.answerlog.joining import LogView, raw_lines
from arbitrank.errors import DataError, InputError
from arbitrank.wire.json_lines import BadLine, read_lines

_UNITS = {"d": 86_400.0, "h": 3_600.0}


def begin(text: str, latest: float, option: str = "--since") -> float:
    """Seconds since 1970 that `2026-11-20`, `2026-11-20T12:00`, or `30d` and `12h` before `latest` stand for.

    Raises `InputError`, which names the `option`.
    """
    if ago := re.fullmatch(r"(\d{1,5})([dh])", text):
        return latest - int(ago[1]) * _UNITS[ago[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        expected = "one as 2026-11-20, a time, or days or hours as in 30d and 12h"
        raise InputError(f"{option}: {text!r} is no date, expected {expected}") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def begin_in(text: str, log: Path | LogView) -> float:
    """`begin` with the time of the latest request of a log or a file.

    Raises `DataError` where none has a time, or is so recent.
    """
    begin(text, 0.0)
    latest = max(_times(log), default=None)
    if latest is None:
        raise DataError(f"--since {text}: no request in {log} has a time, expected a log; run without --since")
    begun = begin(text, latest)
    if begun > latest:
        last = f"{datetime.fromtimestamp(max(latest, 0.0), UTC):%Y-%m-%dT%H:%M:%SZ}"
        raise DataError(
            f"--since {text}: no request in {log} is that recent, the latest is of {last}; state an earlier time"
        )
    return begun


class _Time(msgspec.Struct):
    time: float | None = None


def _times(log: Path | LogView) -> Iterator[float]:
    decode = msgspec.json.Decoder(_Time).decode
    for _, line in raw_lines(log) if isinstance(log, LogView) else read_lines(log):
        if not isinstance(line, BadLine):
            try:
                time = decode(line).time
            except (msgspec.MsgspecError, ValueError, RecursionError):
                continue
            if time is not None:
                yield time
