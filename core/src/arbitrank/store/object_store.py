"""The storage of a store in an S3 bucket, by `s3://BUCKET/PREFIX`.

Credentials, region and endpoint come from the environment variables that all S3 clients share: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL. Keys are created with `If-None-Match: *`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from arbitrank.errors import InputError, StoreError
from arbitrank.store.backend import MAX_READ, Kept, check_number

if TYPE_CHECKING:
    from obstore.store import S3Config

_TRIES = 2
_RETRY_TIMEOUT = timedelta(seconds=10)
"""The time in which a call is retried; short, so that a service that polls soon reports an unavailable store."""
_TIMEOUT = timedelta(seconds=30)
"""The time that one call may take, its transfer included."""


class BucketBackend:
    """Keys under a prefix of a bucket. See `arbitrank.store.backend.StoreBackend`."""

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        try:
            import obstore
            from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
            from obstore.store import S3Store
        except ImportError as error:
            raise InputError(f"store {url}: needs the package obstore; run: pip install 'arbitrank[s3]'") from error
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise InputError(f"store {url}: expected s3://BUCKET/PREFIX")
        self._url, self._obstore = url.rstrip("/"), obstore
        self._errors, self._taken, self._absent = BaseError, AlreadyExistsError, (NotFoundError, FileNotFoundError)
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        endpoint = endpoint or environment.get("AWS_ENDPOINT")
        config: S3Config = {} if endpoint is None else {"endpoint": endpoint}
        with self._reporting("its settings"):
            self._bucket: Any = S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                config=config,
                client_options={
                    "allow_http": (endpoint or "").startswith("http://"),
                    "connect_timeout": timedelta(seconds=3),
                    "timeout": _TIMEOUT,
                },
                retry_config={"max_retries": _TRIES, "retry_timeout": _RETRY_TIMEOUT},
            )

    def __str__(self) -> str:
        return self._url

    def read(self, key: str, limit: int = MAX_READ) -> bytes | None:
        with self._reporting(key):
            try:
                found = self._obstore.get(self._bucket, key)  # the content is fetched by `bytes`
                if (size := found.meta["size"]) > limit:
                    raise StoreError(f"store {self}: {key}: {size} bytes, expected at most {limit}")
                return bytes(found.bytes())
            except self._absent as error:
                if _code(error) == "NoSuchBucket":  # a missing bucket is not an empty one
                    raise
                return None

    def create(self, key: str, content: bytes) -> bool:
        with self._reporting(key):
            try:
                self._obstore.put(self._bucket, key, content, mode="create", use_multipart=False)
            except self._taken:
                return False
            return True

    def write(self, key: str, content: bytes) -> None:
        with self._reporting(key):
            self._obstore.put(self._bucket, key, content, use_multipart=False)

    def under(self, prefix: str) -> list[Kept]:
        now = datetime.now(UTC)
        with self._reporting(prefix):
            kept: list[Kept] = []
            for page in self._obstore.list(self._bucket, prefix=f"{prefix}/"):
                kept += (Kept(one["path"], (now - one["last_modified"]).total_seconds(), one["size"]) for one in page)
                check_number(self, prefix, len(kept))
            return sorted(kept)

    def folders(self) -> list[str]:
        with self._reporting("its folders"):
            listing = self._obstore.list_with_delimiter(self._bucket)
            return sorted(path.strip("/").split("/")[-1] for path in listing["common_prefixes"])

    def delete(self, key: str) -> None:
        with self._reporting(key):
            try:
                self._obstore.delete(self._bucket, key)
            except self._absent:
                return

    def sweep(self, age: float) -> None:
        """An interrupted upload leaves nothing."""

    def local(self, prefix: str) -> Path | None:
        return None

    @contextmanager
    def _reporting(self, key: str) -> Iterator[None]:
        try:
            yield
        # obstore raises Python's own errors for some failures.
        except (self._errors, OSError, ValueError) as error:
            raise StoreError(f"store {self}: {key}: the request failed: {cause(error)}; try again") from error


def _code(error: BaseException) -> str | None:
    """The code of S3's error, None where the server sent none."""
    code = re.search("<Code>(.*?)</Code>", str(error))
    return code[1] if code else None


def cause(error: BaseException) -> str:
    """The cause in one line: from the library's report, the server's message or the innermost error."""
    text, _, source = str(error).partition("\n\nDebug source")
    at = re.search(r"(?:GET|PUT|POST|HEAD|DELETE) (\w+://[^\s?]+)", text)
    address = f" ({at[1]})" if at else ""
    if "//169.254.169.254/" in text:  # the address at which cloud machines get their credentials
        return "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if answer := re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", text, re.S):
        return f"{answer[1]}: {answer[2]}{address}"
    if inner := re.findall(r'(?:message|error): "([^"]+)"', source):
        return f"{inner[-1]}{address}"
    if "kind: Timeout" in source:
        return f"no response in time{address}"
    return " ".join(text.rpartition(" - ")[2].split())[:300] + address
