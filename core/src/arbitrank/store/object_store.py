"""A store in an object store that speaks S3, by `s3://BUCKET/PREFIX`.

Credentials, region and endpoint come from the environment, by the names that all S3 clients share: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL. What must not be overwritten is put with `If-None-Match: *`.
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
from arbitrank.store.backend import Kept

if TYPE_CHECKING:
    from obstore.store import S3Config

_TRIES = 2
_PATIENCE = timedelta(seconds=10)
"""For how long a call is tried again; a service that polls must hear soon that the store is away."""
_ANSWER = timedelta(seconds=30)
"""How long one call may take, the bytes that it brings included."""


class BucketBackend:
    """Keys under a prefix of a bucket. See `arbitrank.store.backend.Backend`."""

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        try:
            import obstore
            from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
            from obstore.store import S3Store
        except ImportError as error:
            raise InputError(f"store {url}: needs the package obstore; run: pip install 'arbitrank[s3]'") from error
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise InputError(f"store {url}: promised s3://BUCKET/PREFIX")
        self._url, self._obstore = url.rstrip("/"), obstore
        self._errors, self._taken, self._absent = BaseError, AlreadyExistsError, (NotFoundError, FileNotFoundError)
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        endpoint = endpoint or environment.get("AWS_ENDPOINT")
        config: S3Config = {} if endpoint is None else {"endpoint": endpoint}
        with self._told("its settings"):
            self._bucket: Any = S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                config=config,
                client_options={
                    "allow_http": (endpoint or "").startswith("http://"),
                    "connect_timeout": timedelta(seconds=3),
                    "timeout": _ANSWER,
                },
                retry_config={"max_retries": _TRIES, "retry_timeout": _PATIENCE},
            )

    def __str__(self) -> str:
        return self._url

    def read(self, key: str) -> bytes | None:
        """See `Backend`."""
        with self._told(key):
            try:
                return bytes(self._obstore.get(self._bucket, key).bytes())
            except self._absent as error:
                if "NoSuchBucket" in str(error):  # a bucket that is away is no empty one
                    raise
                return None

    def create(self, key: str, content: bytes) -> bool:
        """See `Backend`."""
        with self._told(key):
            try:
                self._obstore.put(self._bucket, key, content, mode="create", use_multipart=False)
            except self._taken:
                return False
            return True

    def write(self, key: str, content: bytes) -> None:
        """See `Backend`."""
        with self._told(key):
            self._obstore.put(self._bucket, key, content, use_multipart=False)

    def under(self, prefix: str) -> list[Kept]:
        """See `Backend`."""
        now = datetime.now(UTC)
        with self._told(prefix):
            pages = self._obstore.list(self._bucket, prefix=f"{prefix}/")
            return sorted(
                Kept(one["path"], (now - one["last_modified"]).total_seconds(), one["size"])
                for page in pages
                for one in page
            )

    def folders(self) -> list[str]:
        """See `Backend`."""
        with self._told("its folders"):
            found = self._obstore.list_with_delimiter(self._bucket)
            return sorted(path.strip("/").split("/")[-1] for path in found["common_prefixes"])

    def delete(self, key: str) -> None:
        """See `Backend`."""
        with self._told(key):
            try:
                self._obstore.delete(self._bucket, key)
            except self._absent:
                return

    def sweep(self, age: float) -> None:
        """See `Backend`. An upload that was killed leaves nothing."""

    def local(self, prefix: str) -> Path | None:
        """See `Backend`."""
        return None

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        try:
            yield
        # obstore gives Python's own errors for some of what it meets.
        except (self._errors, OSError, ValueError) as error:
            raise StoreError(f"store {self}: {key}: no answer that can be used: {why(error)}; try again") from error


def why(error: BaseException) -> str:
    """The reason in one line: of what the library tells, the server's own words or the innermost cause."""
    text, _, inside = str(error).partition("\n\nDebug source")
    at = re.search(r"(?:GET|PUT|POST|HEAD|DELETE) (\w+://[^\s?]+)", text)
    address = f" ({at[1]})" if at else ""
    if "//169.254.169.254/" in text:  # where a machine in the cloud is asked for its own credentials
        return "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if answer := re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", text, re.S):
        return f"{answer[1]}: {answer[2]}{address}"
    if cause := re.findall(r'(?:message|error): "([^"]+)"', inside):
        return f"{cause[-1]}{address}"
    if "kind: Timeout" in inside:
        return f"no answer in time{address}"
    return " ".join(text.rpartition(" - ")[2].split())[:300] + address
