"""Files of a data set at a path or URL, each with the domain and day that its path names.

    DATA/domain=lights/day=2026-11-20/part-0.parquet

`domain=` and `day=` in a path: all of the file is of one domain, or of one day (UTC). Files are opened one after
another; of those in an object store (`s3://`, `gs://`, `az://`, `https://`) only what is read is fetched.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from arbitrank.answerlog.period import begin
from arbitrank.errors import DataError, InputError, os_errors
from arbitrank.extras import required
from arbitrank.store.object_store import cause

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
"""The endings of the names of data files."""

DAY = 86_400.0

_AHEAD = 1 << 20  # bytes that are fetched at a time
_KEYS = re.compile(r"(?:^|/)(domain|day)=([^/]*)(?=/)")


class DataFile(NamedTuple):
    """A data file: path or URL, size in bytes, domain, and day (its beginning in seconds since 1970).

    `fault`: the error in its path, if any; the domains that need the file cannot be trained then.
    """

    where: str
    size: int
    domain: str | None = None
    day: float | None = None
    fault: str | None = None


def is_url(location: str) -> bool:
    """True for a URL, False for a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", location) is not None


def files(location: str) -> list[DataFile]:
    """The files at a location, in the order of their paths. Raises `DataError` where there are none."""
    if is_url(location):
        found = list(_objects(location))
    else:
        path = Path(location)
        paths = [path] if not path.is_dir() else (p for p in path.rglob("*") if p.is_file())
        with os_errors(DataError, f"{location}: cannot be read"):
            found = [_found(str(p), str(p.relative_to(path)), p.stat().st_size) for p in paths]
        if path.is_dir():
            found = [one for one in found if one.where.endswith(SUFFIXES)]
    if not found:
        wanted = ", ".join(SUFFIXES)
        raise DataError(
            f"{location}: no file in it ends in {wanted}; expected some; see docs/reference/training-data.md"
        )
    return sorted(found)


def files_for(domains: Collection[str], location: str) -> list[DataFile]:
    """The files for these domains or for all. Raises `DataError` as `files` does, and for a fault in a path."""
    found = [one for one in files(location) if one.domain is None or one.domain in domains]
    for one in found:
        if one.fault is not None:
            raise DataError(one.fault)
    return found


def opened(file: DataFile) -> IO[bytes]:
    """The file, opened to read and seek. Raises `DataError` where an object store does not return it."""
    if not is_url(file.where):
        return open(file.where, "rb")
    store, path, obstore = _store(file.where)
    with _readable(file.where):
        raw = _ReaderFile(file.where, obstore.open_reader(store, path, buffer_size=_AHEAD))
    return io.BufferedReader(raw, _AHEAD)


def since(text: str) -> float:
    """Seconds since 1970 that `2026-11-20`, `2026-11-20T12:00`, or `30d` (days ago) stand for. Raises `InputError`."""
    return begin(text, time.time())


class _ReaderFile(io.RawIOBase):
    """A Python raw file over an obstore reader."""

    def __init__(self, url: str, reader: Any) -> None:
        self._url, self._reader = url, reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _readable(self._url):
            content = self._reader.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())


def _objects(url: str) -> Iterator[DataFile]:
    store, path, obstore = _store(url)
    with _readable(url):
        if path.endswith(SUFFIXES):
            yield _found(url, path, obstore.head(store, path)["size"])
            return
        root = url[: len(url) - len(path)]
        for page in obstore.list(store, prefix=path):
            for one in page:
                if one["path"].endswith(SUFFIXES):
                    yield _found(root + one["path"], one["path"], one["size"])


@contextmanager
def _readable(url: str) -> Iterator[None]:
    """Turn an object store's error into a `DataError` with the URL and the reason in one line."""
    from obstore.exceptions import BaseError

    try:
        yield
    # obstore raises Python's own errors for some failures.
    except (BaseError, OSError, ValueError) as error:
        raise DataError(f"{url}: cannot be read: {cause(error)}") from error


def _store(url: str) -> tuple[Any, str, Any]:
    """The object store of a URL, the path in it, and the library."""
    with required(url):
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    options: dict[str, Any] = {}
    try:
        parts = urlsplit(url)
        if not parts.netloc and parts.scheme != "file":
            raise InputError(f"{url}: names no bucket or host, expected {parts.scheme}://NAME/PATH")
        if parts.scheme == "s3":
            names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
            endpoint = next((os.environ[name] for name in names if os.environ.get(name)), "")
            if endpoint:
                options["config"] = {"endpoint": endpoint}
            options["client_options"] = {"allow_http": endpoint.startswith("http://")}
        elif parts.scheme == "http":
            options["client_options"] = {"allow_http": True}
        return from_url(f"{parts.scheme}://{parts.netloc}", **options), parts.path.strip("/"), obstore
    except (BaseError, OSError, ValueError) as error:
        raise InputError(f"{url}: cannot be read: {cause(error)}; see docs/reference/training-data.md") from error


def _found(where: str, path: str, size: int) -> DataFile:
    keys = dict(_KEYS.findall(path))
    domain, day = keys.get("domain"), keys.get("day")
    try:
        return DataFile(where, size, domain, None if day is None else since(day))
    except InputError:
        return DataFile(where, size, domain, fault=f"{where}: day={day}: expected a date as in day=2026-11-20")
