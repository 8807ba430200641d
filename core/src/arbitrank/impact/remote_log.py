"""Logs in an object store, copied to a folder before they are read: feedback may stand anywhere in a log."""

from __future__ import annotations

import shutil
from pathlib import Path

from arbitrank.answerlog.segments import segments
from arbitrank.errors import DataError, os_errors
from arbitrank.training.locations import files, opened


def fetched(url: str, folder: Path) -> Path:
    """The one file at a URL, or the log whose segments are there, copied into an empty folder.

    Raises `DataError` where it cannot be read, and where several files are there that are no segments of a log.
    """
    found = files(url)
    for one in found:
        copied, failed = folder / _name(one.where), os_errors(DataError, f"{one.where}: cannot be copied")
        with failed, opened(one) as remote, copied.open("xb") as file:
            shutil.copyfileobj(remote, file, 1 << 20)
    if len(found) == 1:
        return folder / _name(found[0].where)
    others = {_name(one.where) for one in found} - {path.name for path in segments(folder)}
    if others:
        raise DataError(
            f"{url}: {len(found)} files, of which {min(others)} is no segment of a log; expected one file, or a log's "
            "segments, which `arbitrank serve --log` wrote"
        )
    return folder


def _name(where: str) -> str:
    return where.rpartition("/")[2]
